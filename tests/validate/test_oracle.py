# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle of throttling: on what the twin printed, on the same with one number changed, on real recordings."""

import dataclasses
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.jit import INTERPRETED
from pageout.readers.read import read_input
from pageout.validate.oracle import (
    CHECK_KINDS,
    RULES,
    UPDATE_KINDS,
    Settings,
    hz_of,
    judge_throttling,
    settings_of,
)
from tests.conftest import ROOT
from tests.naive.dirty_model import Model

KINDS = (*CHECK_KINDS, *UPDATE_KINDS)
TRUTH = ROOT.parent / "shared" / "groundtruth"
RECORDINGS = sorted(TRUTH.glob("linux-6.*/*/trace.txt.gz"))
OLD, NEW = Settings(250, floor_moved=False), Settings(250, floor_moved=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a function: the events of a small run of the twin, by what it was given."""
    place = tmp_path_factory.mktemp("twin")

    def record(seconds=6, **model):
        trace = []
        Model(**{"disk": 12_800, "nr_writers": 2, "thresh": 20_000, "bg": 10_000, "trace": trace} | model).run(seconds)
        path = place / "trace.txt"
        path.write_text("# tracer: nop\n#\n" + "\n".join(trace) + "\n")
        return read_input(str(path)).events

    return record


@pytest.fixture(scope="module")
def events(recorded):
    return recorded()


def changed(events, name, field, row, change):
    """The same events, one field of one row of an event changed."""
    frame = events.frame(name)
    values = frame[field].to_list()
    values[row] = change(values[row])
    column = pl.Series(field, values, dtype=frame[field].dtype)
    return dataclasses.replace(events, frames={**events.frames, name: frame.with_columns(column)})


def without(events, *names):
    return dataclasses.replace(events, frames={name: f for name, f in events.frames.items() if name not in names})


def shares(found):
    return {kind: found[kind].share for kind in KINDS if found[kind].judged}


@pytest.mark.parametrize(
    ("model", "given_settings"),
    [
        ({}, OLD),
        ({"floor_moved": True}, NEW),
        ({"nr_writers": 1, "disk": 2560}, OLD),
        ({"nr_writers": 10}, OLD),
        ({"writing_updates": 256}, OLD),
        ({"hz": 1000}, Settings(1000, floor_moved=False)),
        ({"hz": 100}, Settings(100, floor_moved=False)),
        ({"hz": 300}, Settings(300, floor_moved=False)),
    ],
    ids=lambda one: str(one) if isinstance(one, dict) else "",
)
def test_all_the_twin_prints_is_attainable(recorded, model, given_settings):
    events = recorded(**model)

    found = judge_throttling(events, given_settings)

    assert set(shares(found)) >= set(KINDS) - {"update bandwidth"}
    assert set(shares(found).values()) == {1.0}, {kind: one.unattainable[:3] for kind, one in found.items()}
    assert hz_of(events) == given_settings.hz
    assert found["position"].judged > 0.7 * len(events.frame("balance_dirty_pages"))


CHANGES = [
    ("balance_dirty_pages", "dirty", lambda v: 14_999, "free run"),
    ("balance_dirty_pages", "setpoint", lambda v: v + 1, "setpoint"),
    ("balance_dirty_pages", "dirty_ratelimit", lambda v: v + 4, "base rate"),
    ("balance_dirty_pages", "task_ratelimit", lambda v: v + 4, "position"),
    ("balance_dirty_pages", "task_ratelimit", lambda v: v - 4, "position"),
    ("balance_dirty_pages", "bdi_dirty", lambda v: v - 200, "position"),
    ("balance_dirty_pages", "bdi_setpoint", lambda v: v // 2, "position"),
    ("balance_dirty_pages", "bdi_setpoint", lambda v: v + 1, "share"),
    ("balance_dirty_pages", "period", lambda v: v + 4, "period"),
    ("balance_dirty_pages", "pause", lambda v: v + 4, "pause"),
    ("balance_dirty_pages", "pause", lambda v: v - 4, "pause"),
    ("balance_dirty_pages", "think", lambda v: v + 8, "pause"),
    ("balance_dirty_pages", "dirtied_pause", lambda v: v + 1, "dirtied_pause"),
    ("bdi_dirty_ratelimit", "task_ratelimit", lambda v: v + 4, "update position"),
    ("bdi_dirty_ratelimit", "balanced_dirty_ratelimit", lambda v: v + 4, "update balanced"),
    ("bdi_dirty_ratelimit", "dirty_ratelimit", lambda v: v + 4, "update base rate"),
    ("bdi_dirty_ratelimit", "awrite_bw", lambda v: v + 4, "update bandwidth"),
    ("bdi_dirty_ratelimit", "write_bw", lambda v: v // 2, "update bandwidth"),
    ("bdi_dirty_ratelimit", "dirty_rate", lambda v: v + 4, "update dirty_rate"),
]


def sleeping(events):
    """The row of a check in the middle that sleeps a while, not at the limit, and one that comes after another."""
    frame = events.frame("balance_dirty_pages").with_row_index("row")
    rows = frame.filter((pl.col("pause") >= 12) & (pl.col("pause") < 80) & (pl.col("task_ratelimit") > 0))
    return rows["row"][len(rows) // 2]


@pytest.mark.parametrize(("name", "field", "change", "kind"), CHANGES)
def test_one_changed_number_is_caught_and_named_by_its_line(events, name, field, change, kind):
    row = sleeping(events) if name == "balance_dirty_pages" else len(events.frame(name)) // 2
    altered = changed(events, name, field, row, change)

    found = judge_throttling(altered, OLD)[kind]

    lines = {one.line for one in found.unattainable}
    near = altered.frame(name)["line"][row : row + 2].to_list()  # an update is judged with the one before it
    assert lines & set(near)
    for one in found.unattainable:
        assert not one.low <= one.printed <= one.high or kind in ("update bandwidth", "update dirty_rate")


def test_a_quiet_device_of_6_1_has_less_than_the_share_6_14_gives_it(recorded):
    quiet = {"fraction": (1, 1000), "elsewhere": 15_500, "disk": 2560}
    before, after = recorded(**quiet), recorded(**quiet, floor_moved=True)

    assert judge_throttling(before, OLD)["share"].share == 1.0
    assert judge_throttling(before, NEW)["share"].share < 0.5
    assert judge_throttling(after, NEW)["share"].share == 1.0
    assert judge_throttling(after, NEW)["position"].share == 1.0


NUMBERS = st.one_of(st.none(), st.sampled_from((0, 1, 4, 250, 1 << 31, (1 << 31) - 1, 1 << 62)), st.integers(0, 40_000))


@pytest.mark.skipif(INTERPRETED, reason="minutes without compiled code")
@settings(max_examples=40)
@given(st.data())
def test_no_numbers_are_too_strange_to_be_judged_or_left_out(events, data):
    altered = events
    for name in ("balance_dirty_pages", "bdi_dirty_ratelimit", "global_dirty_state"):
        fields = altered.frame(name).columns
        for _ in range(data.draw(st.integers(0, 6))):
            field = data.draw(
                st.sampled_from([one for one in fields if one not in ("comm", "context", "bdi", "cgroup")])
            )
            row = data.draw(st.integers(0, len(altered.frame(name)) - 1))
            top = {pl.Int16: 1 << 15, pl.UInt16: 1 << 16, pl.Int32: 1 << 31, pl.UInt32: 1 << 32}
            number = (
                data.draw(NUMBERS) if field not in ("line", "segment", "time_ns") else data.draw(st.integers(0, 60_000))
            )
            most = top.get(type(altered.frame(name)[field].dtype), 1 << 63)
            altered = changed(altered, name, field, row, lambda v, n=number, m=most: n if n is None else n % m)

    found = judge_throttling(altered, OLD)

    for kind, one in found.items():
        name = "bdi_dirty_ratelimit" if kind in UPDATE_KINDS else "balance_dirty_pages"
        assert one.judged + sum(one.left_out.values()) == len(altered.frame(name))
        assert one.judged == one.attainable + len(one.unattainable)


def test_another_hz_is_not_attainable(events):
    found = judge_throttling(events, Settings(1000, floor_moved=False))

    assert found["pause"].share < 0.9


@pytest.mark.parametrize(
    ("alter", "kind", "rule"),
    [
        (lambda e: changed(e, "balance_dirty_pages", "cgroup_ino", 50, lambda v: 77), "position", "another domain"),
        (lambda e: changed(e, "balance_dirty_pages", "limit", 50, lambda v: None), "position", "not printed"),
        (lambda e: changed(e, "balance_dirty_pages", "dirty", 50, lambda v: 1 << 62), "position", "not printed"),
        (lambda e: without(e, "global_dirty_state"), "position", "limits unknown"),
        (lambda e: without(e, "global_dirty_state"), "dirtied_pause", "unseen check"),
        (lambda e: without(e, "bdi_dirty_ratelimit"), "position", "bandwidth unknown"),
        (lambda e: without(e, "bdi_dirty_ratelimit"), "base rate", "no update before"),
        (lambda e: without(e, "balance_dirty_pages"), "update base rate", "no check in the call"),
    ],
)
def test_what_cannot_be_judged_is_left_out_by_its_rule_and_counted(events, alter, kind, rule):
    altered = alter(events)

    one = judge_throttling(altered, OLD)[kind]

    assert one.left_out[rule] > 0
    name = "bdi_dirty_ratelimit" if kind in UPDATE_KINDS else "balance_dirty_pages"
    assert one.judged + sum(one.left_out.values()) == len(altered.frame(name))
    assert not one.unattainable


def test_nothing_is_concluded_across_a_hole(events):
    frames = {
        name: frame.with_columns((pl.col("line") > 600).cast(pl.UInt16).alias("segment"))
        for name, frame in events.frames.items()
    }
    whole, torn = judge_throttling(events, OLD), judge_throttling(dataclasses.replace(events, frames=frames), OLD)

    assert torn["update base rate"].left_out["no update before"] == 2
    assert torn["position"].judged < whole["position"].judged
    assert set(shares(torn).values()) == {1.0}


@pytest.mark.parametrize(
    "given",
    [
        {"dirty_bytes": 20_000 * 4096, "dirty_background_bytes": 10_000 * 4096},
        {"dirty_ratio": 20, "dirty_background_ratio": 10},
    ],
)
def test_limits_are_worked_out_from_the_settings_where_no_event_says_them(recorded, given):
    events = without(
        recorded(thresh=819 * 100_000 // 4096, bg=409 * 100_000 // 4096) if "dirty_ratio" in given else recorded(),
        "global_dirty_state",
    )

    found = judge_throttling(events, settings_of("6.1.0-56-cloud-amd64", 250, given))

    assert found["position"].judged > 100
    assert found["position"].share == 1.0


def test_the_release_says_where_the_floor_is():
    assert [settings_of(release, 250, {}).floor_moved for release in ("6.1.0-56", "6.13.2", "6.14.0", "7.0-rc1", "?")] == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_every_rule_has_its_reason():
    assert all(RULES.values())


def given_of(path):
    """A recording's events and settings, those that its meta.json says."""
    meta = json.loads((path.parent / "meta.json").read_text())
    sysctls = {
        name.removeprefix("vm."): int(value) for name, value in meta["sysctl"].items() if name.startswith("vm.dirty")
    }
    events = read_input(str(path)).events
    hz = meta["case"].get("hz") or hz_of(events)
    return events, settings_of(meta["kernel"], hz or 250, sysctls)


@pytest.mark.skipif(not RECORDINGS, reason="no recordings beside the repository (../shared/groundtruth)")
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parts[-3]}/{path.parts[-2]}")
def test_what_real_kernels_printed_is_attainable(path):
    events, known = given_of(path)
    nr_checks = len(events.frame("balance_dirty_pages"))
    if not nr_checks:
        pytest.skip("nobody was throttled in this recording")

    found = judge_throttling(events, known)

    assert known.hz == 250
    for kind, one in found.items():
        assert one.share is None or one.share >= 0.99, (kind, one.unattainable[:5])
    assert found["position"].judged >= 0.9 * nr_checks
    assert found["pause"].judged >= 0.9 * nr_checks
