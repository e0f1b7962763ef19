# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations that failed: what was asked for, from where, and why it was not there."""

from typing import Any

from pageout.diagnose.findings import WARNING
from pageout.diagnose.zones import is_short, may_use, reach_of, usable_free
from pageout.readers.facts import AllocFailure, MemoryState, ZoneState
from tests.diagnose.build import findings, frames, given
from tests.diagnose.test_oom import values

ATOMIC = "0x820(GFP_ATOMIC)"
NOFS = "0xc40(GFP_NOFS)"
STACK = (
    "dump_stack warn_alloc __alloc_pages_slowpath __alloc_pages kmalloc_large_node __kmalloc my_driver_open vfs_open"
)


def zone(name: str, pages: dict[str, float], blocks: tuple[int, ...] = (), line: int = 40) -> ZoneState:
    return ZoneState(0, name, values(pages, line), blocks, None, line)


def failed(
    order: int, mode: str, *zones: ZoneState, totals: dict[str, float] | None = None, **more: Any
) -> AllocFailure:
    memory = MemoryState(values(totals or {}, 30), zones, {}, more.pop("page_kib", 4)) if zones else None
    return AllocFailure(1, more.pop("comm", "tool"), order, mode, memory, frames(STACK, 5), None, None, **more)


def test_small_pieces_are_not_enough_for_a_high_order() -> None:
    normal = zone("Normal", {"free": 9000, "min": 100, "high": 200, "managed": 90000}, (6000, 1500, 0, 0, 0))
    found = findings(given(failed(4, NOFS, normal)))["alloc-failure"]

    assert found.severity == WARNING
    assert (
        found.title == "tool in my_driver_open got no 64 KiB in one piece (order 4): free memory is in smaller pieces"
    )
    assert any("too little memory" in text for text in found.is_not)


def test_a_page_of_64_kib_is_counted_as_such() -> None:
    normal = zone("Normal", {"free": 9000, "min": 100, "managed": 90000}, (6000, 0))

    assert (
        "128 KiB in one piece (order 1)" in findings(given(failed(1, NOFS, normal, page_kib=64)))["alloc-failure"].title
    )


def test_an_atomic_request_below_the_min_watermark() -> None:
    normal = zone("Normal", {"free": 90, "min": 100, "managed": 90000})
    found = findings(given(failed(0, ATOMIC, normal)))["alloc-failure"]

    assert "Normal is below the min watermark" in found.title
    assert "may not wait" in found.detail


def test_a_report_without_memory_says_that_it_does_not_know() -> None:
    found = findings(given(failed(5, NOFS)))["alloc-failure"]

    assert "the report does not show" in found.title
    assert found.confidence == "low"


def test_a_bare_mask_of_an_old_kernel_tells_whether_it_may_wait() -> None:
    normal = zone("Normal", {"free": 9000, "min": 100, "managed": 90000}, (9000, 0, 0))

    assert "may not wait" in findings(given(failed(2, "0x20", normal)))["alloc-failure"].detail
    assert "may sleep" in findings(given(failed(2, "0xd0", normal)))["alloc-failure"].detail


def test_free_pages_of_cma_are_not_for_a_driver() -> None:
    dma = zone("DMA", {"free": 46000, "min": 5600, "free_cma": 41000, "managed": 160000})

    assert usable_free(dma, reach_of("0x100cca(GFP_HIGHUSER_MOVABLE)")) == 46000
    assert usable_free(dma, reach_of("0xcc0(GFP_KERNEL)")) == 5000
    assert is_short(dma, reach_of("0xcc0(GFP_KERNEL)"))
    assert "of it is CMA" in findings(given(failed(0, NOFS, dma, totals={"free_cma": 41000})))["alloc-failure"].detail


def test_a_mask_says_which_zones_it_may_use() -> None:
    high, dma, normal = zone("HighMem", {}), zone("DMA", {}), zone("Normal", {})

    assert [may_use(one, reach_of("0xcc0(GFP_KERNEL)")) for one in (high, dma, normal)] == [False, True, True]
    assert [may_use(one, reach_of("0x24200ca(GFP_HIGHUSER_MOVABLE)")) for one in (high, normal)] == [True, True]
    assert [may_use(one, reach_of("0xcc1(GFP_KERNEL|GFP_DMA)")) for one in (high, dma, normal)] == [False, True, False]
    assert [may_use(one, reach_of("0x201da")) for one in (high, normal)] == [True, True]
    assert may_use(high, reach_of(None))


def test_a_stall_is_told_with_its_time() -> None:
    found = findings(given(failed(0, NOFS, source="stall", stalled_ms=18000)))["alloc-stall"]

    assert "waited 18 s for memory" in found.title
