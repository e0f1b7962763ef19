# SPDX-License-Identifier: GPL-2.0-or-later
"""What the files say is not called unknown."""

import pytest

from pageout.diagnose.given import still_unknown
from pageout.readers.facts import Fact, TaskStack
from tests.diagnose.build import case, findings, given, snapshot, task

LOCKED = "__schedule schedule rwsem_down_write_slowpath down_write"


def text_of(*stacks: TaskStack) -> tuple[str, str]:
    """Everything unknown, and every detail, of what waits."""
    found = findings(given(*stacks)).values()
    return " ".join(text for one in found for text in one.unknown), " ".join(one.detail for one in found)


def test_how_long_a_task_waited_is_not_unknown_when_the_log_says_it() -> None:
    unknown, detail = text_of(task(LOCKED, "a", 1), task(LOCKED, "b", 2, blocked_s=245))

    assert "how long each" not in unknown
    assert "The log says over 245 s." in detail
    assert "whether anything moves" in unknown


def test_how_long_is_unknown_of_those_the_log_says_nothing_of() -> None:
    mixed, _ = text_of(task(LOCKED, "a", 1), task(LOCKED, "b", 2, blocked_s=None))
    none, _ = text_of(task(LOCKED, "a", 1, blocked_s=None), task(LOCKED, "b", 2, blocked_s=None))

    assert "how long the others have waited" in mixed
    assert "how long each has waited" in none


def test_who_holds_a_lock_is_not_unknown_when_the_log_names_it() -> None:
    unknown, detail = text_of(task(LOCKED, "a", 1, blocker=("kworker/1:2", 44)))

    assert "who holds the lock" not in unknown
    assert "Who holds it is not among" not in detail


@pytest.mark.parametrize(
    ("text", "facts", "left"),
    [
        ("which caches hold it (slabtop -o -s c)", [snapshot("slabinfo", {"active": 1}, part="dentry")], False),
        ("which caches hold it (slabtop -o -s c)", [snapshot("meminfo", {"Slab": 1})], True),
        ("whether tasks stall for it: /proc/pressure/memory, and two snapshots of /proc/vmstat",
         [snapshot("pressure memory", {"avg60": 1})], True),
        ("whether tasks stall for it: /proc/pressure/memory, and two snapshots of /proc/vmstat",
         [snapshot("pressure memory", {"avg60": 1}), snapshot("vmstat", {"a": 1}, 9), snapshot("vmstat", {"a": 2}, 99)], False),
        ("who waits, and for what", [snapshot("vmstat", {"a": 1})], True),
    ],
)  # fmt: skip
def test_a_sentence_goes_when_every_place_it_names_was_given(text: str, facts: list[Fact], left: bool) -> None:
    assert still_unknown(case(*facts), (text,)) == ((text,) if left else ())


def test_how_much_is_dirty_is_not_unknown_beside_a_meminfo() -> None:
    stack = task("io_schedule_timeout balance_dirty_pages balance_dirty_pages_ratelimited generic_perform_write")
    meminfo = snapshot("meminfo", {"MemTotal": 1 << 24, "MemFree": 1 << 23, "Dirty": 5000, "Writeback": 10}, 900)

    alone, beside = (findings(given(*facts))["dirty-limit-wait"] for facts in ([stack], [stack, meminfo]))

    assert any("how much is dirty" in text for text in alone.unknown)
    assert not any("how much is dirty" in text for text in beside.unknown)
