# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary.errors import PageoutError, ScenarioError, SettingError, UsageError
from pageout.vocabulary.keys import keys_of
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.settings import CHOICES, SYSCTLS
from pageout.workload.program import load_workload, read_scenario
from pageout.workload.shipped import path_of

EXAMPLES = Path(__file__).parents[2] / "examples"
MIB = 1 << 20


def toml(text: str, seed: int | None = None) -> Scenario:
    return read_scenario("s.toml", text, seed=seed)


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("*.fio")) + sorted(EXAMPLES.glob("s[mq]*.toml")), ids=lambda p: p.name
)
def test_every_example_loads_without_a_warning(path: Path) -> None:
    assert load_workload(path).warnings == ()


def test_an_example_machine_stands_in_for_the_scenario_s_own() -> None:
    made = load_workload(path_of("storm"), machine=str(EXAMPLES / "slow-stick.toml"))
    assert (made.machine.name, made.machine.disks[0].kind) == ("slow-stick", "throttled")


def test_a_scenario_is_read_into_base_units() -> None:
    made = toml(
        '[machine]\nmemory = "1G"\n[settings]\n"vm.dirty_ratio" = 30\n[design]\nname = "flushers-only"\n'
        'reclaim.lumpy = "off"\n[run]\nlength = "60s"\nseed = 7\nprefill = "500M"\n'
        '[[file]]\nname = "f"\nsize = "2G"\nexists = true\n'
        '[[task]]\nname = "w"\nfile = "f"\nrw = "randwrite"\nbs = "64K"\nrate = "10M"\nthinktime = "5ms"\nfsync = 3\n'
        '[[task]]\nname = "a"\nkind = "alloc"\norder = 2\ninterval = "1ms"\nhold = 5\n'
    )
    assert (made.machine.memory_bytes, made.length_ns, made.seed, made.prefill_bytes) == (
        1 << 30,
        60 * 10**9,
        7,
        500 * MIB,
    )
    assert (made.settings, made.design) == ({"vm.dirty_ratio": 30, "vm.dirty_bytes": 0}, "flushers-only")
    assert made.choices == {"reclaim.lumpy": "off"}
    writer, allocator = made.tasks
    assert (writer.bs_bytes, writer.rate_bps, writer.thinktime_ns, writer.fsync_every) == (
        65536,
        10 * MIB,
        5 * 10**6,
        3,
    )
    assert (writer.io_bytes, writer.file, writer.background) == (2 << 30, (0,), False)
    assert (allocator.order, allocator.interval_ns, allocator.hold, allocator.background) == (2, 10**6, 5, True)


def test_a_task_without_a_file_gets_its_own_and_a_reader_s_exists() -> None:
    made = toml('[[task]]\nname = "w"\nrw = "write"\nsize = "8M"\nnumjobs = 2\n[[task]]\nname = "r"\nio_size = "4M"\n')
    assert [(f.name, f.size_bytes, f.exists) for f in made.files] == [
        ("w.0", 8 * MIB, False),
        ("w.1", 8 * MIB, False),
        ("r", 4 * MIB, True),
    ]
    assert [t.file for t in made.tasks] == [(0,), (1,), (2,)]


def test_a_seed_given_outside_wins_over_the_scenario_s() -> None:
    text = '[run]\nseed = 3\n[[task]]\nname = "w"\nsize = "8M"\n[[task]]\nname = "x"\nsize = "8M"\nseed = 44\n'
    assert toml(text, seed=3) == toml(text)
    other = toml(text, seed=4)
    assert other.seed == 4
    assert other.tasks[0].seed != toml(text).tasks[0].seed
    assert other.tasks[1].seed == 44


def test_design_settings_and_machine_of_the_command_line_win() -> None:
    made = load_workload(path_of("storm"), "box-512m", "throttle-earlier", ["vm.dirty_ratio=40", "run.prefill=0"])
    assert (made.machine.name, made.design, made.settings["vm.dirty_ratio"]) == ("box-512m", "throttle-earlier", 40)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": "x.txt"}, UsageError, r"a workload is a fio job file \(.fio\) or a scenario \(.toml\)"),
        ({"path": "none.fio"}, PageoutError, "none.fio: cannot be read"),
        ({"design": "linux"}, SettingError, "no such design"),
        ({"machine": "server"}, ScenarioError, "no such machine, did you mean server-2g"),
        ({"seed": -1}, SettingError, "must be from 0"),
        ({"settings": ["vm.x=1"]}, SettingError, "no such setting"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, object], error: type[PageoutError], message: str) -> None:
    with pytest.raises(error, match=message):
        load_workload(**({"path": path_of("storm")} | arguments))  # type: ignore[arg-type]


