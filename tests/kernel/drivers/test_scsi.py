# SPDX-License-Identifier: GPL-2.0-or-later
"""Scatter tables and the way down to the adapter: which branch is taken follows from the queue and the request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, lab, some

from pageout.engine import constants as c
from pageout.engine.kstack import start_thread
from pageout.kernel import frames
from pageout.kernel.block.blk_core import UNPLUG_THRESH
from pageout.kernel.block.elevator import WRITE_EXPIRE_NS
from pageout.kernel.block.request import new_request
from pageout.kernel.drivers.scsi import scsi_dispatch, sg_alloc, sg_free, sg_pool_of
from pageout.kernel.frames import FN


@pytest.mark.parametrize(
    ("pages", "pool"), [(1, 0), (8, 0), (9, 1), (16, 1), (33, 3), (64, 3), (65, 4), (128, 4), (500, 4)]
)
def test_the_pool_is_the_smallest_that_holds_the_segments(pages: int, pool: int) -> None:
    assert sg_pool_of(pages) == pool


class Cache:
    """A slab cache as a list of slabs with their free places."""

    def __init__(self, per_slab: int) -> None:
        self.per_slab, self.used, self.slabs = per_slab, 0, 0

    def take(self) -> bool:
        self.used += 1
        grown = self.used > self.slabs * self.per_slab
        self.slabs += grown
        return grown

    def give(self) -> None:
        self.used -= 1
        if self.slabs * self.per_slab - self.used >= 6 * self.per_slab:
            self.slabs -= 1


@some
@given(st.lists(st.booleans(), max_size=120), st.sampled_from([1, 12, 30, 60, 128]))
def test_a_new_slab_is_needed_when_the_twin_needs_one(program: list[bool], pages: int) -> None:
    m, pool = lab(), sg_pool_of(pages)
    twin = Cache(4096 // (32 * (8 << pool)))
    for take in program * 2:
        if take:
            assert bool(sg_alloc(m.k, pages)) == twin.take()
        elif twin.used:
            sg_free(m.k, pages)
            twin.give()
        tables = m.k.sg_pool[pool]
        assert (tables.used, tables.objects) == (twin.used, twin.slabs * twin.per_slab)


def depth_of(m, *, driver: int, sync: bool, nr_queued: int, tables_left: int) -> int:
    """Bytes that handing a write down marks on the user's stack."""
    start_thread(m.k, USER, FN.user, 0)
    m.k.queue[0].driver = driver
    m.k.sg_pool[0].used, m.k.sg_pool[0].objects = 0, tables_left
    request = new_request(m.k, USER, 0, m.bio(0, 100, 1, write=True, sync=sync), WRITE_EXPIRE_NS)
    scsi_dispatch(m.k, USER, 0, request, nr_queued, UNPLUG_THRESH)
    return int(m.task.peak)


@pytest.mark.parametrize("driver", [c.DRIVER_AHCI, c.DRIVER_SATA_MV])
@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("nr_queued", [1, UNPLUG_THRESH])
@pytest.mark.parametrize("tables_left", [0, 1])
def test_the_depth_is_that_of_the_branch_taken(driver: int, sync: bool, nr_queued: int, tables_left: int) -> None:
    way = "kick" if sync else "threshold" if nr_queued >= UNPLUG_THRESH else "unplugged"
    issue = "ahci" if driver == c.DRIVER_AHCI else "mv_polled" if sync else "mv"
    ends = ("table" if tables_left else "slab", issue)
    wanted = max(frames.chain_bytes(tuple(frames.LEAVES[f"dispatch_{way}_{end}"].split())) for end in ends)

    assert depth_of(lab(), driver=driver, sync=sync, nr_queued=nr_queued, tables_left=tables_left) == wanted


def test_an_interrupt_leaves_no_mark_on_a_task() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    request = new_request(m.k, USER, 0, m.bio(0, 100, 1), WRITE_EXPIRE_NS)
    scsi_dispatch(m.k, c.NIL, 0, request, 1, UNPLUG_THRESH)

    assert m.task.peak == 0
    assert m.k.sg_pool[0].used == 1


def test_the_numbers_of_ways_and_ends_are_those_of_the_leaf_chains() -> None:
    ways = {"kick": c.DISPATCH_KICK, "threshold": c.DISPATCH_THRESHOLD, "unplugged": c.DISPATCH_UNPLUGGED}
    ends = {"table": c.END_TABLE, "slab": c.END_SLAB, "ahci": c.END_AHCI, "mv": c.END_MV, "mv_polled": c.END_MV_POLLED}
    for way, i in ways.items():
        for end, j in ends.items():
            number = getattr(frames.LEAF, f"dispatch_{way}_{end}")
            assert number == frames.LEAF.dispatch_kick_table + i * c.NR_ENDS + j


def test_every_function_of_every_chain_has_a_size() -> None:
    for chain in frames.LEAVES.values():
        assert all(name in frames.SIZES for name in chain.split())
