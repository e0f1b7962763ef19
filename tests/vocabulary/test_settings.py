# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary.errors import PageoutError, ScenarioError, SettingError
from pageout.vocabulary.machines import PRESETS
from pageout.vocabulary.scenario import File, Machine, Scenario, Task
from pageout.vocabulary.settings import (
    CHOICES,
    DESIGNS,
    SYSCTLS,
    apply_settings,
    choice,
    choices,
    min_free_kbytes,
    setting_names,
    sysctls,
    validate,
)
from pageout.vocabulary.units import GIB, MIB

WRITER = Task(name="w", rw="write", file=(0,), io_bytes=GIB)
PLAIN = Scenario(name="s", machine=Machine(), files=(File(name="f", size_bytes=GIB),), tasks=(WRITER,))


def test_a_set_scenario_has_what_was_set() -> None:
    made = apply_settings(
        PLAIN,
        [
            "vm.dirty_background_ratio=5",
            "machine.cpus=4",
            "machine.memory=1G",
            "sda.rpm=5400",
            "disk.seek_avg=9ms",
            "filesystem.kind=ext2",
            "filesystem.delalloc=false",
            "reclaim.writeback=never",
            "stack.bytes=16K",
            "run.length=5s",
            "swap.size=1G",
        ],
    )
    assert made.settings["vm.dirty_background_ratio"] == 5
    assert (made.machine.cpus, made.machine.memory_bytes, made.machine.name) == (4, GIB, "server-2g (changed)")
    assert (made.machine.disks[0].rpm, made.machine.disks[0].seek_avg_us) == (5400, 9000)
    assert (made.machine.filesystem.kind, made.machine.filesystem.delalloc) == ("ext2", False)
    assert made.choices == {"reclaim.writeback": "never", "stack.bytes": 16384}
    assert (made.length_ns, made.machine.swap_bytes, made.machine.swap_disk) == (5 * 10**9, GIB, "sda")


def test_bytes_and_ratio_switch_each_other_off_as_in_the_kernel() -> None:
    made = apply_settings(PLAIN, ["vm.dirty_bytes=64M"])
    assert made.settings == {"vm.dirty_bytes": 64 * MIB, "vm.dirty_ratio": 0}
    assert apply_settings(made, ["vm.dirty_ratio=30"]).settings == {"vm.dirty_bytes": 0, "vm.dirty_ratio": 30}
    assert sysctls(made)["vm.dirty_background_ratio"] == 10


def test_a_limit_on_a_disk_makes_it_a_throttled_one_and_says_so() -> None:
    made = apply_settings(PLAIN, ["disk.write_bps=80M"])
    assert (made.machine.disks[0].kind, made.machine.disks[0].write_bps) == ("throttled", 80 * MIB)
    assert "now of kind throttled" in made.warnings[0]


def test_a_disk_made_an_ssd_gets_the_queue_of_one() -> None:
    assert apply_settings(PLAIN, ["sda.kind=ssd"]).machine.disks[0].queue_depth == 32
    assert apply_settings(PLAIN, ["sda.kind=ssd", "sda.queue_depth=4"]).machine.disks[0].queue_depth == 4


def test_a_sysctl_without_effect_is_warned_of() -> None:
    assert "has no effect" in apply_settings(PLAIN, ["vm.vfs_cache_pressure=50"]).warnings[0]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("vm.dirty_ratoi=20", "no such setting, did you mean vm.dirty_ratio?"),
        ("sda.write_bp=3", "did you mean sda.write_bps?"),
        ("vm.dirty_ratio=101", "must be from 0 to 100"),
        ("vm.dirty_ratio=nan", "not a whole number"),
        ("vm.dirty_bytes=4096", "two pages"),
        ("vm.dirty_bytes=10%", "write for example 64M"),
        ("reclaim.writeback=nevr", "must be one of always, kswapd, never"),
        ("stack.bytes=8000", "power of two from 4096 to 65536"),
        ("machine.memory=8M", "must be from 16 MiB"),
        ("vm.min_free_kbytes=1200000", "kswapd could never rest"),
        ("run.length=5", "needs a unit"),
        ("filesystem.delalloc=maybe", "must be true or false"),
        ("filesystem.disk=sdz", "no such disk"),
        ("vm.dirty_ratio", "write NAME=VALUE"),
        ("=", "no such setting"),
        ("", "write NAME=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_write(assignment: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        apply_settings(PLAIN, [assignment])
    assert message in str(caught.value)


NAMES = st.sampled_from([*setting_names(PLAIN), "disk.kind", "disk.write_bps", "swap.size"]) | st.text(max_size=20)
VALUES = st.text(max_size=12) | st.sampled_from(
    ["64M", "0", "1", "-1", "nan", "5s", "1e9", "ssd", "on", "9" * 30, "null"]
)


@given(st.lists(st.tuples(NAMES, VALUES, st.sampled_from(["=", "=", "=", ""]))))
def test_any_set_string_gives_a_scenario_or_one_clear_line(parts: list[tuple[str, str, str]]) -> None:
    line = ""
    try:
        validate(apply_settings(PLAIN, [name + equals + value for name, value, equals in parts]))
    except PageoutError as error:
        line = str(error)
    assert line.isprintable()


@pytest.mark.parametrize(("mebibytes", "kbytes"), [(512, 2896), (1024, 4096), (2048, 5792), (3072, 7094), (4096, 8192)])
def test_min_free_kbytes_is_sized_as_at_boot(mebibytes: int, kbytes: int) -> None:
    assert min_free_kbytes(mebibytes * MIB, {}) == kbytes


def test_every_design_names_only_choices_there_are() -> None:
    for name, made in DESIGNS.items():
        assert set(made) - {"stack.bytes"} == set(CHOICES) - {"stack.bytes"}, name
        for point, value in made.items():
            assert choice(point, value) == value


def test_a_choice_of_the_scenario_wins_over_its_design() -> None:
    scenario = Scenario(name="s", machine=PRESETS["server-2g"][1], choices={"reclaim.lumpy": "off"})
    assert choices(scenario)["reclaim.lumpy"] == "off"
    assert choices(scenario)["stack.bytes"] == 8192


def test_every_sysctl_has_a_default_within_its_range() -> None:
    for name, sysctl in SYSCTLS.items():
        assert sysctl.low <= sysctl.default <= sysctl.high, name


def test_a_scenario_made_in_python_is_checked_too() -> None:
    with pytest.raises(ScenarioError, match=r"task\.file: this task needs a file"):
        validate(Scenario(name="s", machine=Machine(), tasks=(Task(name="t"),)))
    with pytest.raises(ScenarioError, match="no such design, did you mean flushers-only"):
        validate(Scenario(name="s", machine=Machine(), files=PLAIN.files, tasks=PLAIN.tasks, design="flusher-only"))
