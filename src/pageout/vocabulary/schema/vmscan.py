# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of reclaim.

Source: include/trace/events/vmscan.h of Linux v3.1.3 to v6.18 and the formats a 6.18 machine gives.
"""

from __future__ import annotations

from pageout.vocabulary.schema.rows import EventKind, event, grown

_BEGIN_SPEC = "classzone_idx:d"
_BEGIN = {
    "4.8": "order={order} may_writepage={may_writepage} gfp_flags={gfp_flags} classzone_idx={classzone_idx}",
    "5.1": "order={order} gfp_flags={gfp_flags}",
}
# `lru` is a number (a mask or a list) or a name, by kernel; `file` and `active` stood there before it.
_ISOLATE_SPEC = "classzone:d=highest_zoneidx,classzone_idx nr_skipped:lu/pages lru:w file:d active:d priority:d"
_ISOLATE = {
    "3.3": "isolate_mode={isolate_mode} order={order} nr_requested={nr_requested} nr_scanned={nr_scanned} "
    "nr_taken={nr_taken} file={file}",
    "4.8": "isolate_mode={isolate_mode} classzone={classzone} order={order} nr_requested={nr_requested} "
    "nr_scanned={nr_scanned} nr_skipped={nr_skipped} nr_taken={nr_taken} lru={lru}",
    "6.7": "classzone={classzone} order={order} nr_requested={nr_requested} nr_scanned={nr_scanned} "
    "nr_skipped={nr_skipped} nr_taken={nr_taken} lru={lru}",
}
_SCAN_SPEC = (
    "nr_dirty:ld/pages nr_writeback:ld/pages nr_congested:ld/pages nr_immediate:ld/pages "
    "nr_activate_anon:d/pages=nr_activate0 nr_activate_file:d/pages=nr_activate1 nr_ref_keep:ld/pages "
    "nr_unmap_fail:ld/pages"
)
_SCAN_TEXT = (
    "nid={nid} nr_scanned={nr_scanned} nr_reclaimed={nr_reclaimed} nr_dirty={nr_dirty} nr_writeback={nr_writeback} "
    "nr_congested={nr_congested} nr_immediate={nr_immediate} nr_activate_anon={nr_activate_anon} "
    "nr_activate_file={nr_activate_file} nr_ref_keep={nr_ref_keep} nr_unmap_fail={nr_unmap_fail}"
)

VMSCAN: tuple[EventKind, ...] = (
    grown("mm_vmscan_kswapd_sleep"),
    grown("mm_vmscan_kswapd_wake", "zid:d"),
    grown(
        "mm_vmscan_wakeup_kswapd",
        "gfp_flags:w",
        {
            "4.17": "nid={nid} zid={zid} order={order} gfp_flags={gfp_flags}",
            "5.1": "nid={nid} order={order} gfp_flags={gfp_flags}",
        },
    ),
    *(grown(f"mm_vmscan_{kind}_reclaim_begin", _BEGIN_SPEC, _BEGIN) for kind in ("direct", "memcg", "memcg_softlimit")),
    *(grown(f"mm_vmscan_{kind}_reclaim_end") for kind in ("direct", "memcg", "memcg_softlimit")),
    event(
        "mm_vmscan_node_reclaim_begin",
        "vmscan",
        "nid:d order:d/log2_pages gfp_flags:w",
        {"5.2": "nid={nid} order={order} gfp_flags={gfp_flags}"},
    ),
    event(
        "mm_vmscan_node_reclaim_end", "vmscan", "nr_reclaimed:lu/pages", {"5.2": "nr_reclaimed={nr_reclaimed}"}
    ),
    grown("mm_vmscan_lru_isolate", _ISOLATE_SPEC, _ISOLATE),
    grown("mm_vmscan_memcg_isolate", _ISOLATE_SPEC, {"3.3": _ISOLATE["3.3"]}, until="4.7"),
    grown("mm_vmscan_writepage", "flags:w=reclaim_flags"),
    grown(
        "mm_vmscan_lru_shrink_inactive",
        _SCAN_SPEC + " flags:w=reclaim_flags nr_activate:ld/pages",
        {
            "4.8": "nid={nid} nr_scanned={nr_scanned} nr_reclaimed={nr_reclaimed} priority={priority} flags={flags}",
            "4.11": "nid={nid} nr_scanned={nr_scanned} nr_reclaimed={nr_reclaimed} nr_dirty={nr_dirty} "
            "nr_writeback={nr_writeback} nr_congested={nr_congested} nr_immediate={nr_immediate} "
            "nr_activate={nr_activate} nr_ref_keep={nr_ref_keep} nr_unmap_fail={nr_unmap_fail} "
            "priority={priority} flags={flags}",
            "5.2": _SCAN_TEXT + " priority={priority} flags={flags}",
        },
    ),
    event("mm_vmscan_reclaim_pages", "vmscan", "nid:d nr_scanned:ld/pages nr_reclaimed:ld/pages " + _SCAN_SPEC,
          {"6.15": _SCAN_TEXT}),
    event(
        "mm_vmscan_lru_shrink_active",
        "vmscan",
        "nid:d nr_taken:ld/pages nr_active:ld/pages nr_deactivated:ld/pages nr_referenced:ld/pages priority:d "
        "flags:w=reclaim_flags",
        {
            "4.11": "nid={nid} nr_taken={nr_taken} nr_active={nr_active} nr_deactivated={nr_deactivated} "
            "nr_referenced={nr_referenced} priority={priority} flags={flags}"
        },
    ),
    event(
        "mm_vmscan_inactive_list_is_low",
        "vmscan",
        "nid:d reclaim_idx:d total_inactive:ld/pages inactive:ld/pages total_active:ld/pages active:ld/pages "
        "ratio:ld flags:w=reclaim_flags",
        {
            "4.11": "nid={nid} reclaim_idx={reclaim_idx} total_inactive={total_inactive} inactive={inactive} "
            "total_active={total_active} active={active} ratio={ratio} flags={flags}"
        },
        until="5.9",
    ),
    event(
        "mm_vmscan_throttled",
        "vmscan",
        "nid:d usec_timeout:d/us usec_delayed:d/us=usect_delayed reason:w",
        {"5.16": "nid={nid} usec_timeout={usec_timeout} usect_delayed={usec_delayed} reason={reason}"},
    ),
    grown(
        "mm_shrink_slab_start",
        "shrinker_at:w=shr nid:d priority:d shrinker:w=shrink",
        {
            "3.12": "{shrinker} {shrinker_at}: nid: {nid} objects to shrink {nr_objects_to_shrink} "
            "gfp_flags {gfp_flags} pgs_scanned {pgs_scanned} lru_pgs {lru_pgs} cache items {cache_items} "
            "delta {delta} total_scan {total_scan}",
            "4.16": "{shrinker} {shrinker_at}: nid: {nid} objects to shrink {nr_objects_to_shrink} "
            "gfp_flags {gfp_flags} cache items {cache_items} delta {delta} total_scan {total_scan} "
            "priority {priority}",
        },
    ),
    grown(
        "mm_shrink_slab_end",
        "shrinker_at:w=shr nid:d shrinker:w=shrink",
        {
            "3.12": "{shrinker} {shrinker_at}: nid: {nid} unused scan count {unused_scan} "
            "new scan count {new_scan} total_scan {total_scan} last shrinker return val {retval}"
        },
    ),
)  # fmt: skip
