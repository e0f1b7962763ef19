# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings that contradict themselves."""

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from pageout.diagnose.findings import INFO, WARNING
from tests.diagnose.build import findings, given, snapshot, sysctls


@pytest.mark.parametrize("name", ["dirty", "dirty_background"])
def test_bytes_and_ratio_in_one_file_contradict_each_other(name: str) -> None:
    found = findings(given(*sysctls([(f"vm.{name}_ratio", 20), (f"vm.{name}_bytes", 1 << 28)])))

    assert found["sysctl-bytes-and-ratio"].severity == WARNING
    assert [one.line for one in found["sysctl-bytes-and-ratio"].evidence] == [2, 1]
    assert f"vm.{name}_bytes is what remains" in found["sysctl-bytes-and-ratio"].detail


def test_what_a_running_kernel_shows_is_no_contradiction() -> None:
    settings = [("vm.dirty_background_bytes", 0), ("vm.dirty_background_ratio", 10), ("vm.dirty_bytes", 0),
                ("vm.dirty_expire_centisecs", 3000), ("vm.dirty_ratio", 20), ("vm.dirty_writeback_centisecs", 500)]  # fmt: skip

    assert set(findings(given(*sysctls(settings)))) == {"sysctl-meaning"}


@pytest.mark.parametrize(("limit", "background"), [(20, 20), (10, 40)])
def test_a_background_threshold_at_or_above_the_limit_is_told(limit: int, background: int) -> None:
    found = findings(given(*sysctls([("vm.dirty_background_ratio", background), ("vm.dirty_ratio", limit)])))

    assert "half of the limit" in found["sysctl-background-above-limit"].detail


@pytest.mark.parametrize("nbytes", [5, 8191, 8192, 65536])
def test_a_limit_of_a_few_bytes_was_meant_in_another_unit(nbytes: int) -> None:
    found = findings(given(*sysctls([("vm.dirty_bytes", nbytes)])))["sysctl-absurd"]

    assert ("refused" in found.title) == (nbytes < 8192)
    assert any("counts bytes" in advice for advice in found.advice)


def test_a_limit_above_the_memory_limits_nothing() -> None:
    memory = snapshot("meminfo", {"MemTotal": 4 << 20}, line=50)

    found = findings(given(memory, *sysctls([("vm.dirty_bytes", 8 << 30)])))

    assert "4 GiB" in found["sysctl-absurd"].title
    assert {one.line for one in found["sysctl-absurd"].evidence} == {1, 50}


def test_two_sets_of_limits_say_what_follows_if_the_trouble_was_the_same() -> None:
    first = [("vm.dirty_background_ratio", 10), ("vm.dirty_ratio", 20)]
    then = [("vm.dirty_background_ratio", 0), ("vm.dirty_background_bytes", 1 << 28), ("vm.dirty_bytes", 1 << 29)]

    found = findings(given(*sysctls([*first, *then])))

    assert found["sysctl-two-sets"].severity == INFO
    assert "10 / 20 % of memory, then 256 MiB / 512 MiB" in found["sysctl-two-sets"].title
    assert "sysctl-bytes-and-ratio" not in found  # they were never set together


NAMES = ["dirty_bytes", "dirty_ratio", "dirty_background_bytes", "dirty_background_ratio", "dirty_expire_centisecs",
         "dirty_writeback_centisecs", "swappiness"]  # fmt: skip


@drawn(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 1 << 40)), max_size=12))
def test_whatever_is_set_each_line_of_evidence_is_one_of_the_settings(settings: list[tuple[str, int]]) -> None:
    made = sysctls([(f"vm.{name}", number) for name, number in settings])

    for finding in findings(given(*made)).values():
        assert finding.title
        assert {one.line for one in finding.evidence} <= {fact.line for fact in made}


def test_what_a_sentence_says_of_settings_contradicts_nothing() -> None:
    from pageout.readers.read import read_pieces

    text = b"I set vm.dirty_bytes to 4 GB last week, before that vm.dirty_ratio was 20 and vm.dirty_bytes was 5 only.\n\nvm.swappiness = 60\n"

    assert not {"sysctl-absurd", "sysctl-bytes-and-ratio"} & set(findings(read_pieces("mail.txt", [text])))
