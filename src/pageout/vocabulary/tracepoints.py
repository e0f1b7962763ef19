# SPDX-License-Identifier: GPL-2.0-or-later
"""The one table of tracepoints: names, fields, units and the text a kernel prints for them.

The engine emits by row number and field order, the encoder prints by `text`, the readers parse by it, and the
analysis takes columns by field name. The format is that of Linux 3.1, the first kernels that had all these events
(2.6.34 itself had only the kmem and block ones); a row added for a later kernel says so in `since`.

Source: Linux v3.1.3 include/trace/events/{vmscan,writeback,kmem,block,gfpflags}.h, include/linux/{gfp,fs}.h,
kernel/trace/blktrace.c:blk_fill_rwbs.
"""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

MAX_FIELDS = 14  # words a ring record has for fields


class Field(NamedTuple):
    """One field: what it is called, what C type holds it, in which unit, and by which printer (see PRINTERS)."""

    name: str
    ctype: str
    unit: str
    printed: str
    aliases: tuple[str, ...] = ()  # what other kernels call it in their text


class Tracepoint(NamedTuple):
    """One event. `text` holds each field as {name}, in ring order, and what is derived from them.

    {page} is the struct page of the field pfn, {comm} the name of the task that emitted, {comm_of_target} that of the
    field target_pid. No field bears the name of a column every event has: time_ns, line, pid, cpu.
    """

    name: str
    system: str
    sets: tuple[str, ...]
    since: str
    until: str  # last kernel with this name and format, "" if it outlived 3.1 by far
    fields: tuple[Field, ...]
    text: str
    aliases: tuple[str, ...] = ()  # what other kernels call the event
    key: str = ""  # of a row that is a later kernel's text of its event: what the engine calls it; else ""


PRINTERS = {
    "d": "int, decimal",
    "u": "unsigned int, decimal",
    "ld": "long, decimal",
    "lu": "unsigned long, decimal: a negative value wraps at 2**64, as in the kernel",
    "lx": "unsigned long, hexadecimal without 0x",
    "pfn": "page frame number, as lu; -1 is the NULL page of a failed allocation",
    "gfp": "names of GFP_FLAGS joined by |, the rest in hexadecimal, GFP_NOWAIT for 0",
    "reclaim": "names of RECLAIM_FLAGS joined by |, RECLAIM_WB_NONE for 0",
    "istate": "names of INODE_STATE_FLAGS joined by |, nothing for 0",
    "rwbs": "letters of RWBS_FLAGS",
    "lru": "names of LRU_FLAGS: a bit for each list",
    "throttle": "names of THROTTLE_FLAGS joined by |: a bit for each reason",
    "zone": "names of ZONE_FLAGS, a bit for each zone, filled up to eight letters",
    "reason": "row of REASONS",
    "gfp6": "names of GFP_6_FLAGS joined by |, the rest in hexadecimal, GFP_NOWAIT for 0",
    "istate6": "as istate, with I_SYNC_QUEUED by its name",
    "bdi": "device number printed as MAJ:MIN, `default` for NO_DEVICE",
    "sb_dev": "device number printed as MAJ:MIN, 0:0 for NO_DEVICE",
    "dev": "device number printed as MAJ,MIN, 0,0 for NO_DEVICE",
    "shrinker": "row of SHRINKERS, printed as symbol+0x0/0xSIZE and address",
}

# Device numbers. 0, 1, 2... are whole SCSI disks (8:0, 8:16, ... 65:0, ...); any other device is its dev_t with this
# bit set; a value below NO_DEVICE is a name the recording keeps (btrfs-1 is no MAJ:MIN): -2 is names[0], -3 names[1].
NO_DEVICE = -1
DEV_T = 1 << 40
MINOR_BITS = 20
SD_DISKS = 128  # eight majors (8, 65-71) of 16 disks of 16 minors
FIRST_NAME = -2

# struct page on x86-64: where the table starts and how large one is, so that page=%p can be printed from the pfn.
VMEMMAP_START = 0xFFFFEA0000000000
PAGE_STRUCT_BYTES = 56
NULL_PFN = -1
# What page_to_pfn() makes of the NULL page: the compiler divides the difference of the pointers, which is exact for
# real pages, by 8 and then by multiplying with the inverse of 7 modulo 2**64.
NULL_PAGE_PFN = ((1 << 64) - VMEMMAP_START >> 3) * pow(PAGE_STRUCT_BYTES >> 3, -1, 1 << 64) % (1 << 64)


