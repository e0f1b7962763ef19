# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacked devices at the door: which can be built, how large they are, what is refused and in which words."""

import pytest

from pageout.vocabulary.errors import ScenarioError
from pageout.vocabulary.scenario import MIB
from pageout.vocabulary.storage import sized_scenario
from pageout.workload.program import read_scenario

TASKS = '[[task]]\nname = "w"\nsize = "1M"\n'


def disk(name: str, size: str = "100M", **fields: object) -> str:
    body = "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in fields.items())
    return f'[[disk]]\nname = "{name}"\n' + (f'size = "{size}"\n' if "members" not in fields else "") + body


def three(sizes: tuple[str, ...] = ("100M", "100M", "100M")) -> str:
    return "".join(disk(f"m{i}", size) for i, size in enumerate(sizes))


def scenario(disks: str, fs: str = "top", rest: str = ""):
    return read_scenario("x.toml", f'{disks}[filesystem]\ndisk = "{fs}"\n{rest}{TASKS}')


@pytest.mark.parametrize(
    ("kind", "mib"), [("linear", 100 + 64 + 200), ("raid0", 3 * 64), ("raid1", 64), ("raid5", 2 * 64)]
)
def test_a_stack_is_as_large_as_its_members_make_it(kind: str, mib: int) -> None:
    made = scenario(three(("100M", "64M", "200M")) + disk("top", kind=kind, members=["m0", "m1", "m2"]))
    assert sized_scenario(made).machine.disks[-1].size_bytes == mib * MIB


def test_chunks_that_do_not_fit_are_left_over() -> None:
    made = scenario(three(("100M", "100M", "99M")) + disk("top", kind="raid0", members=["m0", "m1", "m2"], chunk="2M"))
    assert sized_scenario(made).machine.disks[-1].size_bytes == 3 * 98 * MIB


def test_a_tree_of_stacks_is_built_from_the_leaves() -> None:
    far = "".join(disk(f"i{i}", kind="iscsi", members=[f"m{i}"], rtt="1ms", mb_s=100) for i in range(3))
    made = scenario(three() + far + disk("md0", kind="raid5", members=["i0", "i1", "i2"])
                    + disk("top", kind="linear", members=["md0"]))  # fmt: skip
    full = {disk.name: disk for disk in sized_scenario(made).machine.disks}
    assert full["top"].size_bytes == 200 * MIB
    assert (full["i0"].queue_depth, full["i0"].rtt_us, full["i0"].mb_s) == (32, 1000, 100)


def test_a_loop_device_is_as_large_as_its_file() -> None:
    rest = '[swap]\nsize = "32M"\ndisk = "loop0"\n[[file]]\nname = "image"\nsize = "64M"\n'
    loop = '[[disk]]\nname = "loop0"\nkind = "loop"\nfile = "image"\n'
    made = scenario(disk("m0") + loop, "m0", rest)
    assert sized_scenario(made).machine.disks[-1].size_bytes == 64 * MIB


LOOP = '[[disk]]\nname = "loop0"\nkind = "loop"\nfile = "image"\n'


@pytest.mark.parametrize(
    ("disks", "fs", "rest", "line", "words"),
    [
        (three() + disk("top", kind="raid5", members=["m0", "m1"]), "top", "", 13, "needs 3 to 32"),
        (three() + disk("top", kind="raid0", members=["m0", "m9"]), "top", "", 13, "m9: no such disk"),
        (three() + disk("top", kind="raid0", members=["m0", "m0"]), "top", "", 13, "member of top already"),
        (three() + disk("top", kind="raid0", members=["m0", "top"]), "top", "", 13, "stands on itself"),
        (disk("a", kind="linear", members=["b"]) + disk("b", kind="linear", members=["a"]), "a", "", 4, "on itself"),
        (three() + disk("top", kind="raid0", members=["m0", "m1"]), "m1", "", 15, "m1 is a member of top"),
        (three() + disk("top", kind="raid0", members=["m0", "m1"]), "top", '[swap]\nsize = "9M"\ndisk = "m0"\n', 18,
         "m0 is a member of top"),
        (three() + disk("top", kind="raid0", members=["m0", "m1"], chunk="6K"), "top", "", 14, "multiple of 4K"),
        (three() + disk("top", kind="raid0", members="m0"), "top", "", 13, "needs 2 to 32"),
        (three() + disk("top", kind="raid0", members=[1, 2]), "top", "", 13, "names of disks"),
        (three() + disk("top", "1G", kind="raid0"), "top", "", 12, "belongs to kind"),
        (disk("m0", kind="disk", members=["m1"]) + disk("m1"), "m1", "", 4, "has no members"),
        (disk("m0", rtt="1ms"), "m0", "", 4, "belongs to kind iscsi"),
        (disk("m0", "10M"), "m0", "", 3, "must be from"),
        (three() + disk("r", kind="raid0", members=["m0", "m1"]) + disk("top", kind="iscsi", members=["r"]), "top", "",
         17, "must be a plain disk"),
        (disk("m0", nr_requests=16) + disk("top", kind="iscsi", members=["m0"]), "top", "", 5, "must be below"),
        (disk("m0") + LOOP, "m0", "", 7, "image: no such [[file]]"),
        (disk("m0") + LOOP, "loop0", '[[file]]\nname = "image"\nsize = "64M"\n', 7, "lies on this very device"),
        (disk("m0") + LOOP, "m0", '[[file]]\nname = "image"\nsize = "1M"\n', 7, "less than 16 MiB"),
        (disk("m0") + '[[disk]]\nname = "loop0"\nkind = "loop"\n', "m0", "", 4, "needs the name of a [[file]]"),
        (disk("m0") + LOOP, "m0", ('[[file]]\nname = "image"\nsize = "64M"\n[[task]]\nname = "rm"\nkind = "unlink"\n'
         'file = "image"\n'), 7, "removed by a task"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_with_its_line(disks: str, fs: str, rest: str, line: int, words: str) -> None:
    with pytest.raises(ScenarioError) as error:
        scenario(disks, fs, rest)
    assert words in str(error.value)
    assert str(error.value).startswith(f"x.toml:{line}:"), str(error.value)


@pytest.mark.parametrize(
    ("disks", "said"),
    [
        (disk("a", min_ratio=60) + disk("b", min_ratio=40), "the min_ratio of all disks is 100, must be below 100"),
        (disk("a", min_ratio=6, max_ratio=5), "must not be over max_ratio, 5"),
    ],
)
def test_no_more_of_the_dirty_limit_than_there_is_can_be_given_away(disks: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        scenario(disks, "a")
