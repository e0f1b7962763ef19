# SPDX-License-Identifier: GPL-2.0-or-later
"""What people name by mistake, by how it begins, and what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_DUMP = "a crash dump: give the log in it (makedumpfile --dump-dmesg FILE dmesg.txt, or `log` in crash)"
_PICTURE = "a picture: give the text it shows"
_ARCHIVE = "unpack it and name the files in it"
ZIP = f"a .zip archive: {_ARCHIVE}"
_SOS = "sos_commands/kernel/dmesg*, proc/meminfo, proc/vmstat, sos_commands/sar/sar*"
_SAR = "sar's own file: give its text: sar -A -f FILE > sar.txt"
_ATOP = (
    "atop's own file, which pageout does not read: give vmstat 1, iostat -x or sar of the same time (sar -A -f FILE)"
)
PARQUET = (
    "Parquet, which pageout convert writes: give the trace it was made from, or make text of the tables: "
    "pageout convert FOLDER trace.txt"
)
_STARTS = (
    (b"PAR1", PARQUET),
    (b"7z\xbc\xaf\x27\x1c", f"a .7z archive: {_ARCHIVE}"),
    (b"Rar!\x1a\x07", f"a .rar archive: {_ARCHIVE}"),
    (b"KDUMP   ", _DUMP),
    (b"DISKDUMP", _DUMP),
    (b"makedumpfile\0", _DUMP),
    (b"\x89PNG\r\n", _PICTURE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"GIF8", _PICTURE),
    (b"%PDF-", "a PDF: give its text"),
    (b"PERFILE2", "perf's own file: give its text: perf script -i FILE > trace.txt"),
    (b"2ELIFREP", "perf's own file: give its text: perf script -i FILE > trace.txt"),
    (b"LPKSHHRH", "a systemd journal: give its text: journalctl --file FILE -o short-monotonic > log.txt"),
    (b"\x07tae", "blktrace's own file: give its text: blkparse -i FILE > trace.txt"),
    (b"eat\x07", "blktrace's own file: give its text: blkparse -i FILE > trace.txt"),
    (b"\xef\xbe\xed\xfe", _ATOP),
    (b"\xfe\xed\xbe\xef", _ATOP),
    (b"SQLite format 3\x00", "a database: give text"),
)
_SYSSTAT = tuple(bytes((0x96, 0xD5, kind, 0x21)) for kind in range(0x69, 0x80)) + tuple(
    bytes((0xD5, 0x96, 0x21, kind)) for kind in range(0x69, 0x80)
)
TAR_MAGIC_AT = 257
CORE_TYPE = 4  # ET_CORE
PACKETS_SEEN = 3  # of a Perfetto trace, one after the other: then it is no chance
MAX_VARINT = 5  # bytes of a length
PACKET = 0x0A  # Trace.packet, length-delimited


def foreign(head: bytes) -> str:
    """Return what a file is and what to give instead, by its first bytes (some KiB); "" if it may be readable."""
    told = next((what for magic, what in _STARTS if head.startswith(magic)), "")
    return told or next((what for test in _TESTS if (what := test(head))), "")


def _sysstat(head: bytes) -> str:
    return _SAR if head[:4] in _SYSSTAT else ""


def _elf(head: bytes) -> str:
    if not head.startswith(b"\x7fELF"):
        return ""
    kind = int.from_bytes(head[16:18], "big" if head[5:6] == b"\x02" else "little")
    return (
        _DUMP.replace("a crash dump", "a core or crash dump")
        if kind == CORE_TYPE
        else "a program: give a log or a trace in text"
    )


def _zip(head: bytes) -> str:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ""
    if b"[Content_Types].xml" in head or b"xl/" in head or b"word/" in head:
        return "an Office document: save what it holds as text (a sheet as .csv)"
    return ZIP


def _tar(head: bytes) -> str:
    if head[TAR_MAGIC_AT : TAR_MAGIC_AT + 5] != b"ustar":
        return ""
    if b"sosreport" in head[:100] or b"sos_" in head:
        return f"a sosreport: unpack it (tar xf FILE) and name what is in it: {_SOS}"
    return "a tar archive: unpack it (tar xf FILE) and name the files in it"


def _perfetto(head: bytes) -> str:
    """A chain of packets, each `0a`, its length, its bytes; no text has the control characters they are full of."""
    if not head.startswith(b"\n") or not any(byte < 9 for byte in head[:4096]):
        return ""
    at = nr_packets = 0
    while at < len(head) and nr_packets < PACKETS_SEEN:
        if head[at] != PACKET:
            return ""
        size = next((n for n, byte in enumerate(head[at + 1 : at + 1 + MAX_VARINT], 1) if byte < 0x80), 0)
        length = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(head[at + 1 : at + 1 + size]))
        if not size or not length:
            return ""
        at += 1 + size + length
        nr_packets += 1
    if nr_packets < 2 and at != len(head):
        return ""
    return "a Perfetto trace, which pageout writes and does not read: give the recording it was made from"


_TESTS: tuple[Callable[[bytes], str], ...] = (_sysstat, _elf, _zip, _tar, _perfetto)


def of_folder(path: Path) -> str:
    """Return what to do with a folder that was named in place of a file."""
    names = {one.name for one, _ in zip(path.iterdir(), range(1000), strict=False)}
    if not names:
        return "an empty directory: name a file"
    if any(name.endswith(".parquet") for name in names):
        return f"a directory of {PARQUET}"
    if "sos_commands" in names:
        return f"an unpacked sosreport: name its files: {_SOS}"
    if any(name.endswith(".journal") for name in names):
        return "a directory of systemd journals: give their text: journalctl -D FOLDER -o short-monotonic > log.txt"
    return "a directory: name the files in it"
