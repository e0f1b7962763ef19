# SPDX-License-Identifier: GPL-2.0-or-later
"""Heap, histogram, random numbers, sleeping and waking, stacks: against twins."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import OTHER, USER, lab, many, some
from tests.naive.blocks import bucket

from pageout.engine import constants as c
from pageout.engine.clock import jiffies_of, now_of, out_of_slice, pop, post, spend
from pageout.engine.kstack import call, frame_of, ret, start_thread, touch
from pageout.engine.ledger import bucket_of, highest, levels, observe
from pageout.engine.ring import emit
from pageout.engine.rng import exponential, random32, random_below, seed_words
from pageout.engine.waitqueue import (
    _run_delay,
    sleep_on,
    sleep_on_page,
    sleep_until,
    timeout_jiffies,
    wake_all,
    wake_one,
    wake_page,
    wake_task,
)
from pageout.kernel.frames import FN, LEAF
from pageout.vocabulary.tracepoints import EV

OPERATIONS = st.lists(st.one_of(st.integers(0, 20), st.none()), max_size=60)


@many
@given(OPERATIONS)
def test_the_heap_is_a_sorted_list_in_which_equal_moments_keep_their_order(operations) -> None:
    """An integer posts an event at that moment, None takes the first."""
    m = lab()
    k = m.k
    k.stat.heap_nr = 0
    twin: list[tuple[int, int]] = []
    for number, when in enumerate(operations):
        if when is not None:
            post(k, when, c.EV_WAKE, number, 0)
            twin = sorted([*twin, (when, number)])
        elif twin:
            assert (k.heap[0].when_ns, k.heap[0].arg) == twin.pop(0)
            pop(k)
    while twin:
        assert (k.heap[0].when_ns, k.heap[0].arg) == twin.pop(0)
        pop(k)
    assert k.stat.heap_nr == 0


def test_a_full_heap_stops_the_run() -> None:
    m = lab()
    m.k.param.heap_size = 1
    m.k.stat.heap_nr = 0
    post(m.k, 1, c.EV_WAKE, 0, 0)
    assert m.k.stat.stop == c.GO
    post(m.k, 1, c.EV_WAKE, 0, 0)
    assert (m.k.stat.stop, m.k.stat.error, m.k.stat.heap_nr) == (c.STOP_ERROR, c.ERR_HEAP, 1)


@pytest.mark.parametrize(("when", "slice_ns"), [(99, 99), (100, 100), (101, 100)])
def test_an_event_posted_within_the_slice_ends_it(when: int, slice_ns: int) -> None:
    m = lab()
    m.k.stat.now_ns, m.k.stat.slice_ns = 1000, 100
    post(m.k, 1000 + when, c.EV_WAKE, 0, 0)
    assert m.k.stat.slice_ns == slice_ns


def test_time_spent_counts_unless_cost_is_off() -> None:
    m = lab()
    m.k.stat.now_ns, m.k.stat.slice_ns = 50, 10
    spend(m.k, USER, 9)
    assert (now_of(m.k, USER), out_of_slice(m.k, USER)) == (59, False)
    spend(m.k, USER, 1)
    assert (now_of(m.k, USER), out_of_slice(m.k, USER)) == (60, True)
    m.k.param.zero_cost = 1
    spend(m.k, USER, 1)
    assert now_of(m.k, USER) == 60


@many
@given(st.one_of(st.integers(0, 5000), st.integers(0, 1 << 62)))
def test_histogram_buckets_are_eight_to_an_octave(value) -> None:
    assert bucket_of(value) == min(bucket(value), c.HIST_BUCKETS - 1)


def test_buckets_grow_by_one_at_each_border() -> None:
    borders = [value for value in range(1, 4096) if bucket(value) != bucket(value - 1)]
    for value in borders:
        assert bucket_of(value) == bucket_of(value - 1) + 1
    for octave in range(4, 62):
        assert bucket_of(1 << octave) == bucket_of((1 << octave) - 1) + 1 == 8 * (octave - 2)


def test_an_observation_is_counted_summed_and_kept_if_largest() -> None:
    m = lab()
    for value in (5, 100, 7):
        observe(m.k, 2, value)
    row = m.k.hist_sum[2]
    assert (row.nr, row.total, row.largest) == (3, 112, 100)
    assert [m.k.hist[2 * c.HIST_BUCKETS + bucket(v)] for v in (5, 7, 100)] == [1, 1, 1]


def test_levels_are_weighted_by_time_and_maxima_kept() -> None:
    m = lab()
    k = m.k
    k.vm.nr_dirty, k.vm.nr_writeback, k.stat.now_ns = 3, 2, 10
    levels(k)
    levels(k)
    k.vm.nr_dirty, k.stat.now_ns = 7, 15
    levels(k)
    assert (k.stat.dirty_integral, k.stat.writeback_integral) == (3 * 10 + 7 * 5, 2 * 15)
    highest(k)
    k.vm.nr_dirty, k.vm.nr_writeback = 4, 6
    highest(k)
    assert (k.stat.dirty_max, k.stat.both_max) == (7, 10)


def xoshiro128plus(state: list[int]) -> int:
    """The published generator, on a list of four words."""
    result = (state[0] + state[3]) % 2**32
    shifted = state[1] << 9
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] = (state[2] ^ shifted) % 2**32
    state[3] = (state[3] << 11 | state[3] >> 21) % 2**32
    return result


@some
@given(st.integers(0, 2**62), st.integers(0, 100))
def test_random_numbers_are_xoshiro128_plus(seed, stream) -> None:
    m = lab()
    state = list(seed_words(seed, stream))
    assert any(state)
    assert all(0 <= word < 2**32 for word in state)
    m.task.rng0, m.task.rng1, m.task.rng2, m.task.rng3 = state
    assert [random32(m.task) for _ in range(20)] == [xoshiro128plus(state) for _ in range(20)]


@some
@given(st.integers(1, 2**40), st.integers(0, 2**32))
def test_random_below_stays_below(n, seed) -> None:
    m = lab()
    m.task.rng0, m.task.rng1, m.task.rng2, m.task.rng3 = seed_words(seed, 0)
    assert all(0 <= random_below(m.task, n) < n for _ in range(20))


def asleep(m, t: int, queue: int = c.WQ_KSWAPD, **sleep: int) -> None:
    m.k.task[t].state = c.T_RUNNING
    sleep_on(m.k, t, queue, sleep.get("jiffies", 0), sleep.get("exclusive", 0))


def run_queue(m) -> list[int]:
    tasks, t = [], m.k.stat.run_head
    while t != c.NIL:
        tasks.append(t)
        t = m.k.task[t].wait_next
    assert len(tasks) == m.k.stat.run_nr
    assert m.k.stat.run_tail == (tasks[-1] if tasks else c.NIL)
    return tasks


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
@pytest.mark.parametrize("first_woken", [0, 1, 2, 3])
def test_sleepers_wake_in_the_order_they_came_wherever_one_is_taken_out(order, first_woken: int) -> None:
    m = lab()
    for t in order:
        asleep(m, t)
    assert wake_task(m.k, first_woken) == 1
    assert wake_task(m.k, first_woken) == 0
    assert wake_all(m.k, c.WQ_KSWAPD) == 3
    assert run_queue(m) == [first_woken, *[t for t in order if t != first_woken]]
    assert m.k.wait[c.WQ_KSWAPD].head == m.k.wait[c.WQ_KSWAPD].tail == c.NIL
    assert m.k.stat.wakeups == 4


def test_wake_one_wakes_the_first_only() -> None:
    m = lab()
    assert wake_one(m.k, c.WQ_OOM) == 0
    asleep(m, 3, c.WQ_OOM)
    asleep(m, 2, c.WQ_OOM)
    assert wake_one(m.k, c.WQ_OOM) == 1
    assert run_queue(m) == [3]
    assert m.k.task[3].woken == 1
    assert m.k.wait[c.WQ_OOM].head == 2


def test_a_task_woken_before_its_slice_is_over_runs_only_then() -> None:
    m = lab()
    asleep(m, USER)
    m.task.ready_ns = 100
    wake_task(m.k, USER)
    assert run_queue(m) == []
    assert (m.k.heap[0].when_ns, m.k.heap[0].kind, m.k.heap[0].arg) == (100, c.EV_WAKE, USER)


@pytest.mark.parametrize(("now_ms", "jiffies", "end_ms"), [(0, 1, 10), (9, 1, 10), (10, 1, 20), (19, 3, 40)])
def test_timeouts_end_at_ticks(now_ms: int, jiffies: int, end_ms: int) -> None:
    m = lab(hz=100)
    m.k.stat.now_ns = now_ms * c.NS_PER_MS
    asleep(m, USER, c.NIL, jiffies=jiffies)
    event = m.k.heap[0]
    assert (event.when_ns, event.kind, event.arg, event.gen) == (
        end_ms * c.NS_PER_MS,
        c.EV_TIMER,
        USER,
        m.task.timer_gen,
    )


def test_a_sleep_without_timeout_sets_no_timer() -> None:
    m = lab()
    asleep(m, USER)
    assert m.k.stat.heap_nr == 0


@pytest.mark.parametrize(("when", "at"), [(50, 100), (100, 100), (150, 150)])
def test_a_moment_gone_by_is_now(when: int, at: int) -> None:
    m = lab()
    m.k.stat.now_ns = 100
    sleep_until(m.k, USER, when)
    assert m.k.heap[0].when_ns == at
    assert m.task.state == c.T_SLEEPING


@pytest.mark.parametrize(
    ("hz", "divisor", "jiffies"), [(100, 10, 10), (250, 50, 5), (100, 50, 2), (100, 101, 1), (1000, 10, 100)]
)
def test_timeouts_are_fractions_of_hz_and_at_least_a_tick(hz: int, divisor: int, jiffies: int) -> None:
    m = lab(hz=hz)
    assert timeout_jiffies(m.k, divisor) == jiffies
    assert jiffies_of(m.k, c.NS_PER_S) == hz


def test_only_those_who_wait_for_the_page_wake_for_it() -> None:
    """Pages share hashed queues: 64 pages apart some collide."""
    m = lab()
    from pageout.engine.waitqueue import page_queue

    one = 5000
    same = next(page for page in range(one + 1, 8000) if page_queue(page) == page_queue(one))
    sleep_on_page(m.k, USER, one)
    sleep_on_page(m.k, OTHER if m.k.param.nr_tasks > OTHER else 0, same)
    wake_page(m.k, same + 1)
    wake_page(m.k, one)
    assert run_queue(m) == [USER]
    assert not m.flags(one) & c.PG_WAITERS
    assert m.flags(same) & c.PG_WAITERS
    wake_page(m.k, same)
    assert len(run_queue(m)) == 2


def test_a_call_and_its_return_leave_the_stack_as_it_was() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    used = m.task.used
    f = m.f
    call(m.k, USER, f, FN.alloc_pages, 7, 1, 2, 3)
    g = frame_of(m.k, USER)
    assert (f.pc, g.fn, g.pc, g.a, g.b, g.c, g.page, m.task.depth) == (7, FN.alloc_pages, c.ENTRY, 1, 2, 3, c.NIL, 1)
    assert m.task.used == m.task.peak == used + m.k.function[FN.alloc_pages].frame_bytes
    ret(m.k, USER, g, 99)
    assert (m.task.used, m.task.depth, m.task.retval) == (used, 0, 99)


def test_a_stack_overflow_is_counted_once_and_the_deepest_chain_kept() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    size = m.k.function[FN.alloc_pages].frame_bytes
    m.k.param.stack_limit = m.task.used + size
    m.k.stat.peak = 0
    call(m.k, USER, m.f, FN.alloc_pages, 1, 0, 0, 0)
    assert m.task.overflows == 0
    touch(m.k, USER, LEAF.freelist)
    assert (m.task.overflows, m.k.stat.overflows) == (1, 1)
    call(m.k, USER, m.f, FN.try_to_free_pages, 1, 0, 0, 0)
    assert (m.task.overflows, m.k.stat.peak_task) == (1, USER)
    chain = [m.k.chain[i] for i in range(m.k.stat.peak_nr)]
    assert chain == [FN.user, FN.alloc_pages, ~LEAF.freelist]
    first = [m.k.chain[c.CHAIN_ROWS + i] for i in range(m.k.stat.overflow_nr)]
    assert (first, m.k.stat.overflow_task) == ([FN.user, FN.alloc_pages, ~LEAF.freelist], USER)
    assert m.k.stat.stop == c.GO


def test_an_overflow_ends_the_run_where_the_scenario_says_so() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    m.k.param.stack_overflow = c.OVERFLOW_STOP
    m.k.param.stack_limit = m.task.used + m.k.function[FN.alloc_pages].frame_bytes - 1
    call(m.k, USER, m.f, FN.alloc_pages, 1, 0, 0, 0)
    assert (m.k.stat.stop, m.k.stat.overflows) == (c.STOP_OVERFLOW, 1)


def test_nesting_beyond_the_limit_stops_the_run() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    for _ in range(c.MAX_DEPTH - 1):
        call(m.k, USER, m.f, FN.alloc_pages, 1, 0, 0, 0)
    assert m.k.stat.stop == c.GO
    call(m.k, USER, m.f, FN.alloc_pages, 1, 0, 0, 0)
    assert (m.k.stat.stop, m.k.stat.error) == (c.STOP_ERROR, c.ERR_DEPTH)


def test_events_are_recorded_with_time_task_and_cpu_until_the_ring_is_full() -> None:
    m = lab()
    k = m.k
    k.stat.now_ns, m.task.spent_ns, m.task.cpu = 100, 7, 0
    k.param.ring_size, k.param.ring_drain = 2, 2
    emit(k, USER, EV.mark_victim, 5)
    assert k.stat.stop == c.GO
    emit(k, -1, EV.mark_victim, 6)
    assert k.stat.stop == c.STOP_DRAIN
    emit(k, -1, EV.mark_victim, 7)
    assert (k.stat.ring_nr, k.stat.lost) == (2, 1)
    assert [(k.ring[i].time_ns, k.ring[i].pid, k.ring[i].a0) for i in range(2)] == [(107, m.task.pid, 5), (100, 0, 6)]


def test_an_event_switched_off_leaves_no_trace() -> None:
    m = lab()
    before = m.k.event_on[EV.mark_victim]
    m.k.event_on[EV.mark_victim] = 0
    emit(m.k, USER, EV.mark_victim, 5)
    assert m.events() == []
    m.k.event_on[EV.mark_victim] = before


@some
@given(st.integers(1, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_an_exponential_draw_is_the_logarithm_of_a_uniform_one(mean, seed) -> None:
    m = lab()
    state = list(seed_words(seed, 1))
    m.task.rng0, m.task.rng1, m.task.rng2, m.task.rng3 = state
    for _ in range(20):
        u = (xoshiro128plus(state) | 1) / 2**32
        assert exponential(m.task, mean) == pytest.approx(-math.log(u) * mean, abs=0.01 * mean + 1)


@some
@given(st.integers(1, 60), st.integers(1_000_000, 30_000_000), st.integers(0, 1000))
def test_who_wakes_at_any_moment_finds_the_cpus_busy_for_the_share_said_and_waits_until_they_are_not(
    share, mean, seed
) -> None:
    m = lab()
    k = m.k
    k.param.busy_percent, k.param.run_delay_ns = share, mean
    k.stat.rng0, k.stat.rng1, k.stat.rng2, k.stat.rng3 = seed_words(seed, 1)
    found, ends = [], set()
    for n in range(4000):
        k.stat.now_ns = n * mean
        waits = _run_delay(k)
        found.append(waits)
        if waits:
            ends.add(k.stat.now_ns + waits)
            assert k.stat.busy_from_ns <= k.stat.now_ns < k.stat.busy_until_ns == k.stat.now_ns + waits
    late = [one for one in found if one > 0]
    spread = 5 * math.sqrt(len(ends) + 1) / len(ends) if ends else 1  # of times that many, each of exponential length
    assert len(late) / len(found) == pytest.approx(share / 100, rel=3 * spread, abs=0.02)
    assert sum(late) / max(len(late), 1) == pytest.approx(mean, rel=3 * spread) or len(ends) < 30


@pytest.mark.parametrize("busy", [False, True])
def test_a_woken_task_runs_at_once_or_when_the_cpus_are_let_go(busy) -> None:
    m = lab()
    k = m.k
    k.stat.now_ns = 5_000_000
    k.param.busy_percent, k.param.run_delay_ns = 50 if busy else 0, 1_000_000
    k.stat.busy_from_ns, k.stat.busy_until_ns = 4_000_000, 7_000_000
    m.act_as(USER)
    sleep_on(k, USER, c.NIL, 0, 0)
    before, waiting = k.stat.run_nr, k.stat.heap_nr

    assert wake_task(k, USER) == 1
    assert k.task[USER].state == c.T_RUNNABLE
    assert (k.stat.run_nr - before, k.stat.heap_nr - waiting) == ((0, 1) if busy else (1, 0))
    assert not busy or k.heap[0].when_ns == 7_000_000
