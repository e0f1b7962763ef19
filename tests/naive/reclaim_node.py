# SPDX-License-Identifier: GPL-2.0-or-later
"""Reclaim of 6.x as its description says, one plain function a rule: the twin of kernel/mm's node modules.

Written from the reference's sections 3.1, 4.4, 4.5 and 4.8 alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple


def watermarks(min_free_kbytes: int, managed: list[int], scale_factor: int) -> list[tuple[int, int, int]]:
    """(MIN, LOW, HIGH) of each zone, in pages."""
    pages_min = min_free_kbytes // 4
    marks = []
    for pages in managed:
        low_min = pages_min * pages // sum(managed)
        gap = max(low_min // 4, pages * scale_factor // 10000)
        marks.append((low_min, low_min + gap, low_min + 2 * gap))
    return marks


class Lists(NamedTuple):
    """Sizes of the lists, and what else decides how much of each is scanned."""

    inactive_anon: int
    active_anon: int
    inactive_file: int
    active_file: int
    free: int
    sum_of_high: int
    swap_free: int
    swappiness: int
    anon_cost: int
    file_cost: int
    refaulted_anon: bool = False  # activated by refaults since the last run's snapshot
    refaulted_file: bool = False


def is_low(inactive: int, active: int) -> bool:
    gib = (inactive + active) * 4096 // (1 << 30)
    ratio = math.isqrt(10 * gib) if gib >= 1 else 1
    return inactive * ratio < active


def scan_counts(lists: Lists, priority: int) -> list[int]:
    """Pages to scan: inactive anon, active anon, inactive file, active file."""
    sizes = lists[:4]
    may_anon = lists.refaulted_anon or is_low(lists.inactive_anon, lists.active_anon)
    may_file = lists.refaulted_file or is_low(lists.inactive_file, lists.active_file)
    trims = lists.inactive_file >> priority > 0 and not may_file
    file = lists.inactive_file + lists.active_file
    tiny = file + lists.free <= lists.sum_of_high and not may_anon and lists.inactive_anon >> priority > 0
    shifted = [size >> priority for size in sizes]
    only_file, only_anon = [0, 0, *shifted[2:]], [*shifted[:2], 0, 0]
    if lists.swap_free == 0:
        return only_file
    if priority == 0 and lists.swappiness:
        return shifted
    if tiny:
        return only_anon
    if trims:
        return only_file
    t0 = lists.anon_cost + lists.file_cost
    a, f = t0 + lists.anon_cost, t0 + lists.file_cost
    t = a + f
    ap = lists.swappiness * (t + 1) // (a + 1)
    fp = (200 - lists.swappiness) * (t + 1) // (f + 1)
    return [n * (ap if i < 2 else fp) // (ap + fp) for i, n in enumerate(shifted)]


class Folio(NamedTuple):
    """An isolated inactive page."""

    anon: bool = False
    locked: bool = False
    writeback: bool = False
    reclaim: bool = False  # PG_reclaim
    dirty: bool = False
    young: bool = False
    referenced: bool = False
    mapped: bool = False
    swapcache: bool = False
    held: bool = False  # somebody has a reference
    has_writepage: bool = True


class Reclaimer(NamedTuple):
    """Who looks at it, and what is known of the node."""

    kswapd: bool = False
    may_io: bool = True
    may_fs: bool = True
    may_write: bool = True
    node_dirty: bool = False  # PGDAT_DIRTY
    node_writeback: bool = False  # PGDAT_WRITEBACK
    swap_free: bool = True


class Fate(NamedTuple):
    """What becomes of it: free, keep, activate or write; PG_reclaim after; what is counted."""

    what: str
    reclaim: bool
    counts: frozenset[str]


def fate(folio: Folio, who: Reclaimer) -> Fate:
    """The table of section 4.5, row by row; the row of a page read twice holds for those that may be written only."""
    counts: set[str] = set()

    def ends(what: str, reclaim: bool = folio.reclaim) -> Fate:
        return Fate(what, reclaim, frozenset(counts))

    if folio.locked:
        return ends("keep")
    if not folio.anon:
        if folio.dirty or folio.writeback:
            counts.add("dirty")
        if folio.dirty and not folio.writeback:
            counts.add("unqueued")
        if folio.writeback and folio.reclaim:
            counts.add("congested")
    if folio.writeback and folio.reclaim and who.node_writeback and who.kswapd:
        counts.add("immediate")
        return ends("activate")
    if folio.writeback:
        counts.add("writeback")
        return ends("activate", True)
    if folio.young and folio.referenced:
        return ends("activate")
    if folio.young:
        counts.add("ref_keep")
        return ends("keep")
    dirty = folio.dirty
    if folio.anon and not folio.swapcache:
        if not who.may_io:
            return ends("keep")
        if not who.swap_free:
            return ends("activate")
        dirty = True
    if dirty and not folio.anon and not (who.kswapd and folio.reclaim and who.node_dirty):
        counts.add("nr_vmscan_immediate_reclaim")
        return ends("activate", True)
    if dirty:
        clean_only = folio.referenced and not folio.anon
        may_enter = who.may_fs or (folio.anon and who.may_io)
        if clean_only or not may_enter or not who.may_write or folio.held:
            return ends("keep")
        return ends("write" if folio.anon or folio.has_writepage else "activate")
    return ends("keep" if folio.held else "free")


def refault(
    age_now: int, age_then: int, active_file: int, swap_free: int, inactive_anon: int, active_anon: int
) -> bool:
    """Does a file page that is read again become active?"""
    size = active_file + (inactive_anon + active_anon if swap_free else 0)
    return age_now - age_then <= size
