"""Flushers serve the file with the fewest dirty pages first: small files are safe soon, large ones wait."""

import pageout


@pageout.policy("next_inode")
def smallest_first(inode, ctx, age_ms):
    """The highest value is served. A file that has waited longer than ctx.knob0 ms goes before all others."""
    ctx.acc0 += 1
    if ctx.knob0 > 0 and age_ms > ctx.knob0:
        return age_ms
    return -inode.nr_dirty
