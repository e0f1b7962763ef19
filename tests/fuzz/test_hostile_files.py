# SPDX-License-Identifier: GPL-2.0-or-later
"""Files made to hurt: endless lines, bombs, what is no text, names that command a terminal."""

import bz2
import gzip
import lzma
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.diagnose.case import Case
from pageout.diagnose.explain import explain, rules
from pageout.readers import source
from pageout.readers.lines import REFUSED_FOR_GOOD, Account
from pageout.readers.read import read_input, read_pieces
from pageout.readers.texts import LINE_BYTES, Texts
from pageout.vocabulary.errors import TraceError
from tests.fuzz.mutations import zstd
from tests.fuzz.properties import is_harmless, ran, read
from tests.readers.kernel_logs import TASK_NEW

EVENT = "           tar-5563  [025] ....   165.504703: mm_vmscan_direct_reclaim_end: nr_reclaimed=7\n"
MEMINFO = "MemTotal:       16384 kB\nDirty:            12 kB\n"
HARMFUL = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\u009b2J",
    "[red]x[/]",
    "[link=http://x]x",
    "a\u202eb",
    "\x7f\x08",
    "<b>x</b>",
]
HUNG_S = 120  # what takes a second or two here, and minutes where it grows with the square of the length


@contextmanager
def not_for_ever() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HUNG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("harm", HARMFUL)
def test_a_task_name_commands_no_terminal(harm: str, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text((EVENT + TASK_NEW).replace("tar", harm) * 3, errors="surrogateescape")
    for tokens in (["explain"], ["explain", "--mask"], ["explain", "--json"], ["explain", "--against", str(path)]):
        status, out, err = ran(*tokens, str(path))
        assert is_harmless(out + err)
        assert status in (0, 1)
    if harm.isprintable():
        assert harm in ran("explain", str(path))[1]  # as it is, not as markup


def test_the_exit_status_is_that_of_what_could_be_read(tmp_path: Path) -> None:
    quiet, stuck, missing = tmp_path / "quiet", tmp_path / "stuck", tmp_path / "missing"
    quiet.write_text(MEMINFO)
    stuck.write_text(TASK_NEW)
    assert ran("explain", str(quiet))[0] == 0
    assert ran("explain", str(stuck))[0] == 1
    status, out, _ = ran("explain", str(missing), str(quiet), str(tmp_path))
    assert status == 0
    assert out.count("Not read: ") == 2
    assert ran("explain", str(missing), str(stuck))[0] == 1
    assert ran("explain", str(missing), str(tmp_path))[0] == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "nothing in it"), (b"\n \n", "nothing in it but blank lines"), (b"\0" * 5000, "nothing in it"),
        (b"\x7fELF\2\1\1\0" + bytes(range(256)), "program"), (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "picture"),
        (bytes(range(256)) * 9, "nothing here that pageout reads"), (b"%PDF-1.4\n", "PDF"),
    ],
)  # fmt: skip
def test_what_is_no_recording_gets_one_clear_line(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(data)
    status, out, err = ran("explain", str(path))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_what_is_no_file_gets_one_clear_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("meminfo", MEMINFO)
    for name, said in (
        ("a.zip", "unpack"),
        ("none", "No such file"),
        (".", "directory"),
        ("/dev/null", "nothing in it"),
    ):
        status, out, err = ran("explain", str(tmp_path / name))
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert said in err


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd.compress, bz2.compress])
def test_a_packed_file_is_read_a_broken_one_refused_a_bomb_too(pack, tmp_path, monkeypatch) -> None:
    path = tmp_path / "in"
    whole = pack(MEMINFO.encode())
    path.write_bytes(whole)
    assert read_input(str(path)).kind == "meminfo"
    for broken in (whole[:-5], whole[:8] + b"\xff" * len(whole)):
        path.write_bytes(broken)
        with pytest.raises(TraceError, match="a broken"):
            read_input(str(path))
    monkeypatch.setattr(source, "BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(source, "CHUNK", 1 << 16)
    path.write_bytes(pack(bytes(1 << 23)))
    with pytest.raises(TraceError, match="refused"):
        read_input(str(path))


UNITS = [
    b" ",
    b">",
    b"> ",
    b"| ",
    b".",
    b"7",
    b"[",
    b"(",
    b"=",
    b"a=",
    b'"',
    b"\0",
    b"\x1b[",
    b"&lt;",
    b"1 ",
    b": ",
    b"a-1 ",
    b"\xff",
]


@pytest.mark.parametrize("unit", UNITS)
def test_much_of_one_thing_is_read_in_the_time_it_takes(unit: bytes) -> None:
    size = 1 << 17
    heads = (b"", EVENT.encode()[:-1], b"[    1.000000] ", b"MemTotal: 1 kB\n")
    with not_for_ever():
        for head in heads:
            read(head + unit * (size // len(unit)))
        for row in (unit, heads[1] + unit * 40, heads[2] + unit * 900):
            read((row + b"\n") * (size // (len(row) + 1) // 8))


@pytest.mark.parametrize(
    "text", [TASK_NEW, "vm.dirty_bytes = 5\n", MEMINFO, EVENT], ids=["task", "setting", "counter", "event"]
)
def test_a_report_that_comes_a_thousand_times_is_explained(text: str) -> None:
    found = read_pieces("x", [text.encode() * 1000])
    with not_for_ever():
        assert explain([found]).findings


def test_facts_are_looked_for_once_however_many_settings_there_are(monkeypatch) -> None:
    found = read_pieces("x", [b"vm.dirty_bytes = 5\nvm.dirty_ratio = 3\n" * 50])
    looked = 0

    class Counting(list):
        def __iter__(self):
            nonlocal looked
            looked += 1
            return super().__iter__()

    found.facts = Counting(found.facts)
    case = Case([found])
    for rule in rules():
        list(rule(case))
    assert looked < 50


def test_a_hundred_megabytes_in_one_line_fit_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(EVENT.encode() * 1000)
        for _ in range(100):
            out.write(b"x1 =" * (1 << 18))
    script = (
        "import re, sys; from pageout.readers.read import read_input; found = read_input(sys.argv[1]); "
        "most = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "  # getrusage has the parent's in it
        "print(found.account.lines, found.account.events, most)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert not done.stderr
    lines, events, kilobytes = map(int, done.stdout.split())
    assert (lines, events) == (1001, 1000)
    assert kilobytes < 300_000


def test_blank_lines_are_not_kept_and_others_count_with_what_they_cost() -> None:
    from pageout.readers.lines import Line

    texts = Texts(10 * LINE_BYTES)
    for number in range(1, 1000):
        texts.add(Line(number, "" if number % 2 else "x"))
    assert 0 < len(texts) <= 10


@settings(max_examples=25, deadline=None, database=None)
@given(
    st.lists(
        st.sampled_from(["", "7", "a: b", "tar-1 [000]", EVENT[:-1], "MemTotal: 1 kB", "}"]), min_size=1, max_size=6
    ),
    st.integers(1, 3),
)
def test_a_text_refused_again_and_again_is_still_counted(rows: list[str], times: int) -> None:
    """What stands between two claims counts anew, so an event after a flood is read like one before it."""
    flood = "\n".join(rows * times * REFUSED_FOR_GOOD) + "\n"
    found = read((EVENT + flood + EVENT + MEMINFO).encode())
    assert found is not None
    assert isinstance(found.account, Account)
    assert found.account.events >= 2
    assert any(fact.line > flood.count("\n") for fact in found.facts)
