# SPDX-License-Identifier: GPL-2.0-or-later
"""Self-tuned per-CPU lists (pcp.high=auto) against their twin, and what a recording of Linux 6.12 shows of them."""

from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, few, lab
from tests.naive.pcp_high import SelfTuned

from pageout.engine import constants as c
from pageout.kernel.mm.buddy import free_page, get_page_from_freelist

SECOND = 1_000_000_000
DMA32 = 1


def tuned(batch: int, least: int, most: int):
    """A machine whose zone 1 has such lists, and their twin; zone 0 gives nothing."""
    m = lab()
    m.k.param.pcp_mode, m.k.param.reclaim_engine = c.PCP_AUTO, c.ENGINE_NODE
    z = m.k.zone[DMA32]
    z.pcp_batch, z.pcp_high, z.pcp_high_max = batch, least, most
    z.wmark_min, z.wmark_low, z.wmark_high = 20, 40, z.nr_free * 2 // 3
    m.k.zone[0].wmark_min = m.k.zone[0].wmark_low = m.k.zone[0].wmark_high = 1 << 20
    return m, SelfTuned(batch, least, most, z.nr_free, z.wmark_high + z.reserve1)


def take(m) -> int:
    return get_page_from_freelist(m.k, USER, 0, c.WMARK_MIN, c.GFP_HIGHUSER_MOVABLE)


@few
@given(
    st.integers(2, 9),
    st.lists(st.tuples(st.sampled_from(("take", "take", "free", "free", "kswapd")), st.integers(1, 90)), max_size=60),
)
def test_each_page_taken_and_freed_leaves_the_lists_as_the_twin_has_them(batch: int, program: list) -> None:
    m, twin = tuned(batch, 5 * batch, 40 * batch)
    z, pcp, pages = m.k.zone[DMA32], m.k.pcp[DMA32], []
    for what, count in program:
        if what == "kswapd":
            twin.kswapd = not twin.kswapd
            m.k.node.reclaim_active = int(twin.kswapd)
            continue
        for _ in range(count):
            if what == "free" and pages:
                page = pages.pop()
                m.k.page[page].pflags = 0
                free_page(m.k, USER, page, 0)
                twin.free()
            elif what == "take" and twin.zone_free > 200:
                pages.append(take(m))
                assert pages[-1] != c.NIL
                twin.take()
            found = (pcp.nr, max(pcp.high, z.pcp_high), pcp.alloc_factor, pcp.free_factor, z.nr_free, z.below_high)
            assert found == (
                twin.nr, max(twin.high, twin.least), twin.doublings, twin.freed, twin.zone_free, int(twin.low),
            )  # fmt: skip


def test_fetches_double_to_32_batches_so_that_one_takes_a_zone_from_above_low_to_below_min() -> None:
    m, _ = tuned(2, 10, 900)
    fetched, free = [], m.k.zone[DMA32].nr_free
    m.k.zone[DMA32].wmark_high = 400
    while m.k.zone[DMA32].nr_free > 200:
        assert take(m) != c.NIL
        if m.k.zone[DMA32].nr_free < free:
            fetched.append(free - m.k.zone[DMA32].nr_free)
            free = m.k.zone[DMA32].nr_free

    assert fetched[:6] == [2, 4, 8, 16, 32, 64]  # 63 to 2,016 in the recording: nr_free_pages falls by 2,016 at a time
    assert set(fetched[6:]) == {64}
    m.k.zone[DMA32].wmark_low = m.k.zone[DMA32].nr_free - 1 - m.k.zone[DMA32].reserve1
    m.k.zone[DMA32].wmark_min = m.k.zone[DMA32].wmark_low - 30
    while m.k.pcp[DMA32].nr:
        assert take(m) != c.NIL
    assert take(m) != c.NIL
    assert take(m) == c.NIL  # though the CPU has pages
    assert m.k.pcp[DMA32].nr == 63


def test_the_limit_falls_by_an_eighth_a_second_and_what_is_too_much_goes_back() -> None:
    m, twin = tuned(4, 20, 400)
    pages = [take(m) for _ in range(300)]
    for _ in pages:
        twin.take()
    grown = m.k.pcp[DMA32].high
    m.k.stat.now_ns += 3 * SECOND
    while m.k.pcp[DMA32].nr:
        take(m)
        twin.take()
    for _ in range(3):
        twin.second()
    take(m)
    twin.take()

    assert grown > 100
    assert (m.k.pcp[DMA32].high, m.k.pcp[DMA32].nr) == (twin.high, twin.nr)
