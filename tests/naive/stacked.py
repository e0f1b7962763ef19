# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the stacked devices: layouts drawn out block by block, and what a RAID5 has to read before it writes."""


def raid0_layout(members: int, chunk: int, rows: int) -> dict[int, tuple[int, int]]:
    """array block -> (member, its block): deal out chunks like cards, `rows` to each member."""
    layout, block = {}, 0
    for row in range(rows):
        for member in range(members):
            for i in range(chunk):
                layout[block] = (member, row * chunk + i)
                block += 1
    return layout


def linear_layout(sizes: list[int]) -> dict[int, tuple[int, int]]:
    """array block -> (member, its block): one member after the other."""
    places = [(member, i) for member, size in enumerate(sizes) for i in range(size)]
    return dict(enumerate(places))


def raid5_layout(members: int, chunk: int, rows: int) -> tuple[dict[int, tuple[int, int]], dict[int, int]]:
    """(array block -> (member, its block), member's row -> member with the parity): left-symmetric.

    Parity begins on the last member and steps back one a row; data begins after the parity and wraps round.
    """
    layout, parity, block = {}, {}, 0
    at = members - 1
    for row in range(rows):
        parity[row] = at
        for step in range(1, members):
            for i in range(chunk):
                layout[block] = ((at + step) % members, row * chunk + i)
                block += 1
        at = (at - 1) % members
    return layout, parity


def reads_before_write(members: int, parity: int, written: set[int], known: set[int]) -> set[int]:
    """Members to read before a stripe's parity can be written: the smaller set of two, reconstructing at a tie."""
    modify = {i for i in written | {parity} if i not in known}
    rebuild = {i for i in range(members) if i != parity and i not in written and i not in known}
    if not modify or not rebuild:
        return set()
    return modify if len(modify) < len(rebuild) else rebuild
