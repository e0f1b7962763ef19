# SPDX-License-Identifier: GPL-2.0-or-later
"""The choice points of the designs linux-2.6.14 and linux-2.6.18, each against its twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import KSWAPD, USER, called, lab, many, returned, slept, some
from tests.naive import allocator
from tests.naive import old_kernels as naive

from pageout.engine import constants as c
from pageout.kernel.mm.dirty_limits import background_threshold, dirty_threshold
from pageout.kernel.mm.kswapd import balance_pgdat
from pageout.kernel.mm.page_writeback import balance_dirty_pages
from pageout.kernel.mm.vmscan import shrink_zone
from pageout.machine.memory_map import DMA32_END, zones_of

MIB = 1 << 20


@some
@given(
    st.sampled_from(["priority", "batch", "never"]),
    st.sampled_from([12, 11, 3, 0]),
    st.sampled_from([0, 32, 64, 96]),
    st.sampled_from([0, 32, 100]),
    st.sampled_from([0, 10, 16, 31, 32, 40]),
    st.integers(0, 500),
)
def test_a_zones_scan_ends_where_the_twin_says(bail, priority, anon, file, freed, freed_before) -> None:
    m = lab(choices=(("reclaim.bail", bail),))
    m.k.lru[c.NR_LRU + c.LRU_INACTIVE_ANON].saved_scan = anon
    m.k.lru[c.NR_LRU + c.LRU_INACTIVE_FILE].saved_scan = file
    m.k.stat.swap_free = 1
    m.task.sc_reclaimed, m.task.sc_to_reclaim = freed_before, freed_before + 32
    m.enter("shrink_zone", priority, 1)
    seen = []
    step = m.step(shrink_zone)
    while step.name == "shrink_inactive_list":
        seen.append(step.args[1])
        m.task.sc_reclaimed += freed
        m.answer(freed)
        step = m.step(shrink_zone)
    assert seen == naive.batches(anon, file, freed, bail=bail, priority=priority)


def test_under_batch_kswapd_too_leaves_a_zone_after_32_pages() -> None:
    m = lab(choices=(("reclaim.bail", "batch"),))
    m.act_as(KSWAPD)
    m.k.lru[c.NR_LRU + c.LRU_INACTIVE_FILE].saved_scan = 96
    m.task.sc_reclaimed, m.task.sc_to_reclaim = 0, 1 << 60
    m.enter("shrink_zone", 12, 1)
    assert m.step(shrink_zone) == called("shrink_inactive_list", 32, c.LRU_INACTIVE_FILE, 1)
    m.task.sc_reclaimed += 32
    m.answer(32)
    assert m.step(shrink_zone).name == "throttle_vm_writeout"


@many
@given(st.integers(100, 100_000), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_ratios_of_all_memory_bounded_by_half_of_the_unmapped(total, mapped_percent, ratio, background) -> None:
    m = lab(choices=(("dirty.base", "unmapped"),))
    anon = total * mapped_percent // 100
    m.k.param.total_pages, m.k.vm.nr_anon_pages = total, anon
    m.k.param.dirty_ratio, m.k.param.background_ratio = ratio, background
    m.k.vm.nr_free_pages, m.task.tflags = 1, 0  # what could be dirtied is no matter
    expected = naive.limits(total=total, anon=anon, ratio=ratio, background_ratio=background)
    assert (background_threshold(m.k, USER), dirty_threshold(m.k, USER)) == expected


@many
@given(st.integers(0, 1100), st.integers(0, 600), st.integers(0, 700))
def test_up_to_the_limit_nobody_is_held_whatever_the_devices_share(own_dirty, writeback, elsewhere) -> None:
    m = lab(choices=(("throttle.start", "limit"),))
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1000 * 4096, 400 * 4096
    m.k.bdi[0].max_ratio = 0  # its share: none
    m.k.bdi[0].reclaimable, m.k.bdi[0].writeback = own_dirty, writeback
    m.k.vm.nr_dirty, m.k.vm.nr_writeback = own_dirty + elsewhere, writeback
    m.k.bdi[0].dirty_exceeded = 1
    m.enter("balance_dirty_pages", 0, 1536)
    expected = naive.held(dirty=own_dirty + elsewhere, writeback=writeback, own_dirty=own_dirty, limit=1000)
    outcome = {"stop": returned(0), "write": called("writeback_inodes_wb", 0, 3), "pause": slept(c.NIL, 1)}
    assert m.step(balance_dirty_pages) == outcome[expected]
    assert m.k.bdi[0].dirty_exceeded == (expected != "stop")


@pytest.mark.parametrize(("choice", "first"), [("needy", 1), ("all", 0)])
def test_kswapd_once_scanned_zones_with_plenty_free(choice: str, first: int) -> None:
    m = lab(choices=(("kswapd.zones", choice),))
    for zone, free in enumerate((481, 0)):  # 8 x high is 480
        z = m.k.zone[zone]
        z.wmark_min, z.wmark_low, z.wmark_high, z.nr_free, z.reserve1 = 20, 40, 60, free, 0
        m.set_list_sizes(zone, inactive_file=1000)
    m.act_as(KSWAPD)
    m.enter("balance_pgdat", 0)
    assert m.step(balance_pgdat) == called("shrink_zone", 12, first)


@pytest.mark.parametrize("memory_mib", [64, 4000, 5000])
def test_without_dma32_all_memory_above_dma_is_one_zone(memory_mib: int) -> None:
    usual = zones_of(memory_mib * MIB, 9000)
    flat = zones_of(memory_mib * MIB, 9000, dma32=False)

    assert len(flat) == 2
    assert sum(zone.present for zone in flat) == sum(zone.present for zone in usual)
    assert (flat == usual) == (memory_mib * MIB // 4096 < DMA32_END)
    present = [zone.present for zone in flat]
    for i, zone in enumerate(flat):
        marks = allocator.watermarks(9000, present[i], sum(present))
        assert (zone.wmark_min, zone.wmark_low, zone.wmark_high) == marks
