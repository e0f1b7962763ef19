# SPDX-License-Identifier: GPL-2.0-or-later
"""The OOM killer's choice against its twin; whom it kills, what it logs, when it panics; printk_ratelimit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import OTHER, USER, lab, many
from tests.naive import oom as naive

from pageout.engine import constants as c
from pageout.engine.klog import klog, printk_ratelimit
from pageout.engine.waitqueue import sleep_on, sleep_until
from pageout.kernel.mm.buddy import try_alloc
from pageout.kernel.mm.oom_kill import badness, out_of_memory
from pageout.kernel.mm.show_mem import show_mem
from pageout.kernel.sched.highorder import hold_block

WORK, EXITING = 2, 3
S = c.NS_PER_S
JOB_IO, JOB_FORK, JOB_HOG = 0, 3, 4
TASKS = (USER, OTHER)


def put(m, t: int, p: naive.Process, parent: int = c.NIL) -> None:
    """Make a task of the lab what the twin's process is."""
    task = m.k.task[t]
    task.total_vm, task.cpu_ns, task.begun_ns, task.nice = p.total_vm, p.cpu_ns, p.begun_ns, p.nice
    task.privileged, task.oom_adj, task.memdie, task.parent = int(p.privileged), p.oom_adj, int(p.memdie), parent
    task.state = c.T_DEAD if p.gone else c.T_RUNNING
    m.k.frame[t * c.MAX_DEPTH].stage = EXITING if p.exiting else WORK


def logged(m, kind: int) -> list[tuple[int, ...]]:
    rows = [m.k.klog[n] for n in range(m.k.stat.klog_nr)]
    return [(r.task, r.who, r.a, r.b, r.c, r.d) for r in rows if r.kind == kind]


