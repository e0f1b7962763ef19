# SPDX-License-Identifier: GPL-2.0-or-later
"""Files people name by mistake: one line says what each is and what to give instead."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.cli.app import main
from pageout.readers.foreign import foreign


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


def tarred(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def parquet() -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"a": [1, 2]}).write_parquet(out)
    return out.getvalue()


def perfetto() -> bytes:
    packet = b"\x08\x80\x80\x01\x50\x07"
    return (b"\n" + bytes([len(packet)]) + packet) * 50


def elf(kind: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + kind.to_bytes(2, "little") + bytes(200)


CASES = {
    "parquet": (parquet(), "pageout convert"), "perfetto": (perfetto(), "give the recording it was made from"),
    "vmcore": (elf(4), "makedumpfile --dump-dmesg"), "kdump": (b"KDUMP   " + bytes(100), "makedumpfile --dump-dmesg"),
    "program": (elf(2), "a program"), "png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Office document"), "zip": (zipped("dmesg.txt"), "unpack it"),
    "zip.gz": (gzip.compress(zipped("dmesg.txt")), "a .zip archive packed once more, as .gz: unpack both"),
    "perf.data": (b"PERFILE2" + bytes(99), "perf script -i FILE > trace.txt"),
    "sar": (b"\x96\xd5\x75\x21" + bytes(99), "sar -A -f FILE"), "atop": (b"\xef\xbe\xed\xfe" + bytes(99), "atop"),
    "journal": (b"LPKSHHRH" + bytes(99), "journalctl --file FILE"), "blktrace": (b"\x07tae" + bytes(99), "blkparse -i FILE"),
    "sosreport": (tarred("sosreport-host/sos_commands/kernel/dmesg"), "sos_commands/kernel/dmesg"),
    "tar.gz": (gzip.compress(tarred("logs/dmesg")), "tar xf FILE"), "empty": (b"", "nothing in it"),
    "blank": (b"\n\n\n", "nothing in it"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_is_told_in_one_line_with_what_to_give_instead(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, expected = CASES[name]
    path = tmp_path / name
    path.write_bytes(content)

    status = main(["explain", str(path)])

    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert expected in err


@pytest.mark.parametrize(
    ("inside", "expected"),
    [("a.parquet", "pageout convert"), ("sos_commands", "sosreport"), ("system.journal", "journalctl"), ("dmesg", "name the files")],
)  # fmt: skip
def test_a_folder_is_told_by_what_is_in_it(
    inside: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / inside).touch()

    assert main(["explain", str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from("\n\t\r"), max_size=300))
def test_no_text_is_taken_for_a_perfetto_trace(text: str) -> None:
    assert "Perfetto" not in foreign(("\n" + text).encode())


@given(st.binary(max_size=600))
def test_any_bytes_get_an_answer(head: bytes) -> None:
    assert isinstance(foreign(head), str)
    assert "\n" not in foreign(b"\n" + head)
