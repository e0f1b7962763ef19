# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants, checked apart from the model: recounts from the page table up, in plain NumPy.

Each check reads the tables and nothing of the kernel's code. They run every n steps on demand and once at the end of
every run; a broken one names scenario, seed and step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel import frames
from pageout.machine.boot import Booted
from pageout.machine.checkers_gen import check_gen, is_gen
from pageout.machine.checkers_memcg import check_memcg
from pageout.machine.checkers_mq import check_mq
from pageout.machine.checkers_node import check_node, is_node
from pageout.machine.checkers_xfs import check_xfs, own_blocks, under_way
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.scenario import Scenario

NS_AHEAD = 1_000_000  # a CPU runs a slice of 50 us ahead of the clock, and one step beyond
PAGE_PLACES = c.PG_LRU | c.PG_BUDDY | c.PG_PCP | c.PG_PVEC | c.PG_ISOLATED | c.PG_KERNEL | c.PG_RESERVED | c.PG_TAIL


def check(booted: Booted, scenario: Scenario) -> None:
    """Run every checker. Raises InvariantError with the first thing that is wrong."""
    seen = _Frames(booted.arrays)
    for checker in (
        _frames,
        _free_lists,
        _per_cpu,
        _lists,
        check_node,
        check_gen,
        check_memcg,
        _counters,
        _dirty,
        _cache,
        _blocks,
        _pools,
        _stacks,
        _handed_over,
        _log,
        _parts,
        _stripes,
        _sockets,
        _slabs,
        _xfs,
        _mq,
    ):
        for complaint in checker(booted.arrays, seen):
            stat = booted.arrays["stat"]
            raise InvariantError(
                f"{scenario.name}: {complaint} (seed {scenario.seed}, step {int(stat['steps'][0])}, "
                f"{int(stat['now_ns'][0])} ns)"
            )


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, a recount finds {found}"


class _Frames:
    """The frames that carry any flag, gathered once: a large machine that is mostly free is checked quickly."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.page = np.flatnonzero(arrays["page"]["pflags"])
        self.pflags = arrays["page"]["pflags"][self.page]
        self.mapping = arrays["page"]["mapping"][self.page]
        self.index = arrays["page"]["index"][self.page]
        self.zone = np.searchsorted(arrays["zone"]["end_page"], self.page, side="right")
        self.is_file = self.pflags & c.PG_SWAPBACKED == 0

    def has(self, flag: int) -> Any:
        """Mask of the frames with a flag."""
        return self.pflags & flag != 0


def _frames(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Every frame is in exactly one place."""
    is_head = seen.has(c.PG_BUDDY)
    heads = seen.page[is_head]
    sizes = 1 << ((seen.pflags[is_head] & c.ORDER_MASK) >> c.ORDER_SHIFT).astype(np.int64)
    if (heads & (sizes - 1)).any() or (heads[:-1] + sizes[:-1] > heads[1:]).any():
        yield "free blocks overlap or are not aligned to their order"
    free = int(sizes.sum())
    yield from _differ("free pages", int(arrays["vm"]["nr_free_pages"][0]), free)
    places = seen.pflags & PAGE_PLACES
    double = places & (places - 1) != 0
    if double.any():
        page = int(double.argmax())
        yield f"page {int(seen.page[page])} is in two places at once: flags {int(seen.pflags[page]):#x}"
    used, where = seen.page[~is_head], places[~is_head]
    if len(heads) and len(used):
        before = np.searchsorted(heads, used, side="right") - 1
        inside = (before >= 0) & (used < heads[before] + sizes[before])
        if inside.any():
            yield f"page {int(used[inside.argmax()])}, inside a free block, is in use"
    in_transit = len(arrays["page"]) - free - int((where != 0).sum())
    if not 0 <= in_transit <= len(arrays["task"]):
        yield f"{in_transit} pages are nowhere: neither free, listed nor held"


