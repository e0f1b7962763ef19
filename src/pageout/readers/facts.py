# SPDX-License-Identifier: GPL-2.0-or-later
"""What snapshots, logs and tables say, each with its line. Numbers are in the unit the field's name ends in.

Nothing here is concluded: a fact is what stands in a file. What was not said is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Value(NamedTuple):
    """A number and the line that says it."""

    number: float
    line: int


class Frame(NamedTuple):
    """One entry of a kernel stack, innermost first."""

    function: str  # "" where only an address stands
    guess: bool  # marked `?`: found on the stack, perhaps never called; decides nothing
    module: str
    line: int


class KernelVersion(NamedTuple):
    """The kernel a text speaks of: `6.12.41-cloudflare`."""

    line: int
    release: str


class TaskStack(NamedTuple):
    """A task that does not get on: of the hung-task detector, of sysrq-w/t, or of /proc/PID/stack."""

    line: int
    source: str  # "hung task", "sysrq", "proc stack", "soft lockup", "hard lockup", "backtrace"
    comm: str | None
    pid: int | None
    state: str | None  # D, R, S...
    blocked_s: int | None  # of a soft lockup: how long its CPU was stuck
    workqueue: str | None  # "writeback wb_workfn (flush-253:0)"
    frames: tuple[Frame, ...]
    kernel: str | None
    stamp_s: float | None
    blocker: tuple[str, int] | None = None  # comm, pid: "is blocked on a mutex likely owned by task ..."
    locks: tuple[str, ...] = ()  # what lockdep says it holds: "&type->s_umount_key#30"


class ZoneState(NamedTuple):
    """A zone as an OOM or allocation-failure report, or /proc/zoneinfo, shows it. Numbers in pages of 4 KiB."""

    node: int | None
    name: str  # "": the whole node (Linux 4.8 on: its LRU lists)
    pages: Mapping[str, Value]  # free, min, low, high, dirty, writeback, inactive_file...: the report's own names
    free_by_order: tuple[int, ...]  # blocks free at each order, empty if the report does not say
    all_unreclaimable: bool | None
    line: int


class MemoryState(NamedTuple):
    """The Mem-Info block: the whole machine, in pages of the machine's own size."""

    pages: Mapping[str, Value]  # active_anon, inactive_file, dirty, writeback, slab_reclaimable, free...
    zones: tuple[ZoneState, ...]
    swap_kib: Mapping[str, Value]  # free, total
    page_kib: int | None = None  # size of a page, by the free lists: 4, 16, 64


class OomReport(NamedTuple):
    """One out-of-memory report, global or of a memory cgroup."""

    line: int
    invoker: str | None
    gfp_mask: str | None
    order: int | None
    constraint: str | None  # CONSTRAINT_NONE, CONSTRAINT_MEMCG...
    memcg: str | None  # path of the cgroup whose limit was met, None for a global one
    memcg_kib: Mapping[str, Value]  # usage, limit, swap_usage, swap_limit, kmem_usage...
    memcg_failcnt: Value | None
    memcg_stat: Mapping[str, Value]  # memory.stat's own names and units (bytes, v1: KiB taken to bytes)
    memory: MemoryState | None
    frames: tuple[Frame, ...]
    killed: tuple[tuple[int, str, Mapping[str, int]], ...]  # pid, comm, {total_vm_kib, anon_rss_kib...}
    kernel: str | None
    stamp_s: float | None
    last_line: int
    oom_score_adj: int | None = None  # the invoker's
    tasks: tuple[OomTask, ...] = ()  # those the report lists
    kill_memcg: str | None = None  # path of the cgroup of the task that was killed


class OomTask(NamedTuple):
    """A row of an OOM report's task table, in pages of the machine's own size."""

    line: int
    pid: int
    comm: str
    pages: Mapping[str, int]  # total_vm, rss, swapents, and pgtables_bytes, oom_score_adj: the table's own columns


class AllocFailure(NamedTuple):
    """One `page allocation failure` report."""

    line: int
    comm: str | None
    order: int
    mode: str  # "0x40dc0(GFP_KERNEL|...)"
    memory: MemoryState | None
    frames: tuple[Frame, ...]
    kernel: str | None
    stamp_s: float | None
    source: str = "page"  # "page"; "slab": SLUB's own line, `order` its smallest; "vmalloc"; "stall": slow, not failed
    stalled_ms: int | None = None


