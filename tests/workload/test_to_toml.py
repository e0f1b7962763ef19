# SPDX-License-Identifier: GPL-2.0-or-later
"""A scenario written as TOML reads back as the same scenario."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary.demand import PHASE_KEYS
from pageout.vocabulary.keys import Key, keys_of
from pageout.vocabulary.scenario import Cgroup, Disk, File, Filesystem, Machine, Phase, Scenario, Task
from pageout.vocabulary.settings import CHOICES, DESIGNS, SYSCTLS
from pageout.workload import shipped
from pageout.workload.program import load_scenario, read_scenario
from pageout.workload.to_toml import scenario_toml

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
PLAIN_KINDS = ("disk", "ssd", "throttled", "null")


def read_back(scenario):
    return msgspec.structs.replace(read_scenario("x.toml", scenario_toml(scenario)), warnings=scenario.warnings)


@pytest.mark.parametrize("name", shipped.names())
def test_a_shipped_scenario_survives(name):
    scenario = load_scenario(name)

    assert read_back(scenario) == scenario


def value(key: Key) -> st.SearchStrategy[Any]:
    if key.choices:
        return st.sampled_from(key.choices)
    if key.type is bool:
        return st.booleans()
    if key.type is float:
        return st.floats(max(key.low, 0.5), key.high)
    if key.type is str:
        return NAMES
    return st.integers(key.low, min(key.high, 1 << 40))


def of(struct: type[msgspec.Struct], kind: str | None, *without: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any values of the fields that belong to a kind."""
    keys = [
        key
        for key in keys_of(struct).values()
        if key.field not in without and key.key != "kind" and (kind is None or not key.of or kind in key.of)
    ]
    return st.fixed_dictionaries({}, optional={key.field: value(key) for key in keys})


@st.composite
def scenarios(draw):
    kind = draw(st.sampled_from(PLAIN_KINDS))
    disk = Disk(kind=kind, name="vda", size_bytes=draw(st.integers(1 << 34, 1 << 38)),
                **draw(of(Disk, kind, "name", "size_bytes", "limit", "members", "file", "seek_min_us", "seek_avg_us",
                                                 "seek_max_us", "inner_mb_s", "outer_mb_s", "min_ratio")))  # fmt: skip
    disk = msgspec.structs.replace(disk, min_ratio=draw(st.integers(0, min(disk.max_ratio, 99))))
    machine = Machine(
        disks=(disk,), filesystem=Filesystem(disk="vda", kind=draw(st.sampled_from(["xfs", "ext4", "ext2"]))),
        **draw(of(Machine, None, "swap_disk", "swap_bytes", "stack_bytes", "memory_bytes", "taken_bytes")),
    )  # fmt: skip
    files = tuple(File(name=f"f{n}", size_bytes=draw(st.integers(1 << 20, 1 << 22)), exists=draw(st.booleans()),
                       dirty_bytes=draw(st.integers(0, 1 << 20)), dirty_age_ns=draw(st.integers(0, 1 << 40)))
                  for n in range(draw(st.integers(1, 3))))  # fmt: skip
    fields = draw(of(Task, "io", "name", "group", "file", "bs_bytes", "io_bytes", "offset_bytes", "time_based", "loops",
                     "distribution", "theta", "parent", "background", "phases", "rate_bps", "cgroup"))  # fmt: skip
    phases = draw(
        st.lists(st.tuples(*[st.integers(key.low, min(key.high, 1 << 40)) for key in PHASE_KEYS]), max_size=3)
    )
    fields |= {"phases": tuple(Phase(*row) for row in sorted(phases))}
    task = Task(
        name="t", file=tuple(range(len(files))), bs_bytes=4096, io_bytes=draw(st.integers(4096, 1 << 30)), **fields
    )
    hog = Task(
        name=draw(NAMES.filter(lambda name: name != "t")),
        kind="hog",
        anon_bytes=1 << 20,
        seed=draw(st.integers(0, 1 << 60)),
    )
    sysctls = draw(
        st.dictionaries(st.sampled_from(["vm.dirty_expire_centisecs", "vm.swappiness"]), st.integers(0, 100))
    )
    choices = draw(st.dictionaries(st.sampled_from(["reclaim.writeback", "throttle.start"]), st.just("")))
    design = draw(st.sampled_from(sorted(DESIGNS)))
    limits = st.integers(0, 1 << 40)
    groups = tuple(
        Cgroup(name=f"g{n}", max_bytes=draw(limits), high_bytes=draw(limits))
        for n in range(draw(st.integers(0, 2)) if design.startswith("linux-6") else 0)
    )
    hog = msgspec.structs.replace(hog, cgroup=draw(st.sampled_from(["", *(group.name for group in groups)])))
    return Scenario(
        name=draw(NAMES), machine=machine, files=files, tasks=(task, hog), settings=sysctls, cgroups=groups,
        choices={name: CHOICES[name][0][-1] for name in choices}, design=design,
        **draw(of(Scenario, None, "name", "design")),
    )  # fmt: skip


@given(scenarios())
def test_any_scenario_survives(scenario):
    assert read_back(scenario) == scenario


def test_what_is_said_above_it_is_comment():
    text = scenario_toml(load_scenario("storm"), ("by hand",))

    assert text.startswith("# by hand\n")
    assert set(SYSCTLS) >= set(read_scenario("x.toml", text).settings)