TASK = '[[task]]\nname = "t"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.toml:1: [task]: nothing to run"),
        ('[machine]\nmemmory = "2G"\n', "s.toml:2: [machine] memmory: no such key, did you mean memory?"),
        ("[machin]\n", "s.toml:1: [machin]: no such table, did you mean machine?"),
        (TASK, "s.toml:1: [task]: an io task needs size, io_size or file"),
        (TASK + 'file = "f"\n', "s.toml:3: [task] file: f: no such [[file]]"),
        (TASK + 'size = "1M"\norder = 3\n', "s.toml:4: [task] order: belongs to kind alloc, this one is io"),
        (TASK + 'kind = "aloc"\n', "s.toml:3: [task] kind: aloc: must be one of io, alloc"),
        (TASK + 'kind = "alloc"\n', "s.toml:1: [task] interval: needs an interval"),
        (TASK + 'kind = "alloc"\ninterval = "1ms"\n', "all tasks are in the background"),
        (TASK + 'kind = "fork"\ninterval = "1ms"\nbackground = false\n', "an endless task in the foreground"),
        (TASK + 'size = "1M"\nbs = "2M"\n', "s.toml:4: [task] bs: offset and bs reach beyond the file"),
        (TASK + 'size = "1M"\ntime_based = true\n', "s.toml:4: [task] time_based: needs a runtime"),
        (TASK + 'size = "1M"\ntheta = nan\n', "s.toml:4: [task] theta: nan: must be from 0 to 100"),
        (TASK + 'size = "1M"\ngroup = 2\n', "groups must be numbered"),
        (TASK + 'size = "1M"\nparent = "init"\n', "s.toml:4: [task] parent: no such task"),
        (TASK + 'size = "1M"\nparent = "t"\n', "s.toml:4: [task] parent: a task cannot be its own ancestor"),
        (TASK + 'size = "1M"\noom_adj = -18\n', "s.toml:4: [task] oom_adj: -18: must be from -17 to 15"),
        (TASK + 'size = "1M"\n' + TASK + 'size = "1M"\n', "two tasks have the name t"),
        (TASK + 'size = "1M"\nnumjobs = 3\n' + TASK + 'rate = "x"\n', "s.toml:7: [task] rate: x: not a number"),
        ("[settings]\nvm.dirty_ratoi = 3\n", "s.toml:2: [settings] vm.dirty_ratoi: 3: no such sysctl, did you mean"),
        ("[settings]\n'vm.dirty_ratio' = 300\n", "s.toml:2: [settings] vm.dirty_ratio: 300: must be from 0 to 100"),
        (
            "[settings]\nvm.dirty_ratio = 5\nvm.dirty_bytes = '1M'\n",
            "s.toml:3: [settings] vm.dirty_bytes: vm.dirty_ratio",
        ),
        ("[settings.vm]\nswappiness = 1.5\n", "s.toml:2: [settings] vm.swappiness: 1.5: must be a whole number"),
        ("[settings]\nvm.min_free_kbytes = 1500000\n" + TASK + "size = 1048576\n", "s.toml:2: [settings] vm.min_free"),
        ("[design]\nname = 'linux'\n", "s.toml:2: [design] name: design linux: no such design"),
        ("[design]\nreclaim.lumpy = 'maybe'\n", "s.toml:2: [design] reclaim.lumpy: maybe: must be one of on, off"),
        ("[run]\nlength = 60\n", 's.toml:2: [run] length: 60: needs a unit, such as "100ms"'),
        ("[run]\nlenght = '60s'\n", "s.toml:2: [run] lenght: no such key, did you mean length?"),
        ('[[file]]\nname = "f"\n', "s.toml:1: [file] size: every file needs a size"),
        ("name = 3\n", "s.toml:1: [name]: must be printable text"),
        ("task = 3\n", "s.toml:1: [task]: must be tables, each headed [[task]]"),
        ("a = 1\na = 2\n", "s.toml:2: not valid TOML"),
        ("[machine]\nmemory = 1979-05-27\n", "s.toml:2: [machine] memory"),
    ],
)
def test_a_wrong_scenario_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        toml(text)
    assert message in str(caught.value)


STRUCTS = {"machine": Machine, "disk": Disk, "filesystem": Filesystem, "run": Scenario, "file": File, "task": Task}
VALUES = st.sampled_from(
    ['"64M"', '"5s"', "0", "1", "-1", "nan", "inf", "true", '"ssd"', '"io"', '"alloc"', '"write"', '"f"', "[]", '["f"]',
     "{}", "1.5", '""', "99999999999999999999", "1979-05-27", '"\\u0000"', "[[1]]", '"100us"', '"1ms"', '"t"']
)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> str:
    room = draw(st.sampled_from([*STRUCTS, "settings", "design", "swap", "x"]))
    keys = [*keys_of(STRUCTS[room])] if room in STRUCTS else [*SYSCTLS, *CHOICES, "size", "disk", "name", "preset"]
    chosen = draw(st.lists(st.sampled_from([*keys, "size", "kind", "numjobs", "preset"]), unique=True, max_size=6))
    header = f"[[{room}]]" if room in ("disk", "file", "task") and draw(st.integers(0, 9)) else f"[{room}]"
    return "\n".join([header, *[f'"{key}" = {draw(VALUES)}' for key in chosen]])


def refusal(text: str) -> str:
    """Return the one line a text is refused with, empty if it is a scenario."""
    try:
        toml(text)
    except PageoutError as error:
        return str(error)
    return ""


PLAIN = ['[[task]]\nname = "t"\nsize = "64M"', '[[file]]\nname = "f"\nsize = "64M"', "[machine]"]


@given(st.lists(tables() | st.sampled_from(PLAIN) | st.text(max_size=30), max_size=6).map("\n".join))
def test_any_toml_gives_a_scenario_or_one_clear_line(text: str) -> None:
    line = refusal(text)
    assert line.isprintable()
    assert line.startswith("s.toml:") or not line


@given(st.text(max_size=200))
def test_any_text_gives_a_scenario_or_one_clear_line(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"^s\.toml:\d+: "):
        toml(text)
