"""Spare the odd-numbered pages of every file until reclaim is desperate: at or below the priority in ctx.knob0."""

import pageout
from pageout.engine.constants import PAGE_ACTIVATE, PAGE_RECLAIM


@pageout.policy("isolate")
def spare_odd(page, ctx, priority):
    """acc0 counts pages judged, acc1 those spared."""
    ctx.acc0 += 1
    if page.index & 1 and priority > ctx.knob0:
        ctx.acc1 += 1
        return PAGE_ACTIVATE
    return PAGE_RECLAIM
