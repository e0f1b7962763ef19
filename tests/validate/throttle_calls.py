# SPDX-License-Identifier: GPL-2.0-or-later
"""The functions of `kernel/mm/dirty_throttle`, compiled, callable from tests by name."""

import numpy as np

from pageout.jit import bind_state, kentry, kernel_view
from pageout.kernel.mm import dirty_throttle as dt

CALL = np.dtype([(name, "i8") for name in (*"abcdefgh", "first", "second")])
LAYOUT = {"call": (CALL, True)}
_at = kernel_view(LAYOUT)
NAMES = (
    "pos_ratio_polynom", "wb_position_ratio", "strict_position_ratio", "next_write_bandwidth", "next_avg_bandwidth",
    "balanced_rate", "next_dirty_ratelimit", "dirty_poll_interval", "wb_max_pause", "wb_min_pause", "pause_of",
    "writeback_chunk_size", "follow_dirty_limit", "wb_calc_thresh",
)  # fmt: skip


def throttle_call(address, which):
    k = _at(address)
    c = k.call
    c.second = 0
    if which == 0:
        c.first = dt.pos_ratio_polynom(c.a, c.b, c.c)
    elif which == 1:
        c.first = dt.wb_position_ratio(c.a, c.b, c.c, c.d, c.e, c.f, c.g, c.h)
    elif which == 2:
        c.first = dt.strict_position_ratio(c.a, c.b, c.c, c.d, c.e, c.f, c.g)
    elif which == 3:
        c.first = dt.next_write_bandwidth(c.a, c.b, c.c, c.d)
    elif which == 4:
        c.first = dt.next_avg_bandwidth(c.a, c.b, c.c, c.d, c.e)
    elif which == 5:
        c.first = dt.balanced_rate(c.a, c.b, c.c)
    elif which == 6:
        c.first = dt.next_dirty_ratelimit(c.a, c.b, c.c, c.d, c.e, c.f)
    elif which == 7:
        c.first = dt.dirty_poll_interval(c.a, c.b)
    elif which == 8:
        c.first = dt.wb_max_pause(c.a, c.b, c.c)
    elif which == 9:
        shortest, pages = dt.wb_min_pause(c.a, c.b, c.c, c.d, c.e)
        c.first = shortest
        c.second = pages
    elif which == 10:
        c.first = dt.pause_of(c.a, c.b, c.c, c.d)
    elif which == 11:
        c.first = dt.writeback_chunk_size(c.a, c.b, c.c)
    elif which == 12:
        c.first = dt.follow_dirty_limit(c.a, c.b, c.c)
    else:
        c.first = dt.wb_calc_thresh(c.a, c.b, c.c, c.d, c.e)
    return 0


_unit = kentry(throttle_call)


def compiled(name: str, *arguments: int) -> tuple[int, int]:
    """What the function returns; second: 0 if it returns one number."""
    call = np.zeros(1, CALL)
    for letter, value in zip("abcdefgh", arguments, strict=False):
        call[letter] = value
    block, address = bind_state({"call": call}, LAYOUT)
    _unit(address, NAMES.index(name))
    del block
    return int(call["first"][0]), int(call["second"][0])
