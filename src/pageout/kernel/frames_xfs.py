# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames, rows and leaf chains of XFS: its writepage, allocation in a transaction, its buffers and its log.

`kernel.frames` takes them up; sizes and their sources as there. Order of the functions: Linux v2.6.34 fs/xfs, and the
traces themselves.
"""

from __future__ import annotations

T33 = "traces of 2.6.33.2, April 2010"

_TRACED = """
xfs_file_aio_write 16
xfs_write 288
xfs_vm_writepages 48
xfs_vm_writepage 64
xfs_page_state_convert 256
xfs_map_blocks 32
xfs_iomap 208
xfs_iomap_write_allocate 256
xfs_bmapi 448
xfs_bmap_add_extent 208
xfs_bmap_add_extent_delay_real 352
xfs_btree_insert 128
xfs_btree_insrec 224
xfs_btree_make_block_unfull 96
xfs_btree_split 208
xfs_bmbt_alloc_block 160
xfs_alloc_vextent 96
xfs_alloc_ag_vextent 32
xfs_alloc_ag_vextent_near 144
xfs_alloc_fixup_trees 96
xfs_alloc_lookup_eq 16
xfs_btree_lookup 176
xfs_btree_lookup_get_block 80
xfs_btree_read_buf_block 80
xfs_trans_read_buf 80
xfs_buf_read 48
_xfs_buf_read 32
xfs_buf_iorequest 48
_xfs_buf_ioapply 96
xfs_bmap_alloc 16
xfs_bmap_btalloc 272
xfs_alloc_fix_freelist 224
xfs_free_ag_extent 144
xfs_alloc_get_freelist 112
xfs_alloc_search_busy 64
xfs_allocbt_alloc_block 48
xfs_alloc_lookup_ge 16
xfs_log_force 32
_xfs_log_force 32
xlog_state_sync 160
xlog_state_release_iclog 64
xlog_sync 80
xlog_bdstrat_cb 32
xfs_btree_delete 64
xfs_btree_delrec 272
xfs_btree_rshift 176
xfs_btree_increment 112
xfs_btree_readahead 16
xfs_btree_readahead_sblock 48
xfs_buf_readahead 48
xfs_buf_get 64
_xfs_buf_find 80
_xfs_buf_lookup_pages 160
down_trylock 32
xfs_trans_alloc 96
_xfs_trans_alloc 32
kmem_zone_zalloc 32
kmem_zone_alloc 64
_xfs_trans_commit 80
xfs_trans_commit_iclog 368
xfs_log_write 96
xlog_write 176
"""
_ASSUMED = {
    "xfs_trans_reserve": (96, "assumed: as xfs_trans_alloc"),
    "xfs_log_reserve": (96, "assumed: as xfs_log_write"),
    "xlog_ticket_alloc": (80, "assumed: as _xfs_trans_commit"),
    "xfs_file_fsync": (80, "assumed: as _xfs_trans_commit"),
    "xlog_grant_log_space": (160, "assumed: as xlog_state_sync, which sleeps the same way"),
    "xfs_alloc_read_agf": (64, "assumed: as xfs_alloc_search_busy, of the same room"),
    "xfs_read_agf": (64, "assumed: as xfs_alloc_search_busy, of the same room"),
    "xfs_alloc_ag_vextent_size": (144, "assumed: as xfs_alloc_ag_vextent_near"),
    "xfs_bmbt_lookup_eq": (16, "assumed: as xfs_alloc_lookup_eq"),
    "xfs_bmap_extents_to_btree": (352, "assumed: as xfs_bmap_add_extent_delay_real"),
    "xfs_btree_lshift": (176, "assumed: as xfs_btree_rshift"),
    "xfs_btree_get_buf_block": (80, "assumed: as xfs_btree_read_buf_block"),
    "xfs_trans_get_buf": (80, "assumed: as xfs_trans_read_buf"),
    "xfs_buf_iowait": (48, "assumed: as xfs_buf_iorequest"),
    "xfs_bdstrat_cb": (32, "assumed: as xlog_bdstrat_cb"),
    "xfsbufd": (128, "assumed: as wb_do_writeback"),
    "xfs_btree": (0, "no function: steps on a tree, whose chains name the functions"),
}

SIZES: dict[str, tuple[int, str]] = {
    name: (int(nbytes), T33) for name, nbytes in (line.split() for line in _TRACED.strip().splitlines())
} | _ASSUMED

# name, unit, functions that only pass on, its own frame
ROWS = (
    ("xfs_vm_writepage", "xfs", "xfs_vm_writepage", "xfs_page_state_convert"),
    ("xfs_iomap_write_allocate", "xfs", "xfs_map_blocks xfs_iomap"),
    ("xfs_bmapi", "xfs"),
    ("xfs_bmap_add_extent", "xfs", "xfs_bmap_add_extent", "xfs_bmap_add_extent_delay_real"),
    ("xfs_alloc_vextent", "xfs"),
    ("xfs_btree", "xfs"),
    ("xfs_buf_read", "xfs"),
    ("kmem_zone_alloc", "xfs"),
    ("xfs_log_reserve", "xfs", "xfs_trans_reserve xfs_log_reserve", "xlog_grant_log_space"),
    ("xfs_trans_commit", "xfs", "_xfs_trans_commit", "xfs_trans_commit_iclog"),
    ("xfs_log_force", "xfs", "xfs_log_force _xfs_log_force", "xlog_state_sync"),
    ("xlog_sync", "xfs", "xlog_state_release_iclog"),
    ("xfsbufd", "xfs", "kernel_thread_helper kthread"),
    ("xfs_file_fsync", "xfs"),
)

# Between a step of XFS's and the next: what this call site has on its way
LEAVES = {
    "writepage": "__writepage",
    "trans_alloc": "xfs_trans_alloc _xfs_trans_alloc kmem_zone_zalloc",
    "ticket_alloc": "xlog_ticket_alloc kmem_zone_zalloc",
    "new_slab": "kmem_cache_alloc __slab_alloc new_slab",
    "buf_get": "xfs_buf_get",
    "buf_find": "xfs_buf_get _xfs_buf_find down_trylock",
    "buf_lookup_pages": "xfs_buf_get _xfs_buf_lookup_pages",
    "buf_page": "xfs_buf_get _xfs_buf_lookup_pages find_or_create_page __page_cache_alloc",
    "buf_iorequest": "_xfs_buf_read xfs_buf_iorequest _xfs_buf_ioapply",
    "buf_iowait": "_xfs_buf_read xfs_buf_iowait",
    "bdstrat": "xfs_bdstrat_cb xfs_buf_iorequest _xfs_buf_ioapply",
    "xlog_bdstrat": "xlog_bdstrat_cb xfs_buf_iorequest _xfs_buf_ioapply",
    "log_write": "xfs_log_write xlog_write",
    "bmap_alloc": "xfs_bmap_alloc xfs_bmap_btalloc",
    "read_agf": "xfs_alloc_fix_freelist xfs_alloc_read_agf xfs_read_agf xfs_trans_read_buf",
    "freelist_busy": "xfs_alloc_fix_freelist xfs_alloc_get_freelist xfs_alloc_search_busy",
    "give": "xfs_alloc_fix_freelist xfs_free_ag_extent",
    "give_lookup": "xfs_alloc_fix_freelist xfs_free_ag_extent xfs_alloc_lookup_eq",
    "grow": "xfs_alloc_fix_freelist xfs_alloc_ag_vextent xfs_alloc_ag_vextent_size xfs_alloc_fixup_trees",
    "grow_lookup": "xfs_alloc_fix_freelist xfs_alloc_ag_vextent xfs_alloc_ag_vextent_size xfs_alloc_fixup_trees "
    "xfs_alloc_lookup_eq",
    "near_ge": "xfs_alloc_ag_vextent xfs_alloc_ag_vextent_near xfs_alloc_lookup_ge",
    "near_fixup": "xfs_alloc_ag_vextent xfs_alloc_ag_vextent_near xfs_alloc_fixup_trees",
    "near_lookup": "xfs_alloc_ag_vextent xfs_alloc_ag_vextent_near xfs_alloc_fixup_trees xfs_alloc_lookup_eq",
    "bmbt_lookup": "xfs_bmbt_lookup_eq",
    "extents_to_btree": "xfs_bmap_extents_to_btree",
    "bmbt_alloc_block": "xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_split "
    "xfs_bmbt_alloc_block",
    "allocbt_busy": "xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_split "
    "xfs_allocbt_alloc_block xfs_alloc_get_freelist xfs_alloc_search_busy",
    "bt_lookup": "xfs_btree_lookup xfs_btree_lookup_get_block xfs_btree_read_buf_block xfs_trans_read_buf",
    "bt_find": "xfs_btree_lookup xfs_btree_lookup_get_block xfs_btree_read_buf_block xfs_trans_read_buf xfs_buf_read "
    "xfs_buf_get _xfs_buf_find down_trylock",
    "bt_get_buf": "xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_split "
    "xfs_btree_get_buf_block xfs_trans_get_buf",
    "bt_rshift": "xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_rshift "
    "xfs_btree_read_buf_block xfs_trans_read_buf",
    "bt_rshift_find": "xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_rshift "
    "xfs_btree_increment xfs_btree_readahead xfs_btree_readahead_sblock xfs_buf_readahead xfs_buf_read xfs_buf_get "
    "_xfs_buf_find down_trylock",
    "bt_lshift": "xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull xfs_btree_lshift "
    "xfs_btree_read_buf_block xfs_trans_read_buf",
    "bt_delrec": "xfs_btree_delete xfs_btree_delrec xfs_btree_increment xfs_btree_read_buf_block xfs_trans_read_buf",
    "bt_readahead": "xfs_btree_delete xfs_btree_delrec xfs_btree_rshift xfs_btree_increment xfs_btree_readahead "
    "xfs_btree_readahead_sblock xfs_buf_readahead",
    "bt_readahead_find": "xfs_btree_delete xfs_btree_delrec xfs_btree_rshift xfs_btree_increment xfs_btree_readahead "
    "xfs_btree_readahead_sblock xfs_buf_readahead xfs_buf_read xfs_buf_get _xfs_buf_find down_trylock",
}
