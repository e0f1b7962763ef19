# SPDX-License-Identifier: GPL-2.0-or-later
"""Each checker can fail: one table spoiled by hand, and the complaint names it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.machine import checkers
from pageout.machine.boot import boot
from pageout.machine.simulate import simulate
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.scenario import Scenario, Task
from tests.machine.test_simulate import MIB, NO_FLUSHING, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
Tables = dict[str, Any]


def stopped() -> Scenario:
    """A machine caught in the middle: clean and dirty pages of two files, anonymous memory, kernel pages."""
    return scenario(
        machine(64, kind="throttled", write_bps=MIB),
        (file(4), file(4, "old", exists=True)),
        io("write", 4, "w"),
        io("read", 4, "r", of=1, loops=2),
        Task(name="hog", kind="hog", anon_bytes=4 * MIB, hold_ns=60 * S),
        Task(name="alloc", kind="alloc", interval_ns=10**6, hold=10, count=20),
        settings=NO_FLUSHING,
        length_ns=S,
        seed=77,
    )


@pytest.fixture
def tables() -> Tables:
    return dict(simulate(stopped()).booted.arrays)


def first(tables: Tables, flags: int, without: int = 0) -> int:
    """A page that has all of some flags and none of others."""
    pflags = tables["page"]["pflags"]
    return int(np.flatnonzero((pflags & flags == flags) & (pflags & without == 0))[0])


def large_block(tables: Tables) -> int:
    """The head of a free block of more than one page."""
    pflags = tables["page"]["pflags"]
    return int(np.flatnonzero((pflags & c.PG_BUDDY != 0) & (pflags & c.ORDER_MASK != 0))[0])


def complaint(tables: Tables) -> str:
    booted = boot(stopped())._replace(arrays=tables)
    with pytest.raises(InvariantError) as error:
        checkers.check(booted, stopped())
    assert "seed 77" in str(error.value)
    return str(error.value)


def add(table: str, field: str, row: int = 0, by: int = 1) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table][field][row] += by

    return spoil


def log_of_the_future(tables: Tables) -> None:
    tables["stat"]["klog_nr"][0] = 1
    tables["klog"]["snapshot"][0] = c.NIL
    tables["klog"]["time_ns"][0] = 10 * S


def wrong_snapshot(tables: Tables) -> None:
    tables["stat"]["klog_nr"][0] = tables["stat"]["klog_snapshot_nr"][0] = 1
    tables["klog"]["time_ns"][0] = 0
    tables["klog"]["snapshot"][0] = 0
    tables["klog_zone"]["nr_free"][0] += 1


def two_dying(tables: Tables) -> None:
    tables["task"]["memdie"][2:4] = 1
    tables["task"]["state"][2:4] = c.T_SLEEPING


def lru_link(tables: Tables) -> None:
    head = tables["lru"]["head"]
    queue = int(np.flatnonzero(head != c.NIL)[-1])
    tables["page"]["lru_prev"][tables["page"]["lru_next"][head[queue]]] = c.NIL


def lru_wrong_list(tables: Tables) -> None:
    tables["page"]["pflags"][first(tables, c.PG_LRU)] ^= c.PG_ACTIVE


def lru_lost_page(tables: Tables) -> None:
    tail = tables["lru"]["tail"]
    queue = int(np.flatnonzero(tail != c.NIL)[-1])
    before = tables["page"]["lru_prev"][tail[queue]]
    tables["page"]["lru_next"][before] = c.NIL


def lru_loop(tables: Tables) -> None:
    head = int(tables["lru"]["head"][tables["lru"]["head"] != c.NIL][-1])
    tables["page"]["lru_next"][tables["page"]["lru_next"][head]] = head


def two_places(tables: Tables) -> None:
    tables["page"]["pflags"][first(tables, c.PG_LRU)] |= c.PG_PCP


def free_and_used(tables: Tables) -> None:
    tables["page"]["pflags"][large_block(tables) + 1] |= c.PG_LRU


def nowhere(tables: Tables) -> None:
    kernel = np.flatnonzero(tables["page"]["pflags"] & c.PG_RESERVED)[:50]
    tables["page"]["pflags"][kernel] = 0


def overlapping_blocks(tables: Tables) -> None:
    tables["page"]["pflags"][large_block(tables) + 1] |= c.PG_BUDDY


def free_type(tables: Tables) -> None:
    tables["page"]["pflags"][large_block(tables)] ^= 1 << c.MT_SHIFT


def free_link(tables: Tables) -> None:
    head = tables["free_list"]["head"]
    longer = [page for page in head[head != c.NIL].tolist() if tables["page"]["lru_next"][page] != c.NIL]
    tables["page"]["lru_prev"][tables["page"]["lru_next"][longer[0]]] = c.NIL


def unmerged_buddies(tables: Tables) -> None:
    """Split a listed block of order 9 in two of order 8, counts and links kept right."""
    page, area, lists = tables["page"], tables["free_area"], tables["free_list"]["head"]
    is_nine = (page["pflags"] & c.PG_BUDDY != 0) & (page["pflags"] & c.ORDER_MASK == 9 << c.ORDER_SHIFT)
    block = int(np.flatnonzero(is_nine)[0])
    zone = int(np.searchsorted(tables["zone"]["end_page"], block, side="right"))
    kind = int(page["pflags"][block] & c.MT_MASK) >> c.MT_SHIFT
    nine, eight = ((zone * c.MAX_ORDER + order) * c.NR_FREE_LISTS + kind for order in (9, 8))
    before, after = int(page["lru_prev"][block]), int(page["lru_next"][block])
    if before == c.NIL:
        lists[nine] = after
    else:
        page["lru_next"][before] = after
    if after != c.NIL:
        page["lru_prev"][after] = before
    area["nr"][zone * c.MAX_ORDER + 9] -= 1
    area["nr"][zone * c.MAX_ORDER + 8] += 2
    for half in (block + 256, block):
        page["pflags"][half] = c.PG_BUDDY | 8 << c.ORDER_SHIFT | kind << c.MT_SHIFT
        page["lru_prev"][half], page["lru_next"][half] = c.NIL, lists[eight]
        if lists[eight] != c.NIL:
            page["lru_prev"][lists[eight]] = half
        lists[eight] = half


def pcp_lost_page(tables: Tables) -> None:
    lists = tables["pcp_list"]
    longest = next(i for i, page in enumerate(lists["head"].tolist()) if page != c.NIL)
    lists["head"][longest] = tables["page"]["lru_next"][lists["head"][longest]]


def dirty_flag(tables: Tables) -> None:
    tables["page"]["pflags"][first(tables, c.PG_DIRTY, c.PG_SWAPBACKED)] ^= c.PG_DIRTY


def clean_made_dirty(tables: Tables) -> None:
    page = np.flatnonzero((tables["page"]["mapping"] == 1) & (tables["page"]["pflags"] & c.PG_LRU != 0))[0]
    tables["page"]["pflags"][page] |= c.PG_DIRTY


def dirty_bit(tables: Tables) -> None:
    tables["bits"][int(tables["inode"]["dirty_bits"][0])] ^= 1


def writeback_flag(tables: Tables) -> None:
    tables["page"]["pflags"][first(tables, c.PG_LRU, c.PG_DIRTY)] |= c.PG_WRITEBACK


def forgotten_inode(tables: Tables) -> None:
    assert tables["inode"]["nr_dirty"][0] > 0
    tables["inode"]["list_kind"][0] = c.LIST_NONE


def slot_of_another(tables: Tables) -> None:
    start = int(tables["inode"]["slot_start"][1])
    tables["slot"]["page"][[start, start + 1]] = tables["slot"]["page"][[start + 1, start]]


def emptied_slot(tables: Tables) -> None:
    tables["slot"]["page"][int(tables["inode"]["slot_start"][1])] = c.NIL


def dead_with_frames(tables: Tables) -> None:
    t = int(np.flatnonzero(tables["task"]["state"] == c.T_DEAD)[0])
    size = tables["function"]["frame_bytes"]
    tables["task"]["depth"][t] = 1
    tables["task"]["used"][t] += size[tables["frame"]["fn"][t * c.MAX_DEPTH + 1]]


def in_line_for_nothing(tables: Tables) -> None:
    worker = int(tables["param"]["first_worker"][0])
    tables["task"]["rq_head"][worker] = 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (add("vm", "nr_free_pages"), "free pages: counted"),
        (add("vm", "nr_dirty"), "nr_dirty: counted"),
        (add("vm", "nr_writeback"), "nr_writeback: counted"),
        (add("vm", "nr_inactive_file"), "nr_inactive_file"),
        (add("vm", "nr_active_anon"), "nr_active_anon"),
        (add("vm", "nr_file_pages"), "nr_file_pages"),
        (add("zone", "nr_free"), "nr_free"),
        (add("zone", "nr_dirty"), "zone 0 nr_dirty"),
        (add("zone", "nr_writeback", 1), "zone 1 nr_writeback"),
        (add("zone", "isolated_file"), "zone 0 isolated_file"),
        (add("zone", "isolated_anon"), "zone 0 isolated_anon"),
        (add("free_area", "nr", 3), "free blocks of order 3"),
        (free_type, "does not link its blocks"),
        (free_link, "does not link its blocks"),
        (unmerged_buddies, "not merged"),
        (pcp_lost_page, "CPU list"),
        (add("pcp", "nr", 0), "frames on CPUs' lists"),
        (add("lru", "nr", 2), "list 2 length"),
        (add("inode", "nr_dirty", 0), "inode 0 nr_dirty"),
        (add("bdi", "reclaimable"), "bdi 0 reclaimable"),
        (add("stat", "pages_dirtied_total"), "pages dirtied"),
        (add("stat", "pages_cleaned_total", by=-1), "pages dirtied"),
        (add("stat", "requests_used"), "requests in use"),
        (add("stat", "bios_used"), "bios in use"),
        (add("stat", "works_used"), "works in use"),
        (add("task", "used", 0, 8), "task 0 stack bytes"),
        (lru_link, "not linked back"),
        (lru_wrong_list, "belongs elsewhere"),
        (lru_lost_page, "length"),
        (lru_loop, "length"),
        (two_places, "two places at once"),
        (free_and_used, "inside a free block"),
        (nowhere, "pages are nowhere"),
        (overlapping_blocks, "overlap|free pages"),
        (dirty_flag, "nr_dirty"),
        (clean_made_dirty, "nr_dirty"),
        (dirty_bit, "inode 0 dirty bitmap"),
        (writeback_flag, "nr_writeback"),
        (forgotten_inode, "nobody will write them"),
        (slot_of_another, "slot points at a frame"),
        (emptied_slot, "cached pages"),
        (dead_with_frames, "died with 1 frames"),
        (add("stat", "klog_nr", 0, c.KLOG_RECORDS), "more than fit"),
        (add("stat", "klog_snapshot_nr"), "refers to snapshots"),
        (log_of_the_future, "from the future"),
        (two_dying, "access to all reserves at once"),
        (wrong_snapshot, "free pages of a zone in the kernel log"),
        (add("task", "stack_base", 1, 1 << 20), "is on a stack that begins at"),
        (in_line_for_nothing, "stand in line for one"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_spoiled_table_is_found_and_named(spoil: Callable[[Tables], None], said: str, tables: Tables) -> None:
    spoil(tables)

    text = complaint(tables)

    assert any(word in text for word in said.split("|")), text


def test_an_unspoiled_machine_passes(tables: Tables) -> None:
    checkers.check(boot(stopped())._replace(arrays=tables), stopped())
