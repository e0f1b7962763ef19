# SPDX-License-Identifier: GPL-2.0-or-later
"""Stack chains that were mailed in April 2010, come to by control flow.

Each test sets a filesystem and a memory to a state, lets a task run through the units' own steps, and reads the deepest
chain the engine has recorded: the same functions in the same order, the same depth. Source of the chains:
linux-kernel, Message-IDs 20100408030347.GM11036@dastard (A), 4BBF2F18.10507@humyo.com (B and C),
4BBDEC9A.9070903@humyo.com (D).
"""

from tests.kernel.fs.test_xfs import cached
from tests.kernel.lab import FILE, HUGE_SLICE, Lab, lab

from pageout.engine import constants as c
from pageout.engine import kstack
from pageout.kernel import frames
from pageout.kernel.frames import FN
from pageout.kernel.fs import xfs_trees
from pageout.kernel.mm import slab
from pageout.machine import dispatch

RECLAIM = (
    "alloc_pages_current __alloc_pages_nodemask try_to_free_pages do_try_to_free_pages shrink_zone shrink_page_list"
)
MAP = "xfs_vm_writepage xfs_page_state_convert xfs_map_blocks xfs_iomap xfs_iomap_write_allocate"
SPLIT = (
    "xfs_bmapi xfs_bmap_add_extent xfs_bmap_add_extent_delay_real xfs_btree_insert xfs_btree_insrec "
    "xfs_btree_make_block_unfull xfs_btree_split xfs_bmbt_alloc_block xfs_alloc_vextent xfs_alloc_ag_vextent "
    "xfs_alloc_ag_vextent_near"
)
READ = "xfs_btree_lookup xfs_btree_lookup_get_block xfs_btree_read_buf_block xfs_trans_read_buf xfs_buf_read"
SUBMIT = "submit_bio generic_make_request __make_request"
WRITER = (
    "system_call_fastpath sys_write vfs_write do_sync_write xfs_file_aio_write xfs_write generic_file_buffered_write "
    "balance_dirty_pages_ratelimited_nr writeback_inodes_wbc writeback_inodes_wb writeback_single_inode do_writepages "
    "xfs_vm_writepages generic_writepages write_cache_pages __writepage"
)
SELECT = "system_call_fastpath sys_select core_sys_select do_select sock_poll unix_poll __pollwait __get_free_pages"

CHAIN_A = (
    f"{SELECT} {RECLAIM} {MAP} {SPLIT} xfs_alloc_fixup_trees xfs_alloc_lookup_eq {READ} _xfs_buf_read "
    f"xfs_buf_iorequest _xfs_buf_ioapply {SUBMIT}"
)
CHAIN_B = (
    f"{RECLAIM} {MAP} xfs_bmapi xfs_bmap_alloc xfs_bmap_btalloc xfs_alloc_vextent xfs_alloc_fix_freelist "
    "xfs_free_ag_extent xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_split "
    "xfs_allocbt_alloc_block xfs_alloc_get_freelist xfs_alloc_search_busy xfs_log_force _xfs_log_force "
    "xlog_state_sync xlog_state_release_iclog xlog_sync xlog_bdstrat_cb xfs_buf_iorequest _xfs_buf_ioapply "
    f"{SUBMIT}"
)
CHAIN_C = (
    f"{WRITER} {MAP} xfs_trans_alloc _xfs_trans_alloc kmem_zone_zalloc kmem_zone_alloc kmem_cache_alloc __slab_alloc "
    f"new_slab {RECLAIM} {MAP} {SPLIT} xfs_alloc_fixup_trees xfs_btree_delete xfs_btree_delrec xfs_btree_rshift "
    "xfs_btree_increment xfs_btree_readahead xfs_btree_readahead_sblock xfs_buf_readahead xfs_buf_read xfs_buf_get "
    "_xfs_buf_find down_trylock"
)
CHAIN_D = (
    f"{WRITER} {MAP} {SPLIT} xfs_alloc_lookup_ge {READ} xfs_buf_get _xfs_buf_lookup_pages find_or_create_page "
    f"__page_cache_alloc {RECLAIM} try_to_release_page xfs_vm_releasepage try_to_free_buffers free_buffer_head "
    "kmem_cache_free __slab_free add_partial"
)
NEAR_KEY = 1 << 20


def names(m: Lab) -> list[str]:
    """Functions of the deepest chain recorded, outermost first."""
    found: list[str] = []
    for i in range(m.k.stat.peak_nr):
        found += frames.names_in_chain(m.k.chain[i])
    return found


