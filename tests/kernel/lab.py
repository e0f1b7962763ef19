# SPDX-License-Identifier: GPL-2.0-or-later
"""A small machine that does not run: tests set up its pages, lists and inodes and call one kernel function.

`lab()` is 32 MiB with two zones: zone 0 (DMA) with 4000 pages, zone 1 (DMA32) with some 900; one disk, one file inode
of 1024 pages (inode 0), anonymous memory of 1024 pages (inode 1). Task 0 is kswapd, 1 the flusher, 2 and 3 are users.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings

from pageout.engine import constants as c
from pageout.engine import kstack
from pageout.engine.waitqueue import wake_task
from pageout.kernel import frames
from pageout.kernel.block.bio import bio_alloc
from pageout.kernel.frames import FN
from pageout.kernel.mm.filemap import set_page_dirty, set_page_writeback
from pageout.kernel.mm.free_area import rmqueue
from pageout.kernel.mm.swap import lru_add
from pageout.kernel.mm.swapfile import get_swap_page
from pageout.machine.boot import boot
from pageout.vocabulary.scenario import MIB, Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.tracepoints import TRACEPOINTS

FILE, ANON = 0, 1
KSWAPD, FLUSHER, USER, OTHER = 0, 1, 2, 3
HUGE_SLICE = 1 << 50
TOUCHED = {
    "heap": 256,
    "bio": 2048,
    "work": 256,
    "series": 0,
    "ring": 0,
}  # rows of the large tables to restore; the rest is never read

few = settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
some = settings(few, max_examples=80)
many = settings(few, max_examples=250)


class Step(NamedTuple):
    """What one call of a sleeping function came to."""

    kind: str  # call, ret, sleep, yield, exit
    name: str = ""  # of the function called
    args: tuple[int, ...] = ()  # of the call; (queue, timeout in jiffies) of a sleep; (value,) of a return


def called(name: str, *args: int) -> Step:
    return Step("call", name, (*args, 0, 0, 0)[:3])


def returned(value: int) -> Step:
    return Step("ret", "", (value,))


def slept(queue: int, jiffies: int = 0) -> Step:
    return Step("sleep", "", (queue, jiffies))


YIELDED = Step("yield")


class Lab:
    """The machine `k`, the acting task `t`, and ways to build what a function is to meet."""

    def __init__(self, arrays: dict[str, Any], k: Any) -> None:
        self.arrays, self.k, self.t = arrays, k, USER
        self._next_index = {FILE: 0, ANON: 0}
        self._seen = 0

    # --- tasks, frames, time

    @property
    def task(self) -> Any:
        return self.k.task[self.t]

    @property
    def f(self) -> Any:
        return kstack.frame_of(self.k, self.t)

    def act_as(self, t: int) -> None:
        self.t = t
        self.task.state = c.T_RUNNING

    def enter(self, name: str, a: int = 0, b: int = 0, at: int = 0) -> Any:
        """Push a frame for a function, as its caller would. Returns the frame."""
        kstack.call(self.k, self.t, self.f, getattr(FN, name), 1, a, b, at)
        return self.f

    def step(self, function: Any) -> Step:
        """Call the function at its label; say what it asked the dispatcher for."""
        k, t = self.k, self.t
        depth = self.task.depth
        frame = self.f
        heap_before = k.stat.heap_nr
        verb = function(k, t, frame)
        if verb == c.RUN and self.task.depth == depth + 1:
            g = self.f
            return Step("call", frames.TABLE[g.fn].name, (g.a, g.b, g.c))
        if verb == c.RUN and self.task.depth == depth - 1:
            return returned(self.task.retval)
        if verb == c.SLEEP:
            return slept(self.task.wait_queue, self._timeout(heap_before))
        if verb == c.YIELD:
            return YIELDED
        return Step({c.EXIT: "exit", c.SWITCH: "switch"}.get(verb, "run"))

    def _timeout(self, heap_before: int) -> int:
        """Jiffies of the timer that the sleep has set, 0 if none."""
        k = self.k
        for i in range(k.stat.heap_nr):
            event = k.heap[i]
            if event.kind == c.EV_TIMER and event.arg == self.t and event.gen == self.task.timer_gen:
                return event.when_ns // k.param.jiffy_ns - k.stat.now_ns // k.param.jiffy_ns
        return 0

    def answer(self, value: int = 0) -> None:
        """The function just called returns `value`."""
        kstack.ret(self.k, self.t, self.f, value)

    def wake(self, after_ns: int = 0, woken: int = 1) -> None:
        """Time passes, then the sleeping task goes on; woken=0: its timer ended the sleep."""
        k = self.k
        k.stat.now_ns += after_ns + self.task.spent_ns
        self.task.spent_ns = 0
        self.task.ready_ns = 0
        wake_task(k, self.t)
        self.task.woken = woken
        self.task.state = c.T_RUNNING
        k.stat.slice_ns = HUGE_SLICE

    # --- pages

    def page(
        self,
        flags: int = 0,
        zone: int = 1,
        *,
        dirty: bool = False,
        writeback: bool = False,
        listed: bool = True,
        refs: int = 0,
        index: int = -1,
        block: int = -1,
        inode: int = -1,
    ) -> int:
        """A page of the file (of anonymous memory with PG_SWAPBACKED), at the head of its list."""
        page = self.block(0, zone)
        return self.place(
            page,
            flags,
            dirty=dirty,
            writeback=writeback,
            listed=listed,
            refs=refs,
            index=index,
            block=block,
            inode=inode,
        )

    def place(
        self,
        page: int,
        flags: int = 0,
        *,
        dirty: bool = False,
        writeback: bool = False,
        listed: bool = True,
        refs: int = 0,
        index: int = -1,
        block: int = -1,
        inode: int = -1,
    ) -> int:
        """Make a frame that is on no list a page of the cache."""
        k = self.k
        if inode < 0:
            inode = ANON if flags & c.PG_SWAPBACKED else FILE
        if index < 0:
            index = self._next_index.get(inode, 0)
            self._next_index[inode] = index + 1
        pg = k.page[page]
        pg.pflags = (flags | c.PG_UPTODATE) & ~c.PG_SWAPCACHE
        pg.mapping, pg.index, pg.refs, pg.lru_next, pg.lru_prev = inode, index, refs, c.NIL, c.NIL
        slot = k.slot[k.inode[inode].slot_start + index]
        slot.page = page
        if block >= 0:
            slot.block = block
        k.inode[inode].nr_pages += 1
        if flags & c.PG_MAPPED:
            k.inode[inode].nr_mapped += 1
        if flags & c.PG_SWAPBACKED:
            k.vm.nr_anon_pages += 1
        else:
            k.vm.nr_file_pages += 1
        if flags & c.PG_SWAPCACHE:
            assert get_swap_page(k, page)
        if dirty:
            spent = self.task.spent_ns
            set_page_dirty(k, self.t, page)
            self.task.spent_ns = spent
        if writeback:
            set_page_writeback(k, page)
        if listed:
            lru_add(k, page)
        return page

    def block(self, order: int, zone: int = 1) -> int:
        """Take 2^order frames off the free lists; returns the first. For `place`."""
        seen = self.k.stat.ring_nr
        page = rmqueue(self.k, self.t, zone, order, c.MIGRATE_MOVABLE)
        self.k.stat.ring_nr = seen  # it is the test that takes them, not the kernel
        assert page != c.NIL
        return int(page)

    def flags(self, page: int) -> int:
        return int(self.k.page[page].pflags)

    def list_of(self, lru: int, zone: int = 1) -> list[int]:
        """Pages of an LRU list, head first; both directions must agree."""
        queue = self.k.lru[zone * c.NR_LRU + lru]
        forward, page = [], queue.head
        while page != c.NIL:
            forward.append(page)
            page = self.k.page[page].lru_next
        backward, page = [], queue.tail
        while page != c.NIL:
            backward.append(page)
            page = self.k.page[page].lru_prev
        assert forward == backward[::-1]
        assert queue.nr == len(forward)
        return forward

    def kept(self) -> list[int]:
        """The task's private list, first to last."""
        pages, page = [], self.task.kept_head
        while page != c.NIL:
            pages.append(page)
            page = self.k.page[page].lru_next
        assert self.task.kept_tail == (pages[-1] if pages else c.NIL)
        return pages

    def set_list_sizes(
        self, zone: int = 1, inactive_anon: int = 0, active_anon: int = 0, inactive_file: int = 0, active_file: int = 0
    ) -> None:
        """Pretend the lists have these sizes (for functions that only look at the numbers)."""
        for lru, nr in enumerate((inactive_anon, active_anon, inactive_file, active_file)):
            self.k.lru[zone * c.NR_LRU + lru].nr = nr

    # --- what came out

    def events(self, name: str = "") -> list[tuple[Any, ...]]:
        """Events emitted since the last call, or since boot: (name, fields...), only those called `name` if given."""
        found = []
        for i in range(self._seen, self.k.stat.ring_nr):
            record = self.k.ring[i]
            row = TRACEPOINTS[record.event]
            found.append((row.name, *(getattr(record, f"a{j}") for j in range(len(row.fields)))))
        self._seen = self.k.stat.ring_nr
        assert not self.k.stat.lost
        return [event[1:] for event in found if event[0] == name] if name else found

    def work_items(self, bdi: int = 0) -> list[tuple[int, int, int]]:
        """(nr_pages, for_background, range_cyclic) of each item queued on a device, first to last."""
        items, work = [], self.k.bdi[bdi].work_head
        while work != c.NIL:
            item = self.k.work[work]
            items.append((item.nr_pages, item.for_background, item.range_cyclic))
            work = item.next
        return items

    def inode_list(self, which: str, bdi: int = 0) -> list[int]:
        """Inodes of b_dirty, b_io or b_more_io, head first; both directions must agree."""
        device = self.k.bdi[bdi]
        forward, inode = [], getattr(device, which)
        while inode != c.NIL:
            forward.append(inode)
            inode = self.k.inode[inode].list_next
        backward, inode = [], getattr(device, which + "_tail")
        while inode != c.NIL:
            backward.append(inode)
            inode = self.k.inode[inode].list_prev
        assert forward == backward[::-1]
        return forward

    def bio(
        self, index: int, block: int, nr_pages: int = 1, *, write: bool = True, sync: bool = False, inode: int = 0
    ) -> int:
        bio = bio_alloc(self.k, inode, index, block, int(write), int(sync), 0)
        self.k.bio[bio].nr_pages = nr_pages
        return int(bio)


