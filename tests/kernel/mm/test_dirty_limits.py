# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty thresholds and shares against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, lab, many, some
from tests.naive import dirty as naive

from pageout.engine import constants as c
from pageout.kernel.mm.dirty_limits import (
    background_threshold,
    bdi_threshold,
    count_completion,
    count_dirtied,
    dirty_threshold,
    dirtyable_pages,
    over_background,
    trace_dirty_state,
)


def with_dirtyable(m, pages: int) -> None:
    """Make the machine have just so many dirtyable pages."""
    m.k.vm.nr_free_pages, m.k.vm.nr_inactive_file, m.k.vm.nr_active_file = pages - 1, 0, 0


@pytest.mark.parametrize("swap", [-1, 0, 1, 2])
def test_dirtyable_memory_is_free_and_file_pages_and_anonymous_ones_with_free_swap(swap: int) -> None:
    m = lab()
    vm = m.k.vm
    vm.nr_free_pages, vm.nr_inactive_file, vm.nr_active_file = 1000, 200, 30
    vm.nr_inactive_anon, vm.nr_active_anon, m.k.stat.swap_free = 5000, 60000, swap
    expected = naive.dirtyable(free=1000, inactive_file=200, active_file=30, anon=65000, swap=swap > 0)
    assert dirtyable_pages(m.k) == expected


@many
@given(
    st.integers(1, 100_000),
    st.integers(0, 100),
    st.integers(0, 100),
    st.sampled_from([0, 8192, 40961, 1 << 20]),
    st.sampled_from([0, 1, 4095, 4096, 4097, 1 << 20, 1 << 22]),
    st.booleans(),
)
def test_both_thresholds_equal_get_dirty_limits(
    pages, ratio, background_ratio, nbytes, background_bytes, privileged
) -> None:
    m = lab()
    with_dirtyable(m, pages)
    p = m.k.param
    p.dirty_ratio, p.background_ratio, p.dirty_bytes, p.background_bytes = (
        ratio,
        background_ratio,
        nbytes,
        background_bytes,
    )
    m.task.tflags = c.PF_LESS_THROTTLE if privileged else c.PF_MEMALLOC
    expected = naive.limits(
        pages=pages,
        ratio=ratio,
        background_ratio=background_ratio,
        nbytes=nbytes,
        background_bytes=background_bytes,
        privileged=privileged,
    )
    assert (background_threshold(m.k, USER), dirty_threshold(m.k, USER)) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(4, 5000), (5, 5000), (6, 6000)])
def test_a_dirty_ratio_below_5_counts_as_5(ratio: int, expected: int) -> None:
    m = lab()
    with_dirtyable(m, 100_000)
    m.k.param.dirty_ratio = ratio
    assert dirty_threshold(m.k, USER) == expected


@pytest.mark.parametrize(("nbytes", "pages"), [(1, 1), (4095, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 3)])
def test_byte_limits_are_rounded_up_to_pages(nbytes: int, pages: int) -> None:
    m = lab()
    m.k.param.dirty_bytes = nbytes
    assert dirty_threshold(m.k, USER) == pages
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1 << 30, nbytes
    assert background_threshold(m.k, USER) == pages


@pytest.mark.parametrize(("background", "expected"), [(999, 999), (1000, 500), (1001, 500)])
def test_a_background_threshold_not_below_the_limit_is_half_of_it(background: int, expected: int) -> None:
    m = lab()
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1000 * 4096, background * 4096
    assert background_threshold(m.k, USER) == expected


def test_a_task_that_must_not_be_throttled_gets_a_quarter_more() -> None:
    m = lab()
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1002 * 4096, 403 * 4096
    m.task.tflags = c.PF_LESS_THROTTLE | c.PF_KTHREAD
    assert (dirty_threshold(m.k, USER), background_threshold(m.k, USER)) == (1252, 503)
    assert (dirty_threshold(m.k, 0), background_threshold(m.k, 0)) == (1002, 403)
    assert (dirty_threshold(m.k, -1), background_threshold(m.k, -1)) == (1002, 403)


def test_the_first_task_gets_its_quarter_too() -> None:
    m = lab()
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1000 * 4096, 400 * 4096
    m.k.task[0].tflags = c.PF_LESS_THROTTLE
    assert (dirty_threshold(m.k, 0), background_threshold(m.k, 0)) == (1250, 500)


def test_the_halving_of_the_background_goes_by_the_plain_limit() -> None:
    m = lab()
    m.task.tflags = c.PF_LESS_THROTTLE
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1000 * 4096, 1100 * 4096
    assert background_threshold(m.k, USER) == 500 + 125