def starts_with(chain: list[str], wanted: str) -> None:
    """The chain is the wanted one; below it may lie more of the block layer and the driver."""
    functions = wanted.split()
    assert chain[: len(functions)] == functions


def depth_of(chain: list[str]) -> int:
    return sum(frames.SIZES[name][0] for name in chain)


def run(m: Lab, turns: int = 3000) -> None:
    """Let the task's frames run as the dispatcher would, waking it whenever it sleeps in congestion_wait."""
    steps = {"mm": dispatch._mm_step, "block": dispatch._block_step, "xfs": dispatch._xfs_step,
             "writeback": dispatch._writeback_step, "task": dispatch._task_step}  # fmt: skip
    bottom = m.task.depth
    for _ in range(turns):
        m.k.stat.slice_ns = HUGE_SLICE
        verb = steps[frames.TABLE[m.f.fn].unit](m.k, m.t)
        if m.task.depth < bottom:
            return
        if verb == c.SLEEP:
            if m.f.fn != FN.congestion_wait:
                return
            m.wake(10_000_000, woken=0)


def aged(fill_a_tree: bool = True, driver: str = "ahci") -> Lab:
    """A machine short of memory, a file whose tree's only leaf is full, free space of three leaves by size."""
    m = lab(disk_mb=512, disk=(("driver", driver),))
    k = m.k
    for zone in range(2):
        k.zone[zone].wmark_min = k.zone[zone].wmark_low = k.zone[zone].wmark_high = 1 << 30
    for cache in range(slab.NR_CACHES):
        k.slab[cache].nr_free = 100
    cached(m, k.xfs_ag[0].slot)
    by_size, by_block = k.xfs_tree[1], k.xfs_tree[0]
    cached(m, by_block.head)
    for ag_leaf in (by_size.head,):
        cached(m, ag_leaf)
    k.inode[FILE].last_block = 99
    if fill_a_tree:
        tree = xfs_trees.tree_of_inode(k, 0, FILE)
        leaf = xfs_trees.take_slot(k, 0, tree, 50)
        k.xfs_tree[tree].nr = xfs_trees.BMBT_RECORDS
        xfs_trees.plant(k, 0, tree, leaf)
        k.xfs_block[leaf].last = 1024
        cached(m, leaf)
    assert k.xfs_ag[0].lock_owner == c.NIL
    return m


def by_size_leaves(m: Lab, *leaves: tuple[int, int, bool]) -> None:
    """Make the by-size tree of AG 0 of these leaves: first key, records, cached or not."""
    tree, first = m.k.xfs_tree[1], m.k.xfs_tree[1].head
    tree.head, tree.nr, tree.nr_leaves = c.NIL, 0, 0
    tail = c.NIL
    for i, (key, nr, is_cached) in enumerate(leaves):
        leaf = first if i == 0 else xfs_trees.take_slot(m.k, 0, 1, 60 + i)
        m.k.xfs_block[leaf].next = c.NIL
        xfs_trees.append_leaf(m.k, 1, tail, leaf, key, nr)
        slot = m.k.slot[m.k.inode[m.k.xfs[0].inode].slot_start + leaf]
        if is_cached and slot.page == c.NIL:
            cached(m, leaf)
        elif not is_cached:
            slot.page = c.NIL
        tail = leaf
    m.k.xfs_block[tail].last = NEAR_KEY
    tree.root = xfs_trees.take_slot(m.k, 0, 1, 70)
    cached(m, tree.root)
    m.k.xfs_agfl[m.k.xfs_ag[0].fl_count].block = 3000  # what a second level asks for
    m.k.xfs_ag[0].fl_count += 1


def dirty_delayed(m: Lab, index: int) -> int:
    page = m.page(index=index, dirty=True)
    m.k.page[page].pflags |= c.PG_DELAYED
    m.k.inode[FILE].delayed += 1
    m.k.fs[0].reserved_blocks += 1
    return page


def clean_pages(m: Lab) -> None:
    """Pages younger than those made before, so that the lists are long enough to be scanned."""
    for i in range(64):
        m.page(index=100 + i)


def push_writer(m: Lab) -> None:
    """The frames of a writer that has been made to write back."""
    for name in ("sys_write", "balance_dirty_pages", "writeback_inodes_wb", "writeback_single_inode",
                 "write_cache_pages"):  # fmt: skip
        m.enter(name)


def write_page(m: Lab, page: int) -> None:
    """write_cache_pages calls the filesystem for a page."""
    m.k.page[page].pflags = m.k.page[page].pflags & ~c.PG_DIRTY | c.PG_LOCKED
    m.k.inode[FILE].nr_dirty -= 1
    kstack.call_via(m.k, m.t, m.f, FN.xfs_vm_writepage, 1, frames.LEAF.writepage, page, 3, 1)


