# SPDX-License-Identifier: GPL-2.0-or-later
"""The unit that only runs with lru=gen; the others are in dispatch.py."""

from pageout.engine.constants import RUN, SWITCH
from pageout.engine.kstack import frame_of
from pageout.engine.state import kernel_at
from pageout.jit import kentry, kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.vmscan_gen import lru_gen_shrink_lruvec, shrink_node_gen


@kfn
def _gen_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.shrink_node:
        return shrink_node_gen(k, t, f)
    if fn == FN.lru_gen_shrink_lruvec:
        return lru_gen_shrink_lruvec(k, t, f)
    return SWITCH


@kentry
def gen_unit(address, t):
    """The scan of a node with lru=gen."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _gen_step(k, t)
    return verb
