# SPDX-License-Identifier: GPL-2.0-or-later
"""What known kernel faults look like in stacks, logs and counters: functions from a Case to what was seen, None if nothing.

Each asks for the whole of a symptom. A part of it, a slow sync or a busy kswapd, has many causes and is not enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.diagnose.wait_sites import DEVICE, JOURNAL, has, site_of
from pageout.diagnose.words import bytes_text, percent
from pageout.readers.facts import Frame, LogLine, OomReport, TableRow, TaskStack

HUNG_S = 100  # seconds: below, a wait may be a slow device
KIB = 1024
SMALL_KIB = 64  # a write: cheap flash is slow at these
LINES = 6  # of evidence
GONE = ("device gone",)
BROKEN = ("device gone", "device timeout", "I/O error", "device reset", "journal aborted", "remounted read-only")
SPINS = r"_?raw_spin_\w+|native_queued_spin_lock_slowpath|queued_spin_lock_slowpath|__?pv_queued_spin_lock_slowpath"
FLUSHER = r"wb_workfn|wb_writeback|bdi_writeback_workfn|writeback_sb_inodes|__writeback_single_inode"


class Seen(NamedTuple):
    """What a signature found, in words that follow "seen here:", and the lines."""

    text: str
    evidence: tuple[Evidence, ...]


Signature = Callable[[Case], Seen | None]
_Stack = tuple[str, TaskStack]


# --- stacks ---


def _stacks(case: Case) -> list[_Stack]:
    return [(file, stack) for file, stack in case.facts(TaskStack) if stack.frames]


def _runs(stack: TaskStack) -> bool:
    """Say whether a task was on a CPU, not waiting."""
    return stack.source == "soft lockup" or (stack.state or "")[:1] == "R"


def _hung(stack: TaskStack) -> bool:
    return (stack.blocked_s or 0) >= HUNG_S


def _with(stacks: Sequence[_Stack], *patterns: str) -> list[tuple[_Stack, Frame]]:
    """Return stacks that have a frame of every pattern, and the frame of the first pattern."""
    found = []
    for pair in stacks:
        frames = [has(pair[1].frames, pattern) for pattern in patterns]
        if frames[0] is not None and None not in frames:
            found.append((pair, frames[0]))
    return found


def _lines(found: Sequence[tuple[_Stack, Frame]]) -> tuple[Evidence, ...]:
    return tuple(Evidence(file, frame.line) for (file, _), frame in found[:LINES])


def _names(found: Sequence[tuple[_Stack, Frame]]) -> str:
    names = list(dict.fromkeys(stack.comm or "a task" for (_, stack), _ in found))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _at(found: Sequence[tuple[_Stack, Frame]], doing: str) -> Seen | None:
    return Seen(f"{_names(found)} {doing} {found[0][1].function}", _lines(found)) if found else None


def _journal_waiters(stacks: Sequence[_Stack]) -> list[tuple[_Stack, Frame]]:
    found = []
    for pair in stacks:
        site, frame = site_of(pair[1].frames)
        if site.waits_for == JOURNAL and frame is not None:
            found.append((pair, frame))
    return found


def _kswapd(stacks: Sequence[_Stack]) -> list[_Stack]:
    return [pair for pair in stacks if (pair[1].comm or "").startswith("kswapd")]


def _trouble(case: Case, topics: Sequence[str]) -> list[Evidence]:
    return [Evidence(file, fact.line) for file, fact in case.facts(LogLine) if fact.topic in topics]


def ext4_group_scan(case: Case) -> Seen | None:
    """The flusher runs in ext4's search for free blocks."""
    running = [pair for pair in _stacks(case) if _runs(pair[1])]
    search = r"ext4_mb_(?:regular_allocator|scan_\w+|good_group\w*|find_\w+|choose_next_group\w*|complex_scan_group)"
    return _at(_with(running, search, FLUSHER), "is on a CPU in")


