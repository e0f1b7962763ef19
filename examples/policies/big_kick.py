"""Direct reclaim asks flushers for ctx.knob0 times what it scanned, but only once it gets nowhere."""

import pageout


@pageout.policy("wake_flushers")
def big_kick(view, ctx, priority):
    """acc0 counts failing passes, acc1 pages asked for."""
    ctx.acc0 += 1
    if view.nr_reclaimed > 0:
        return 0
    ctx.acc1 += view.nr_scanned * ctx.knob0
    return view.nr_scanned * ctx.knob0
