# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of compaction, OOM, the page allocator, page cache, readahead, memory cgroups and the scheduler.

Source: include/trace/events/{compaction,oom,kmem,filemap,pagemap,memcg,sched}.h of Linux v3.1.3 to v6.18 and the
formats a 6.18 machine gives.
"""

from __future__ import annotations

from pageout.vocabulary.schema.rows import EventKind, event, grown

_RANGE = (
    "start_pfn:x end_pfn:x nr_scanned:lu/pages nr_taken:lu/pages",
    "range=(0x{start_pfn} ~ 0x{end_pfn}) nr_scanned={nr_scanned} nr_taken={nr_taken}",
)
_SUITABLE = ("nid:d=node zone:w=idx order:d/log2_pages ret:w", "node={nid} zone={zone} order={order} ret={ret}")
_DEFER = (
    "nid:d=node zone:w=idx order:d/log2_pages order_failed:d/log2_pages considered:u=consider limit:lu defer_shift:u",
    "node={nid} zone={zone} order={order} order_failed={order_failed} consider={considered} limit={limit}",
)
_KCOMPACTD = (
    "nid:d order:d/log2_pages classzone_idx:w=highest_zoneidx",
    "nid={nid} order={order} classzone_idx={classzone_idx}",
)
# 3.x printed zone_start=%lu and no mode; 4.0 to 4.2 hexadecimal; `mode` since 4.3.
_BEGIN = "zone_start:pfn migrate_pfn:pfn free_pfn:pfn zone_end:pfn mode:w=sync"
_BEGIN_TEXT = "zone_start={zone_start} migrate_pfn={migrate_pfn} free_pfn={free_pfn} zone_end={zone_end}"

COMPACTION: tuple[EventKind, ...] = (
    event("mm_compaction_begin", "compaction", _BEGIN, {"3.11": _BEGIN_TEXT, "4.0": _BEGIN_TEXT + ", mode={mode}"}),
    event("mm_compaction_end", "compaction", _BEGIN + " status:w",
          {"3.11": "status={status}", "4.0": _BEGIN_TEXT + ", mode={mode} status={status}"}),
    event("mm_compaction_try_to_compact_pages", "compaction",
          "order:d/log2_pages gfp_mask:w mode:d priority:d=prio",
          {"4.0": "order={order} gfp_mask={gfp_mask} mode={mode}",
           "4.8": "order={order} gfp_mask={gfp_mask} priority={priority}"}),
    *(event(f"mm_compaction_{what}", "compaction", _RANGE[0],
            {"3.0": "nr_scanned={nr_scanned} nr_taken={nr_taken}", "4.0": _RANGE[1]})
      for what in ("isolate_migratepages", "isolate_freepages")),
    event("mm_compaction_fast_isolate_freepages", "compaction", _RANGE[0], {"6.5": _RANGE[1]}),
    event("mm_compaction_migratepages", "compaction", "nr_migrated:lu/pages nr_failed:lu/pages",
          {"3.0": "nr_migrated={nr_migrated} nr_failed={nr_failed}"}),
    *(event(f"mm_compaction_{what}", "compaction", _SUITABLE[0], {"4.0": _SUITABLE[1]})
      for what in ("finished", "suitable")),
    *(event(f"mm_compaction_{what}", "compaction", _DEFER[0], {"4.0": _DEFER[1]})
      for what in ("deferred", "defer_compaction", "defer_reset")),
    event("mm_compaction_kcompactd_sleep", "compaction", "nid:d", {"4.6": "nid={nid}"}),
    *(event(f"mm_compaction_{what}", "compaction", _KCOMPACTD[0], {"4.6": _KCOMPACTD[1]})
      for what in ("kcompactd_wake", "wakeup_kcompactd")),
)  # fmt: skip

OOM: tuple[EventKind, ...] = (
    grown("oom_score_adj_update", "target_pid:d=pid target_comm:w=comm"),
    grown(
        "mark_victim",
        "target_pid:d=pid target_comm:w=comm total_vm:lu/kB anon_rss:lu/kB file_rss:lu/kB shmem_rss:lu/kB uid:u "
        "pgtables:lu/kB oom_score_adj:d",
        {
            "6.8": "pid={target_pid} comm={target_comm} total-vm={total_vm}kB anon-rss={anon_rss}kB "
            "file-rss:{file_rss}kB shmem-rss:{shmem_rss}kB uid={uid} pgtables={pgtables}kB "
            "oom_score_adj={oom_score_adj}"
        },
    ),
    event("reclaim_retry_zone", "oom",
          "nid:d=node zone:w=zone_idx order:d/log2_pages reclaimable:lu/pages available:lu/pages "
          "min_wmark:lu/pages no_progress_loops:d wmark_check:d",
          {"4.8": "node={nid} zone={zone} order={order} reclaimable={reclaimable} available={available} "
                  "min_wmark={min_wmark} no_progress_loops={no_progress_loops} wmark_check={wmark_check}"}),
    event("compact_retry", "oom",
          "order:d/log2_pages priority:w compaction_result:w=result retries:d max_retries:d should_retry:d=ret",
          {"4.10": "order={order} priority={priority} compaction_result={compaction_result} retries={retries} "
                   "max_retries={max_retries} should_retry={should_retry}"}),
    *(event(name, "oom", "target_pid:d=pid", {"4.14": "pid={target_pid}"})
      for name in ("wake_reaper", "start_task_reaping", "finish_task_reaping", "skip_task_reaping")),
)  # fmt: skip

KMEM: tuple[EventKind, ...] = (
    grown("mm_page_alloc"),
    grown("mm_page_free_direct"),
    grown("mm_pagevec_free", texts={"4.11": "page={page} pfn={pfn} order=0"}),
    grown("mm_page_alloc_zone_locked"),
    grown("mm_page_pcpu_drain"),
    grown("mm_page_alloc_extfrag"),
    event("rss_stat", "kmem", "mm_id:u curr:d member:w size:ld/bytes",
          {"5.5": "mm_id={mm_id} curr={curr} member={member} size={size}B",
           "5.16": "mm_id={mm_id} curr={curr} type={member} size={size}B"}),
    event("mm_setup_per_zone_wmarks", "kmem",
          "nid:d=node_id zone:w=name watermark_min:lu/pages=min watermark_low:lu/pages=low "
          "watermark_high:lu/pages=high watermark_promo:lu/pages=promo",
          {"6.16": "node_id={nid} zone name={zone} watermark min={watermark_min} low={watermark_low} "
                   "high={watermark_high} promo={watermark_promo}"}),
    event("mm_setup_per_zone_lowmem_reserve", "kmem",
          "nid:d=node_id zone:w=name upper_zone:w=upper_name lowmem_reserve:ld/pages=lowmem_reserve_pages",
          {"6.16": "node_id={nid} zone name={zone} upper_zone name={upper_zone} "
                   "lowmem_reserve_pages={lowmem_reserve}"}),
    event("mm_calculate_totalreserve_pages", "kmem", "totalreserve_pages:lu/pages",
          {"6.16": "totalreserve_pages={totalreserve_pages}"}),
)  # fmt: skip

# inode numbers are hexadecimal here
_CACHE = (
    "dev:w=s_dev ino:x=i_ino pfn:pfn ofs:lu/bytes order:u/log2_pages",
    {
        "3.9": "dev {dev} ino {ino} page={page} pfn={pfn} ofs={ofs}",
        "6.1": "dev {dev} ino {ino} pfn={pfn} ofs={ofs} order={order}",
    },
)
_OFFSETS = ("dev:w=s_dev ino:x=i_ino ofs:ld/bytes last:ld/bytes", "dev={dev} ino={ino} ofs={ofs}-{last}")
_RA = "dev:w=s_dev ino:x=i_ino index:lu/pages "
_RA_SIZES = "order:u/log2_pages size:u/pages async_size:u/pages ra_pages:u/pages"
_RA_CALL = (
    _RA + "req_count:lu/pages " + _RA_SIZES + " mmap_miss:u prev_pos:ld/bytes",
    (
        "dev={dev} ino={ino} index={index} req_count={req_count} order={order} size={size} "
        "async_size={async_size} ra_pages={ra_pages} mmap_miss={mmap_miss} prev_pos={prev_pos}"
    ),
)

FILEMAP: tuple[EventKind, ...] = (
    event("mm_filemap_add_to_page_cache", "filemap", *_CACHE),
    event("mm_filemap_delete_from_page_cache", "filemap", *_CACHE),
    event("mm_filemap_fault", "filemap", "dev:w=s_dev ino:x=i_ino ofs:ld/bytes",
          {"6.11": "dev={dev} ino={ino} ofs={ofs}"}),
    event("mm_filemap_get_pages", "filemap", _OFFSETS[0], {"6.11": _OFFSETS[1]}),
    event("mm_filemap_map_pages", "filemap", _OFFSETS[0], {"6.11": _OFFSETS[1]}),
    event("filemap_set_wb_err", "filemap", "dev:w=s_dev ino:x=i_ino errseq:x",
          {"4.14": "dev={dev} ino=0x{ino} errseq=0x{errseq}"}),
    event("file_check_and_advance_wb_err", "filemap", "dev:w=s_dev ino:x=i_ino old:x new:x",
          {"4.14": "file={file} dev={dev} ino=0x{ino} old=0x{old} new=0x{new}"}),
    event("page_cache_sync_ra", "readahead", _RA_CALL[0], {"6.18": _RA_CALL[1]}),
    event("page_cache_async_ra", "readahead", _RA_CALL[0], {"6.18": _RA_CALL[1]}),
    event("page_cache_ra_order", "readahead", _RA + _RA_SIZES,
          {"6.18": "dev={dev} ino={ino} index={index} order={order} size={size} async_size={async_size} "
                   "ra_pages={ra_pages}"}),
    event("page_cache_ra_unbounded", "readahead", _RA + "nr_to_read:lu/pages lookahead_size:lu/pages",
          {"6.18": "dev={dev} ino={ino} index={index} nr_to_read={nr_to_read} lookahead_size={lookahead_size}"}),
    event("mm_lru_insertion", "pagemap", "pfn:pfn lru:d flags:w",
          {"3.11": "page={page} pfn={pfn} lru={lru} flags={flags}",
           "5.16": "folio={page} pfn={pfn} lru={lru} flags={flags}"}),
    event("mm_lru_activate", "pagemap", "pfn:pfn",
          {"3.11": "page={page} pfn={pfn}", "5.16": "folio={page} pfn={pfn}"}),
)  # fmt: skip

_ITEM = ("memcg_id:lu=id item:d val:d", "memcg_id={memcg_id} item={item} val={val}")

MEMCG: tuple[EventKind, ...] = (
    event("mod_memcg_state", "memcg", _ITEM[0], {"6.14": _ITEM[1]}),
    event("mod_memcg_lruvec_state", "memcg", _ITEM[0], {"6.14": _ITEM[1]}),
    event("count_memcg_events", "memcg", "memcg_id:lu=id item:d val:lu", {"6.14": _ITEM[1]}),
    event("memcg_flush_stats", "memcg", "memcg_id:lu=id stats_updates:ld force:d needs_flush:d",
          {"6.14": "memcg_id={memcg_id} stats_updates={stats_updates} force={force} needs_flush={needs_flush}"}),
)  # fmt: skip

_WAKE = (
    "target_comm:w=comm target_pid:d=pid prio:d target_cpu:d success:d",
    {
        "2.6.32": "comm={target_comm} pid={target_pid} prio={prio} success={success} target_cpu={target_cpu}",
        "4.3": "comm={target_comm} pid={target_pid} prio={prio} target_cpu={target_cpu}",
    },
)
_STAT = ("target_comm:w=comm target_pid:d=pid delay:lu/ns", "comm={target_comm} pid={target_pid} delay={delay} [ns]")

SCHED: tuple[EventKind, ...] = (
    event("sched_switch", "sched",
          "prev_comm:w prev_pid:d prev_prio:d prev_state:w next_comm:w next_pid:d next_prio:d",
          {"2.6.32": "prev_comm={prev_comm} prev_pid={prev_pid} prev_prio={prev_prio} prev_state={prev_state} ==> "
                     "next_comm={next_comm} next_pid={next_pid} next_prio={next_prio}"}),
    *(event(name, "sched", *_WAKE) for name in ("sched_waking", "sched_wakeup", "sched_wakeup_new")),
    *(event(f"sched_stat_{what}", "sched", _STAT[0], {"2.6.32": _STAT[1]})
      for what in ("iowait", "blocked", "sleep", "wait")),
)  # fmt: skip

MEMORY = COMPACTION + OOM + KMEM + FILEMAP + MEMCG + SCHED
