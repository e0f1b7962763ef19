# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages with buffers: writing one page where it lies, and the metadata blocks one must have read to know where.

The block device's own pages hold metadata: an inode a filesystem, on the LRU as any file's. So a metadata block that
was reclaimed is read again, and reading one takes a page first.
Source: Linux v2.6.34 fs/buffer.c, fs/ext2/inode.c, fs/ext3/inode.c, fs/ext4/inode.c, fs/btrfs/inode.c.
"""

from pageout.engine.constants import (
    ENTRY,
    FS_BTRFS,
    FS_EXT4,
    GFP_HARDWALL,
    GFP_MOVABLE,
    GFP_NOFS,
    NIL,
    PF_MEMALLOC,
    PG_DELAYED,
    PG_LOCKED,
    PG_PRIVATE,
    PG_UPTODATE,
    READ,
)
from pageout.engine.kstack import call, ret, touch
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_add, bio_alloc
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.extents import (
    convert_delayed,
    get_branch_of,
    group_bitmap,
    metadata_cached,
    metadata_slot,
    new_indirect,
)
from pageout.kernel.fs.writepage import count_written, refuse_page, start_page
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import (
    add_to_page_cache,
    block_of,
    find_page,
    set_page_dirty,
)

ENOMEM, ENOSPC = -12, -28
GFP_METADATA = GFP_NOFS | GFP_HARDWALL | GFP_MOVABLE  # a block device's pages, without GFP_FS: grow_dev_page


@kfn
def _refused(k, t, page):
    """ext4 allocates for nobody but its own writepages, btrfs writes for no one who is short of memory."""
    kind = k.fs[k.inode[k.page[page].mapping].fs].kind
    if kind == FS_EXT4:
        return k.page[page].pflags & PG_DELAYED
    return kind == FS_BTRFS and k.task[t].tflags & PF_MEMALLOC


@kfn
def block_write_full_page(k, t, f):
    """Write one page where it lies; a page that came by a mapping may need an indirect block to be read first.

    f.a, f.b   in: page (its dirty mark taken by the caller), submitter.  Returns 0.  Sleeps: yes.
    """
    MAPPED, SUBMITTED = 1, 2
    pc = f.pc
    if pc == SUBMITTED:
        return ret(k, t, f, 0)
    pg = k.page[f.a]
    if pc == ENTRY:
        f.inode, f.index = pg.mapping, pg.index
        if _refused(k, t, f.a):
            refuse_page(k, t, f.a, f.b)
            return ret(k, t, f, 0)
        if not pg.pflags & PG_PRIVATE and not metadata_cached(k, f.inode, f.index):
            return call(k, t, f, get_branch_of(k, f.inode), MAPPED, f.inode, f.index, 0)
    elif k.task[t].retval < 0:
        refuse_page(k, t, f.a, f.b)
        return ret(k, t, f, 0)
    pg.pflags |= PG_PRIVATE
    if pg.pflags & PG_DELAYED:
        touch(k, t, LEAF.btrfs_allocate if k.fs[k.inode[f.inode].fs].kind == FS_BTRFS else LEAF.ext2_allocate)
        convert_delayed(k, f.inode, f.index)
    f.pos = block_of(k, f.inode, f.index)
    start_page(k, t, f.a)
    f.bio = bio_add(k, NIL, NIL, f.inode, f.index, f.pos, 1, k.task[t].wbc_sync if f.b >= 2 else 0, f.b)
    count_written(k, t, f.b, 1)
    return call(k, t, f, FN.submit_bio, SUBMITTED, f.bio, 0, 0)


@kfn
def bread(k, t, f):
    """Have the metadata block in memory that says where a page lies (ext2, ext3), or what is free there (ext4).

    f.a, f.b   in: inode, page index.  Returns 0, -ENOMEM or -ENOSPC.  Sleeps: yes, on memory and on the device.
    """
    ALLOCATED, READ_IN, UNLOCKED = 1, 2, 3
    if f.pc == ENTRY:
        f.inode = k.fs[k.inode[f.a].fs].meta_inode
        loads_group = f.fn == FN.ext4_mb_load_buddy
        f.index = group_bitmap(k, f.a, f.b) if loads_group else metadata_slot(k, f.a, f.b)
        if not loads_group and block_of(k, f.inode, f.index) == NIL:
            if new_indirect(k, f.a, f.b):
                return ret(k, t, f, ENOSPC)
            f.flag = 1
    elif f.pc == ALLOCATED:
        page = k.task[t].retval
        if page == NIL:
            return ret(k, t, f, ENOMEM)
        if find_page(k, f.inode, f.index) == NIL:
            add_to_page_cache(k, t, page, f.inode, f.index, 0)
        else:
            free_page(k, t, page, 0)
    page = find_page(k, f.inode, f.index)
    if page == NIL:
        page = try_alloc(k, t, 0, GFP_METADATA)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, ALLOCATED, 0, GFP_METADATA, 0)
        add_to_page_cache(k, t, page, f.inode, f.index, 0)
    pg = k.page[page]
    if pg.pflags & PG_LOCKED:
        return call(k, t, f, FN.wait_on_page, UNLOCKED, page, PG_LOCKED, 0)
    if pg.pflags & PG_UPTODATE:
        return ret(k, t, f, 0)
    pg.pflags |= PG_PRIVATE
    if f.flag:
        pg.pflags |= PG_UPTODATE
        set_page_dirty(k, t, page)
        return ret(k, t, f, 0)
    pg.pflags |= PG_LOCKED
    k.stat.metadata_reads += 1
    bio = bio_alloc(k, f.inode, f.index, block_of(k, f.inode, f.index), READ, 1, 0)
    return call(k, t, f, FN.submit_bio, READ_IN, bio, 0, 0)