def _free_lists(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Each free block is on the list of its order and type and no other; two free buddies would have been merged."""
    is_head = seen.has(c.PG_BUDDY)
    heads, zone = seen.page[is_head], seen.zone[is_head]
    order = (seen.pflags[is_head] & c.ORDER_MASK) >> c.ORDER_SHIFT
    area = zone * c.MAX_ORDER + order
    listed = area * c.NR_FREE_LISTS + ((seen.pflags[is_head] & c.MT_MASK) >> c.MT_SHIFT)
    counted = np.bincount(area, minlength=len(arrays["free_area"]))
    for wrong in np.flatnonzero(counted != arrays["free_area"]["nr"]):
        name = f"zone {wrong // c.MAX_ORDER} free blocks of order {wrong % c.MAX_ORDER}"
        yield from _differ(name, int(arrays["free_area"]["nr"][wrong]), int(counted[wrong]))
    for number, head in enumerate(arrays["free_list"]["head"].tolist()):
        members = heads[listed == number]
        if not _headed(arrays, head, members):
            yield f"free list {number % c.NR_FREE_LISTS} of area {number // c.NR_FREE_LISTS} does not link its blocks"
    buddy = heads ^ (np.int64(1) << order.astype(np.int64))
    place = np.minimum(np.searchsorted(heads, buddy), max(0, len(heads) - 1))
    if len(heads) and ((heads[place] == buddy) & (area[place] == area) & (order < c.MAX_ORDER - 1)).any():
        yield "two free buddies of one order are not merged"


def _headed(arrays: dict[str, Any], head: int, members: Any) -> bool:
    """True if a list without a tail pointer links just these frames, both ways."""
    if not len(members):
        return bool(head == c.NIL)
    following, before = arrays["page"]["lru_next"][members], arrays["page"]["lru_prev"][members]
    inner = following != c.NIL
    mutual = (arrays["page"]["lru_prev"][following[inner]] == members[inner]).all()
    same = np.isin(following[inner], members).all() and int((~inner).sum()) == 1
    return bool(mutual and same and members[before == c.NIL].tolist() == [head])


def _per_cpu(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """The frames that CPUs keep are on three lists a CPU and zone, and its count is theirs together."""
    kept = seen.page[seen.has(c.PG_PCP)]
    yield from _differ("frames on CPUs' lists", int(arrays["pcp"]["nr"].sum()), len(kept))
    found = 0
    for number, nr in enumerate(arrays["pcp"]["nr"].tolist()):
        lists = arrays["pcp_list"][number * c.MIGRATE_PCPTYPES :][: c.MIGRATE_PCPTYPES]
        walks = [_walk(arrays, int(pages["head"]), nr) for pages in lists]
        yield from _differ(f"CPU list {number} length", nr, sum(map(len, walks)))
        found += int(np.isin(kept, np.concatenate(walks)).sum())
    yield from _differ("frames found on CPUs' lists", len(kept), found)


WALKED = 1 << 18  # lists up to this length are walked link by link, longer ones by comparing links both ways


def _walk(arrays: dict[str, Any], head: int, limit: int) -> Any:
    """Pages of a list from its head on, at most one more than `limit`."""
    step = arrays["page"]["lru_next"].item
    pages: list[int] = []
    page = head
    while page != c.NIL and len(pages) <= limit:
        pages.append(page)
        page = step(page)
    return np.array(pages, dtype=np.int64)


def _linked(arrays: dict[str, Any], queue: Any, members: Any) -> bool:
    """True if the members name each other as neighbours both ways, with one head and one tail, those of the queue."""
    following, before = arrays["page"]["lru_next"][members], arrays["page"]["lru_prev"][members]
    inner = following != c.NIL
    mutual = (arrays["page"]["lru_prev"][following[inner]] == members[inner]).all()
    ends = (members[~inner].tolist(), members[before == c.NIL].tolist())
    return bool(mutual) and ends == ([int(queue["tail"])], [int(queue["head"])])


def _lists(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Each LRU list is sound: linked both ways, of the right length, its pages flagged for it."""
    if is_gen(arrays):
        return
    flags = seen.pflags & (c.PG_LRU | c.PG_SWAPBACKED | c.PG_ACTIVE)
    home = arrays["page"]["memcg"][seen.page] if is_node(arrays) else seen.zone
    for i, queue in enumerate(arrays["lru"]):
        name = f"zone {i // c.NR_LRU} list {i % c.NR_LRU}"
        wanted = c.PG_LRU | (c.PG_SWAPBACKED if i % c.NR_LRU < 2 else 0) | (c.PG_ACTIVE if i % 2 else 0)
        members = seen.page[(flags == wanted) & (home == i // c.NR_LRU)]
        if len(members) <= WALKED:
            pages = _walk(arrays, int(queue["head"]), len(members))
            yield from _differ(f"{name} length", int(queue["nr"]), len(pages))
            if not np.array_equal(np.sort(pages), members):
                yield f"{name} holds a page that belongs elsewhere"
        yield from _differ(f"{name} members", int(queue["nr"]), len(members))
        if len(members) and not _linked(arrays, queue, members):
            yield f"{name} is not linked back as it is linked forward"


def _counters(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Global and zone counters equal what a recount finds."""
    vm, zone, lru = arrays["vm"], arrays["zone"], arrays["lru"]["nr"]
    yield from _differ("nr_free_pages", int(vm["nr_free_pages"][0]), int(zone["nr_free"].sum()))
    for i, name in enumerate(("nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file")):
        yield from _differ(name, int(vm[name][0]), int(lru[i :: c.NR_LRU].sum()))
    isolated = seen.has(c.PG_ISOLATED)
    for z in range(len(zone)):
        here = seen.zone == z
        free = sum(int(arrays["free_area"]["nr"][z * c.MAX_ORDER + order]) << order for order in range(c.MAX_ORDER))
        yield from _differ(f"zone {z} nr_free", int(zone["nr_free"][z]), free)
        for name, mask in (
            ("nr_dirty", seen.has(c.PG_DIRTY) & seen.is_file),
            ("nr_writeback", seen.has(c.PG_WRITEBACK)),
            ("isolated_file", isolated & seen.is_file),
            ("isolated_anon", isolated & ~seen.is_file),
        ):
            yield from _differ(f"zone {z} {name}", int(zone[name][z]), int((here & mask).sum()))


def _bits(arrays: dict[str, Any], start: int, nr: int) -> Any:
    words = arrays["bits"][start : start + nr // 32 + 1]
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:nr].astype(bool)


def _dirty(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Dirty pages are accounted for to the last one: flags, bitmaps, inodes, devices and totals agree."""
    dirty = seen.mapping[seen.has(c.PG_DIRTY) & seen.is_file]
    yield from _differ("nr_dirty", int(arrays["vm"]["nr_dirty"][0]), len(dirty))
    yield from _differ("nr_writeback", int(arrays["vm"]["nr_writeback"][0]), int(seen.has(c.PG_WRITEBACK).sum()))
    inode = arrays["inode"]
    nr_inodes = int(arrays["param"]["nr_inodes"][0])
    by_inode = np.bincount(dirty, minlength=nr_inodes) if len(dirty) else np.zeros(nr_inodes, dtype=int)
    for wrong in np.flatnonzero(inode["nr_dirty"][:nr_inodes] != by_inode[:nr_inodes]):
        yield from _differ(f"inode {wrong} nr_dirty", int(inode["nr_dirty"][wrong]), int(by_inode[wrong]))
    for i in range(nr_inodes):
        yield from _differ(
            f"inode {i} dirty bitmap",
            int(_bits(arrays, int(inode["dirty_bits"][i]), int(inode["nr_slots"][i])).sum()),
            int(by_inode[i]),
        )
        listed = bool(inode["list_kind"][i] != c.LIST_NONE or inode["unlinked"][i] or inode["istate"][i] & c.I_SYNC)
        if by_inode[i] and not listed:
            yield f"inode {i} has {int(by_inode[i])} dirty pages and is on no list: nobody will write them"
    for b in range(int(arrays["param"]["nr_wbs"][0])):
        own = np.flatnonzero(inode["bdi"][:nr_inodes] == b)
        yield from _differ(f"bdi {b} reclaimable", int(arrays["bdi"]["reclaimable"][b]), int(by_inode[own].sum()))
    yield from _life_of_dirt(arrays, seen)
    if int(arrays["param"]["throttle_by"][0]) == c.THROTTLE_BY_PAUSE:
        yield from _rates(arrays, nr_inodes)


def _rates(arrays: dict[str, Any], nr_inodes: int) -> Iterator[str]:
    """What throttling by pauses reckons with: pages dirtied are counted once, shares are parts of a whole."""
    inode, bdi, stat = arrays["inode"], arrays["bdi"], arrays["stat"]
    writing = inode["bdi"][:nr_inodes][inode["nr_writeback"][:nr_inodes] > 0]
    nr_wbs = int(arrays["param"]["nr_wbs"][0])
    for b in range(nr_wbs):
        yield from _differ(f"bdi {b} inodes_writing", int(bdi["inodes_writing"][b]), int((writing == b).sum()))
        for name in ("write_bandwidth", "avg_bandwidth", "dirty_ratelimit"):
            if int(bdi[name][b]) < (name != "write_bandwidth"):
                yield f"bdi {b} {name} is {int(bdi[name][b])}"
    total = int(bdi["nr_dirtied"][:nr_wbs].sum())
    yield from _differ("pages dirtied, by device", total, int(stat["pages_dirtied_total"][0]))


def _life_of_dirt(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """A page dirtied is still dirty, under writeback, written, lost or truncated: the sums must meet."""
    stat = arrays["stat"]
    dirtied = int(stat["pages_dirtied_total"][0])
    both = sum(int((seen.has(flag) & seen.is_file).sum()) for flag in (c.PG_DIRTY, c.PG_WRITEBACK))
    ended = int(stat["pages_cleaned_total"][0]) + int(stat["lost_io"][0]) + int(stat["pages_truncated_dirty"][0])
    yield from _differ("pages dirtied", dirtied, both + ended + _locked_for_io(seen))


def _locked_for_io(seen: _Frames) -> int:
    """Pages whose dirty mark has been taken and whose writepage is still on some stack."""
    locked = seen.has(c.PG_LOCKED) & seen.has(c.PG_UPTODATE) & ~seen.has(c.PG_WRITEBACK)
    return int((locked & ~seen.has(c.PG_SWAPBACKED | c.PG_DIRTY) & (seen.mapping >= 0)).sum())


def _cache(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Slots and frames point at each other."""
    slot, page = arrays["slot"]["page"], arrays["page"]
    filled = np.flatnonzero(slot >= 0)
    frames_held = slot[filled]
    start = arrays["inode"]["slot_start"]
    owner = page["mapping"][frames_held]
    if len(filled) and ((owner < 0).any() or (start[owner] + page["index"][frames_held] != filled).any()):
        yield "a file's slot points at a frame that does not belong to it"
    mapped = (seen.mapping >= 0) & seen.has(c.PG_LRU | c.PG_PVEC | c.PG_ISOLATED)
    yield from _differ("cached pages", int(mapped.sum()), len(filled))
    counted = int(arrays["vm"]["nr_file_pages"][0] + arrays["vm"]["nr_anon_pages"][0])
    yield from _differ("nr_file_pages + nr_anon_pages", counted, len(filled))


def _blocks(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Each block of a filesystem belongs to one page of one file at most; bitmap, free and promised blocks agree."""
    inode, slot, fs = arrays["inode"], arrays["slot"]["block"], arrays["fs"]
    nr_inodes = int(arrays["param"]["nr_inodes"][0])
    if (seen.has(c.PG_DELAYED) & ~seen.has(c.PG_DIRTY | c.PG_LOCKED)).any():
        yield "a page that is clean has no block yet: it was written nowhere"
    delayed = np.bincount(inode["fs"][seen.mapping[seen.has(c.PG_DELAYED)]].astype(np.int64), minlength=len(fs))
    for number in range(int(arrays["param"]["nr_fs"][0])):
        own = np.flatnonzero(inode["fs"][:nr_inodes] == number)
        rows = [slot[file["slot_start"] : file["slot_start"] + file["nr_slots"]] for file in inode[own]]
        blocks = np.concatenate(rows) if rows else slot[:0]
        blocks = blocks[blocks != c.NIL] - int(fs["first_block"][number])
        nr_blocks, name = int(fs["nr_blocks"][number]), f"filesystem {number}"
        if len(blocks) and not 0 <= int(blocks.min()) <= int(blocks.max()) < nr_blocks:
            yield f"{name}: a file's block lies outside of it"
        yield from _differ(f"{name}: disk pages of its files", int(inode["disk_pages"][own].sum()), len(blocks))
        x = int(fs["xfs"][number])
        if x != c.NIL:
            blocks = np.concatenate([blocks, own_blocks(arrays, x)])
        yield from _differ(f"{name}: blocks named once", len(blocks), len(np.unique(blocks)))
        if x == c.NIL or not under_way(arrays, x):
            yield from _differ(f"{name}: used blocks", nr_blocks - int(fs["free_blocks"][number]), len(blocks))
        yield from _differ(f"{name}: promised blocks", int(fs["reserved_blocks"][number]), int(delayed[number]))
        used = _bits(arrays, int(fs["bitmap"][number]), nr_blocks)
        yield from _differ(f"{name}: bits set", int(used.sum()), nr_blocks - int(fs["free_blocks"][number]))
        if len(blocks) and not used[blocks].all():
            yield f"{name}: a file's block is marked free"


def _pools(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Requests, bios and work items in use equal what is marked used."""
    for table, counter in (("request", "requests_used"), ("bio", "bios_used"), ("work", "works_used")):
        yield from _differ(f"{table}s in use", int(arrays["stat"][counter][0]), int((arrays[table]["used"] == 1).sum()))


def _parts(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """A bio cut into parts counts those under way: clones, pages in stripes, and itself while it is cut."""
    bio, page = arrays["bio"], arrays["stripe_page"]
    used = bio["used"] == 1
    kinds = np.isin(bio["end"], (c.END_CHILD, c.END_PART, c.END_IOEND))
    clones = bio["parent"][used & kinds & (bio["parent"] != c.NIL)]
    parts = np.bincount(clones, minlength=len(bio))
    for name in ("towrite", "written"):
        held = page[name][page[name] != c.NIL] if len(arrays["stripe"]) > 1 else np.zeros(0, dtype=int)
        parts = parts + np.bincount(held, minlength=len(bio))
    cut = used & (bio["children"] > 0)
    if (parts[~cut] != 0).any():
        yield f"bio {int(np.flatnonzero(~cut & (parts != 0))[0])} is done or whole and has parts under way"
    looped = _looped(arrays)
    for i in np.flatnonzero(cut):
        extra = int(bio["children"][i]) - int(parts[i])
        if extra not in (0, 1) or (extra == 0 and not parts[i]) or (i in looped and extra != 1):
            yield f"bio {i} counts {int(bio['children'][i])} parts, a recount finds {int(parts[i])}"
    members = bio["member"][used & (bio["member"] != c.NIL)]
    pending = np.bincount(members, minlength=len(arrays["member"]))
    for wrong in np.flatnonzero(arrays["member"]["pending"] != pending):
        yield from _differ(f"member {wrong} pending", int(arrays["member"]["pending"][wrong]), int(pending[wrong]))


def _looped(arrays: dict[str, Any]) -> set[int]:
    """Bios that wait for a loop device's thread."""
    waiting: set[int] = set()
    for bio in arrays["queue"]["bio_head"]:
        at = int(bio)
        while at > 0 and at not in waiting:
            waiting.add(at)
            at = int(arrays["bio"]["next"][at])
    return waiting


def _stripes(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Each RAID5's stripes: on the list their state says, counted, with as many I/Os and writes as they say."""
    stripe, page, bio = arrays["stripe"], arrays["stripe_page"], arrays["bio"]
    for q in np.flatnonzero(arrays["queue"]["kind"] == c.DEV_RAID5):
        row = arrays["queue"][q]
        nr, first = int(row["nr_stripes"]), int(row["stripe_start"])
        own = stripe[first : first + nr]
        pages = page[int(row["page_start"]) :][: nr * int(row["nr_members"])].reshape(nr, -1)
        listed = [_stripe_list(arrays, int(row["stripe_list"]) + which, nr) for which in range(4)]
        for which, found in enumerate(listed):
            if sorted(found) != (np.flatnonzero(own["which"] == which) + first).tolist():
                yield f"queue {q}: stripe list {which} holds other stripes than say so"
        yield from _differ(f"queue {q} active stripes", int(row["active_stripes"]), nr - len(listed[0]))
        yield from _differ(f"queue {q} prereading", int(row["preread_active"]), int((own["preread"] != 0).sum()))
        yield from _differ(f"queue {q} full writes", int(row["pending_full"]), int((own["full"] != 0).sum()))
        if (own["locked"] != (pages["want"] != 0).sum(axis=1)).any():
            yield f"queue {q}: a stripe counts other I/Os than its pages want"
        if (own["nr_towrite"] != (pages["towrite"] != c.NIL).sum(axis=1)).any():
            yield f"queue {q}: a stripe counts other writes than its pages hold"
        mine = (
            (bio["used"] == 1) & (bio["end"] == c.END_STRIPE) & (bio["parent"] >= first) & (bio["parent"] < first + nr)
        )
        under_way = np.bincount(bio["parent"][mine] - first, minlength=nr)
        if (own["locked"] != under_way).any():
            yield f"queue {q}: a stripe counts other I/Os than there are bios for it"


def _stripe_list(arrays: dict[str, Any], ends: int, limit: int) -> list[int]:
    found: list[int] = []
    at = int(arrays["stripe_list"]["head"][ends])
    while at != c.NIL and len(found) <= limit:
        found.append(at)
        at = int(arrays["stripe"]["next"][at])
    return found


def _sockets(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Bytes in each send buffer are those of the segments under way, and each of these has its network buffer."""
    segment = arrays["segment"]
    for q in np.flatnonzero(arrays["queue"]["kind"] == c.DEV_ISCSI):
        out = segment[(segment["queue"] == q) & (segment["stage"] != 2)]
        yield from _differ(f"queue {q} send buffer", int(arrays["queue"]["socket_used"][q]), int(out["length"].sum()))
        if (arrays["page"]["pflags"][out["page"]] & c.PG_KERNEL == 0).any():
            yield f"queue {q}: a segment under way has no network buffer"
    yield from _differ("segments", int(arrays["stat"]["segments_used"][0]), int((segment["queue"] != c.NIL).sum()))


def _stacks(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """A task's depth in bytes is the sum of its frames; a task at rest in user mode has one."""
    size, task, frame = arrays["function"]["frame_bytes"], arrays["task"], arrays["frame"]["fn"]
    for t in range(int(arrays["param"]["nr_tasks"][0])):
        depth = int(task["depth"][t])
        fns = frame[t * c.MAX_DEPTH : t * c.MAX_DEPTH + depth + 1]
        via = arrays["frame"]["via"][t * c.MAX_DEPTH : t * c.MAX_DEPTH + depth + 1]
        chains = int(arrays["leaf"][via[via > 0] - 1].sum())
        yield from _differ(f"task {t} stack bytes", int(task["used"][t]), int(size[fns].sum()) + chains)
        if task["state"][t] == c.T_DEAD and depth:
            yield f"task {t} died with {depth} frames on its stack ({frames.TABLE[int(fns[-1])].name})"
        if not 0 <= int(task["stack_base"][t]) <= int(task["used"][t]):
            yield f"task {t} is on a stack that begins at {int(task['stack_base'][t])} of {int(task['used'][t])} bytes"


def _log(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """The kernel log holds no more than its room, nothing from the future, snapshots that exist; one dies at a time."""
    stat, param, klog = arrays["stat"], arrays["param"], arrays["klog"]
    nr, snapshots = int(stat["klog_nr"][0]), int(stat["klog_snapshot_nr"][0])
    if nr > len(klog) or snapshots > int(param["klog_snapshots"][0]):
        yield f"the kernel log has {nr} records and {snapshots} snapshots: more than fit"
    used = klog[:nr]
    taken = np.sort(used["snapshot"][used["snapshot"] != c.NIL])
    if not np.array_equal(taken, np.arange(snapshots)):
        yield f"the kernel log refers to snapshots {taken.tolist()}, {snapshots} were taken"
    latest = int(stat["now_ns"][0]) + int(arrays["task"]["spent_ns"].max(initial=0)) + NS_AHEAD
    if nr and int(used["time_ns"].max()) > latest:
        yield "the kernel log has a record from the future"
    dying = np.flatnonzero((arrays["task"]["memdie"] != 0) & (arrays["task"]["state"] != c.T_DEAD))
    if len(dying) > 1 and not int(param["oom_kill_allocating"][0]):
        yield f"tasks {dying.tolist()} have access to all reserves at once"
    for row in arrays["klog_zone"][: snapshots * int(param["nr_zones"][0])]:
        blocks = sum(int(row[f"nr{order}"]) << order for order in range(c.MAX_ORDER))
        yield from _differ("free pages of a zone in the kernel log", int(row["nr_free"]), blocks)


def _handed_over(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Each task that waits for a reclaim thread stands in exactly one line, and nobody else does."""
    task, frame = arrays["task"], arrays["frame"]
    nr_tasks = int(arrays["param"]["nr_tasks"][0])
    top = np.arange(nr_tasks) * c.MAX_DEPTH + task["depth"][:nr_tasks]
    handed = frame["fn"][top] == frames.FN.hand_to_worker
    waiting = np.flatnonzero(handed & (task["rq_done"][:nr_tasks] == 0))
    standing: list[int] = []
    for worker in range(int(arrays["param"]["first_worker"][0]), nr_tasks):
        in_work = int(frame["list_head"][worker * c.MAX_DEPTH]) if task["depth"][worker] else c.NIL
        for one in (in_work, int(task["rq_head"][worker])):
            while one != c.NIL and len(standing) <= nr_tasks:
                standing.append(one)
                one = int(task["rq_next"][one])
    if sorted(standing) != waiting.tolist():
        yield f"tasks {waiting.tolist()} wait for a reclaim thread, and {sorted(standing)} stand in line for one"


def _slabs(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """Slabs hold what is said to be in them; a stack that ran over is one of those deeper than its usable size."""
    stat, pools, task = arrays["stat"], arrays["sg_pool"], arrays["task"]
    pages = _walk(arrays, int(stat["kmalloc_page"][0]), int(stat["kmalloc_pages"][0]))
    yield from _differ("size-1024 slabs", int(stat["kmalloc_pages"][0]), len(pages))
    if (arrays["page"]["pflags"][pages] & c.PG_KERNEL == 0).any():
        yield "a slab of size-1024 is no page of the kernel's"
    if not 0 <= int(stat["kmalloc_free"][0]) <= 4 * len(pages):
        yield f"{int(stat['kmalloc_free'][0])} objects of size-1024 are free in {len(pages)} slabs"
    if (pools["used"] < 0).any() or (pools["used"] > pools["objects"]).any():
        yield "more scatter tables are in use than there is room for"
    over = int((task["peak"] > int(arrays["param"]["stack_limit"][0])).sum())
    yield from _differ("stack overflows", int(stat["overflows"][0]), over)


def _xfs(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """XFS's records, buffers, log and slabs against the bitmap, the files' slots and each other."""
    yield from check_xfs(arrays)


def _mq(arrays: dict[str, Any], seen: _Frames) -> Iterator[str]:
    """blk-mq's requests and bios."""
    yield from check_mq(arrays)