@pytest.mark.parametrize(("dirty", "expected"), [(399, False), (400, True), (401, True)])
def test_background_writeback_goes_on_until_dirty_is_below_the_threshold(dirty: int, expected: bool) -> None:
    m = lab()
    m.k.param.dirty_bytes, m.k.param.background_bytes, m.k.vm.nr_dirty = 1000 * 4096, 400 * 4096, dirty
    assert bool(over_background(m.k)) is expected


SHIFT = 6


def share(m, limit: int, bdi: int = 0, t: int = -1) -> int:
    return int(bdi_threshold(m.k, t, bdi, limit))


def half_of(m) -> int:
    """The half period in force, whatever the shift is taken to mean."""
    return 1 << m.k.param.prop_shift


@some
@given(
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(0, 40),
    st.integers(0, 100),
    st.integers(0, 40),
    st.integers(0, 3000),
    st.integers(0, 3000),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_the_devices_share_equals_the_twin(
    mine, rest, own_min, own_max, other_min, dirty, writeback, own_dirty, own_wb
) -> None:
    m = lab(swap=64)
    m.k.param.prop_shift = SHIFT + 2
    half = half_of(m)
    device = m.k.bdi[0]
    device.completions, m.k.stat.completions = mine, min(mine + rest, half - 1)
    device.min_ratio, device.max_ratio, m.k.bdi[1].min_ratio = own_min, own_max, other_min
    device.reclaimable, device.writeback, m.k.vm.nr_dirty, m.k.vm.nr_writeback = own_dirty, own_wb, dirty, writeback
    expected = naive.device_limit(
        dirty=2000,
        fraction=(mine, half + m.k.stat.completions),
        min_ratios=[own_min, other_min],
        own_min=own_min,
        own_max=own_max,
        both=dirty + writeback,
        own_both=own_dirty + own_wb,
    )
    assert share(m, 2000) == expected


def alone(m) -> None:
    """The device did every completion of a full half period: its share is the whole limit."""
    m.k.param.prop_shift = SHIFT
    half = half_of(m)
    device = m.k.bdi[0]
    device.completions, m.k.stat.completions, device.period = half, half, 1


def test_a_device_that_is_alone_has_the_whole_limit() -> None:
    m = lab()
    alone(m)
    assert share(m, 1001) == 1001


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_the_share_is_cut_at_the_devices_max_ratio(off: int) -> None:
    m = lab()
    alone(m)
    m.k.bdi[0].max_ratio = 50 + off
    assert share(m, 1000) == 500 + 10 * off
    m.k.bdi[0].max_ratio = 100
    assert share(m, 1000) == 1000


def test_a_min_ratio_is_added_to_the_devices_part_of_the_rest() -> None:
    m = lab(swap=64)
    alone(m)
    m.k.bdi[0].min_ratio, m.k.bdi[1].min_ratio = 10, 20
    assert share(m, 1000) == 700 + 100
    assert share(m, 1000, bdi=1) == 200


@pytest.mark.parametrize(("dirty", "expected"), [(0, 1000), (999, 31), (1000, 30), (1001, 30), (5000, 30)])
def test_the_share_leaves_room_for_what_is_dirty_elsewhere(dirty: int, expected: int) -> None:
    m = lab()
    alone(m)
    m.k.bdi[0].reclaimable, m.k.bdi[0].writeback = 10, 20
    m.k.vm.nr_dirty = dirty
    assert share(m, 1000) == expected
    m.k.vm.nr_dirty, m.k.vm.nr_writeback = 0, dirty
    assert share(m, 1000) == expected


@pytest.mark.parametrize("periods", [0, 1, 2, 3, 6])
def test_completions_are_halved_for_each_half_period_gone_by(periods: int) -> None:
    m = lab()
    m.k.param.prop_shift = SHIFT
    half = half_of(m)
    twin = naive.Proportion(half)
    twin.mine = m.k.bdi[0].completions = half
    m.k.stat.completions = twin.all = periods * half + 5
    part, whole = twin.fraction()
    assert share(m, 4096) == 4096 * part // whole
    assert (m.k.bdi[0].completions, m.k.bdi[0].period) == (part, periods)
    assert share(m, 4096) == 4096 * part // whole


def test_a_device_that_has_stopped_ends_without_a_share() -> None:
    m = lab()
    m.k.param.prop_shift = SHIFT
    m.k.bdi[0].completions, m.k.stat.completions = half_of(m), 40 * half_of(m)
    share(m, 4096)
    assert m.k.bdi[0].completions == 0


def test_a_device_without_history_has_no_share() -> None:
    m = lab()
    m.k.param.prop_shift = SHIFT
    m.k.stat.completions = 10 * half_of(m)
    assert share(m, 100_000) == 0
    assert m.k.bdi[0].period == 10


def heavy_dirtier(m, mine: int, total: int) -> None:
    m.task.dirtier_events, m.k.stat.pages_dirtied_total = mine, total
    m.task.dirtier_period = total // half_of(m)


@some
@given(st.integers(0, 200), st.integers(0, 500), st.integers(0, 3000))
def test_the_tasks_part_equals_the_twin(mine, total, limit) -> None:
    m = lab()
    alone(m)
    half = half_of(m)
    heavy_dirtier(m, mine, total)
    assert share(m, limit, t=USER) == naive.task_limit(limit, (mine, half + total % half))


def test_a_task_that_does_all_the_dirtying_gets_an_eighth_less() -> None:
    m = lab()
    alone(m)
    heavy_dirtier(m, half_of(m), half_of(m))
    assert share(m, 1000, t=USER) == 875
    assert share(m, 1000, t=0) == 1000
    assert share(m, 1000, t=-1) == 1000


def test_the_first_task_has_its_part_too() -> None:
    m = lab()
    alone(m)
    m.act_as(0)
    heavy_dirtier(m, half_of(m), half_of(m))
    assert share(m, 1000, t=0) == 875


@pytest.mark.parametrize(("mine", "expected"), [(15, 532), (16, 500), (17, 500)])
def test_the_tasks_part_is_at_most_half(mine: int, expected: int) -> None:
    """More events than a half period holds cannot happen; the floor holds all the same."""
    m = lab()
    alone(m)
    heavy_dirtier(m, mine * half_of(m) // 4, 0)
    assert share(m, 1000, t=USER) == expected


@pytest.mark.parametrize("periods", [0, 1, 3])
def test_a_tasks_dirtying_is_forgotten_by_half_periods(periods: int) -> None:
    m = lab()
    alone(m)
    half = half_of(m)
    m.task.dirtier_events, m.k.stat.pages_dirtied_total = half, periods * half + 5
    assert share(m, 8000, t=USER) == naive.task_limit(8000, (half >> periods, half + 5))
    assert (m.task.dirtier_events, m.task.dirtier_period) == (half >> periods, periods)
    m.task.dirtier_events, m.task.dirtier_period = 0, 0
    share(m, 8000, t=USER)
    assert (m.task.dirtier_events, m.task.dirtier_period) == (0, periods)


@pytest.mark.parametrize("limit", [2, 3, 1000, 1024, 1025, 65536, 65537])
def test_boot_makes_the_half_period_half_of_2_to_the_2_plus_ilog2_of_the_threshold(limit: int) -> None:
    m = lab(settings=(("vm.dirty_bytes", limit * 4096), ("vm.dirty_ratio", 0)))
    assert m.k.param.prop_shift == naive.period_shift(limit) - 1


@pytest.mark.parametrize("times", [1, 5, 61, 62, 63, 64, 100])
def test_counts_older_than_62_half_periods_are_nothing(times: int) -> None:
    m = lab()
    m.k.param.prop_shift = SHIFT
    most = (1 << 63) - 1
    m.k.bdi[0].completions, m.k.stat.completions = most, times * half_of(m)
    m.task.dirtier_events, m.k.stat.pages_dirtied_total = most, times * half_of(m)
    count_completion(m.k, 0)
    count_dirtied(m.k, USER)
    assert m.k.bdi[0].completions == m.task.dirtier_events == (most >> times if times < 62 else 0) + 1


@some
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=40), st.sampled_from([100, 60, 3]))
def test_completions_are_counted_as_the_floating_proportion_counts_them(runs, most) -> None:
    m = lab(swap=64)
    m.k.param.prop_shift, m.k.bdi[0].max_ratio = SHIFT, most
    twin = naive.Proportion(half_of(m))
    for mine, nr in runs:
        for _ in range(nr):
            count_completion(m.k, 0 if mine else 1)
            twin.event(mine=mine, most=most)
    limit = 1 << 20
    part, whole = twin.fraction()
    assert share(m, limit) == min(limit * part // whole, limit * most // 100)


@some
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=40))
def test_dirtied_pages_are_counted_as_the_floating_proportion_counts_them(runs) -> None:
    m = lab()
    alone(m)
    twin = naive.Proportion(half_of(m))
    for mine, nr in runs:
        for _ in range(nr):
            count_dirtied(m.k, USER if mine else 0)
            twin.event(mine=mine)
    limit = 1 << 20
    assert share(m, limit, t=USER) == naive.task_limit(limit, twin.fraction())
    assert m.k.stat.pages_dirtied_total == twin.all


def test_the_state_of_dirty_memory_is_traced_in_the_schemas_order() -> None:
    m = lab()
    vm = m.k.vm
    vm.nr_dirty, vm.nr_writeback, vm.nr_dirtied, vm.nr_written = 1, 2, 7, 8
    trace_dirty_state(m.k, USER, 4, 5)
    assert m.events() == [("global_dirty_state", 1, 2, 0, 4, 5, 5, 7, 8)]
