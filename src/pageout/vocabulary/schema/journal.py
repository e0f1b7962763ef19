# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of ext4 and its journal that say who waits for what: prose, not key=value.

Source: include/trace/events/{ext4,jbd2}.h of Linux v3.1.3 to v6.18 and the formats a 6.18 machine gives.
"""

from __future__ import annotations

from pageout.vocabulary.schema.rows import EventKind, event

_INODE = "dev:w ino:lu "
_AT = "dev {dev} ino {ino} "
_PASS = (
    _INODE + "nr_to_write:ld/pages pages_skipped:ld/pages range_start:ld/bytes range_end:ld/bytes sync_mode:d "
    "for_kupdate:d range_cyclic:d writeback_index:lu/pages",
    _AT + "nr_to_write {nr_to_write} pages_skipped {pages_skipped} range_start {range_start} range_end {range_end} "
    "sync_mode {sync_mode} for_kupdate {for_kupdate} range_cyclic {range_cyclic} writeback_index {writeback_index}",
)
_FOLIOS = _INODE + "start_pos:x/bytes next_pos:x/bytes nr_to_write:ld/pages "
_FOLIOS_TEXT = _AT + "start_pos 0x{start_pos} next_pos 0x{next_pos} nr_to_write {nr_to_write} "
_BLOCKS = _INODE + "flags:w len:u/blocks lblk:u/blocks=logical goal:lu lleft:u lright:u pleft:lu pright:lu"
_AROUND = "lblk {lblk} goal {goal} lleft {lleft} lright {lright} pleft {pleft} pright {pright}"
_WRITE = (
    _INODE + "pos:ld/bytes len:u/bytes flags:u",
    {"2.6.31": _AT + "pos {pos} len {len} flags {flags}", "5.18": _AT + "pos {pos} len {len}"},
)
_WRITTEN = (_INODE + "pos:ld/bytes len:u/bytes copied:u/bytes", {"2.6.31": _AT + "pos {pos} len {len} copied {copied}"})
_START = "dev:w blocks:d rsv_blocks:d revoke_creds:d type:d caller:w=ip"
_START_TEXT = "dev {dev} blocks {blocks}, rsv_blocks {rsv_blocks}, revoke_creds {revoke_creds}, "

EXT4: tuple[EventKind, ...] = (
    event("ext4_sync_file_enter", "ext4", _INODE + "parent:lu datasync:d",
          {"2.6.31": _AT + "parent {parent} datasync {datasync}"}),
    event("ext4_sync_file_exit", "ext4", _INODE + "ret:d", {"2.6.38": _AT + "ret {ret}"}),
    event("ext4_sync_fs", "ext4", "dev:w wait:d", {"2.6.31": "dev {dev} wait {wait}"}),
    event("ext4_writepages", "ext4", _PASS[0], {"2.6.31": _PASS[1]}, "ext4_da_writepages"),
    event("ext4_writepages_result", "ext4",
          _INODE + "ret:d pages_written:d/pages pages_skipped:ld/pages sync_mode:d writeback_index:lu/pages",
          {"2.6.31": _AT + "ret {ret} pages_written {pages_written} pages_skipped {pages_skipped} "
                     "sync_mode {sync_mode} writeback_index {writeback_index}"}, "ext4_da_writepages_result"),
    event("ext4_da_write_pages", "ext4",
          _INODE + "first_page:lu/pages nr_to_write:ld/pages sync_mode:d",
          {"3.11": _AT + "first_page {first_page} nr_to_write {nr_to_write} sync_mode {sync_mode}"}, until="6.16"),
    event("ext4_da_write_folios_start", "ext4", _FOLIOS + "sync_mode:d",
          {"6.17": _FOLIOS_TEXT + "sync_mode {sync_mode}"}),
    event("ext4_da_write_folios_end", "ext4", _FOLIOS + "ret:d", {"6.17": _FOLIOS_TEXT + "ret {ret}"}),
    event("ext4_da_write_pages_extent", "ext4", _INODE + "lblk:lu/blocks len:u/blocks flags:w",
          {"3.11": _AT + "lblk {lblk} len {len} flags {flags}"}),
    event("ext4_alloc_da_blocks", "ext4", _INODE + "data_blocks:u/blocks=reserved_data_blocks",
          {"2.6.31": _AT + "data_blocks {data_blocks}", "6.7": _AT + "reserved_data_blocks {data_blocks}"}),
    event("ext4_request_blocks", "ext4", _BLOCKS, {"2.6.31": _AT + "flags {flags} len {len} " + _AROUND}),
    event("ext4_allocate_blocks", "ext4", _BLOCKS + " block:lu",
          {"2.6.31": _AT + "flags {flags} len {len} block {block} " + _AROUND}),
    *(event(f"ext4_{what}write_begin", "ext4", *_WRITE) for what in ("", "da_")),
    *(event(f"ext4_{what}write_end", "ext4", *_WRITTEN) for what in ("", "da_")),
    event("ext4_evict_inode", "ext4", _INODE + "nlink:d", {"2.6.38": _AT + "nlink {nlink}"}),
    event("ext4_journal_start_sb", "ext4", _START, {"6.3": _START_TEXT + "type {type}, caller {caller}"}),
    event("ext4_journal_start_inode", "ext4", _START + " ino:lu",
          {"6.3": _START_TEXT + "type {type}, ino {ino}, caller {caller}"}),
    event("ext4_journal_start", "ext4", _START,
          {"3.11": "dev {dev} blocks {blocks}, rsv_blocks {rsv_blocks}, caller {caller}",
           "5.5": _START_TEXT + "caller {caller}"}, until="6.2"),
    event("ext4_mb_bitmap_load", "ext4", "dev:w group:u", {"3.0": "dev {dev} group {group}"}),
    event("ext4_mb_buddy_bitmap_load", "ext4", "dev:w group:u", {"3.0": "dev {dev} group {group}"}),
    event("ext4_discard_preallocations", "ext4", _INODE + "len:u needed:u",
          {"2.6.31": "dev {dev} ino {ino}", "5.9": _AT + "len: {len} needed {needed}", "6.8": _AT + "len: {len}"}),
    event("ext4_es_shrink", "ext4", "dev:w nr_shrunk:d scan_time:lu/ns nr_skipped:d retried:d",
          {"3.19": "dev {dev} nr_shrunk {nr_shrunk}, scan_time {scan_time} nr_skipped {nr_skipped} retried {retried}"}),
    event("ext4_es_shrink_scan_enter", "ext4", "dev:w nr_to_scan:d cache_cnt:d",
          {"3.12": "dev {dev} nr_to_scan {nr_to_scan} cache_cnt {cache_cnt}"}),
    event("ext4_es_shrink_scan_exit", "ext4", "dev:w nr_shrunk:d cache_cnt:d",
          {"3.12": "dev {dev} nr_shrunk {nr_shrunk} cache_cnt {cache_cnt}"}),
    event("ext4_error", "ext4", "dev:w function:w error_line:u=line",
          {"5.10": "dev {dev} function {function} line {error_line}"}),
    event("ext4_shutdown", "ext4", "dev:w flags:u", {"4.11": "dev {dev} flags {flags}"}),
    event("ext4_fc_commit_start", "ext4", "dev:w tid:u",
          {"5.10": "dev {dev}", "6.0": "dev {dev} tid {tid}"}),
    event("ext4_fc_commit_stop", "ext4",
          "dev:w nblks:d reason:d fc:d=num_fc ineligible:d=num_fc_ineligible agg_nblks:d=nblks_agg tid:u",
          {"5.10": "dev {dev} nblks {nblks}, reason {reason}, fc = {fc}, ineligible = {ineligible}, "
                   "agg_nblks {agg_nblks}",
           "6.0": "dev {dev} nblks {nblks}, reason {reason}, fc = {fc}, ineligible = {ineligible}, "
                  "agg_nblks {agg_nblks}, tid {tid}"}),
)  # fmt: skip

_COMMIT = ("dev:w transaction:u sync:d=sync_commit", "dev {dev} transaction {transaction} sync {sync}")
_HANDLE = "dev:w tid:u type:u line_no:u "
_HANDLE_TEXT = "dev {dev} tid {tid} type {type} line_no {line_no} "
_RUN_HEAD = "dev {dev} tid {tid} wait {wait} "
_RUN_TAIL = (
    "running {running} locked {locked} flushing {flushing} logging {logging} handle_count {handle_count} "
    "blocks {blocks} blocks_logged {blocks_logged}"
)
_SHRINK = ("dev:w nr_to_scan:lu count:lu", "dev {dev} nr_to_scan {nr_to_scan} count {count}")

JBD2: tuple[EventKind, ...] = (
    *(event(f"jbd2_{what}", "jbd2", _COMMIT[0], {"2.6.31": _COMMIT[1]})
      for what in ("start_commit", "commit_locking", "commit_flushing", "commit_logging", "drop_transaction")),
    event("jbd2_end_commit", "jbd2", _COMMIT[0] + " head:u", {"2.6.31": _COMMIT[1] + " head {head}"}),
    event("jbd2_run_stats", "jbd2",
          "dev:w tid:u wait:u/ms request_delay:u/ms running:u/ms locked:u/ms flushing:u/ms logging:u/ms "
          "handle_count:u blocks:u/blocks blocks_logged:u/blocks",
          {"2.6.33": _RUN_HEAD + _RUN_TAIL, "3.9": _RUN_HEAD + "request_delay {request_delay} " + _RUN_TAIL}),
    event("jbd2_handle_start", "jbd2", _HANDLE + "requested_blocks:d/blocks",
          {"3.9": _HANDLE_TEXT + "requested_blocks {requested_blocks}"}),
    event("jbd2_handle_restart", "jbd2", _HANDLE + "requested_blocks:d/blocks",
          {"5.5": _HANDLE_TEXT + "requested_blocks {requested_blocks}"}),
    event("jbd2_handle_extend", "jbd2", _HANDLE + "buffer_credits:d/blocks requested_blocks:d/blocks",
          {"3.9": _HANDLE_TEXT + "buffer_credits {buffer_credits} requested_blocks {requested_blocks}"}),
    event("jbd2_handle_stats", "jbd2",
          _HANDLE + "interval:d/jiffies sync:d requested_blocks:d/blocks dirtied_blocks:d/blocks",
          {"3.9": _HANDLE_TEXT + "interval {interval} sync {sync} requested_blocks {requested_blocks} "
                  "dirtied_blocks {dirtied_blocks}"}),
    event("jbd2_checkpoint", "jbd2", "dev:w result:d", {"2.6.31": "dev {dev} result {result}"}),
    event("jbd2_checkpoint_stats", "jbd2",
          "dev:w tid:u chp_time:u/ms forced_to_close:u written:u/blocks dropped:u",
          {"2.6.33": "dev {dev} tid {tid} chp_time {chp_time} forced_to_close {forced_to_close} written {written} "
                     "dropped {dropped}"}),
    event("jbd2_update_log_tail", "jbd2",
          "dev:w tail_sequence:u first_tid:u block_nr:lu freed:lu/blocks",
          {"3.5": "dev {dev} from {tail_sequence} to {first_tid} offset {block_nr} freed {freed}"}),
    event("jbd2_lock_buffer_stall", "jbd2", "dev:w stall_ms:lu/ms", {"3.5": "dev {dev} stall_ms {stall_ms}"}),
    event("jbd2_write_superblock", "jbd2", "dev:w write_flags:x",
          {"3.5": "dev {dev} write_op {write_flags}", "4.10": "dev {dev} write_flags {write_flags}"}),
    event("jbd2_submit_inode_data", "jbd2", _INODE, {"2.6.31": "dev {dev} ino {ino}"}),
    event("jbd2_shrink_count", "jbd2", _SHRINK[0], {"5.14": _SHRINK[1]}),
    event("jbd2_shrink_scan_enter", "jbd2", _SHRINK[0], {"5.14": _SHRINK[1]}),
    event("jbd2_shrink_scan_exit", "jbd2", "dev:w nr_to_scan:lu nr_shrunk:lu count:lu",
          {"5.14": "dev {dev} nr_to_scan {nr_to_scan} nr_shrunk {nr_shrunk} count {count}"}),
    event("jbd2_shrink_checkpoint_list", "jbd2",
          "dev:w first_tid:u tid:u last_tid:u nr_freed:lu next_tid:u",
          {"5.14": "dev {dev} shrink transaction {first_tid}-{tid}({last_tid}) freed {nr_freed} "
                   "next transaction {next_tid}"}),
)  # fmt: skip

JOURNAL = EXT4 + JBD2
