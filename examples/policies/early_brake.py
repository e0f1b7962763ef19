"""Hold writers as soon as more than ctx.knob0 percent of the dirty limit is dirty or on its way to the disk."""

import pageout


@pageout.policy("throttle")
def early_brake(view, ctx, nr_pauses):
    """acc0 counts how often a writer was asked about, acc1 how often it was held."""
    ctx.acc0 += 1
    if (view.nr_dirty + view.nr_writeback) * 100 <= view.dirty_limit * ctx.knob0:
        return 0
    ctx.acc1 += 1
    return 1
