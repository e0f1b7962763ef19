# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of dirty throttling, flushers and wbt.

`cgroup` is a path (4.2 to 4.5), `cgroup_ino` the inode number of the cgroup (1: the root) since.
`age` of an inode is worked out when the trace is read: no time may be concluded from it.

Source: include/trace/events/{writeback,wbt}.h of Linux v3.1.3 to v6.18 and the formats a 6.18 machine gives.
"""

from __future__ import annotations

from pageout.vocabulary.schema.rows import EventKind, event, grown
from pageout.vocabulary.tracepoints import ROWS, TRACEPOINTS

_WB = "writeback"
_CGROUP = " cgroup:w cgroup_ino:lu"
_BDI = "bdi:w=name" + _CGROUP
_INO = " cgroup_ino={cgroup_ino}"


def _base(name: str) -> str:
    return TRACEPOINTS[ROWS[name]].text


def _in_cgroups(text: str, **before: str) -> dict[str, str]:
    """Return the texts of an event since 4.2: with the cgroup's path, then with its inode."""
    return {**before, "4.2": text + " cgroup={cgroup}", "4.6": text + _INO}


_WORK_TEXT = _base("writeback_start") + " reason={reason}"
_WORK_SPEC = "bdi:w=name kupdate:d=for_kupdate background:d=for_background reason:w" + _CGROUP
_SINGLE_SPEC = "bdi:w=name index:lu=writeback_index to_write:ld=nr_to_write" + _CGROUP
_REQUEUE_TEXT = "bdi {bdi}: ino={ino} state={state} dirtied_when={dirtied_when} age={age}"
_INODE = "bdi:w=name ino:lu "
_DIRTY_INODE = ("bdi:w=name ino:lu state:w flags:w", "bdi {bdi}: ino={ino} state={state} flags={flags}")
_WRITE_INODE = "bdi {bdi}: ino={ino} sync_mode={sync_mode}"
_PAGE = ("bdi:w=name ino:lu index:lu/pages", "bdi {bdi}: ino={ino} index={index}")
# mode is octal
_LISTED = (
    "dev:w ino:lu dirtied_when:lu/jiffies state:w mode:w",
    "dev {dev} ino {ino} dirtied {dirtied_when} state {state} mode {mode}",
)

THROTTLING: tuple[EventKind, ...] = (
    grown(
        "balance_dirty_pages",
        "gap:d/pages max_pause:d/ms" + _CGROUP,
        {
            **_in_cgroups(_base("balance_dirty_pages")),
            "6.14": _base("balance_dirty_pages").replace(" bdi_", " wb_") + _INO,
        },
    ),
    grown("bdi_dirty_ratelimit", "awrite_bw:lu=avg_write_bw" + _CGROUP, _in_cgroups(_base("bdi_dirty_ratelimit"))),
    grown(
        "global_dirty_state",
        "dirty:lu=nr_dirty writeback:lu=nr_writeback unstable:lu=nr_unstable bg_thresh:lu=background_thresh "
        "thresh:lu=dirty_thresh limit:lu=dirty_limit dirtied:lu=nr_dirtied written:lu=nr_written gap:ld/pages "
        "goal:lu/pages",
        {"5.8": _base("global_dirty_state").replace(" unstable={unstable}", "")},
    ),
    grown("balance_dirty_start", _BDI),
    grown("balance_dirty_wait", _BDI),
    grown("balance_dirty_written", _BDI),
    grown("writeback_congestion_wait"),
    grown("writeback_wait_iff_congested"),
    event("track_foreign_dirty", _WB,
          "bdi:w=name bdi_id:lu ino:lu memcg_id:u cgroup_ino:lu page_cgroup_ino:lu",
          {"5.4": "bdi {bdi}[{bdi_id}]: ino={ino} memcg_id={memcg_id} cgroup_ino={cgroup_ino} "
                  "page_cgroup_ino={page_cgroup_ino}"}),
    event("flush_foreign", _WB, "bdi:w=name cgroup_ino:lu frn_bdi_id:u frn_memcg_id:u",
          {"5.4": "bdi {bdi}: cgroup_ino={cgroup_ino} frn_bdi_id={frn_bdi_id} frn_memcg_id={frn_memcg_id}"}),
)  # fmt: skip