def disk_of(major: int, minor: int) -> int:
    """Return the device number of MAJ:MIN."""
    if minor % 16 == 0 and minor < 256 and (major == 8 or 65 <= major <= 71):
        return (0 if major == 8 else (major - 64) * 16) + minor // 16
    return DEV_T | major << MINOR_BITS | minor


def major_minor(device: int) -> tuple[int, int]:
    """Return (MAJ, MIN) of a device number that is neither NO_DEVICE nor a kept name."""
    if device >= DEV_T:
        return device - DEV_T >> MINOR_BITS, device & (1 << MINOR_BITS) - 1
    return 8 if device < 16 else 64 + device // 16, device % 16 * 16


# Single bits, then the sets, of include/linux/gfp.h.
_GFP = {
    "DMA": 0x01, "HIGHMEM": 0x02, "DMA32": 0x04, "MOVABLE": 0x08, "WAIT": 0x10, "HIGH": 0x20, "IO": 0x40, "FS": 0x80,
    "COLD": 0x100, "NOWARN": 0x200, "REPEAT": 0x400, "NOFAIL": 0x800, "NORETRY": 0x1000, "COMP": 0x4000,
    "ZERO": 0x8000, "NOMEMALLOC": 0x10000, "HARDWALL": 0x20000, "THISNODE": 0x40000, "RECLAIMABLE": 0x80000,
    "NOTRACK": 0x200000, "NO_KSWAPD": 0x400000, "OTHER_NODE": 0x800000,
}  # fmt: skip


def gfp_mask(*bits: str) -> int:
    """Return the mask of __GFP_ bits given by name: gfp_mask("WAIT", "IO") is GFP_NOFS."""
    return sum(_GFP[bit] for bit in bits)


GFP_NOWAIT = 0
GFP_ATOMIC = gfp_mask("HIGH")
GFP_NOIO = gfp_mask("WAIT")
GFP_NOFS = gfp_mask("WAIT", "IO")
GFP_KERNEL = gfp_mask("WAIT", "IO", "FS")
GFP_TEMPORARY = GFP_KERNEL | gfp_mask("RECLAIMABLE")
GFP_USER = GFP_KERNEL | gfp_mask("HARDWALL")
GFP_HIGHUSER = GFP_USER | gfp_mask("HIGHMEM")
GFP_HIGHUSER_MOVABLE = GFP_HIGHUSER | gfp_mask("MOVABLE")
GFP_TRANSHUGE = GFP_HIGHUSER_MOVABLE | gfp_mask("COMP", "NOMEMALLOC", "NORETRY", "NOWARN", "NO_KSWAPD")