def scenario(**options: Any) -> Scenario:
    """The lab's machine. Options: as below; swap in pages, settings, choices and disk fields as pairs."""
    o = SimpleNamespace(
        **{
            "swap": 0,
            "hz": 100,
            "cpus": 1,
            "files": 1,
            "memory_mb": 32,
            "fs": "xfs",
            "delalloc": None,
            "lower": "xfs",
            "exists": False,
            "disk_mb": 64,
            "settings": (),
            "choices": (),
            "file_pages": 1024,
            "disk": (),
            "cgroups": (),  # Cgroups; both tasks are in the first
            "stacked": (),  # more Disks; the filesystem lies on the last
            **options,
        }
    )
    disk = Disk(size_bytes=o.disk_mb * MIB, **{"nr_requests": 16, "max_sectors_kb": 64, **dict(o.disk)})
    files = tuple(File(name=f"f{i}", size_bytes=o.file_pages * 4096, exists=o.exists) for i in range(o.files))
    group = o.cgroups[0].name if o.cgroups else ""
    tasks = (
        Task(name="hog", kind="hog", anon_bytes=4 * MIB, cgroup=group),
        Task(name="w", file=(0,), rw="write", cgroup=group),
    )
    machine = Machine(
        memory_bytes=o.memory_mb * MIB,
        hz=o.hz,
        cpus=o.cpus,
        swap_bytes=o.swap * 4096,
        swap_disk="sda" if o.swap else "",
        disks=(disk, *o.stacked),
        filesystem=Filesystem(
            kind=o.fs,
            delalloc=o.delalloc,
            disk=(disk, *o.stacked)[-1].name,
            lower="data" if o.fs == "union" else "",
        ),
        more_filesystems=(Filesystem(name="data", kind=o.lower),) if o.fs == "union" else (),
    )
    return Scenario(
        name="lab", machine=machine, files=files, tasks=tasks, settings=dict(o.settings), choices=dict(o.choices),
        cgroups=o.cgroups,
    )  # fmt: skip


@cache
def _booted(options: tuple[tuple[str, Any], ...]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    booted = boot(scenario(**dict(options)), events="full", ring=1024, series_ns=0)
    arrays, k = booted.arrays, booted.address
    k.param.ring_drain = 1 << 40
    k.stat.slice_ns = HUGE_SLICE
    arrays["task"]["state"][:] = c.T_RUNNING
    arrays["task"]["wait_next"][:] = c.NIL
    k.stat.run_head, k.stat.run_tail, k.stat.run_nr = c.NIL, c.NIL, 0
    return arrays, k, {name: array[: TOUCHED.get(name, len(array))].copy() for name, array in arrays.items()}


def lab(**options: Any) -> Lab:
    """A fresh machine; the same tables are used again for the same options, so keep only one at a time."""
    arrays, k, saved = _booted(tuple(sorted((name, value) for name, value in options.items())))
    for name, before in saved.items():
        arrays[name][: len(before)] = before
    assert len(arrays["inode"]) > ANON
    return Lab(arrays, k)
