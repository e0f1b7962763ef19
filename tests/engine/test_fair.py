# SPDX-License-Identifier: GPL-2.0-or-later
"""Who runs next by virtual run time: engine/fair.py against its naive twin, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import lab, some
from tests.naive.cfs import Cfs

from pageout.engine import constants as c
from pageout.engine import fair
from pageout.engine.waitqueue import enqueue, enqueue_woken

TICK = 4_000_000
TASKS = (0, 1, 2, 3)


def machine(weights: dict[int, int]) -> Any:
    """The lab's four tasks on one CPU with an empty run queue, all asleep."""
    m = lab(choices=(("sched.pick", "fair"),))
    k = m.k
    k.param.nr_cpus, k.param.jiffy_ns = 1, TICK
    k.stat.run_head, k.stat.run_tail, k.stat.run_nr, k.stat.min_vruntime, k.stat.now_ns = c.NIL, c.NIL, 0, 0, 0
    here = k.cpu[0]
    here.curr, here.resched, here.next, here.tick = 0, 0, 0, 0
    for t in TASKS:
        task = k.task[t]
        task.vruntime, task.ran_ns, task.weight, task.cpu, task.spent_ns = 0, 0, weights.get(t, 0), 0, 0
        task.state, task.wait_next = c.T_SLEEPING, c.NIL
    return m


def run(k: Any, t: int, ns: int, sleeps: bool) -> None:
    """The task picked runs for ns."""
    k.task[t].state = c.T_RUNNING
    k.stat.now_ns += ns
    fair.charge(k, t, ns, not sleeps)
    if sleeps:
        k.task[t].state = c.T_SLEEPING
    else:
        enqueue(k, t)


STEPS = st.lists(
    st.tuples(st.sampled_from(("run", "run", "run", "sleep", "wake", "wake")), st.sampled_from(TASKS),
              st.integers(1_000, 3_900_000)),
    max_size=60,
)  # fmt: skip


@some
@given(STEPS, st.dictionaries(st.sampled_from(TASKS), st.sampled_from((335, 1024, 88761))))
def test_the_same_task_runs_as_by_the_twin(steps: list[tuple[str, int, int]], weights: dict[int, int]) -> None:
    k = machine(weights).k
    twin = Cfs({t: weights.get(t, 1024) for t in TASKS})
    asleep, seen_tick = set(TASKS), 0
    for what, t, ns in steps:
        if what == "wake" and t in asleep:
            asleep.remove(t)
            enqueue_woken(k, t)
            twin.wake(t)
        elif what != "wake" and k.stat.run_nr > 0:
            if k.stat.now_ns // TICK != seen_tick:
                twin.tick()
            seen_tick = k.stat.now_ns // TICK
            picked = fair.pick(k, 0)
            assert picked == twin.pick()
            run(k, picked, ns, what == "sleep")
            twin.ran(ns, what == "sleep")
            if what == "sleep":
                asleep.add(picked)
        assert {t: int(k.task[t].vruntime) for t in TASKS} == twin.virtual
        assert k.stat.min_vruntime == twin.clock


def test_a_thread_that_was_woken_by_a_busy_task_works_to_its_end() -> None:
    k = machine({}).k
    enqueue_woken(k, 2)
    for _ in range(200):
        assert fair.pick(k, 0) == 2
        run(k, 2, 50_000, sleeps=False)
    k.stat.slice_ns = 50_000
    enqueue_woken(k, 0)
    assert k.stat.slice_ns == 0
    for _ in range(40):
        assert fair.pick(k, 0) == 0
        run(k, 0, 50_000, sleeps=False)
    assert fair.pick(k, 0) == 0
    run(k, 0, 50_000, sleeps=True)
    assert fair.pick(k, 0) == 2


def test_two_busy_tasks_change_at_ticks_only() -> None:
    k = machine({}).k
    enqueue_woken(k, 2)
    enqueue_woken(k, 3)
    last, changes = fair.pick(k, 0), []
    run(k, last, 50_000, sleeps=False)
    while k.stat.now_ns < 80 * TICK:
        t = fair.pick(k, 0)
        if t != last:
            changes.append(int(k.stat.now_ns))
        run(k, t, 50_000, sleeps=False)
        last = t
    assert len(changes) > 30
    assert all(at % TICK < 50_000 for at in changes)
    assert abs(k.task[2].vruntime - k.task[3].vruntime) <= 2 * TICK


@pytest.mark.parametrize(("cpus", "scale"), [(1, 1), (2, 2), (3, 2), (4, 3), (8, 4), (64, 4)])
def test_times_grow_with_the_number_of_cpus(cpus: int, scale: int) -> None:
    assert fair.tunable_scale(cpus) == scale


@pytest.mark.parametrize(("state", "gives_way"), [(c.T_RUNNING, 1), (c.T_SLEEPING, 0), (c.T_RUNNABLE, 0)])
def test_nobody_is_sent_away_from_a_cpu_that_has_nothing_to_do(state: int, gives_way: int) -> None:
    """Runnable, but not in the queue: it falls asleep at the end of its slice and is woken then."""
    k = machine({}).k
    k.cpu[0].curr = 3
    k.task[2].state, k.task[2].vruntime, k.stat.min_vruntime = state, 10**9, 10**9
    enqueue_woken(k, 0)
    assert k.cpu[0].resched == gives_way


def test_who_yields_without_having_used_any_time_lets_others_go_first() -> None:
    k = machine({}).k
    enqueue_woken(k, 2)
    enqueue_woken(k, 3)
    seen = set()
    for n in range(20):
        k.stat.now_ns = n * TICK
        t = fair.pick(k, 0)
        seen.add(t)
        k.task[t].state = c.T_RUNNING
        fair.charge(k, t, 0, True)
        k.cpu[0].resched = 1
        enqueue(k, t)
    assert seen == {2, 3}


def test_a_task_in_the_middle_of_what_never_looks_is_preempted_only_behind_it() -> None:
    k = machine({}).k
    enqueue_woken(k, 0)
    assert fair.pick(k, 0) == 0
    enqueue_woken(k, 1)
    run(k, 0, 20_000_000, sleeps=False)
    k.task[0].no_resched = 1
    assert fair.pick(k, 0) == 0
    run(k, 0, 50_000, sleeps=False)
    k.task[0].no_resched = 0
    assert fair.pick(k, 0) == 1