def kswapd_spins(case: Case) -> Seen | None:
    """A kswapd is caught running, outside any filesystem."""
    running = [pair for pair in _kswapd(_stacks(case)) if _runs(pair[1])]
    plain = [pair for pair in running if has(pair[1].frames, r"(?:btrfs|xfs|ext4|nfs|zfs|arc)_\w+") is None]
    return _at(_with(plain, r"kswapd|balance_pgdat|shrink_(?:node|zone|lruvec|slab)\w*"), "is on a CPU in")


def memcg_charge_loops(case: Case) -> Seen | None:
    """A charge to a cgroup goes on reclaiming below a filesystem, and no OOM kill ends it."""
    if next(case.facts(OomReport), None) is not None:
        return None
    stuck = [pair for pair in _stacks(case) if _runs(pair[1]) or _hung(pair[1])]
    below = r"iomap_readpages?\w*|xfs_vm_read\w+|__xfs_filemap_fault|ext4_mpage_readpages|add_to_page_cache_lru|mpage_readpages"
    return _at(_with(stuck, r"(?:mem_cgroup_)?try_charge", below), "does not come out of")


def commit_waits_for_page(case: Case) -> Seen | None:
    """The journal's commit waits for a page for minutes, and others for the commit."""
    stacks = [pair for pair in _stacks(case) if _hung(pair[1])]
    commits = _with(
        stacks, r"folio_wait_bit\w*|wait_on_page_\w+|folio_wait_writeback\w*", r"jbd2_journal_commit_transaction"
    )
    waiting = _journal_waiters(stacks)
    if not commits or len(waiting) < 2:
        return None
    return Seen(
        f"{_names(commits)} waits in {commits[0][1].function}, and {len(waiting)} tasks wait for the journal",
        (*_lines(commits), *_lines(waiting))[:LINES],
    )


def removed_device(case: Case) -> Seen | None:
    """Writers to ext4 or XFS wait at the dirty limit, and the log says that a device went."""
    found = _with(_stacks(case), r"balance_dirty_pages\w*", r"(?:ext4|xfs)_\w+")
    gone = _trouble(case, GONE)
    if not found or not gone:
        return None
    return Seen(
        f"a device went, and {_names(found)} waits in {found[0][1].function}", (*gone[:3], *_lines(found))[:LINES]
    )


def dead_cgroup_waits(case: Case) -> Seen | None:
    """The worker that frees a memory cgroup waits for writeback."""
    return _at(_with(_stacks(case), r"wb_wait_for_completion", r"mem_cgroup_css_free"), "waits in")


def inode_switches(case: Case) -> Seen | None:
    """Workers that move inodes from a dead cgroup's writeback spin for one lock."""
    found = _with(_stacks(case), r"inode_switch_wbs_work_fn|process_inode_switch_wbs_work|inode_do_switch_wbs")
    spinning = [one for one in found if _runs(one[0][1]) and has(one[0][1].frames, SPINS) is not None]
    return _at(spinning, "spins below")


def rq_qos_sleeps(case: Case) -> Seen | None:
    """Tasks sleep for minutes for leave to submit I/O, no device is in trouble and nobody waits for one."""
    stacks = [pair for pair in _stacks(case) if _hung(pair[1])]
    found = _with(stacks, r"rq_qos_wait|wbt_wait|__wbt_wait")
    others = [pair for pair in stacks if all(pair is not one[0] for one in found)]
    busy = [pair for pair in others if (site := site_of(pair[1].frames)[0]).waits_for == DEVICE and site.id != "wbt"]
    if not found or busy or _trouble(case, BROKEN):
        return None
    return _at(found, f"sleeps, over {HUNG_S} s, in")


def btrfs_extent_maps(case: Case) -> Seen | None:
    """Reclaim runs in btrfs's shrinker of extent maps."""
    shrinker = r"btrfs_free_extent_maps|btrfs_scan_(?:inode|root)"
    return _at(_with(_stacks(case), shrinker, r"shrink_slab\w*|do_shrink_slab|super_cache_scan"), "reclaims in")


