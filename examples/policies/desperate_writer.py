"""Reclaim writes dirty pages itself only when desperate: from the priority in ctx.knob0 down (12 calm, 0 last)."""

import pageout


@pageout.policy("dirty_page")
def desperate_writer(page, ctx, priority):
    """acc0 counts dirty pages met, acc1 those written from reclaim."""
    ctx.acc0 += 1
    if priority > ctx.knob0:
        return 0
    ctx.acc1 += 1
    return 1
