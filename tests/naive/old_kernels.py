# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of what older kernels did, from docs/explanation/before-2.6.16.md alone."""


def limits(*, total: int, anon: int, ratio: int, background_ratio: int) -> tuple[int, int]:
    """(background, dirty) of 2.6.14: percents of all memory, dirty_ratio at most half of what is not mapped."""
    unmapped = 100 - anon * 100 // total
    percent = max(5, min(ratio, unmapped // 2))
    dirty = percent * total // 100
    background = background_ratio * total // 100
    return (background if background < dirty else dirty // 2), dirty


def held(*, dirty: int, writeback: int, own_dirty: int, limit: int) -> str:
    """What 2.6.14's balance_dirty_pages does first."""
    if dirty + writeback <= limit:
        return "stop"
    return "write" if own_dirty else "pause"


def batches(anon: int, file: int, freed_each: int, *, bail: str, priority: int) -> list[int]:
    """Lists (0 anonymous, 2 file) in the order in which a zone's shares are scanned, 32 pages each, for 32 wanted."""
    left, seen, freed = {0: anon, 2: file}, [], 0
    while any(left.values()):
        for which in (0, 2):
            if left[which]:
                left[which] = max(0, left[which] - 32)
                seen.append(which)
                freed += freed_each
                if bail == "batch" and freed >= 32:
                    return seen
        if bail == "priority" and priority < 12 and freed >= 32:
            return seen
    return seen
