# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters of two captures: rates where there are dates, one boot where nothing went back, else nothing."""

from hypothesis import given as drawn
from hypothesis import strategies as st

from pageout.diagnose.against import Comparison, compare
from pageout.diagnose.counter_rates import one_boot
from pageout.diagnose.explain import explain
from pageout.readers.facts import Fact, Moment, Snapshot
from tests.diagnose.build import given, snapshot

BOOT = {"pgpgin": 4_000_000.0, "pswpin": 12.0, "pswpout": 15.0, "pgmajfault": 77.0}


def vmstat(line: int, stalls: float, **more: float) -> Snapshot:
    values = BOOT | {"allocstall_normal": stalls, "allocstall_movable": 0.0, "pgscan_direct": stalls * 100} | more
    return snapshot("vmstat", values, line)


def capture(*stalls: float, file: str, dated: bool = True, second: float = 0, **more: float) -> list[Fact]:
    """Snapshots 10 s apart."""
    found: list[Fact] = []
    for n, number in enumerate(stalls):
        found += [Moment(100 * n + 1, 1e9 + second + 10 * n)] if dated else []
        found.append(vmstat(100 * n + 2, number, **more))
    return found


def compared(before: list[Fact], after: list[Fact]) -> Comparison:
    return compare(explain([given(*before, file="b.txt")]), explain([given(*after, file="a.txt")]))


def figure(comparison: Comparison, name: str) -> tuple[float, float, str]:
    (one,) = (one for one in comparison.differences if one.name == name)
    return one.before, one.after, one.verdict


def test_rates_are_compared_where_each_capture_has_two_snapshots_with_dates() -> None:
    found = compared(capture(1000, 1010, file="b"), capture(90, 590, file="a"))

    assert figure(found, "vmstat allocstall") == (1.0, 50.0, "worse")
    assert figure(found, "vmstat pgscan_direct") == (100.0, 5000.0, "worse")
    assert not any("totals since boot" in text for text in found.summary.unknown)


def test_totals_since_boot_are_not_compared_and_it_is_said_why() -> None:
    found = compared(capture(1000, file="b"), capture(90, file="a", pswpin=999.0))

    assert not any("allocstall" in one.name or "since boot" in one.name for one in found.differences)
    assert any("totals since boot are not comparable" in text for text in found.summary.unknown)


def test_two_snapshots_without_dates_give_no_rate() -> None:
    found = compared(capture(10, 20, file="b", dated=False), capture(0, 500, file="a", dated=False))

    assert not any("allocstall" in one.name for one in found.differences)


def test_captures_of_one_boot_are_a_pair() -> None:
    found = compared(capture(1000, file="b"), capture(1600, file="a", second=60))

    assert (
        "Both captures are of one boot; between them in 60 s the counters grew by: allocstall 600 (10/s)"
        in found.summary.detail
    )
    assert {line.file for line in found.summary.evidence} == {"a.txt", "b.txt"}


def test_a_counter_that_went_back_is_another_boot() -> None:
    assert one_boot(vmstat(1, 100), vmstat(1, 200))
    assert not one_boot(vmstat(1, 200), vmstat(1, 100))
    assert not one_boot(vmstat(1, 100), vmstat(1, 200, pgpgin=5e6, pswpin=13.0, pswpout=16.0, pgmajfault=78.0))


def test_pressure_is_compared_by_its_totals() -> None:
    def psi(totals: tuple[float, float]) -> list[Fact]:
        return [
            fact
            for n, total in enumerate(totals)
            for fact in (
                Moment(100 * n + 1, 1e9 + 10 * n),
                snapshot("pressure io", {"avg60": 1.0, "total_us": total}, 100 * n + 2, "some"),
            )
        ]

    found = compared(psi((0, 100_000)), psi((5e6, 10e6)))

    assert figure(found, "pressure io some, by total") == (1.0, 50.0, "worse")


@drawn(st.dictionaries(st.sampled_from(sorted(BOOT)), st.integers(0, 50)), st.integers(0, 50))
def test_counters_that_only_grow_are_never_called_two_boots_while_some_stand_still(
    grown: dict[str, int], stalls: int
) -> None:
    first = vmstat(1, 5)
    last = vmstat(1, 5 + stalls, **{name: BOOT[name] + number for name, number in grown.items()})
    still = sum(1 for name in BOOT if not grown.get(name)) + (not stalls)  # pgscan_direct; the others are below ten

    assert one_boot(first, last) == (still >= 2)
