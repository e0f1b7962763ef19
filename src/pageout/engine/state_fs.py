# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of filesystems, for `engine.state`: what every one has, and XFS with its log, buffers and trees."""

I8 = "i8"

FILESYSTEM = tuple(
    (name, I8)
    for name in (
        "kind bdi nr_blocks free_blocks delalloc fragment_pages nr_groups bitmap reserved_blocks "
        "first_block "  # where on its disk it begins
        "cow meta_inode "  # the inode that caches its metadata blocks; NIL: none
        # the journal: its inode (NIL: none), where it writes next; transactions: running, last committed, being written
        "journal_inode journal_head tid committed_tid shadow_tid commit_request trans_blocks trans_expires_ns "
        "commit_ns ordered journald wait_queue reserved_extents "
        "xfs"  # row of the table xfs; NIL if it is of another kind, or allocates when it writes
    ).split()
)

# XFS beside what every filesystem has: its log, its buffers, its trees. Rows of the tables named xfs_*, iclog, slab.
XFS = tuple(
    (name, I8)
    for name in (
        "fs inode nr_ags ag_blocks free_slot next_slot nr_slots log_start log_blocks log_pos head synced "
        "reserved reserve_bytes "
        # where are: its rows of xfs_block (AG headers first), its inodes' rows and trees, the slot of row 0
        "first_row inode_rows inode_trees slots bitmap "
        "log_bytes iclog_cur iclog_oldest ail_head ail_tail nr_ail push daemon wait nr_trans_open "
        "meta_reads meta_writes log_writes log_forces log_waits splits joins shifts redirtied grants_slept agf_waits"
    ).split()
)
# An allocation group: its header block; its list of free metadata blocks; the task whose transaction has it locked.
XFS_AG = tuple((name, I8) for name in "slot fl_first fl_count lock_owner".split())
# A metadata block: an AG header, an inode, a btree block. Page of the metadata inode: row less the filesystem's first.
XFS_BLOCK = tuple(
    (name, I8)
    for name in (
        "tree block nr key last next prev state lsn when_ms ail_next ail_prev in_trans trans_next held has_buf is_item"
    ).split()
)
# A btree: 2 for each allocation group (by block, by size), then one for the extents of each inode.
XFS_TREE = tuple((name, I8) for name in "kind ag head root nr_leaves nr capacity locked inode fs hint top_hint".split())
ICLOG = tuple((name, I8) for name in "state used start_lsn end_lsn bios nr_trans".split())
SLAB = tuple((name, I8) for name in "per_slab nr_free nr_used nr_pages head".split())