def compaction_loops(case: Case) -> Seen | None:
    """A task is caught running in compaction's search for pages to move."""
    running = [pair for pair in _stacks(case) if _runs(pair[1])]
    return _at(_with(running, r"fast_find_migrateblock|isolate_migratepages\w*", r"compact_zone\w*"), "is on a CPU in")


def ext4_xattr_loops(case: Case) -> Seen | None:
    """A task runs in ext4's setting of attributes, and others wait for the journal."""
    stacks = _stacks(case)
    running = _with([pair for pair in stacks if _runs(pair[1])], r"ext4_xattr_block_set")
    waiting = _journal_waiters(stacks)
    if not running or not waiting:
        return None
    return Seen(
        f"{_names(running)} is on a CPU in {running[0][1].function}, and {len(waiting)} tasks wait for the journal",
        (*_lines(running), *_lines(waiting))[:LINES],
    )


def raid5d_waits(case: Case) -> Seen | None:
    """The thread of a RAID5 array hangs in itself, and writers wait for the array."""
    stacks = _stacks(case)
    daemons = _with([pair for pair in stacks if _hung(pair[1]) or _runs(pair[1])], r"raid5d")
    innermost = [one for one in daemons if has(one[0][1].frames, r"md_super_wait|submit_bio_wait") is None]
    writers = _with(stacks, r"md_write_start|raid5_get_active_stripe|raid5_make_request")
    if not innermost or not writers:
        return None
    return Seen(
        f"{_names(innermost)} does not get on in raid5d, and {_names(writers)} waits in {writers[0][1].function}",
        (*_lines(innermost), *_lines(writers))[:LINES],
    )


def xfs_inode_reclaim(case: Case) -> Seen | None:
    """Tasks that allocate wait in XFS's reclaim of inodes."""
    waiting = [pair for pair in _stacks(case) if not _runs(pair[1])]
    return _at(_with(waiting, r"xfs_reclaim_inodes_ag", r"shrink_slab\w*|super_cache_scan"), "waits in")


def reserves_throttle(case: Case) -> Seen | None:
    """Allocations sleep for minutes because a node looks short of its reserves."""
    return _at(_with([pair for pair in _stacks(case) if _hung(pair[1])], r"throttle_direct_reclaim"), "sleeps in")


def reserves_livelock(case: Case) -> Seen | None:
    """The same, while kswapd runs and does not sleep."""
    throttled, running = reserves_throttle(case), kswapd_spins(case)
    if throttled is None or running is None:
        return None
    return Seen(f"{throttled.text}; {running.text}", (*throttled.evidence, *running.evidence)[:LINES])


# --- OOM reports ---


def _memcg_reports(case: Case) -> Iterator[tuple[str, OomReport, float]]:
    """Yield (file, report, limit in bytes) of cgroups that met their limit."""
    for file, report in case.facts(OomReport):
        limit = report.memcg_kib.get("limit")
        if report.memcg is not None and limit is not None and 0 < limit.number < 1 << 50:
            yield file, report, limit.number * KIB


def oom_dirty_unwritten(case: Case) -> Seen | None:
    """A cgroup is killed full of dirty pages of which nothing is being written."""
    for file, report, limit in _memcg_reports(case):
        dirty, writeback = report.memcg_stat.get("file_dirty"), report.memcg_stat.get("file_writeback")
        if dirty is None or writeback is None or dirty.number < 0.3 * limit or writeback.number > 0.02 * dirty.number:
            continue
        text = f"file_dirty {percent(dirty.number, limit)} of the limit, file_writeback {bytes_text(writeback.number)}"
        return Seen(text, (Evidence(file, dirty.line), Evidence(file, writeback.line)))
    return None


