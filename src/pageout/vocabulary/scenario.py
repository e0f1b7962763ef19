# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run is made of: machine, files, tasks, settings. The one shape every front end produces.

All values are in base units: bytes, nanoseconds, plain integers. A field's `Annotated` note carries its unit,
its range and the sentence the reference page prints; the key people write in TOML is the field's name without
its unit (`memory_bytes` is `memory = "2G"`) unless the note names another.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

from pageout.vocabulary.keys import note
from pageout.vocabulary.units import (
    GIB,
    KIB,
    MAX_VALUE,
    MIB,
    NS_PER_S,
    TIB,
)

DAY_NS = 86400 * NS_PER_S
DiskKind = Literal["disk", "ssd", "throttled", "null", "linear", "raid0", "raid1", "raid5", "iscsi", "loop"]
_PLAIN = "disk ssd throttled null"
TaskKind = Literal["io", "alloc", "select", "fork", "hog", "unlink", "hugepages", "poll", "sendfile", "nfsd"]
IO_KINDS = ("io", "sendfile", "nfsd")  # move bytes of files; by read() and write(), sendfile(), as an NFS server
PERIODIC_KINDS = ("alloc", "select", "fork", "poll", "hugepages")  # one call each interval
ReadWrite = Literal["read", "write", "randread", "randwrite", "rw", "randrw"]


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A block device and its request queue."""

    name: Annotated[str, note("name, used by `disk =` keys and `--set NAME.KEY=`")] = "sda"
    kind: Annotated[
        DiskKind,
        note(
            "disk: rotating; ssd; throttled: token buckets of bps and iops; null: no latency at all; on other disks: "
            "linear (device-mapper), raid0, raid1, raid5, iscsi (a disk across a network), loop (a file as a disk)"
        ),
    ] = "disk"
    size_bytes: Annotated[int, note("capacity of the device", "size", 16 * MIB, 8 * TIB, of=_PLAIN)] = 500 * 1000**3
    members: Annotated[
        tuple[str, ...], note("names of the disks it stands on", of="linear raid0 raid1 raid5 iscsi")
    ] = ()
    chunk_bytes: Annotated[int, note("bytes in a row on one member", "size", 4 * KIB, 16 * MIB, of="raid0 raid5")] = (
        64 * KIB
    )
    rtt_us: Annotated[int, note("round trip to the target", "duration", 0, 10**6, of="iscsi")] = 200
    socket_buffer_bytes: Annotated[
        int, note("bytes on their way before the sender waits", "size", 4 * KIB, 64 * MIB, of="iscsi")
    ] = 256 * KIB
    file: Annotated[str, note("the [[file]] that holds its data", of="loop")] = ""
    nr_requests: Annotated[int, note("requests per direction before a task waits (kernel: 128)", "", 4, 4096)] = 128
    elevator: Annotated[
        Literal["deadline", "noop", "mq-deadline", "none"],
        note("I/O scheduler; noop sorts and merges only; of each pair, blk-mq takes the second, 2.6 the first"),
    ] = "deadline"
    max_sectors_kb: Annotated[int, note("largest request, in KiB", "", 4, 4096)] = 512
    read_ahead_kb: Annotated[int, note("how far a file is read ahead at most, in KiB", "", 4, 65536)] = 128
    wbt: Annotated[bool, note("blk-mq throttles writeback so that reads stay quick (blk-wbt)")] = False
    wbt_lat_us: Annotated[
        int,
        note("latency of reads that wbt aims at; 0: 75 ms of a disk, 2 ms of others", "duration", 0, 10**6, "wbt_lat"),
    ] = 0
    write_cache: Annotated[bool, note("the device caches writes: wbt then lets its waiters go in bursts")] = False
    max_segments: Annotated[
        int, note("pieces of memory in a request of blk-mq; a page each, unless folios are large", "", 1, 4096)
    ] = 128
    tags: Annotated[
        int,
        note(
            "requests under way in blk-mq; 0: 32 or queue_depth if more, twice that (at most 256) with a scheduler",
            "",
            0,
            4096,
        ),
    ] = 0
    queue_depth: Annotated[
        int, note("requests the device holds at once; an ssd or iscsi has 32 unless told", "", 1, 1024)
    ] = 1
    rpm: Annotated[int, note("revolutions per minute", "", 60, 100_000, of="disk")] = 7200
    seek_min_us: Annotated[int, note("seek to the next track", "duration", 0, 10**6, of="disk")] = 800
    seek_avg_us: Annotated[int, note("seek over a third of the disk", "duration", 0, 10**6, of="disk")] = 8500
    seek_max_us: Annotated[int, note("seek from end to end", "duration", 0, 10**6, of="disk")] = 16000
    outer_mb_s: Annotated[int, note("media rate at the first sector, in 10^6 bytes/s", "", 1, 100_000, of="disk")] = 120
    inner_mb_s: Annotated[int, note("media rate at the last sector, in 10^6 bytes/s", "", 1, 100_000, of="disk")] = 70
    channels: Annotated[int, note("flash channels that work side by side", "", 1, 1024, of="ssd")] = 8
    read_us: Annotated[int, note("latency of a read", "duration", 0, 10**6, "read_latency", "ssd")] = 90
    write_us: Annotated[int, note("latency of a write", "duration", 0, 10**6, "write_latency", "ssd")] = 60
    mb_s: Annotated[int, note("rate of its link, in 10^6 bytes/s", "", 1, 100_000, of="ssd iscsi")] = 250
    read_bps: Annotated[int, note("read limit, 0 = none", "rate", of="throttled")] = 0
    write_bps: Annotated[int, note("write limit, 0 = none", "rate", of="throttled")] = 0
    read_iops: Annotated[int, note("read requests per second, 0 = no limit", "", 0, 10**9, of="throttled")] = 0
    write_iops: Annotated[int, note("write requests per second, 0 = no limit", "", 0, 10**9, of="throttled")] = 0
    limit: Annotated[
        Literal["bucket", "slices", "ticks"],
        note(
            "how its limits work with blk-mq: bucket: to the byte; slices: as blk-throttle of cgroups, ahead of all; "
            "ticks: as null_blk, a request that does not fit waits for the next tick",
            of="throttled",
        ),
    ] = "bucket"
    shared_limit: Annotated[
        bool, note("with bucket: reads and writes take turns, each at its rate, as on a device itself", of="throttled")
    ] = False
    throttle_slice_ns: Annotated[
        int, note("slices that blk-throttle counts in", "duration", 10**6, 10**9, of="throttled")
    ] = 100_000_000
    tick_ns: Annotated[int, note("time from tick to tick", "duration", 10**5, 10**9, of="throttled")] = 20_000_000
    tick_bytes: Annotated[
        int, note("bytes that pass each tick, 0 = as write_bps says", "size", of="throttled", key="bytes_per_tick")
    ] = 0
    service_mb_s: Annotated[
        int, note("rate below slices and ticks, in 10^6 bytes/s, 0 = at once", "", 0, 100_000, of="throttled")
    ] = 0
    latency_us: Annotated[
        int, note("time of a request below slices and ticks", "duration", 0, 10**6, of="throttled")
    ] = 0
    driver: Annotated[
        Literal["ahci", "sata_mv"],
        note("host adapter; sata_mv polls for a cache flush from the submitter's stack, ahci does not"),
    ] = "ahci"
    start_bandwidth: Annotated[int, note("what the kernel believes it writes at the start; 0: 100 MiB/s", "rate")] = 0
    start_avg_bandwidth: Annotated[int, note("the same, smoothed; 0: as start_bandwidth", "rate")] = 0
    start_ratelimit: Annotated[int, note("rate its writers are held to then; 0: 100 MiB/s", "rate")] = 0
    start_written_bytes: Annotated[int, note("written of late, halved each 3 s: its share", "size", 0, TIB)] = 0
    min_ratio: Annotated[int, note("percent of the dirty limit that is its own however slow it is", "", 0, 99)] = 0
    max_ratio: Annotated[int, note("percent of the dirty limit that it may have at most", "", 1, 100)] = 100
    strict_limit: Annotated[bool, note("its share holds writers even if no other limit does (with pauses)")] = False
    write_error_every: Annotated[int, note("every n-th write request fails with EIO, 0 = never", "", 0, 10**12)] = 0


FilesystemKind = Literal["xfs", "ext2", "ext3", "ext4", "btrfs", "union"]


class Filesystem(msgspec.Struct, frozen=True, kw_only=True):
    """A mounted filesystem and how it places blocks."""

    name: Annotated[str, note("name, used by `filesystem =` and `lower =` keys and `--set NAME.KEY=`")] = "root"
    kind: Annotated[
        FilesystemKind,
        note(
            "(or `type`) xfs: delayed allocation, clustered writepage; ext2: blocks allocated at write(), single-page "
            "writepage; ext3: as ext2, with a journal; ext4: delayed allocation, only flushers allocate; btrfs: copy "
            "on write, refuses reclaim; union: passes on to `lower`"
        ),
    ] = "xfs"
    disk: Annotated[str, note("the disk it lies on (TOML: the first disk unless told)")] = "sda"
    delalloc: Annotated[bool | None, note("blocks allocated when written back; unset: as the kind does")] = None
    layout: Annotated[Literal["contiguous", "fragmented"], note("how files lie on the disk")] = "contiguous"
    fragment_pages: Annotated[int, note("fragmented: pages in one piece", "", 1, 1 << 20)] = 16
    size_bytes: Annotated[int, note("its size, 0 = what its disk has left", "size", 0, 64 * TIB)] = 0
    lower: Annotated[str, note("the filesystem a union writes to, by name", of="union")] = ""
    readonly: Annotated[str, note("where a union's files that exist lie; unset: on `lower`", of="union")] = ""
    commit_ns: Annotated[
        int, note("time between two commits of the journal", "duration", 10**7, DAY_NS, "commit", "ext3 ext4")
    ] = 5 * NS_PER_S
    data: Annotated[
        Literal["ordered", "writeback"], note("whether a commit first writes the transaction's data", of="ext3 ext4")
    ] = "ordered"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Memory, CPUs, kernel build and storage."""

    name: Annotated[str, note("name shown in the output")] = "server-2g"
    memory_bytes: Annotated[int, note("RAM of the machine", "size", 16 * MIB, 4 * TIB)] = 2 * GIB
    taken_bytes: Annotated[
        int, note("of it, in use before the run and until its end: no page of it can be had", "size", 0, 4 * TIB)
    ] = 0
    cpus: Annotated[int, note("number of CPUs", "", 1, 256)] = 2
    hz: Annotated[Literal[100, 250, 1000], note("timer ticks per second of the kernel build")] = 250
    stack_bytes: Annotated[int, note("kernel stack of a task, a power of two", "size", 4 * KIB, 64 * KIB)] = 8 * KIB
    swap_bytes: Annotated[int, note("swap space, 0 = none", "size", 0, TIB, "swap.size")] = 0
    swap_disk: Annotated[str, note("the disk it lies on (TOML: the first disk unless told)", key="swap.disk")] = ""
    copy_mb_s: Annotated[int, note("memory copy speed, in 10^6 bytes/s", "", 1, 10**6)] = 4000
    syscall_ns: Annotated[int, note("cost of entering and leaving the kernel", "duration", 0, 10**6)] = 300
    clear_ns: Annotated[int, note("CPU time of clearing a page; 0: as of copying one", "duration", 0, 10**7)] = 0
    scan_ns: Annotated[int, note("CPU time of looking at a page in reclaim", "duration", 1, 10**6)] = 120
    free_ns: Annotated[int, note("CPU time of taking a page from its file and freeing it", "duration", 1, 10**6)] = 200
    writepage_ns: Annotated[int, note("CPU time of writing a page; 0: goes with scan", "duration", 0, 10**6)] = 0
    start_dirty_limit_bytes: Annotated[
        int, note("what may be dirty by the kernel's own memory of it, which falls slowly; 0: by its settings", "size")
    ] = 0
    busy_percent: Annotated[int, note("of the time, what is not simulated keeps every CPU busy", "", 0, 90)] = 0
    run_delay_ns: Annotated[int, note("how long such a time lasts, on average", "duration", 1000, 10**9)] = 10**7
    disks: tuple[Disk, ...] = (Disk(),)
    filesystem: Filesystem = Filesystem()
    more_filesystems: tuple[Filesystem, ...] = ()  # beside the first, which is used unless told

    @property
    def filesystems(self) -> tuple[Filesystem, ...]:
        """All mounted filesystems, the first first."""
        return (self.filesystem, *self.more_filesystems)


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that tasks share."""

    name: Annotated[str, note("name, used by the tasks' `file =`")]
    size_bytes: Annotated[int, note("the size that random offsets and wrapping round go by", "size", 1, 64 * TIB)]
    exists: Annotated[bool, note("its blocks are on disk before the run starts")] = False
    unwritten: Annotated[bool, note("its blocks are its own, but hold nothing yet, as fallocate() leaves them")] = False
    filesystem: Annotated[str, note("the filesystem it is on, by name; unset: the first")] = ""
    dirty_bytes: Annotated[
        int, note("of its beginning, in memory and not yet written when the run starts; it exists then", "size")
    ] = 0
    dirty_age_ns: Annotated[int, note("for how long that has been dirty", "duration", 0, DAY_NS)] = 0


class Phase(NamedTuple):
    """A stretch of a task's demand: not before start_ns of its clock, at no more than the rate (0: any), so much."""

    start_ns: int
    rate_bps: int
    amount_bytes: int