# Printed in this order, each taking its bits away; __GFP_FS, _HIGHMEM, _DMA, _DMA32 alone have no name (0x..).
# assumed: CONFIG_KMEMCHECK, which gives GFP_NOTRACK its bit; without, its mask is 0 and it prints beside any rest.
GFP_FLAGS: tuple[tuple[int, str], ...] = (
    (GFP_TRANSHUGE, "GFP_TRANSHUGE"),
    (GFP_HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"),
    (GFP_HIGHUSER, "GFP_HIGHUSER"),
    (GFP_USER, "GFP_USER"),
    (GFP_TEMPORARY, "GFP_TEMPORARY"),
    (GFP_KERNEL, "GFP_KERNEL"),
    (GFP_NOFS, "GFP_NOFS"),
    (GFP_ATOMIC, "GFP_ATOMIC"),
    (GFP_NOIO, "GFP_NOIO"),
    *((_GFP[bit], f"GFP_{bit}") for bit in (
        "HIGH", "WAIT", "IO", "COLD", "NOWARN", "REPEAT", "NOFAIL", "NORETRY", "COMP", "ZERO", "NOMEMALLOC", "HARDWALL",
        "THISNODE", "RECLAIMABLE", "MOVABLE", "NOTRACK", "NO_KSWAPD", "OTHER_NODE",
    )),
)  # fmt: skip

RECLAIM_WB_ANON, RECLAIM_WB_FILE, RECLAIM_WB_MIXED, RECLAIM_WB_SYNC, RECLAIM_WB_ASYNC = 0x01, 0x02, 0x10, 0x04, 0x08
RECLAIM_FLAGS: tuple[tuple[int, str], ...] = (
    (RECLAIM_WB_ANON, "RECLAIM_WB_ANON"),
    (RECLAIM_WB_FILE, "RECLAIM_WB_FILE"),
    (RECLAIM_WB_MIXED, "RECLAIM_WB_MIXED"),
    (RECLAIM_WB_SYNC, "RECLAIM_WB_SYNC"),
    (RECLAIM_WB_ASYNC, "RECLAIM_WB_ASYNC"),
)

I_DIRTY_SYNC, I_DIRTY_DATASYNC, I_DIRTY_PAGES, I_SYNC = 1, 2, 4, 128
INODE_STATE_FLAGS: tuple[tuple[int, str], ...] = (
    (I_DIRTY_SYNC, "I_DIRTY_SYNC"),
    (I_DIRTY_DATASYNC, "I_DIRTY_DATASYNC"),
    (I_DIRTY_PAGES, "I_DIRTY_PAGES"),
    (8, "I_NEW"),
    (16, "I_WILL_FREE"),
    (32, "I_FREEING"),
    (64, "I_CLEAR"),
    (I_SYNC, "I_SYNC"),
    (256, "I_REFERENCED"),
)
FIRST_INO = 128  # of the simulated files
I_SYNC_QUEUED = 1 << 17  # since 5.9: on its way through b_io or b_more_io

# Why a flusher works, since 3.2.
REASONS = (
    "background", "vmscan", "sync", "periodic", "laptop_timer", "fs_free_space", "forker_thread", "foreign_flush",
)  # fmt: skip
REASON_BACKGROUND, REASON_VMSCAN, REASON_SYNC, REASON_PERIODIC = range(4)

# The letters in the order they stand in: a flush first, one of W D R N, then the modifiers.
RWBS_FLUSH, RWBS_WRITE, RWBS_DISCARD, RWBS_READ, RWBS_NONE = 1, 2, 4, 8, 16
RWBS_FUA, RWBS_RAHEAD, RWBS_SYNC, RWBS_META, RWBS_SECURE = 32, 64, 128, 256, 512
RWBS_FLAGS: tuple[tuple[int, str], ...] = (
    (RWBS_FLUSH, "F"),
    (RWBS_WRITE, "W"),
    (RWBS_DISCARD, "D"),
    (RWBS_READ, "R"),
    (RWBS_NONE, "N"),
    (RWBS_FUA, "F"),
    (RWBS_RAHEAD, "A"),
    (RWBS_SYNC, "S"),
    (RWBS_META, "M"),
    (RWBS_SECURE, "E"),
)

# assumed: sizes and addresses, which differ from build to build; only the symbols mean something.
SHRINKERS = (
    "shrink_dcache_memory+0x0/0x200 ffffffff81a2a780",
    "shrink_icache_memory+0x0/0x1e0 ffffffff81a2a8c0",
    "xfs_buftarg_shrink+0x0/0x1c0 ffffffff81a40ac0",
)


def _field(name: str, printed: str, unit: str = "", ctype: str = "", aliases: tuple[str, ...] = ()) -> Field:
    natural = {
        "d": "int", "u": "unsigned int", "ld": "long", "lu": "unsigned long", "lx": "unsigned long",
        "pfn": "struct page *", "gfp": "gfp_t", "reclaim": "int", "istate": "unsigned long", "rwbs": "char[8]",
        "reason": "int", "bdi": "char[32]", "sb_dev": "dev_t", "dev": "dev_t", "shrinker": "struct shrinker *",
        "lru": "int", "throttle": "int", "zone": "int",
    }  # fmt: skip
    return Field(name, ctype or natural[printed], unit, printed, aliases)


_BOTH, _FULL = ("decisions", "full"), ("full",)
_NID, _ZID, _ORDER = _field("nid", "d"), _field("zid", "d"), _field("order", "d", "log2 pages")
_GFP_FIELD, _PFN = _field("gfp_flags", "gfp"), _field("pfn", "pfn")
_BDI, _DEV = _field("bdi", "bdi"), _field("dev", "dev")
_MIGRATETYPE = _field("migratetype", "d")
_PAGE = "page={page} pfn={pfn}"
_REASON = _field("reason", "reason")  # since 3.2, so not in the text of 3.1

_BEGIN = (_ORDER, _field("may_writepage", "d"), _GFP_FIELD)
_BEGIN_TEXT = "order={order} may_writepage={may_writepage} gfp_flags={gfp_flags}"
_END = (_field("nr_reclaimed", "lu", "pages"),)
_ISOLATE = (
    _field("isolate_mode", "d"),
    _ORDER,
    _field("nr_requested", "lu", "pages"),
    _field("nr_scanned", "lu", "pages"),
    _field("nr_taken", "lu", "pages"),
    _field("contig_taken", "lu", "pages"),
    _field("contig_dirty", "lu", "pages"),
    _field("contig_failed", "lu", "pages"),
)
_ISOLATE_TEXT = (
    "isolate_mode={isolate_mode} order={order} nr_requested={nr_requested} nr_scanned={nr_scanned} nr_taken={nr_taken} "
    "contig_taken={contig_taken} contig_dirty={contig_dirty} contig_failed={contig_failed}"
)
_WORK = (
    _BDI,
    _field("sb_dev", "sb_dev"),
    _field("nr_pages", "ld", "pages"),
    _field("sync_mode", "d"),
    _field("kupdate", "d"),
    _field("range_cyclic", "d"),
    _field("background", "d"),
    _REASON,
)
_WORK_TEXT = (
    "bdi {bdi}: sb_dev {sb_dev} nr_pages={nr_pages} sync_mode={sync_mode} kupdate={kupdate} "
    "range_cyclic={range_cyclic} background={background}"
)
_WAIT = (_field("usec_timeout", "u", "us"), _field("usec_delayed", "u", "us", aliases=("usect_delayed",)))
_WAIT_TEXT = "usec_timeout={usec_timeout} usec_delayed={usec_delayed}"
_INODE = (
    _BDI,
    _field("ino", "lu"),
    _field("state", "istate"),
    _field("dirtied_when", "lu", "jiffies"),
    _field("age", "lu", "s"),
    _field("index", "lu", "pages"),
    _field("to_write", "ld", "pages"),
    _field("wrote", "lu", "pages"),
)
_INODE_TEXT = (
    "bdi {bdi}: ino={ino} state={state} dirtied_when={dirtied_when} age={age} index={index} to_write={to_write} "
    "wrote={wrote}"
)
_RWBS, _SECTOR = _field("rwbs", "rwbs"), _field("sector", "lu", "sectors of 512 B", "sector_t")
_NR_SECTOR, _ERROR = _field("nr_sector", "u", "sectors of 512 B"), _field("error", "d", "-errno")
_RQ_ERROR = (_DEV, _RWBS, _SECTOR, _NR_SECTOR, _ERROR)
_RQ_ERROR_TEXT = "{dev} {rwbs} () {sector} + {nr_sector} [{error}]"
_RQ = (_DEV, _RWBS, _field("bytes", "u", "bytes"), _SECTOR, _NR_SECTOR)  # bytes: of a SCSI command, 0 for file data
_RQ_TEXT = "{dev} {rwbs} {bytes} () {sector} + {nr_sector} [{comm}]"
_BIO = (_DEV, _RWBS, _SECTOR, _NR_SECTOR)
_BIO_TEXT = "{dev} {rwbs} {sector} + {nr_sector} [{comm}]"
_REMAP = (_DEV, _RWBS, _SECTOR, _NR_SECTOR, _field("old_dev", "dev"), _field("old_sector", "lu", "sectors of 512 B"))
_REMAP_TEXT = "{dev} {rwbs} {sector} + {nr_sector} <- ({old_dev}) {old_sector}"


def _vmscan(
    name: str, fields: tuple[Field, ...], text: str, since: str = "2.6.36", aliases: tuple[str, ...] = ()
) -> Tracepoint:
    return Tracepoint(name, "vmscan", _BOTH, since, "", fields, text, aliases)


def _writeback(name: str, fields: tuple[Field, ...], text: str, since: str = "2.6.36", until: str = "") -> Tracepoint:
    return Tracepoint(name, "writeback", _BOTH, since, until, fields, text)


def _kmem(name: str, fields: tuple[Field, ...], text: str, *aliases: str) -> Tracepoint:
    return Tracepoint(name, "kmem", _FULL, "2.6.32", "", fields, text, aliases)


def _block(name: str, fields: tuple[Field, ...], text: str, sets: tuple[str, ...] = _FULL) -> Tracepoint:
    return Tracepoint(name, "block", sets, "2.6.31", "", fields, text)


def _later(name: str, key: str, since: str, fields: tuple[Field, ...], text: str) -> Tracepoint:
    return Tracepoint(name, "vmscan", _BOTH, since, "", fields, text, key=f"{name}_{key}" if key else name)


_ISOLATE_6 = (
    _field("classzone", "d"),
    _ORDER,
    _field("nr_requested", "lu", "pages"),
    _field("nr_scanned", "lu", "pages"),
    _field("nr_skipped", "lu", "pages"),
    _field("nr_taken", "lu", "pages"),
    _field("lru", "lru"),
)
_ISOLATE_6_TEXT = (
    "classzone={classzone} order={order} nr_requested={nr_requested} nr_scanned={nr_scanned} nr_skipped={nr_skipped} "
    "nr_taken={nr_taken} lru={lru}"
)

TRACEPOINTS: tuple[Tracepoint, ...] = (
    _vmscan("mm_vmscan_kswapd_sleep", (_NID,), "nid={nid}"),
    _vmscan("mm_vmscan_kswapd_wake", (_NID, _ORDER), "nid={nid} order={order}"),
    _vmscan("mm_vmscan_wakeup_kswapd", (_NID, _ZID, _ORDER), "nid={nid} zid={zid} order={order}"),
    _vmscan("mm_vmscan_direct_reclaim_begin", _BEGIN, _BEGIN_TEXT),
    _vmscan("mm_vmscan_direct_reclaim_end", _END, "nr_reclaimed={nr_reclaimed}"),
    _vmscan("mm_vmscan_memcg_reclaim_begin", _BEGIN, _BEGIN_TEXT),
    _vmscan("mm_vmscan_memcg_reclaim_end", _END, "nr_reclaimed={nr_reclaimed}"),
    _vmscan("mm_vmscan_memcg_softlimit_reclaim_begin", _BEGIN, _BEGIN_TEXT),
    _vmscan("mm_vmscan_memcg_softlimit_reclaim_end", _END, "nr_reclaimed={nr_reclaimed}"),
    _vmscan("mm_vmscan_lru_isolate", _ISOLATE, _ISOLATE_TEXT),
    _vmscan("mm_vmscan_memcg_isolate", _ISOLATE, _ISOLATE_TEXT),
    _vmscan("mm_vmscan_writepage", (_PFN, _field("flags", "reclaim")), _PAGE + " flags={flags}",
            aliases=("mm_vmscan_write_folio",)),
    _vmscan("mm_vmscan_lru_shrink_inactive",
            (_NID, _ZID, _field("nr_scanned", "ld", "pages"), _field("nr_reclaimed", "ld", "pages"),
             _field("priority", "d"), _field("flags", "reclaim")),
            "nid={nid} zid={zid} nr_scanned={nr_scanned} nr_reclaimed={nr_reclaimed} priority={priority} flags={flags}",
            "2.6.37"),
    _vmscan("mm_shrink_slab_start",
            (_field("shrinker", "shrinker"), _field("nr_objects_to_shrink", "ld", "objects"), _GFP_FIELD,
             _field("pgs_scanned", "ld", "pages"), _field("lru_pgs", "ld", "pages"),
             _field("cache_items", "ld", "objects"), _field("delta", "ld", "objects"),
             _field("total_scan", "ld", "objects")),
            "{shrinker}: objects to shrink {nr_objects_to_shrink} gfp_flags {gfp_flags} pgs_scanned {pgs_scanned} "
            "lru_pgs {lru_pgs} cache items {cache_items} delta {delta} total_scan {total_scan}", "3.1"),
    _vmscan("mm_shrink_slab_end",
            (_field("shrinker", "shrinker"), _field("unused_scan", "ld", "objects"),
             _field("new_scan", "ld", "objects"), _field("total_scan", "ld", "objects"), _field("retval", "d")),
            "{shrinker}: unused scan count {unused_scan} new scan count {new_scan} total_scan {total_scan} "
            "last shrinker return val {retval}", "3.1"),
    _writeback("writeback_nothread", _WORK, _WORK_TEXT),
    _writeback("writeback_queue", _WORK, _WORK_TEXT),
    _writeback("writeback_exec", _WORK, _WORK_TEXT),
    _writeback("writeback_start", _WORK, _WORK_TEXT),
    _writeback("writeback_written", _WORK, _WORK_TEXT),
    _writeback("writeback_wait", _WORK, _WORK_TEXT),
    _writeback("writeback_pages_written", (_field("pages", "ld", "pages"),), "{pages}"),
    _writeback("writeback_nowork", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_wake_background", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_wake_thread", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_wake_forker_thread", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_bdi_register", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_bdi_unregister", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_thread_start", (_BDI,), "bdi {bdi}"),
    _writeback("writeback_thread_stop", (_BDI,), "bdi {bdi}"),
    _writeback("balance_dirty_start", (_BDI,), "bdi {bdi}", until="3.1"),
    _writeback("balance_dirty_wait", (_BDI,), "bdi {bdi}", until="3.1"),
    _writeback("balance_dirty_written", (_BDI, _field("written", "d", "pages")), "bdi {bdi} written {written}",
               until="3.1"),
    Tracepoint("wbc_writepage", "writeback", _FULL, "2.6.36", "",
               (_BDI, _field("towrt", "ld", "pages"), _field("skip", "ld", "pages"), _field("mode", "d"),
                _field("kupd", "d"), _field("bgrd", "d"), _field("reclm", "d"), _field("cyclic", "d"),
                _field("start", "lx", "bytes"), _field("end", "lx", "bytes")),
               "bdi {bdi}: towrt={towrt} skip={skip} mode={mode} kupd={kupd} bgrd={bgrd} reclm={reclm} cyclic={cyclic} "
               "start=0x{start} end=0x{end}"),
    _writeback("writeback_queue_io",
               (_BDI, _field("older", "lu", "jiffies"), _field("age", "ld", "ms"), _field("enqueue", "d", "inodes"),
                _REASON),
               "bdi {bdi}: older={older} age={age} enqueue={enqueue}", "3.1"),
    _writeback("global_dirty_state",
               (_field("dirty", "lu", "pages"), _field("writeback", "lu", "pages"), _field("unstable", "lu", "pages"),
                _field("bg_thresh", "lu", "pages"), _field("thresh", "lu", "pages"), _field("limit", "lu", "pages"),
                _field("dirtied", "lu", "pages"), _field("written", "lu", "pages")),
               "dirty={dirty} writeback={writeback} unstable={unstable} bg_thresh={bg_thresh} thresh={thresh} "
               "limit={limit} dirtied={dirtied} written={written}", "3.1"),
    _writeback("writeback_congestion_wait", _WAIT, _WAIT_TEXT, "2.6.37", "5.15"),
    _writeback("writeback_wait_iff_congested", _WAIT, _WAIT_TEXT, "2.6.37", "5.15"),
    _writeback("writeback_single_inode_requeue", _INODE, _INODE_TEXT, "3.1"),
    _writeback("writeback_single_inode", _INODE, _INODE_TEXT, "3.1"),
    _kmem("mm_page_alloc", (_PFN, _ORDER, _MIGRATETYPE, _GFP_FIELD),
          _PAGE + " order={order} migratetype={migratetype} gfp_flags={gfp_flags}"),
    _kmem("mm_page_free_direct", (_PFN, _ORDER), _PAGE + " order={order}", "mm_page_free"),
    _kmem("mm_pagevec_free", (_PFN, _field("cold", "d")), _PAGE + " order=0 cold={cold}", "mm_page_free_batched"),
    _kmem("mm_page_alloc_zone_locked",
          (_PFN, _field("order", "u", "log2 pages"), _MIGRATETYPE, _field("percpu_refill", "d")),
          _PAGE + " order={order} migratetype={migratetype} percpu_refill={percpu_refill}"),
    _kmem("mm_page_pcpu_drain", (_PFN, _ORDER, _MIGRATETYPE), _PAGE + " order={order} migratetype={migratetype}"),
    _kmem("mm_page_alloc_extfrag",
          (_PFN, _field("alloc_order", "d", "log2 pages"), _field("fallback_order", "d", "log2 pages"),
           _field("pageblock_order", "d", "log2 pages"), _field("alloc_migratetype", "d"),
           _field("fallback_migratetype", "d"), _field("fragmenting", "d"), _field("change_ownership", "d")),
          _PAGE + " alloc_order={alloc_order} fallback_order={fallback_order} pageblock_order={pageblock_order} "
          "alloc_migratetype={alloc_migratetype} fallback_migratetype={fallback_migratetype} "
          "fragmenting={fragmenting} change_ownership={change_ownership}"),
    _block("block_rq_abort", _RQ_ERROR, _RQ_ERROR_TEXT, _BOTH),
    _block("block_rq_requeue", _RQ_ERROR, _RQ_ERROR_TEXT, _BOTH),
    _block("block_rq_complete", _RQ_ERROR, _RQ_ERROR_TEXT, _BOTH),
    _block("block_rq_insert", _RQ, _RQ_TEXT),
    _block("block_rq_issue", _RQ, _RQ_TEXT, _BOTH),
    _block("block_bio_bounce", _BIO, _BIO_TEXT),
    _block("block_bio_complete", (_DEV, _RWBS, _SECTOR, _NR_SECTOR, _ERROR),
           "{dev} {rwbs} {sector} + {nr_sector} [{error}]"),
    _block("block_bio_backmerge", _BIO, _BIO_TEXT),
    _block("block_bio_frontmerge", _BIO, _BIO_TEXT),
    _block("block_bio_queue", _BIO, _BIO_TEXT),
    _block("block_getrq", _BIO, _BIO_TEXT),
    _block("block_sleeprq", _BIO, _BIO_TEXT, _BOTH),
    _block("block_plug", (), "[{comm}]"),
    _block("block_unplug", (_field("nr_rq", "d", "requests"),), "[{comm}] {nr_rq}"),
    _block("block_split", (_DEV, _RWBS, _SECTOR, _field("new_sector", "lu", "sectors of 512 B")),
           "{dev} {rwbs} {sector} / {new_sector} [{comm}]"),
    _block("block_bio_remap", _REMAP, _REMAP_TEXT),
    _block("block_rq_remap", _REMAP, _REMAP_TEXT),
    # Later kernels: rows of their own where a 3.1 kernel has nothing like it.
    _writeback("balance_dirty_pages",
               (_BDI, _field("limit", "lu", "pages"), _field("setpoint", "lu", "pages", aliases=("goal",)),
                _field("dirty", "lu", "pages"),
                _field("bdi_setpoint", "lu", "pages", aliases=("wb_setpoint", "bdi_goal")),
                _field("bdi_dirty", "lu", "pages", aliases=("wb_dirty",)),
                _field("dirty_ratelimit", "lu", "KiB/s", aliases=("base_bw",)),
                _field("task_ratelimit", "lu", "KiB/s", aliases=("task_bw",)),
                _field("dirtied", "u", "pages"), _field("dirtied_pause", "u", "pages"),
                _field("paused", "lu", "ms"), _field("pause", "ld", "ms"), _field("period", "ld", "ms"),
                _field("think", "ld", "ms")),
               "bdi {bdi}: limit={limit} setpoint={setpoint} dirty={dirty} bdi_setpoint={bdi_setpoint} "
               "bdi_dirty={bdi_dirty} dirty_ratelimit={dirty_ratelimit} task_ratelimit={task_ratelimit} "
               "dirtied={dirtied} dirtied_pause={dirtied_pause} paused={paused} pause={pause} period={period} "
               "think={think}", "3.2"),
    _writeback("bdi_dirty_ratelimit",
               (_BDI, _field("write_bw", "lu", "KiB/s"), _field("awrite_bw", "lu", "KiB/s"),
                _field("dirty_rate", "lu", "KiB/s"), _field("dirty_ratelimit", "lu", "KiB/s"),
                _field("task_ratelimit", "lu", "KiB/s"), _field("balanced_dirty_ratelimit", "lu", "KiB/s")),
               "bdi {bdi}: write_bw={write_bw} awrite_bw={awrite_bw} dirty_rate={dirty_rate} "
               "dirty_ratelimit={dirty_ratelimit} task_ratelimit={task_ratelimit} "
               "balanced_dirty_ratelimit={balanced_dirty_ratelimit}", "3.2"),
    Tracepoint("oom_score_adj_update", "oom", _BOTH, "3.6", "",
               (_field("target_pid", "d"), _field("oom_score_adj", "d", ctype="short")),
               "pid={target_pid} comm={comm_of_target} oom_score_adj={oom_score_adj}"),
    Tracepoint("mark_victim", "oom", _BOTH, "4.13", "", (_field("target_pid", "d"),), "pid={target_pid}"),
    # reclaim.engine=node: as kernels of 6.x print them
    _later("mm_vmscan_wakeup_kswapd", "gfp", "5.1", (_NID, _ORDER, _GFP_FIELD),
           "nid={nid} order={order} gfp_flags={gfp_flags}"),
    _later("mm_vmscan_direct_reclaim_begin", "gfp", "5.1", (_ORDER, _GFP_FIELD), "order={order} gfp_flags={gfp_flags}"),
    _later("mm_vmscan_lru_isolate", "mode", "4.8", (_field("isolate_mode", "d"), *_ISOLATE_6),
           "isolate_mode={isolate_mode} " + _ISOLATE_6_TEXT),
    _later("mm_vmscan_lru_isolate", "skipped", "6.7", _ISOLATE_6, _ISOLATE_6_TEXT),
    _later("mm_vmscan_lru_shrink_inactive", "counts", "5.2",
           (_NID, _field("nr_scanned", "ld", "pages"), _field("nr_reclaimed", "ld", "pages"),
            *(_field(f"nr_{name}", "ld", "pages") for name in ("dirty", "writeback", "congested", "immediate")),
            *(_field(f"nr_activate_{name}", "d", "pages") for name in ("anon", "file")),
            _field("nr_ref_keep", "ld", "pages"), _field("nr_unmap_fail", "ld", "pages"),
            _field("priority", "d"), _field("flags", "reclaim")),
           "nid={nid} nr_scanned={nr_scanned} nr_reclaimed={nr_reclaimed} nr_dirty={nr_dirty} "
           "nr_writeback={nr_writeback} nr_congested={nr_congested} nr_immediate={nr_immediate} "
           "nr_activate_anon={nr_activate_anon} nr_activate_file={nr_activate_file} nr_ref_keep={nr_ref_keep} "
           "nr_unmap_fail={nr_unmap_fail} priority={priority} flags={flags}"),
    _later("mm_vmscan_lru_shrink_active", "", "4.11",
           (_NID, *(_field(f"nr_{name}", "ld", "pages") for name in ("taken", "active", "deactivated", "referenced")),
            _field("priority", "d"), _field("flags", "reclaim")),
           "nid={nid} nr_taken={nr_taken} nr_active={nr_active} nr_deactivated={nr_deactivated} "
           "nr_referenced={nr_referenced} priority={priority} flags={flags}"),
    _later("mm_vmscan_write_folio", "", "5.18",
           (_field("pfn", "lx", ctype="unsigned long"), _field("flags", "reclaim")),
           "page={page} pfn=0x{pfn} flags={flags}"),
    _later("mm_vmscan_throttled", "", "5.16",
           (_NID, _field("usec_timeout", "d", "us"), _field("usec_delayed", "d", "us", aliases=("usect_delayed",)),
            _field("reason", "throttle")),
           "nid={nid} usec_timeout={usec_timeout} usect_delayed={usec_delayed} reason={reason}"),
    Tracepoint("reclaim_retry_zone", "oom", _BOTH, "4.7", "",
               (_NID, _field("zone", "zone"), _ORDER, _field("reclaimable", "lu", "pages"),
                _field("available", "lu", "pages"), _field("min_wmark", "lu", "pages"),
                _field("no_progress_loops", "d"), _field("wmark_check", "d")),
               "node={nid} zone={zone} order={order} reclaimable={reclaimable} available={available} "
               "min_wmark={min_wmark} no_progress_loops={no_progress_loops} wmark_check={wmark_check}",
               (), "reclaim_retry_zone"),
    # Emitted only by kernels that have them: see enabled().
    _writeback("writeback_single_inode_start", _INODE, _INODE_TEXT, "3.14"),
    Tracepoint("writeback_dirty_page", "writeback", _FULL, "3.9", "",
               (_BDI, _field("ino", "lu"), _field("index", "lu", "pages")), "bdi {bdi}: ino={ino} index={index}"),
    *(Tracepoint(f"mm_filemap_{what}_page_cache", "filemap", _FULL, "3.9", "",
                 (_field("dev", "sb_dev"), _field("ino", "lx"), _PFN, _field("ofs", "lu", "bytes"),
                  _field("order", "u", "log2 pages")),
                 "dev {dev} ino {ino} " + _PAGE + " ofs={ofs} order={order}") for what in ("add_to", "delete_from")),
    _later("mm_vmscan_memcg_reclaim_begin", "gfp", "5.1", (_ORDER, _GFP_FIELD), "order={order} gfp_flags={gfp_flags}"),
)  # fmt: skip

EV = namedtuple("EV", [row.key or row.name for row in TRACEPOINTS])(*range(len(TRACEPOINTS)))

# Of an event that has several rows, the oldest.
ROWS: dict[str, int] = {name: row for row, t in reversed([*enumerate(TRACEPOINTS)]) for name in (t.name, *t.aliases)}


_ONLY_LATER = frozenset(range(first := ROWS["writeback_single_inode_start"], first + 4))


def enabled(set_name: str, *, later: bool = False) -> tuple[bool, ...]:
    """Return, per row, whether the event belongs to the set `decisions` or `full`; later: of a kernel of 6.x."""
    return tuple(set_name in row.sets and (later or n not in _ONLY_LATER) for n, row in enumerate(TRACEPOINTS))