def oom_v1_writeback(case: Case) -> Seen | None:
    """A cgroup of the first version is killed full of pages under writeback."""
    for file, report, limit in _memcg_reports(case):
        stat = report.memcg_stat
        dirty = stat.get("total_dirty") or stat.get("dirty")
        writeback = stat.get("total_writeback") or stat.get("writeback")
        if "file_dirty" in stat or dirty is None or writeback is None:
            continue
        if writeback.number > 0.1 * limit and dirty.number + writeback.number > 0.5 * limit:
            text = f"{bytes_text(dirty.number)} dirty and {bytes_text(writeback.number)} under writeback of {bytes_text(limit)}"
            return Seen(text, (Evidence(file, dirty.line), Evidence(file, writeback.line)))
    return None


# --- counters and tables ---


def _rows(case: Case, source: str) -> list[tuple[str, TableRow]]:
    return [(file, row) for file, table in case.tables(source) for row in table.rows if "average" not in row.words]


def kswapd_scans_in_vain(case: Case) -> Seen | None:
    """In every row kswapd scans a million pages a second and frees next to none, and nearly all cache is clean."""
    rows = [(file, row) for file, row in _rows(case, "sar -B") if {"pgscank/s", "pgsteal/s"} <= row.numbers.keys()]
    scanned = sum(row.numbers["pgscank/s"] for _, row in rows)
    direct = sum(row.numbers.get("pgscand/s", 0.0) for _, row in rows)
    stolen = sum(row.numbers["pgsteal/s"] for _, row in rows)
    if len(rows) < 3 or scanned < 1e6 * len(rows) or stolen > 0.01 * scanned or direct > 0.1 * scanned:
        return None
    cache = [(row.numbers["kbdirty"], row.numbers["kbcached"]) for _, row in _rows(case, "sar -r") if {"kbdirty", "kbcached"} <= row.numbers.keys()]  # fmt: skip
    if any(dirty > 0.05 * cached for dirty, cached in cache):
        return None
    text = f"kswapd scans {scanned / len(rows):,.0f} pages/s and {percent(stolen, scanned)} of them are freed"
    return Seen(text, tuple(Evidence(file, row.line) for file, row in rows[:3]))


def sync_small_writes(case: Case) -> Seen | None:
    """sync hangs for minutes while a device is fully busy with small writes."""
    waiting = [one for one in _with(_stacks(case), r"wb_wait_for_completion|sync_inodes_sb\w*") if _hung(one[0][1])]
    by_device: dict[str, list[tuple[Evidence, float]]] = {}
    for file, row in _rows(case, "iostat -x"):
        writes, kib, busy = (row.numbers.get(name, 0.0) for name in ("w/s", "wkB/s", "%util"))
        if busy >= 90 and writes > 0 and 0 < kib / writes < SMALL_KIB:
            by_device.setdefault(row.words.get("Device", "a device"), []).append(
                (Evidence(file, row.line), kib / writes)
            )
    device, small = max(by_device.items(), key=lambda pair: len(pair[1]), default=("", []))
    if not waiting or len(small) < 3:
        return None
    size = sum(kib for _, kib in small) / len(small)
    text = f"{_names(waiting)} waits for minutes, and {device} is busy with writes of {size:,.0f} KiB"
    return Seen(text, (*_lines(waiting)[:2], *(evidence for evidence, _ in small[:3])))


def zone_reclaim(case: Case) -> Seen | None:
    """Allocations reclaim in their own node because a setting says so."""
    mode = case.sysctl("vm.zone_reclaim_mode")
    if mode is None or mode.number <= 0:
        return None
    inside = _with(_stacks(case), r"__?zone_reclaim|zone_reclaim|__?node_reclaim|node_reclaim")
    failed = case.counter("vmstat", "zone_reclaim_failed")
    if not inside and (failed is None or failed.number < 1000):
        return None
    text = f"vm.zone_reclaim_mode is {mode.number:.0f}"
    if inside:
        text += f", and {_names(inside)} is in {inside[0][1].function}"
    else:
        assert failed is not None
        text += f", and zone_reclaim_failed is {failed.number:,.0f}"
    return Seen(text, (mode.evidence, *(_lines(inside) or ([failed.evidence] if failed else []))))
