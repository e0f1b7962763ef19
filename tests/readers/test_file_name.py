# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of one /proc file: only the file's own name says what its lines are of."""

from pathlib import Path

import pytest

from pageout.readers.facts import Snapshot, Sysctl
from pageout.readers.proc.file_name import path_of
from pageout.readers.read import read_input, read_pieces
from pageout.vocabulary.errors import TraceError

PSI = b"some avg10=12.00 avg60=30.10 avg300=3.85 total=15\nfull avg10=10.00 avg60=25.10 avg300=3.85 total=12\n"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("/tmp/x/proc/pressure/io", "pressure io"), ("memory", "pressure memory"), ("psi-io.log", "pressure io"),
        ("cpu.pressure", "pressure cpu"), ("pressure_mem.txt", "pressure memory"), ("p.txt", "pressure"), ("-", "pressure"),
        ("pressure-io-and-memory.txt", "pressure"), ("radio.txt", "pressure"),
    ],
)  # fmt: skip
def test_pressure_is_named_by_its_file_or_not_at_all(name: str, source: str) -> None:
    found = read_pieces(name, [PSI])

    assert [fact.source for fact in found.facts if isinstance(fact, Snapshot)] == [source, source]
    assert found.account.unread == 0


@pytest.mark.parametrize(
    "name", ["proc/sys/vm/dirty_ratio", "/copy/proc/sys/vm/dirty_ratio", "dirty_ratio", "vm.dirty_ratio.txt"]
)
def test_a_number_alone_is_the_setting_its_file_is_named_after(name: str) -> None:
    found = read_pieces(name, [b"20\n"])

    assert found.facts == [Sysctl(1, "vm.dirty_ratio", "20", 20.0)]


@pytest.mark.parametrize("name", ["a.txt", "-", "ratio"])
def test_a_number_alone_in_a_file_of_no_such_name_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(TraceError, match=r"'20' alone, and the file's name does not say of what"):
        read_pieces(name, [b"20\n"])


def test_a_cgroups_limit_is_known_by_its_files_name() -> None:
    (fact,) = read_pieces("/sys/fs/cgroup/a.slice/memory.max", [b"1048576\n"]).facts

    assert isinstance(fact, Snapshot)
    assert (fact.source, fact.place, fact.values["memory.max"].number) == ("memory.max", "/a.slice", 1 << 20)


def test_what_a_file_names_itself_counts_more_than_the_files_name() -> None:
    found = read_pieces("memory", [b"==> /proc/pressure/io <==\n" + PSI])

    assert {fact.source for fact in found.facts if isinstance(fact, Snapshot)} == {"pressure io"}


@pytest.mark.parametrize("name", ["dmesg.txt", "trace", "vmstat", "/var/log/kern.log", "", "cpu-and-io", "swap"])
def test_other_names_say_nothing(name: str) -> None:
    assert path_of(name) == ""


def test_a_live_setting_of_the_running_kernel_is_read() -> None:
    path = Path("/proc/sys/vm/dirty_ratio")
    if not path.exists():
        pytest.skip("no /proc/sys here")

    (fact,) = read_input(str(path)).facts

    assert isinstance(fact, Sysctl)
    assert fact.text == path.read_text().strip()