FLUSHER: tuple[EventKind, ...] = (
    *(
        grown(f"writeback_{what}", _WORK_SPEC, _in_cgroups(_WORK_TEXT, **{"3.2": _WORK_TEXT}))
        for what in ("nothread", "queue", "exec", "start", "written", "wait")
    ),
    grown("writeback_pages_written"),
    *(
        grown(f"writeback_{what}", _BDI, _in_cgroups("bdi {bdi}:"))
        for what in ("nowork", "wake_background", "wake_thread", "wake_forker_thread")
    ),
    *(
        grown(f"writeback_{what}", _BDI)
        for what in ("bdi_register", "bdi_unregister", "thread_start", "thread_stop")
    ),
    grown(
        "wbc_writepage",
        "bdi:w=name towrt:ld=nr_to_write skip:ld=pages_skipped mode:d=sync_mode kupd:d=for_kupdate "
        "bgrd:d=for_background reclm:d=for_reclaim cyclic:d=range_cyclic start:x=range_start end:x=range_end" + _CGROUP,
        {
            **_in_cgroups(_base("wbc_writepage")),
            "6.16": _base("wbc_writepage").replace(" reclm={reclm}", "") + _INO,
        },
    ),
    grown(
        "writeback_queue_io",
        "bdi:w=name enqueue:d=moved reason:w" + _CGROUP,
        _in_cgroups(
            _base("writeback_queue_io") + " reason={reason}",
            **{"3.2": _base("writeback_queue_io") + " reason={reason}"},
        ),
    ),
    grown("writeback_single_inode", _SINGLE_SPEC, _in_cgroups(_base("writeback_single_inode"))),
    grown(
        "writeback_single_inode_requeue",
        _SINGLE_SPEC,
        {"3.5": _REQUEUE_TEXT, **_in_cgroups(_REQUEUE_TEXT)},
        aliases="writeback_sb_inodes_requeue",
    ),
    event(
        "writeback_single_inode_start",
        _WB,
        "bdi:w=name ino:lu state:w dirtied_when:lu/jiffies age:lu/s index:lu/pages=writeback_index "
        "to_write:ld/pages=nr_to_write wrote:lu/pages" + _CGROUP,
        {"3.14": _base("writeback_single_inode"), **_in_cgroups(_base("writeback_single_inode"))},
    ),
    *(
        event(f"writeback_write_inode{which}", _WB, "bdi:w=name ino:lu sync_mode:d" + _CGROUP,
              _in_cgroups(_WRITE_INODE, **{"3.9": _WRITE_INODE}))
        for which in ("_start", "")
    ),
    *(
        event(f"writeback_{what}", _WB, _DIRTY_INODE[0], {since: _DIRTY_INODE[1]})
        for what, since in (("mark_inode_dirty", "4.0"), ("dirty_inode_start", "3.9"), ("dirty_inode", "3.9"))
    ),
    *(
        event(name, _WB, _LISTED[0], {since: _LISTED[1]})
        for name, since in (
            ("writeback_dirty_inode_enqueue", "4.0"), ("writeback_lazytime", "4.0"),
            ("writeback_lazytime_iput", "4.0"), ("sb_mark_inode_writeback", "4.8"),
            ("sb_clear_inode_writeback", "4.8"),
        )
    ),
    event("writeback_dirty_page", _WB, _PAGE[0], {"3.9": _PAGE[1]}, "writeback_dirty_folio"),
    event("wait_on_page_writeback", _WB, _PAGE[0], {"5.2": _PAGE[1]}, "folio_wait_writeback"),
    event("inode_foreign_history", _WB, _INODE + "cgroup_ino:lu history:x",
          {"5.4": "bdi {bdi}: ino={ino} cgroup_ino={cgroup_ino} history=0x{history}"}),
    event("inode_switch_wbs", _WB, _INODE + "old_cgroup_ino:lu new_cgroup_ino:lu",
          {"5.4": "bdi {bdi}: ino={ino} old_cgroup_ino={old_cgroup_ino} new_cgroup_ino={new_cgroup_ino}"}),
    event("inode_switch_wbs_queue", _WB, "bdi:w=name old_cgroup_ino:lu new_cgroup_ino:lu count:u/inodes",
          {"6.18": "bdi {bdi}: old_cgroup_ino={old_cgroup_ino} new_cgroup_ino={new_cgroup_ino} count={count}"}),
)  # fmt: skip

WBT: tuple[EventKind, ...] = (
    event("wbt_lat", "wbt", "bdi:w=name lat:lu/us", {"4.10": "{bdi}: latency {lat}us"}),
    event("wbt_stat", "wbt",
          "bdi:w=name rmean:lu/ns rmin:lu/ns rmax:lu/ns rsamples:lu=rnr_samples rtime:ld wmean:lu/ns wmin:lu/ns "
          "wmax:lu/ns wsamples:lu=wnr_samples wtime:ld",
          {"4.10": "{bdi}: rmean={rmean}, rmin={rmin}, rmax={rmax}, rsamples={rsamples}, wmean={wmean}, wmin={wmin}, "
                   "wmax={wmax}, wsamples={wsamples}"}),
    event("wbt_step", "wbt", "bdi:w=name msg:w step:d window:lu/us background:u=bg normal:u max:u",
          {"4.10": "{bdi}: {msg}: step={step}, window={window}us, background={background}, normal={normal}, "
                   "max={max}"}),
    event("wbt_timer", "wbt", "bdi:w=name status:u step:d inflight:u",
          {"4.10": "{bdi}: status={status}, step={step}, inflight={inflight}"}),
)  # fmt: skip

WRITEBACK = THROTTLING + FLUSHER + WBT