def test_chain_a_select_reclaim_xfs_split_metadata_read() -> None:
    m = aged()
    by_size_leaves(m, (0, 400, True), (101, 400, False), (500_000, 400, True))
    dirty_delayed(m, 10)
    clean_pages(m)
    for zone in range(2):  # enough again for what reclaim itself needs
        m.k.zone[zone].wmark_min = m.k.zone[zone].wmark_low = m.k.zone[zone].wmark_high = 8
    m.enter("sys_select")
    m.enter("do_select")
    m.enter("alloc_pages")
    kstack.call(m.k, m.t, m.f, FN.try_to_free_pages, 1, 0, c.GFP_KERNEL, 0)

    run(m)

    chain = names(m)
    starts_with(chain, CHAIN_A)
    assert abs(depth_of(chain) - 7568) <= 0.05 * 7568
    assert m.k.stat.peak <= depth_of(["user", *chain])


def test_chain_b_a_free_list_block_not_yet_on_disk_forces_the_log_from_within_a_split() -> None:
    m = aged(fill_a_tree=False, driver="sata_mv")
    by_size_leaves(m, (0, 510, True))
    m.k.xfs_tree[1].root, m.k.xfs_tree[1].nr_leaves = c.NIL, 1
    x, ag = m.k.xfs[0], m.k.xfs_ag[0]
    for pool in range(c.NR_SG_POOLS):  # a scatter table is at hand
        m.k.sg_pool[pool].objects = 100
    need = 4
    for i in range(need + 1):
        m.k.xfs_agfl[i].block, m.k.xfs_agfl[i].lsn = 3000 + 2 * i, 0 if i == 0 else 900
    for block in range(2999, 3010):  # so that a block given back is a free extent of its own
        m.k.bits[m.k.fs[0].bitmap + (block >> 5)] |= 1 << (block & 31)
    ag.fl_first, ag.fl_count = 0, need + 1
    x.head = m.k.iclog[0].used = 1000
    dirty_delayed(m, 10)
    clean_pages(m)
    kstack.call(m.k, m.t, m.f, FN.alloc_pages, 1, 0, c.GFP_KERNEL, 0)

    run(m)

    chain = names(m)
    at = chain.index("alloc_pages_current")
    starts_with(chain[at:], CHAIN_B)
    # sendfile's 1664 above, and down to _xfs_buf_ioapply 6544 in the trace
    assert depth_of(chain[at : chain.index("submit_bio")]) + 1664 == 6544
    # the log write is ordered by a cache flush, for which sata_mv wakes a thread
    assert chain[-1] == "select_task_rq_fair"
    assert abs(depth_of(chain[at:]) + 1664 - 8336) <= 0.05 * 8336
    assert x.log_forces == 1


def test_chain_c_a_writer_enters_xfs_again_through_the_memory_of_its_own_transaction() -> None:
    m = aged()
    by_size_leaves(m, (0, 400, True), (101, 255, True), (500_000, 255, True))
    outer, inner = dirty_delayed(m, 500), dirty_delayed(m, 10)
    clean_pages(m)
    m.k.slab[slab.CACHE_XFS_TRANS].nr_free = 0
    m.k.page[outer].refs = 1  # the writer holds it
    push_writer(m)
    write_page(m, outer)

    run(m)

    chain = names(m)
    starts_with(chain, CHAIN_C)
    assert depth_of(chain) == 8528
    assert m.k.page[inner].pflags & c.PG_WRITEBACK


def test_chain_d_metadata_memory_inside_a_transaction_reclaims_without_entering_a_filesystem() -> None:
    m = aged()
    last = m.k.xfs[0].ag_blocks - 1
    m.k.inode[FILE].last_block = last - 1
    for block in range(last):  # one block is left in AG 0, so the tree's new block comes from AG 1
        m.k.bits[m.k.fs[0].bitmap + (block >> 5)] |= 1 << (block & 31)
    m.k.xfs_tree[0].nr = m.k.xfs_tree[1].nr = 1
    for leaf in (m.k.xfs_tree[0].head, m.k.xfs_tree[1].head):
        m.k.xfs_block[leaf].nr = 1
    cached(m, m.k.xfs_ag[1].slot)
    page = dirty_delayed(m, 10)
    clean_pages(m)
    m.k.page[page].refs = 1
    push_writer(m)
    write_page(m, page)

    run(m)

    chain = names(m)
    starts_with(chain, CHAIN_D)
    assert abs(depth_of(chain) - 7440) <= 0.005 * 7440
    assert m.k.stat.written_direct == 0
