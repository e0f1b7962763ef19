# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a bio: its pages, the bio it was cloned from, the stripe or the far request it belongs to.

Source: Linux v2.6.34 fs/bio.c:bio_endio, fs/buffer.c, mm/page_io.c; drivers/md/raid1.c:raid1_end_write_request;
drivers/md/dm.c:dec_pending; drivers/md/raid5.c:raid5_end_write_request.
"""

from pageout.engine.constants import (
    DEV_RAID1,
    END_CHILD,
    END_IOEND,
    END_PAGES,
    END_PART,
    END_STRIPE,
    END_XFS,
    KLOG_PAGE_LOST,
    KLOG_SWAP_ERROR,
    NIL,
    PG_ERROR,
    PG_RECLAIM,
    PG_SWAPBACKED,
    PG_UPTODATE,
    RATELIMIT_BUFFER,
)
from pageout.engine.klog import klog, printk_ratelimit
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_free
from pageout.kernel.drivers.stripes import stripe_io_done
from pageout.kernel.drivers.wire import send_response
from pageout.kernel.fs.journal import reserve_extent
from pageout.kernel.fs.xfs_items import xfs_end_io
from pageout.kernel.mm.dirty_limits import count_completion
from pageout.kernel.mm.filemap import end_page_writeback, redirty_page, unlock_page
from pageout.kernel.mm.wb_rates import count_written

EIO = -5


@kfn
def _end_write_page(k, page, failed):
    """One page of a finished write. A file page that failed is lost, a swap page stays dirty.

    Source: Linux v2.6.34 fs/buffer.c:end_buffer_async_write, mm/page_io.c:end_swap_bio_write.
    """
    pg = k.page[page]
    bdi = k.inode[pg.mapping].bdi
    if not k.bdi[bdi].is_swap:
        count_completion(k, bdi)
        count_written(k, bdi)
    k.vm.nr_written += 1
    if failed:
        pg.pflags |= PG_ERROR
        pg.pflags &= ~PG_RECLAIM
        k.inode[pg.mapping].io_error = EIO
        block = k.slot[k.inode[pg.mapping].slot_start + pg.index].block
        if pg.pflags & PG_SWAPBACKED:
            klog(k, -1, KLOG_SWAP_ERROR, NIL, k.bdi[bdi].queue, block * 8, 0, 0)
            redirty_page(k, -1, page)
        else:
            if printk_ratelimit(k, -1, RATELIMIT_BUFFER):
                klog(k, -1, KLOG_PAGE_LOST, NIL, k.bdi[bdi].queue, block, 0, 0)
            k.stat.pages_lost += 1
            k.stat.lost_io += 1
    elif not pg.pflags & PG_SWAPBACKED:
        k.stat.pages_cleaned_total += 1
    end_page_writeback(k, page)


@kfn
def _end_pages(k, bio, failed):
    """End the pages of a bio that came from a filesystem or from swap; count it as the machine's I/O."""
    b = k.bio[bio]
    if b.is_write:
        k.vm.pgpgout += b.nr_pages * 4
    else:
        k.vm.pgpgin += b.nr_pages * 4
    if b.end == END_XFS:
        xfs_end_io(k, b.inode, b.index)
        return
    start = k.inode[b.inode].slot_start + b.index
    for i in range(b.nr_pages):
        page = k.slot[start + i].page
        if b.is_write:
            _end_write_page(k, page, failed)
        else:
            k.page[page].pflags |= PG_UPTODATE
            unlock_page(k, page)


@kfn
def _leave_member(k, member, end_block):
    """A member has finished a bio: its head is now there (md's head_position)."""
    if member != NIL:
        k.member[member].pending -= 1
        k.member[member].head = end_block


@kfn
def _verdict(k, bio):
    """Did a bio fail whose parts are all done? A mirror's write fails only if no copy could be written."""
    b = k.bio[bio]
    q = k.queue[b.queue]
    failed = 1 if b.failed > 0 else 0
    if q.kind == DEV_RAID1 and b.is_write and b.failed < q.nr_members:
        failed = 0
    q.errors += failed
    return failed


@kfn
def _join_ioend(k, bio, failed):
    """A bio of an extent is done; its pages stay under writeback until all bios of the extent are.

    Source: Linux v6.1 fs/ext4/page-io.c:ext4_end_bio, fs/iomap/buffered-io.c:iomap_finish_ioend.
    """
    b = k.bio[bio]
    whole = b.parent
    b.failed, b.parent, b.next = failed, NIL, k.bio[whole].next
    k.bio[whole].next = bio
    ioend_put(k, whole)


@kfn
def ioend_put(k, whole):
    """One bio of an extent is done, or no more will be added: the last ends the pages of all."""
    k.bio[whole].children -= 1
    if k.bio[whole].children > 0:
        return
    bio = k.bio[whole].next
    while bio != NIL:
        following = k.bio[bio].next
        _end_pages(k, bio, k.bio[bio].failed)
        bio_free(k, bio)
        bio = following
    if k.bio[whole].inode != NIL:
        reserve_extent(k, k.inode[k.bio[whole].inode].fs, -1)
    bio_free(k, whole)


@kfn
def bio_endio(k, bio, failed):
    """A bio is done; a clone ends the bio it was made for once that has no other part left, and so on up the stack."""
    while bio != NIL:
        b = k.bio[bio]
        kind, parent = b.end, b.parent
        _leave_member(k, b.member, b.block + b.nr_pages)
        if kind == END_PAGES or kind == END_XFS:
            _end_pages(k, bio, failed)
            bio_free(k, bio)
            return
        if kind == END_IOEND:
            _join_ioend(k, bio, failed)
            return
        member = b.member
        bio_free(k, bio)
        if kind == END_STRIPE:
            stripe_io_done(k, parent, member, failed)
            return
        if kind == END_PART:
            whole = k.bio[parent]
            whole.failed += failed
            whole.children -= 1
            bio = parent if whole.children == 0 else NIL
            failed = 1 if whole.failed > 0 else 0
            continue
        if kind != END_CHILD:
            send_response(k, parent, failed)
            return
        bio = NIL
        p = k.bio[parent]
        p.failed += failed
        p.children -= 1
        if p.children == 0:
            bio = parent
            failed = _verdict(k, bio)


@kfn
def bio_put(k, bio, failed):
    """One part of a bio is done: `failed` counts what went wrong; the last part ends it."""
    b = k.bio[bio]
    b.failed += failed
    b.children -= 1
    if b.children == 0:
        bio_endio(k, bio, _verdict(k, bio))


@kfn
def part_done(k, bio, failed):
    """One request's share of a bio is done, or all of it has been sent: the last ends it."""
    b = k.bio[bio]
    b.failed += failed
    b.children -= 1
    if b.children == 0:
        bio_endio(k, bio, 1 if b.failed > 0 else 0)
