# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a page: until it is unlocked, or its writeback has ended.

Source: Linux v2.6.34 mm/filemap.c:wait_on_page_bit, __lock_page, sync_page.
"""

from pageout.engine.constants import NIL
from pageout.engine.kstack import ret
from pageout.engine.waitqueue import sleep_on_page
from pageout.jit import kfn
from pageout.kernel.block.blk_core import request_unplug


@kfn
def wait_on_page(k, t, f):
    """Sleep until a page has none of the flags f.b (locked, writeback). f.a in: page. Sleeps: yes."""
    pg = k.page[f.a]
    if not pg.pflags & f.b:
        return ret(k, t, f, 0)
    if pg.mapping != NIL:
        request_unplug(k, t, k.bdi[k.inode[pg.mapping].bdi].queue)
    f.pc = 1
    return sleep_on_page(k, t, f.a)
