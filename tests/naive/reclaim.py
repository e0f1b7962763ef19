# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the LRU, the scan balance and the judgement of pages, from the reference alone: sections 4 to 8."""

from collections import OrderedDict

CLUSTER = 32
DEF_PRIORITY = 12


class Lru:
    """Two lists of one kind of page, as ordered dicts: the first key is the tail. Values: is it referenced?"""

    def __init__(self) -> None:
        self.inactive: OrderedDict[int, bool] = OrderedDict()
        self.active: OrderedDict[int, bool] = OrderedDict()

    def add(self, page: int, *, active: bool = False, referenced: bool = False) -> None:
        (self.active if active else self.inactive)[page] = referenced

    def remove(self, page: int) -> None:
        self.inactive.pop(page, None)
        self.active.pop(page, None)

    def mark_accessed(self, page: int) -> None:
        """inactive -> inactive, referenced -> active -> active, referenced."""
        if page in self.active:
            self.active[page] = True
        elif self.inactive[page]:
            del self.inactive[page]
            self.active[page] = False
        else:
            self.inactive[page] = True

    def rotate(self, page: int) -> None:
        """A clean inactive page whose write reclaim had asked for: to the tail."""
        if page in self.inactive:
            self.inactive.move_to_end(page, last=False)

    def deactivate(self, nr: int) -> list[int]:
        """shrink_active_list: from the tail of active to the head of inactive."""
        moved = []
        while self.active and len(moved) < nr:
            page, referenced = self.active.popitem(last=False)
            self.inactive[page] = referenced
            moved.append(page)
        return moved

    def isolate(self, nr: int) -> list[int]:
        return [self.inactive.popitem(last=False)[0] for _ in range(min(nr, len(self.inactive)))]

    def head_first(self, which: str) -> list[int]:
        return list(getattr(self, which))[::-1]


def check_references(*, order: int, young: bool, anon: bool, referenced: bool) -> tuple[str, bool]:
    """(verdict, is PG_referenced set afterwards). Both marks are cleared first."""
    if order > 3:
        return "reclaim", False
    if young and anon:
        return "activate", False
    if young and referenced:
        return "activate", True
    if young:
        return "keep", True
    if referenced:
        return "reclaim_clean", False
    return "reclaim", False


def scan_ratio(
    *, file: int, anon: int, free: int, high: int, swappiness: int, scanned: tuple[int, int], rotated: tuple[int, int]
) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """(anon percent, recent_scanned, recent_rotated after); pairs are (anon, file). For a machine with free swap."""
    if file + free <= high:
        return 100, scanned, rotated
    scanned_now, rotated_now = list(scanned), list(rotated)
    for kind, pages in enumerate((anon, file)):
        if scanned_now[kind] > pages // 4:
            scanned_now[kind] //= 2
            rotated_now[kind] //= 2
    ap = (swappiness + 1) * (scanned_now[0] + 1) // (rotated_now[0] + 1)
    fp = (200 - swappiness + 1) * (scanned_now[1] + 1) // (rotated_now[1] + 1)
    return 100 * ap // (ap + fp + 1), (scanned_now[0], scanned_now[1]), (rotated_now[0], rotated_now[1])


def nr_to_scan(*, pages: int, priority: int, percent: int, swap: bool, saved: int) -> tuple[int, int]:
    """(pages to scan now, remainder kept)."""
    n = pages if priority == 0 and swap else (pages >> priority) * percent // 100
    total = saved + n
    return (total, 0) if total >= CLUSTER else (0, total)


def is_lumpy(order: int, priority: int) -> bool:
    return order > 3 or (1 <= order <= 3 and priority < 10)


def anon_is_low(inactive: int, active: int, ratio: int) -> bool:
    return inactive * ratio < active


def file_is_low(inactive: int, active: int) -> bool:
    return active > inactive


def reclaimable(lists: tuple[int, int, int, int], *, swap: bool) -> int:
    """lists: inactive anon, active anon, inactive file, active file."""
    return lists[2] + lists[3] + (lists[0] + lists[1] if swap else 0)


def is_given_up(pages_scanned: int, reclaimable_pages: int) -> bool:
    return pages_scanned >= 6 * reclaimable_pages


def portions(shares: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """The order in which shrink_zone takes the lists' shares, 32 each while any but active anon is left: (list, pages).

    lists: inactive anon 0, active anon 1, inactive file 2, active file 3.
    """
    left = list(shares)
    taken = []
    while left[0] or left[2] or left[3]:
        for lru in range(4):
            portion = min(left[lru], CLUSTER)
            left[lru] -= portion
            if portion:
                taken.append((lru, portion))
    return taken


def judge(
    *,
    locked: bool,
    mapped: bool,
    swapcache: bool,
    writeback: bool,
    verdict: str,
    anon: bool,
    dirty: bool,
    refs: int,
    fs: bool,
    io: bool,
    may_writepage: bool,
    swap_full: bool,
    congested: bool,
    swapwrite: bool,
    own_device: bool,
    sync: bool,
) -> tuple[str, int]:
    """What shrink_page_list does with a page: (free, keep, activate, write or wait; growth of sc.nr_scanned)."""
    if locked:
        return "keep", 0
    scanned = 2 if mapped or swapcache else 1
    may_enter_fs = fs or (swapcache and io)
    if writeback:
        return ("wait" if sync and may_enter_fs else "keep"), scanned
    if verdict in ("activate", "keep"):
        return verdict, scanned
    if anon and not swapcache:
        if not io:
            return "keep", scanned
        if swap_full:
            return "activate", scanned
        dirty = may_enter_fs = True
    if dirty:
        if verdict == "reclaim_clean" or not may_enter_fs or not may_writepage or refs:
            return "keep", scanned
        if anon or swapwrite or not congested or own_device:
            return "write", scanned
        return "keep", scanned
    return ("keep" if refs else "free"), scanned
