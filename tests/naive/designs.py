# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the designs' decisions, from the reference alone: sections 10, 18 and 19."""


def may_write_dirty(
    who: str, *, kswapd: bool, order: int, priority: int, anon: bool, laptop: bool = False
) -> tuple[bool, bool]:
    """(may this reclaimer write this dirty page, is the page marked for immediate reclaim instead)."""
    if who == "urgent" and not anon and (not kswapd or priority >= 10):
        return False, True
    if laptop:
        return False, False
    if who == "never":
        return False, False
    if who == "kswapd":
        return kswapd, False
    if who == "high-order":
        return kswapd or order > 0, False
    if who == "priority":
        return not kswapd and (order > 0 or priority <= 6), False
    return True, False


def zone_limit(*, ratio: int, nr_bytes: int, zone_pages: int, all_pages: int, less_throttle: bool) -> int:
    limit = -(-nr_bytes // 4096) * zone_pages // all_pages if nr_bytes else ratio * zone_pages // 100
    return limit + limit // 4 if less_throttle else limit


def recycles(under_writeback: int, taken: int, priority: int) -> bool:
    """3.2: all of a batch at priority 12, half at 11, a quarter at 10 and so on; never when there is none."""
    return under_writeback > 0 and under_writeback >= taken // 2 ** (12 - priority)


def oldest_first(ages: list[int], expire: int) -> list[int]:
    """Which of the inodes with these ages background writeback takes: over 30 s; if none over 15 s; and so on."""
    if not ages:
        return []
    while expire and max(ages) < expire:
        expire //= 2
    return [age for age in ages if age >= expire]


def batch(requests: list[tuple[int, int]]) -> tuple[list[int], list[int], int]:
    """requests: (order, what it allows). (those served together, those left, the order), by position."""
    allowed = requests[0][1]
    taken = [i for i, (_, allows) in enumerate(requests) if allows == allowed]
    left = [i for i, (_, allows) in enumerate(requests) if allows != allowed]
    return taken, left, max(requests[i][0] for i in taken)