processes = st.builds(
    naive.Process,
    total_vm=st.integers(0, 1 << 28),
    cpu_ns=st.integers(0, 40_000).map(lambda s: s * S // 3),
    begun_ns=st.integers(0, 3_000_000).map(lambda s: s * S + 7),
    nice=st.integers(-20, 19),
    privileged=st.booleans(),
    oom_adj=st.sampled_from([0, 0, 0, -17, -16, -3, -1, 1, 2, 15]),
    memdie=st.integers(0, 9).map(lambda n: n == 9),
    exiting=st.integers(0, 7).map(lambda n: n == 7),
    gone=st.integers(0, 7).map(lambda n: n == 7),
)


@many
@given(p=processes, child=processes, hz=st.sampled_from([100, 250, 1000]), later=st.integers(0, 10**8))
def test_badness_is_that_of_the_twin(p: naive.Process, child: naive.Process, hz: int, later: int) -> None:
    m = lab(hz=hz)
    p.children = [child]
    put(m, USER, p)
    put(m, OTHER, child, parent=USER)
    now = p.begun_ns + later * S
    assert badness(m.k, USER, now) == naive.badness(p, now, hz)


@many
@given(a=processes, b=processes, asking=st.sampled_from([0, 1]))
def test_the_choice_is_that_of_the_twin(a: naive.Process, b: naive.Process, asking: int) -> None:
    m = lab()
    put(m, USER, a)
    put(m, OTHER, b)
    m.k.stat.now_ns = 4_000_000 * S
    out_of_memory(m.k, TASKS[asking], c.GFP_KERNEL, 0)
    wanted = naive.victim([a, b], asking, m.k.stat.now_ns, 100)
    killed = [t for t in TASKS if m.k.task[t].killed]
    assert killed == ([TASKS[wanted]] if isinstance(wanted, int) else [])
    assert m.k.stat.oom_victims == len(killed)
    assert (m.k.stat.stop == c.STOP_PANIC) == (wanted == "panic")
    assert (m.k.stat.klog_nr == 0) == (wanted == "wait")


@pytest.mark.parametrize(("hz", "seconds"), [(100, 10.24), (250, 8.192), (1000, 8.192)])
def test_cpu_time_counts_in_units_of_jiffies_shifted(hz: int, seconds: float) -> None:
    m = lab(hz=hz)
    for units, divisor in ((0.99, 1), (3.99, 1), (4, 2), (9, 3)):
        put(m, USER, naive.Process(total_vm=6000, cpu_ns=round(units * seconds * S)))
        assert badness(m.k, USER, 0) == 6000 // divisor


def forks(m, t: int, births_ms: list[int], lifetime_ms: int) -> list[int]:
    """Make the task one that forks, with a stack of 8 KiB held for each child. Returns the stacks."""
    job = m.k.job[m.k.task[t].job]
    job.kind, job.lifetime_ns = JOB_FORK, lifetime_ms * c.NS_PER_MS
    stacks = []
    for at in births_ms:
        m.k.stat.now_ns = at * c.NS_PER_MS
        stacks.append(try_alloc(m.k, t, 1, c.GFP_KERNEL))
        hold_block(m.k, t, stacks[-1], 1)
        m.k.stat.stack_pages += 2
        m.k.stat.fork_nr += 1
    return stacks


def test_forked_children_that_live_count_half_and_the_oldest_is_killed_first() -> None:
    m = lab()
    put(m, USER, naive.Process(total_vm=1000))
    put(m, OTHER, naive.Process(total_vm=1800))
    stacks = forks(m, USER, [0, 50, 100], lifetime_ms=100)
    now = m.k.stat.now_ns = 120 * c.NS_PER_MS  # the first has died and is not reaped yet
    assert badness(m.k, USER, now) == 1000 + 2 * (500 + 1)
    free = m.k.zone[1].nr_free

    out_of_memory(m.k, OTHER, c.GFP_KERNEL, 0)

    assert logged(m, c.KLOG_OOM_SCORE) == [(OTHER, USER, 2002, 0, c.GFP_KERNEL, 0)]
    assert logged(m, c.KLOG_OOM_KILLED) == [(OTHER, USER, 10_001, 1000, 0, 0)]
    assert m.k.zone[1].nr_free == free + 2
    assert not m.k.task[USER].killed
    assert (m.task.allocated_head, m.k.page[stacks[0]].lru_next) == (stacks[0], stacks[2])
    assert (m.task.allocated_nr, m.task.allocated_tail, m.k.stat.stack_pages) == (2, stacks[2], 4)

    out_of_memory(m.k, OTHER, c.GFP_KERNEL, 0)  # one child fewer: now the other task is the worse
    assert [row[1] for row in logged(m, c.KLOG_OOM_KILLED)] == [USER, OTHER]


@pytest.mark.parametrize("adj", [0, -17])
def test_a_child_is_killed_in_its_parents_place_unless_it_must_not_be(adj: int) -> None:
    m = lab()
    put(m, USER, naive.Process(total_vm=5000))
    put(m, OTHER, naive.Process(total_vm=100, oom_adj=adj), parent=USER)
    out_of_memory(m.k, USER, c.GFP_KERNEL, 0)
    victim = USER if adj else OTHER
    assert [m.k.task[t].memdie for t in TASKS] == [int(t == victim) for t in TASKS]
    assert [row[1] for row in logged(m, c.KLOG_OOM_SCORE)] == [USER]
    assert [row[1] for row in logged(m, c.KLOG_OOM_KILLED)] == [victim]


@pytest.mark.parametrize("depth", [0, 1])
def test_a_signal_ends_a_sleep_in_user_mode_and_none_in_the_kernel(depth: int) -> None:
    m = lab()
    put(m, USER, naive.Process(total_vm=5000))
    put(m, OTHER, naive.Process(total_vm=1))
    if depth:
        m.enter("wait_on_page")
        sleep_on(m.k, USER, c.WQ_CONGESTION_WRITE, 0, 0)
    else:
        sleep_until(m.k, USER, 5 * S)
    out_of_memory(m.k, OTHER, c.GFP_KERNEL, 0)
    assert m.k.task[USER].killed
    assert m.k.task[USER].state == (c.T_SLEEPING if depth else c.T_RUNNABLE)


def test_a_throttled_writer_sleeps_interruptibly() -> None:
    m = lab()
    put(m, USER, naive.Process(total_vm=5000))
    m.enter("balance_dirty_pages")
    sleep_on(m.k, USER, c.NIL, 10, 0)
    out_of_memory(m.k, OTHER, c.GFP_KERNEL, 0)
    assert m.k.task[USER].state == c.T_RUNNABLE


@pytest.mark.parametrize("adj", [0, -17])
def test_oom_kill_allocating_task_takes_the_asker_if_it_may(adj: int) -> None:
    m = lab(settings=(("vm.oom_kill_allocating_task", 1),))
    put(m, USER, naive.Process(total_vm=5000))
    put(m, OTHER, naive.Process(total_vm=10, oom_adj=adj))
    out_of_memory(m.k, OTHER, c.GFP_KERNEL, 0)
    assert [m.k.task[t].killed for t in TASKS] == ([0, 1] if not adj else [1, 0])
    assert logged(m, c.KLOG_OOM_SCORE)[0] == (OTHER, OTHER, 0, 1, c.GFP_KERNEL, 0)


@pytest.mark.parametrize(("value", "reason"), [(1, c.PANIC_ON_OOM), (2, c.PANIC_ALWAYS)])
def test_panic_on_oom_kills_nobody(value: int, reason: int) -> None:
    m = lab(settings=(("vm.panic_on_oom", value),))
    put(m, USER, naive.Process(total_vm=5000))
    out_of_memory(m.k, USER, c.GFP_KERNEL, 2)
    assert m.k.stat.stop == c.STOP_PANIC
    assert logged(m, c.KLOG_PANIC) == [(USER, c.NIL, reason, 0, 0, 0)]
    assert logged(m, c.KLOG_OOM) == [(USER, c.NIL, c.GFP_KERNEL, 2, 0, 0)]
    assert not m.k.task[USER].killed


@many
@given(steps=st.lists(st.sampled_from([0, 1, 7, 60, 501, 900]), min_size=1, max_size=40))
def test_ten_messages_in_five_seconds(steps: list[int]) -> None:
    m = lab()
    twin = naive.RateLimit(100)
    jiffies, wanted = 0, []
    for step in steps:
        jiffies += step
        m.k.stat.now_ns = jiffies * m.k.param.jiffy_ns
        allowed, reported = twin.allows(jiffies)
        wanted += [reported] * (reported > 0)
        assert bool(printk_ratelimit(m.k, USER, c.RATELIMIT_ALLOC)) == allowed
    assert [row[3] for row in logged(m, c.KLOG_SUPPRESSED)] == wanted


def test_the_log_keeps_the_first_records_and_room_from_device_errors() -> None:
    m = lab()
    for n in range(c.KLOG_RECORDS):
        klog(m.k, -1, c.KLOG_IO_ERROR, c.NIL, 0, n, 0, 0)
    assert m.k.stat.klog_nr == c.KLOG_RECORDS * 3 // 4
    for _ in range(c.KLOG_RECORDS // 4):
        assert klog(m.k, USER, c.KLOG_OOM, c.NIL, 0, 0, 0, 0) != c.NIL
    assert klog(m.k, USER, c.KLOG_OOM, c.NIL, 0, 0, 0, 0) == c.NIL
    assert m.k.stat.klog_dropped == c.KLOG_RECORDS // 4 + 1


def test_a_snapshot_counts_what_keeps_the_pages_of_each_list() -> None:
    m = lab(swap=64)
    anon = c.PG_SWAPBACKED | c.PG_ACTIVE | c.PG_MAPPED
    m.page()
    m.page(dirty=True)
    m.page(writeback=True)
    m.page(c.PG_LOCKED, dirty=True)
    m.page(c.PG_MAPPED | c.PG_YOUNG)
    m.page(anon)
    m.page(anon | c.PG_YOUNG)
    m.page(c.PG_SWAPBACKED | c.PG_SWAPCACHE)
    assert show_mem(m.k, 0) == 0
    names = ("nr", "dirty", "writeback", "locked", "young", "mapped", "swapcache", "idle")
    at = 1 * c.NR_LRU
    rows = [[getattr(m.k.klog_list[at + lru], name) for name in names] for lru in range(c.NR_LRU)]
    assert rows[c.LRU_INACTIVE_FILE] == [5, 2, 1, 1, 1, 1, 0, 1]
    assert rows[c.LRU_ACTIVE_FILE] == [0] * 8
    assert rows[c.LRU_ACTIVE_ANON] == [2, 0, 0, 0, 1, 2, 0, 1]
    assert rows[c.LRU_INACTIVE_ANON] == [1, 0, 0, 0, 0, 0, 1, 1]
    zone = m.k.klog_zone[1]
    assert zone.nr_free == m.k.zone[1].nr_free
    assert sum(getattr(zone, f"nr{order}") << order for order in range(c.MAX_ORDER)) == zone.nr_free
    while show_mem(m.k, 0) != c.NIL:
        pass
    assert m.k.stat.klog_snapshot_nr == c.KLOG_SNAPSHOTS
