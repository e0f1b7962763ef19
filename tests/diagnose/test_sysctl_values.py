# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings that are legal and odd, refused, or misspelt."""

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from pageout.diagnose.findings import INFO, WARNING, Finding
from pageout.readers.facts import KernelVersion
from pageout.readers.read import read_pieces
from pageout.readers.sysctl import VM
from tests.diagnose.build import findings, given, snapshot, sysctls


def told(text: str) -> dict[str, Finding]:
    """Findings of a sysctl.conf."""
    return findings(read_pieces("sysctl.conf", [text.encode()]))


def test_large_limits_say_what_a_sync_takes_and_are_no_fault() -> None:
    limits = sysctls([("vm.dirty_ratio", 80), ("vm.dirty_background_ratio", 60)])
    found = findings(given(snapshot("meminfo", {"MemTotal": 64 << 20}, line=40), *limits))["sysctl-large-dirty-limits"]

    assert found.severity == INFO
    assert "a sync may take 6 min 7 s" in found.title
    assert "the flusher lets 38.4 GiB gather" in found.detail
    assert 40 in [line.line for line in found.evidence]


@pytest.mark.parametrize(("ratio", "background"), [(20, 10), (40, 20), (30, 5)])
def test_usual_limits_are_not_called_large(ratio: int, background: int) -> None:
    assert "sysctl-large-dirty-limits" not in told(f"vm.dirty_ratio={ratio}\nvm.dirty_background_ratio={background}\n")


@pytest.mark.parametrize(
    ("setting", "seconds", "meant"),
    [("vm.dirty_expire_centisecs=30", "300 ms", 3000), ("vm.dirty_writeback_centisecs=5", "50 ms", 500)],
)
def test_seconds_written_as_hundredths_are_told_with_the_number_that_was_meant(
    setting: str, seconds: str, meant: int
) -> None:
    found = told(setting + "\n")["sysctl-seconds-meant"]

    assert f"is {seconds}" in found.title
    assert found.advice[0].endswith(f"= {meant}")


@pytest.mark.parametrize("setting", ["vm.dirty_expire_centisecs=100", "vm.dirty_writeback_centisecs=100"])
def test_a_second_is_not_taken_for_a_slip(setting: str) -> None:
    assert "sysctl-seconds-meant" not in told(setting + "\n")


def test_two_slips_of_one_kind_are_one_finding_with_both_lines() -> None:
    found = told("vm.dirty_expire_centisecs=30\nvm.dirty_writeback_centisecs=5\n")["sysctl-seconds-meant"]

    assert [line.line for line in found.evidence] == [1, 2]
    assert "vm.dirty_writeback_centisecs = 5 is 50 ms" in found.detail


def test_no_limit_at_all_is_told() -> None:
    names = ("dirty_background_bytes", "dirty_background_ratio", "dirty_bytes", "dirty_ratio")

    assert told("".join(f"vm.{name} = 0\n" for name in names))["sysctl-no-dirty-memory"].severity == WARNING
    assert "sysctl-no-dirty-memory" not in told("vm.dirty_ratio = 0\n")  # the bytes may hold
    assert "sysctl-no-dirty-memory" not in told("vm.dirty_ratio = 0\nvm.dirty_bytes = 268435456\n")


@pytest.mark.parametrize(
    ("setting", "kernel", "finding"),
    [
        ("vm.swappiness = 150", None, "sysctl-since"), ("vm.swappiness = 150", "5.4.0", "sysctl-out-of-range"),
        ("vm.swappiness = 150", "5.8.0", None), ("vm.swappiness = 201", "6.1.0", "sysctl-out-of-range"),
        ("vm.swappiness = 100", None, None),
        ("vm.watermark_scale_factor = 1001", "5.15.0", "sysctl-out-of-range"),
        ("vm.watermark_scale_factor = 1001", "5.17.0", None),
        ("vm.watermark_scale_factor = 3001", "6.1.0", "sysctl-out-of-range"),
    ],
)  # fmt: skip
def test_what_a_kernel_refuses_depends_on_the_kernel(setting: str, kernel: str | None, finding: str | None) -> None:
    name, _, number = setting.partition(" = ")
    version = [KernelVersion(9, kernel)] if kernel else []

    found = findings(given(*sysctls([(name, float(number))]), *version))

    assert {"sysctl-since", "sysctl-out-of-range"} & set(found) == ({finding} if finding else set())


@pytest.mark.parametrize(("pressure", "severity"), [(0, WARNING), (10000, INFO), (50, None), (1000, None)])
def test_cache_pressure_is_odd_at_both_ends(pressure: int, severity: str | None) -> None:
    found = told(f"vm.vfs_cache_pressure={pressure}\nvm.swappiness=60\n").get("sysctl-cache-pressure")

    assert (found.severity if found else None) == severity


@pytest.mark.parametrize(("kib", "is_told"), [(67584, False), (500, True), (4 << 20, True)])
def test_the_reserve_is_held_against_the_memory_there_is(kib: int, is_told: bool) -> None:
    memory = snapshot("meminfo", {"MemTotal": 16 << 20}, line=50)

    assert ("sysctl-reserve" in findings(given(memory, *sysctls([("vm.min_free_kbytes", kib)])))) == is_told


def test_a_small_background_threshold_is_not_refused() -> None:
    assert "refused" not in told("vm.dirty_background_bytes=4096\n")["sysctl-absurd"].title
    assert "refused" in told("vm.dirty_bytes=4096\n")["sysctl-absurd"].title


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("dirty_background_ration", "dirty_background_ratio"), ("dirty_centisecs", "dirty_expire_centisecs"),
        ("dirty-ratio", "dirty_ratio"), ("swapiness", "swappiness"), ("page_cluster", "page-cluster"),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_told_with_the_nearest_known_one(wrong: str, right: str) -> None:
    found = told(f"vm.{wrong} = 5\n")["sysctl-unknown-name"]

    assert found.title.endswith(f"the nearest is vm.{right}")


@pytest.mark.parametrize("name", ["stat_interval", "mmap_min_addr", "some_vendors_knob", "kswapd_threads"])
def test_names_that_are_merely_others_are_not_called_misspelt(name: str) -> None:
    assert "sysctl-unknown-name" not in told(f"vm.{name} = 5\nvm.swappiness = 60\n")


@pytest.mark.parametrize("text", ["20%", "256M", "5s", "1.5G"])
def test_a_value_with_a_unit_is_refused_by_the_kernel(text: str) -> None:
    assert "sysctl-not-a-number" in told(f"vm.dirty_background_bytes = {text}\nvm.swappiness = 60\n")


def test_several_numbers_are_a_value_some_settings_have() -> None:
    assert "sysctl-not-a-number" not in told("vm.lowmem_reserve_ratio = 256 256 32 0 0\nvm.swappiness = 60\n")


@drawn(st.lists(st.tuples(st.sampled_from(sorted(VM)), st.integers(0, 1 << 63)), max_size=12))
def test_whatever_is_set_titles_are_one_line_of_bounded_length(settings: list[tuple[str, int]]) -> None:
    for finding in findings(given(*sysctls([(f"vm.{name}", number) for name, number in settings]))).values():
        assert "\n" not in finding.title
        assert len(finding.title) < 220
