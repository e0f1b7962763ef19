# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of what filesystems decide, from the reference alone: section 13. Pages are a text: d delayed, m dirty with a
block, w under writeback, l locked, . clean."""


def dirty_run(pages: str, index: int, most: int) -> int:
    """How many delayed dirty pages follow in a row."""
    return min(most, len(pages[index:]) - len(pages[index:].lstrip("d")))


def ext4_extents(pages: str, budget: int, largest: int) -> list[tuple[int, int]]:
    """(first, length) of each run written as one: dirty pages of one kind in a row, as far as the budget goes."""
    extents, index = [], 0
    while index < len(pages) and budget > 0:
        kind = pages[index]
        if kind in "dm":
            length = 0
            while index + length < len(pages) and pages[index + length] == kind and length < min(budget, largest):
                length += 1
            extents.append((index, length))
            index += length
            budget -= length
        else:
            index += 1
    return extents


def indirect_blocks(indices: list[int]) -> int:
    """Indirect blocks one must have read to write these pages of a file of ext2: one per 1024 after the twelfth."""
    return len({(index - 12) // 1024 for index in indices if index >= 12})
