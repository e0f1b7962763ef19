# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups as people write them."""

import pytest

from pageout.vocabulary.cgroups import MAX_CGROUPS
from pageout.vocabulary.errors import ScenarioError, SettingError
from pageout.vocabulary.settings import apply_settings
from pageout.vocabulary.units import MIB
from pageout.workload.program import read_scenario
from pageout.workload.to_toml import scenario_toml

TASK = '[[task]]\nname = "w"\nrw = "write"\nsize = "1M"\ncgroup = "job"\n'
DESIGN = '[design]\nname = "linux-6.1"\n'


def scenario(groups='[[cgroup]]\nname = "job"\n"memory.max" = "64M"\n', task=TASK, design=DESIGN):
    return read_scenario("x.toml", design + groups + task)


def test_a_group_has_limits_and_tasks():
    found = scenario('[[cgroup]]\nname = "job"\nmemory.max = "64M"\n"memory.high" = 50331648\n')
    (group,) = found.cgroups
    assert (group.name, group.max_bytes, group.high_bytes) == ("job", 64 * MIB, 48 * MIB)
    assert found.tasks[0].cgroup == "job"
    assert read_scenario("y.toml", scenario_toml(found)).cgroups == found.cgroups


def test_max_is_no_limit():
    assert scenario('[[cgroup]]\nname = "job"\n"memory.max" = "max"\n').cgroups[0].max_bytes == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"task": TASK.replace("job", "jib")},
            "x.toml:10: [task] cgroup: jib: no such [[cgroup]], did you mean job",
        ),
        ({"groups": ""}, "no such [[cgroup]]"),
        ({"groups": '[[cgroup]]\n"memory.max" = "64M"\n'}, "x.toml:3: [cgroup] name: every cgroup needs a name"),
        ({"groups": '[[cgroup]]\nname = "job"\n"memory.low" = "1M"\n'}, "no such key"),
        ({"groups": '[[cgroup]]\nname = "job"\n' * 2}, "x.toml:6: [cgroup] name: two cgroups have the same name"),
        ({"groups": '[[cgroup]]\nname = "job"\n[[cgroup]]\nname = "sda"\n'}, "is the name of something else"),
        ({"groups": '[[cgroup]]\nname = "job"\n[[cgroup]]\nname = "a/b"\n'}, "must be letters"),
        ({"groups": '[[cgroup]]\nname = "job"\nmemory.max = "many"\n'}, "memory.max"),
        ({"design": ""}, "memory cgroups need reclaim.engine = node: take the design linux-6.1"),
        ({"design": '[design]\nname = "ioless-throttle"\n'}, "memory cgroups need"),
        ({"task": TASK + 'kind = "nfsd"\n'}, "a thread of the kernel is in the root cgroup"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(changed, said):
    with pytest.raises(ScenarioError) as caught:
        scenario(**changed)
    assert said in str(caught.value)


def test_more_groups_than_a_shadow_can_name_are_refused():
    groups = "".join(f'[[cgroup]]\nname = "g{i}"\n' for i in range(MAX_CGROUPS + 1))
    with pytest.raises(ScenarioError, match=f"more than {MAX_CGROUPS} cgroups"):
        scenario(groups, TASK.replace("job", "g0"))


def test_limits_are_set_from_outside():
    found = scenario()
    assert apply_settings(found, ["memory.high=32M"]).cgroups[0].high_bytes == 32 * MIB
    assert apply_settings(found, ["job.memory.max=max"]).cgroups[0].max_bytes == 0


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("memory.max=64M", "there are several cgroups: write job.memory.max or b.memory.max"),
        ("c.memory.max=64M", "no such setting"),
        ("job.memory.low=64M", "no such setting, did you mean job.memory"),
        ("job.memory.max=-1", "job.memory.max"),
    ],
)
def test_a_limit_that_cannot_be_set_says_why(assignment, said):
    two = scenario('[[cgroup]]\nname = "job"\n[[cgroup]]\nname = "b"\n')
    with pytest.raises(SettingError) as caught:
        apply_settings(two, [assignment])
    assert said in str(caught.value)


def test_without_a_group_a_limit_makes_one_of_all_foreground_tasks():
    plain = read_scenario("x.toml", DESIGN + TASK.replace('cgroup = "job"\n', ""))
    assert plain.cgroups == ()
    limited = apply_settings(plain, ["memory.max=64M"])
    assert [task.cgroup for task in limited.tasks] == ["job"]
    with pytest.raises(SettingError, match="memory cgroups need"):
        apply_settings(limited, ["reclaim.engine=zone"])