IO = " ".join(IO_KINDS)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A thread of user space."""

    name: Annotated[str, note("name shown in the output")]
    kind: Annotated[
        TaskKind,
        note(
            "io: reads and writes files; alloc: allocates pages in the kernel; select: a select() caller, one page a "
            "call; poll: the same by poll(); sendfile: sends a file's pages; nfsd: a thread of the NFS server; "
            "fork: a child is forked, lives, exits; hog: takes anonymous memory; unlink: removes a file; "
            "hugepages: adds huge pages of 2 MiB to the pool, as a write to nr_hugepages does"
        ),
    ] = "io"
    file: Annotated[tuple[int, ...], note("the files it uses, by name; served round robin")] = ()
    rw: Annotated[ReadWrite, note("direction and order, as in fio", of="io nfsd")] = "read"
    rwmixread: Annotated[int, note("percentage of reads of rw and randrw", "", 0, 100, of="io nfsd")] = 50
    bs_bytes: Annotated[int, note("bytes of one call", "size", 1, GIB, of=IO)] = 4 * KIB
    io_bytes: Annotated[int, note("bytes in all; unset: its files' size", "size", 0, MAX_VALUE, "io_size", of=IO)] = 0
    offset_bytes: Annotated[int, note("where in the file it starts", "size", 0, 64 * TIB, of=IO)] = 0
    fsync_every: Annotated[int, note("fsync after so many writes, 0 = never", "", 0, 10**12, "fsync", of="io")] = 0
    end_fsync: Annotated[bool, note("fsync once at the end", of="io")] = False
    drop_cache: Annotated[bool, note("in the end its files leave the cache, as by posix_fadvise()", of="io")] = False
    advice: Annotated[
        Literal["normal", "sequential", "random"],
        note(
            "of its files, by posix_fadvise(): sequential doubles what is read ahead, random reads what is asked",
            of="io",
        ),
    ] = "normal"
    rate_bps: Annotated[int, note("limit of each direction, 0 = none", "rate", 0, 1 << 50, "rate", of=IO + " hog")] = 0
    thinktime_ns: Annotated[int, note("pause between blocks of calls", "duration", 0, 365 * DAY_NS, of=IO)] = 0
    thinktime_blocks: Annotated[int, note("calls before each pause", "", 1, 10**12, of=IO)] = 1
    runtime_ns: Annotated[int, note("stop after this time, 0 = when done", "duration", 0, 365 * DAY_NS, of=IO)] = 0
    time_based: Annotated[bool, note("start over until `runtime` is up", of=IO)] = False
    start_delay_ns: Annotated[int, note("wait before starting", "duration", 0, 365 * DAY_NS, "startdelay")] = 0
    group: Annotated[int, note("starts when all tasks of the group before are done", "", 0, 4096)] = 0
    norandommap: Annotated[bool, note("random offsets may repeat before every block was covered", of=IO)] = False
    next_free: Annotated[
        bool, note("a random block that was covered gives way to the next one that was not, as in fio", of=IO)
    ] = False
    seed: Annotated[int, note("of its own random numbers (TOML: from the run's seed unless told)")] = 0
    distribution: Annotated[Literal["random", "zipf", "pareto"], note("of random offsets", of=IO)] = "random"
    theta: Annotated[float, note("zipf exponent (over 0), or pareto h (0 to 1)", "", 0, 100, of=IO)] = 1.0
    mmap: Annotated[bool, note("through a shared mapping instead of read() and write()", of="io")] = False
    loops: Annotated[int, note("times the whole job is done", "", 1, 10**9, of=IO)] = 1
    order: Annotated[int, note("each allocation is 2^order pages", "", 0, 10, of="alloc")] = 0
    count: Annotated[
        int, note("how many, 0 = until the foreground is done", "", 0, 10**12, of="alloc select fork poll hugepages")
    ] = 0
    pool: Annotated[
        bool, note("`count` is how large the pool shall be, that of all tasks; a failure ends it", of="hugepages")
    ] = False
    interval_ns: Annotated[
        int, note("time between two", "duration", 0, 365 * DAY_NS, of="alloc select fork poll hugepages")
    ] = 0
    gfp: Annotated[
        Literal["auto", "kernel", "nofs", "noio", "atomic"],
        note(
            "what it may do to get memory; auto: as kernel for single pages, one try without a warning above; "
            "atomic: in softirq context, it can neither wait nor reclaim",
            of="alloc",
        ),
    ] = "auto"
    hold: Annotated[int, note("how many are kept before the oldest is freed", "", 0, 1 << 20, of="alloc")] = 0
    lifetime_ns: Annotated[int, note("how long a child lives", "duration", 0, 365 * DAY_NS, of="fork")] = 0
    anon_bytes: Annotated[int, note("anonymous memory touched, at `rate`", "size", 0, 4 * TIB, of="hog")] = 0
    hold_ns: Annotated[
        int, note("how long it is kept, touched each second", "duration", 0, 365 * DAY_NS, "hold_time", of="hog")
    ] = 0
    phases: Annotated[
        tuple[Phase, ...],
        note(
            "its demand over time, rows [start, rate, bytes]: of each so much, not before `start`, at no more than "
            '`rate`; "0": as fast as it can',
            of=IO,
        ),
    ] = ()
    phase_clock: Annotated[
        Literal["clock", "own"],
        note("what phases go by; own: a clock that stands still while the kernel holds the writer back", of=IO),
    ] = "clock"
    background: Annotated[bool, note("the run does not wait for it")] = False
    parent: Annotated[str, note("the task whose child it is: for the OOM killer, and for that only")] = ""
    oom_adj: Annotated[int, note("shifts its score for the OOM killer, -17: never killed", "", -17, 15)] = 0
    nice: Annotated[
        int, note("over 0 doubles its score for the OOM killer; scheduling is not touched", "", -20, 19)
    ] = 0
    privileged: Annotated[bool, note("has root's capabilities: a 16th of its score for the OOM killer")] = False
    cgroup: Annotated[str, note("the [[cgroup]] it is in, by name; unset: the root")] = ""


class Cgroup(msgspec.Struct, frozen=True, kw_only=True):
    """A memory cgroup (v2), child of the root: its tasks' pages are charged to it."""

    name: Annotated[str, note("name, used by the tasks' `cgroup =` and `--set NAME.KEY=`")]
    max_bytes: Annotated[
        int, note("most it may hold, 0 = max: over it it reclaims from itself", "size", 0, 4 * TIB, "memory.max")
    ] = 0
    high_bytes: Annotated[
        int, note("over it its tasks reclaim, then sleep; 0 = max", "size", 0, 4 * TIB, "memory.high")
    ] = 0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that, with the code, decides a run to the last bit."""

    name: str
    machine: Machine
    files: tuple[File, ...] = ()
    tasks: tuple[Task, ...] = ()
    settings: dict[str, int] = {}
    choices: dict[str, str | int] = {}
    design: str = "linux-2.6.34"
    length_ns: Annotated[
        int, note("how long to simulate, 0 = until all foreground tasks are done", "duration", 0, 365 * DAY_NS)
    ] = 0
    seed: Annotated[int, note("of all random numbers; `--seed` wins")] = 1
    prefill_bytes: Annotated[
        int, note("clean page cache read in before time 0, as much as fits", "size", 0, 4 * TIB)
    ] = 0
    warnings: tuple[str, ...] = ()
    cgroups: tuple[Cgroup, ...] = ()


def task_seed(seed: int, number: int) -> int:
    """Return the seed of the number-th task's own stream: splitmix64, cut to 62 bits."""
    word = (seed + (number + 1) * 0x9E3779B97F4A7C15) % (1 << 64)
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % (1 << 64)
    return (word ^ (word >> 31)) >> 2
