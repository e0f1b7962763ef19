# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording made in a memory cgroup becomes a scenario with that group."""

import pytest

from pageout.bundle.bundle import read_bundle
from pageout.twin.boxes import scenario_of
from pageout.vocabulary.settings import apply_settings
from pageout.vocabulary.units import MIB
from pageout.workload.program import read_scenario
from pageout.workload.to_toml import scenario_toml
from tests.bundle.made import META, small

LIMITED = {"path": "/user.slice/build 7.scope", "memory.max": "67108864", "memory.high": "max", "io.max": None}


def twin_of(tmp_path, cgroup, design=None):
    twin = scenario_of(read_bundle(str(small(tmp_path / "b", meta__json=META | {"cgroup": cgroup}))), design)
    return twin.scenario, " ".join(twin.notes)


def test_the_tasks_are_in_the_group_they_were_recorded_in(tmp_path):
    scenario, notes = twin_of(tmp_path, LIMITED)
    (group,) = scenario.cgroups
    assert (group.name, group.max_bytes, group.high_bytes) == ("build-7-scope", 64 * MIB, 0)
    assert {task.cgroup for task in scenario.tasks} == {"build-7-scope"}
    assert "memory.max = 67,108,864" in notes


@pytest.mark.parametrize(
    "cgroup",
    [
        None,
        {"path": "/", "memory.max": None, "memory.high": None},
        {"path": "/a", "memory.max": "max", "memory.high": "max"},
        {"path": "/a", "memory.max": "-1", "memory.high": "x" * 5000},
        {"path": "/a", "memory.max": "9" * 5000},
        {"path": 7, "memory.max": [1], "memory.high": {"a": 1}},
        {"path": "/a", "memory.max": 9223372036854771712},
    ],
)
def test_a_group_without_limits_changes_nothing(tmp_path, cgroup):
    scenario, notes = twin_of(tmp_path, cgroup)
    assert scenario.cgroups == ()
    assert "cgroup" not in notes


def test_limits_of_v1_are_said_to_be_left_out(tmp_path):
    scenario, notes = twin_of(tmp_path, {"path": "/", "memory.limit_in_bytes": "67108864"})
    assert scenario.cgroups == ()
    assert "memory.limit_in_bytes is left out" in notes


def test_a_design_without_groups_says_so(tmp_path):
    scenario, notes = twin_of(tmp_path, LIMITED, "ioless-throttle")
    assert scenario.cgroups == ()
    assert "ioless-throttle has no memory cgroups" in notes


def test_its_limits_are_set_by_name_and_written_out(tmp_path):
    scenario, _ = twin_of(tmp_path, LIMITED)
    changed = apply_settings(scenario, ["memory.max=32M", "build-7-scope.memory.high=24M"])
    assert (changed.cgroups[0].max_bytes, changed.cgroups[0].high_bytes) == (32 * MIB, 24 * MIB)
    assert read_scenario("x.toml", scenario_toml(changed)).cgroups == changed.cgroups


def test_a_recording_without_a_group_can_be_put_into_one(tmp_path):
    scenario, _ = twin_of(tmp_path, None)
    (group,) = apply_settings(scenario, ["memory.max=32M"]).cgroups
    assert (group.name, group.max_bytes) == ("job", 32 * MIB)