class StackTable(NamedTuple):
    """A table of the kernel's stack tracer: rows (depth, size, location, line), innermost first."""

    line: int
    rows: tuple[tuple[int, int, str, int], ...]
    announced: int | None  # entries its header promises
    problem: str  # why it cannot be trusted, "" if it can


class StackNote(NamedTuple):
    """A line on stacks: `greatest stack depth: 720 bytes left`, an overrun, a guard page hit."""

    line: int
    text: str
    bytes_left: int | None


class Snapshot(NamedTuple):
    """Counters of one file at one moment: meminfo, vmstat, a cgroup's memory.stat, pressure...

    `values` has the file's own names; meminfo's are in KiB, memory.stat's in bytes, as the files have them. Of files
    with parts (zoneinfo: "Node 0, zone Normal"; diskstats: "sda"; pressure: "some", "full") one snapshot a part.
    """

    line: int
    source: str  # "meminfo", "vmstat", "zoneinfo", "buddyinfo", "pagetypeinfo", "diskstats", "pressure memory",
    # "memory.stat", "memory.events", "memory.max" (inf: no limit)..., "io.stat", "slabinfo", "slabtop", "block stat",
    # "bdi stats", "free", "top", "vmstat -s", "pid io"
    part: str
    values: Mapping[str, Value]
    free_by_order: tuple[int, ...] = ()  # buddyinfo, zoneinfo
    number: int = 0  # which snapshot of this source in the file: values of two can be subtracted
    place: str = ""  # the cgroup ("/system.slice/a.service") whose file this is, "" if nobody said
    unit_bytes: int | None = None  # `free`: what one is, None if its command was not shown


class Table(NamedTuple):
    """What a tool prints a row a moment: `vmstat 1`, `iostat -x`, `sar`. Columns have the tool's own names."""

    line: int
    source: str  # "vmstat 1", "iostat -x", "sar -B", "sar -r", "sar -d", "drsnoop", "biosnoop"
    rows: tuple[TableRow, ...]
    columns: tuple[str, ...] = ()  # in the tool's order
    command: str = ""  # that printed it, "" if not shown: units and intervals may stand only there
    unit_bytes: int | None = None  # `vmstat 1`: of its memory columns, by the command; None if not shown


class TableRow(NamedTuple):
    """One row: numbers and words by column."""

    line: int
    numbers: Mapping[str, float]
    words: Mapping[str, str]  # the device, the time of day
    report: int = 0  # which report of the table it is in (iostat, top: several rows a moment), from 0
    since_boot: bool | None = False  # an average since boot, not of the interval; None: perhaps, nothing tells
    average: bool = False  # a summary over the other rows, as in the last lines of sar


class Sysctl(NamedTuple):
    """One setting: `vm.dirty_ratio`, its text, and its number where it is one."""

    line: int
    name: str
    text: str
    number: float | None
    how: str = "read"  # "read" from the kernel, "conf" (a configuration file), "set" by a command, "said" in prose


class Mount(NamedTuple):
    """A mounted file system."""

    line: int
    device: str
    place: str
    fstype: str
    options: str


class BlockDevice(NamedTuple):
    """A row of lsblk: which name a number has, `254:0` is vda."""

    line: int
    name: str
    number: str  # major:minor
    kind: str  # disk, part, lvm, loop, raid1, crypt...
    place: str  # where it is mounted, "" if nowhere


class Moment(NamedTuple):
    """A line that says when what follows was taken: of `date`, or a collector's own."""

    line: int
    seconds: float  # since 1970, as if the clock ran in UTC: for differences


class KernelCommandLine(NamedTuple):
    """What the kernel was booted with: /proc/cmdline."""

    line: int
    text: str


class LogLine(NamedTuple):
    """A line of the kernel log that means something to the diagnosis: an I/O error, a device that went."""

    line: int
    topic: str  # "I/O error", "device gone", "filesystem error", "journal aborted", "soft lockup", "blocked io"...
    text: str
    device: str | None
    stamp_s: float | None


Fact = (
    KernelVersion
    | TaskStack
    | OomReport
    | AllocFailure
    | StackTable
    | StackNote
    | Snapshot
    | Table
    | Sysctl
    | Mount
    | BlockDevice
    | Moment
    | KernelCommandLine
    | LogLine
)
