# SPDX-License-Identifier: GPL-2.0-or-later
"""Pressure: who it is of, and what is said where the file does not name that."""

import pytest

from pageout.diagnose.findings import ERROR, INFO, MEDIUM, WARNING
from pageout.readers.facts import Snapshot
from tests.diagnose.build import findings, given, snapshot


def psi(
    source: str, part: str = "some", avg10: float = 0, avg60: float = 0, line: int = 1, place: str = ""
) -> Snapshot:
    return snapshot(source, {"avg10": avg10, "avg60": avg60, "avg300": 1.0, "total_us": 5}, line, part, place=place)


def test_unnamed_pressure_says_that_the_file_does_not_name_the_resource() -> None:
    found = findings(given(psi("pressure", avg60=30)))["pressure"]

    assert "30 % for a resource the file does not name" in found.title
    assert found.confidence == MEDIUM
    assert "which resource" in found.unknown[0]


def test_unnamed_pressure_clears_no_resource_when_it_is_low() -> None:
    found = findings(given(psi("pressure", avg60=1)))["pressure-low"]

    assert found.is_not == ()
    assert "does not name" in found.title


@pytest.mark.parametrize(
    ("source", "part", "percent", "severity"),
    [
        ("pressure memory", "full", 85, ERROR), ("pressure", "full", 85, WARNING), ("pressure io", "full", 85, WARNING),
        ("pressure cpu", "some", 85, INFO), ("pressure memory", "some", 7, INFO),
    ],
)  # fmt: skip
def test_how_bad_it_is_depends_on_the_resource(source: str, part: str, percent: float, severity: str) -> None:
    assert findings(given(psi(source, part, avg60=percent)))["pressure"].severity == severity


def test_what_began_ten_seconds_ago_is_told_as_such() -> None:
    found = findings(given(psi("pressure io", avg10=40, avg60=3)))["pressure"]

    assert "of the last 10 s: 40 % for io" in found.title
    assert found.severity == INFO


def test_pressure_of_a_cgroup_names_it() -> None:
    assert (
        "(some task of /a.slice)" in findings(given(psi("pressure io", avg60=40, place="/a.slice")))["pressure"].title
    )


def test_busy_cpus_do_not_hide_a_wait_for_a_disk() -> None:
    found = findings(given(psi("pressure cpu", avg60=90), psi("pressure io", avg60=30, line=9)))["pressure"]

    assert found.title.startswith("tasks waited, of the last minute: 30 % for io")
