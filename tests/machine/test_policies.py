# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's own policies, one at each hook: the examples do what they say."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.policy import HOOKS, Policy
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.errors import UsageError
from tests.machine.test_designs import storm, under
from tests.machine.test_simulate import S, file, io, machine, scenario, traced

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"


def example(name: str) -> Policy:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Policy = getattr(module, name)
    return found


def counted(result: Result, hook: str) -> Any:
    return result.booted.arrays["policy_ctx"][HOOKS.index(hook)]


def test_there_is_an_example_under_20_lines_for_every_hook() -> None:
    paths = sorted(EXAMPLES.glob("*.py"))
    assert sorted(example(path.stem).hook for path in paths) == sorted(HOOKS)
    for path in paths:
        assert len(path.read_text().splitlines()) < 20, path


def test_a_reclaimer_that_is_never_desperate_writes_no_file_page() -> None:
    kernel, mine = simulate(storm()), simulate(storm(), policies=[example("desperate_writer").tuned(-1)])

    assert kernel.why["writes"]["total"] > 0
    assert counted(mine, "dirty_page")["acc0"] > 0
    assert mine.why["writes"]["total"] == counted(mine, "dirty_page")["acc1"] == 0


def test_a_reclaimer_that_is_always_desperate_asks_for_every_dirty_page() -> None:
    mine = simulate(storm(), policies=[example("desperate_writer").tuned(12)])

    asked = [row["count"] for row in mine.why["writes"]["causes"] if row["cause"] != "clustered"]
    assert 0 < sum(asked) <= counted(mine, "dirty_page")["acc1"] == counted(mine, "dirty_page")["acc0"]


def two_files() -> Any:
    """A large file is dirtied first, then a small one; then the flusher is let go."""
    return scenario(
        machine(128),
        (file(32, "large"), file(1, "small")),
        io("write", 32, "l", of=0),
        io("write", 1, "s", of=1, start_delay_ns=S),
        length_ns=8 * S,
        settings={"vm.dirty_expire_centisecs": 100, "vm.dirty_background_ratio": 60, "vm.dirty_ratio": 80},
    )


@pytest.mark.parametrize(("policies", "first"), [((), 0), (("smallest_first",), 1)])
def test_the_flusher_takes_the_inode_that_the_policy_values_most(
    policies: tuple[str, ...], first: int, tmp_path: Path
) -> None:
    _, recording = traced(two_files(), tmp_path, policies=[example(name) for name in policies])

    events = recording.column("writeback_single_inode")
    assert events["ino"][np.argmax(events["wrote"] > 0)] - 128 == first


def test_a_brake_at_a_tenth_of_the_limit_keeps_dirty_memory_low() -> None:
    work = scenario(machine(128), (file(256),), io("write", 256))
    kernel, mine = simulate(work), simulate(work, policies=[example("early_brake").tuned(10)])

    held = counted(mine, "throttle")
    assert 0 < held["acc1"] <= held["acc0"]
    assert mine.metrics["dirty_max_mib"] < kernel.metrics["dirty_max_mib"] / 1.5


def test_a_brake_that_nobody_would_ask_is_refused() -> None:
    what = under("ioless-throttle", storm())

    with pytest.raises(UsageError, match=r"early_brake: throttle\.by=pause asks no policy"):
        simulate(what, policies=[example("early_brake")])


def test_flushers_are_asked_for_what_the_policy_says(tmp_path: Path) -> None:
    mine, recording = traced(storm(), tmp_path, policies=[example("big_kick").tuned(1000)])

    asked = recording.column("writeback_queue")
    by_reclaim = asked["nr_pages"][(asked["background"] == 0) & (asked["kupdate"] == 0)]
    kicks = counted(mine, "wake_flushers")
    assert kicks["acc0"] > 0
    assert (kicks["acc1"] > 0) == (len(by_reclaim) > 0)
    assert all(pages % 1000 == 0 for pages in by_reclaim)


def test_every_second_page_is_spared() -> None:
    mine = simulate(storm(), policies=[example("spare_odd").tuned(6)])

    judged = counted(mine, "isolate")
    assert 0 < judged["acc1"] < judged["acc0"]


def test_policies_at_several_hooks_have_counters_of_their_own_and_the_same_bytes_each_time() -> None:
    both = [example("desperate_writer").tuned(3), example("early_brake").tuned(50)]
    first, second = simulate(storm(), policies=both), simulate(storm(), policies=both)

    assert first.digest == second.digest
    assert counted(first, "dirty_page")["knob0"] == 3
    assert counted(first, "throttle")["knob0"] == 50
