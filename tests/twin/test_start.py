# SPDX-License-Identifier: GPL-2.0-or-later
"""How the machine stood when the tasks began, and what of that a change leaves."""

import gzip

import pytest

from pageout.bundle.bundle import read_bundle
from pageout.twin import whatif
from pageout.twin.between import conditions_of, moved
from pageout.twin.boxes import Twin, scenario_of
from pageout.twin.recorded_lru import under_design
from pageout.twin.start import limit_of
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import apply_settings
from tests.bundle.made import META, TRACE, small

PAGE_BYTES = 4096


def falling(*limits: int) -> bytes:
    """Return the trace of a small bundle whose smoothed limit takes these values, one a line."""
    pieces = TRACE.split("thresh=200 limit=200")
    told = "".join(f"{piece}thresh=200 limit={limit}" for piece, limit in zip(pieces, limits, strict=False))
    return gzip.compress((told + pieces[-1]).encode(), mtime=0)


def recorded(tmp_path, *limits: int, **meta: object):
    return read_bundle(str(small(tmp_path, trace__txt__gz=falling(*limits), meta__json={**META, **meta})))


@pytest.mark.parametrize(("at_s", "limit"), [(100.0, 500), (100.1, 500), (100.19, 450), (100.2, 400), (900.0, 300)])
def test_the_limit_is_that_of_the_last_event_before_the_tasks_began(tmp_path, at_s, limit):
    events = recorded(tmp_path, 500, 450, 400, 350, 300).events

    assert events is not None
    assert limit_of(events, round(at_s * 1e9)) == limit


def test_a_limit_is_never_more_than_the_memory(tmp_path):
    machine = scenario_of(recorded(tmp_path, *[1 << 62] * 5), box="white").scenario.machine

    assert machine.start_dirty_limit_bytes == machine.memory_bytes


def started(tmp_path) -> Scenario:
    plain = scenario_of(recorded(tmp_path, *[300] * 5), box="white").scenario
    assert plain.machine.start_dirty_limit_bytes == 300 * PAGE_BYTES
    return plain


@pytest.mark.parametrize(("assigned", "kept"), [
    ("vm.swappiness=10", 300), ("disk.write_bps=80M", 300), ("machine.cpus=4", 300), ("vm.dirty_bytes=400K", 0),
    ("machine.memory=1G", 0), ("dirty.base=dirtyable", 0), ("machine.start_dirty_limit=2M", 512),
])  # fmt: skip
def test_a_limit_being_followed_ends_with_what_it_was_made_of(tmp_path, assigned, kept):
    plain = started(tmp_path)

    after = whatif.settled(plain, apply_settings(plain, [assigned]))

    assert after.machine.start_dirty_limit_bytes == kept * PAGE_BYTES


@pytest.mark.parametrize(("design", "kept"), [("linux-6.1", 300), ("linux-2.6.34", 0)])
def test_a_design_that_counts_otherwise_follows_no_limit_of_another(tmp_path, design, kept):
    plain = started(tmp_path)

    after = whatif.settled(plain, under_design(plain, design))

    assert after.machine.start_dirty_limit_bytes == kept * PAGE_BYTES


@pytest.mark.parametrize(("release", "kept"), [("6.1.0", 300), ("2.6.34", 0)])
def test_from_one_recording_to_another_a_limit_goes_with_the_design(tmp_path, release, kept):
    one = recorded(tmp_path / "one", *[300] * 5)
    other = recorded(tmp_path / "other", *[300] * 5, kernel=release)
    twin: Twin = scenario_of(one, box="white")

    after = moved(twin, conditions_of(one), conditions_of(other)).twin.scenario

    assert after.machine.start_dirty_limit_bytes == kept * PAGE_BYTES
