# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel log of a run as dmesg prints it, from the records the engine kept.

Formats: Linux v2.6.34 mm/oom_kill.c, mm/page_alloc.c:show_free_areas, lib/show_mem.c, block/blk-core.c, fs/buffer.c,
kernel/hung_task.c, kernel/exit.c. A trace gives the functions of the simulated stack by name, without addresses. What
this machine has none of (slab, page tables, mlock, NFS) stands as 0, since the lines have a place for it; lines about
what is not counted (shared pages, swap cache hits) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.engine import constants as c
from pageout.kernel import frames
from pageout.machine.boot import Booted
from pageout.vocabulary.scenario import Scenario

ZONES = ("DMA", "DMA32", "Normal")
LIMITED = {
    c.RATELIMIT_OOM: "oom_kill_process",
    c.RATELIMIT_ALLOC: "__alloc_pages_slowpath",
    c.RATELIMIT_BUFFER: "quiet_error",
}
PANICS = {
    c.PANIC_NO_VICTIM: "Out of memory and no killable processes...",
    c.PANIC_ON_OOM: "out of memory. panic_on_oom is selected",
    c.PANIC_ALWAYS: "out of memory. Compulsory panic_on_oom is selected.",
}
OOM_REASONS = ("Out of memory", "Out of memory (oom_kill_allocating_task)", "Memory cgroup out of memory")
OOM_TOP = ("dump_stack", "dump_header", "oom_kill_process", "__out_of_memory", "out_of_memory")
MEMCG_OOM_TOP = ("dump_stack", "dump_header", "oom_kill_process", "out_of_memory", "mem_cgroup_out_of_memory")
MEMCG_STATS = ("anon", "file", "file_dirty", "file_writeback")
PAGE_KIB = 4
NAME_BYTES = 15


def zone_name(zone: int) -> str:
    """Return the kernel's name of a zone."""
    return ZONES[zone]


def printable(comm: str) -> str:
    """Return a task's name on one line: what does not print is written out."""
    return comm if comm.isprintable() else comm.encode("unicode_escape").decode("ascii")


class Log:
    """The records of a run and the tables they point into, read as plain integers."""

    def __init__(self, booted: Booted, scenario: Scenario) -> None:
        self._arrays, self._comms = booted.arrays, booted.comms
        self.scenario = scenario
        param = booted.arrays["param"]
        self.nr_zones, self.nr_cpus, self.nr_tasks = (
            int(param[name][0]) for name in ("nr_zones", "nr_cpus", "nr_tasks")
        )
        self.stack_bytes = int(param["stack_bytes"][0])

    def stat(self, name: str) -> int:
        return int(self._arrays["stat"][name][0])

    def row(self, table: str, row: int) -> dict[str, int]:
        """Return one record as a dict."""
        array = self._arrays[table]
        return {name: int(array[name][row]) for name in array.dtype.names}

    def numbers(self) -> list[int]:
        """Return the records' numbers in order of time: CPUs run a slice ahead of each other."""
        times = self._arrays["klog"]["time_ns"][: self.stat("klog_nr")]
        return [int(n) for n in times.argsort(kind="stable")]

    def record(self, number: int) -> dict[str, int]:
        return self.row("klog", number)

    def pid(self, task: int) -> int:
        return int(self._arrays["task"]["pid"][task])

    def comm(self, task: int) -> str:
        return printable(self._comms.get(self.pid(task), ""))[:NAME_BYTES]

    def stack(self, number: int, nr: int) -> list[str]:
        """Return the functions of a record's stack, innermost first."""
        chain = self._arrays["klog_stack"][number * c.KLOG_STACK :][:nr].tolist()
        return [name for entry in chain for name in frames.names_in_chain(entry)][::-1]

    def zone(self, snapshot: int, zone: int) -> dict[str, int]:
        """Return a zone's numbers of the moment, with those that never change."""
        return self.row("zone", zone) | self.row("klog_zone", snapshot * self.nr_zones + zone)

    def lists(self, snapshot: int, zone: int) -> list[dict[str, int]]:
        """Return what was on each LRU list of a zone: inactive anon, active anon, inactive file, active file."""
        at = (snapshot * self.nr_zones + zone) * c.NR_LRU
        return [self.row("klog_list", at + lru) for lru in range(c.NR_LRU)]

    def on_cpu(self, snapshot: int, zone: int, cpu: int) -> int:
        return int(self._arrays["klog_pcp"][(snapshot * self.nr_zones + zone) * self.nr_cpus + cpu])


def dmesg(booted: Booted, scenario: Scenario) -> str:
    """Return the whole log; empty if the kernel had nothing to say."""
    log = Log(booted, scenario)
    lines = [
        f"[{record['time_ns'] // c.NS_PER_S:5d}.{record['time_ns'] % c.NS_PER_S // 1000:06d}] {line}"
        for number in log.numbers()
        for record in (log.record(number),)
        for line in SAID[record["kind"]](log, number, record)
    ]
    if log.stat("klog_dropped"):
        lines.append(f"# pageout: {log.stat('klog_dropped')} later records found no room in the log")
    return "".join(line + "\n" for line in lines)


def _trace(log: Log, number: int, record: dict[str, int], above: tuple[str, ...] = ()) -> Iterator[str]:
    yield "Call Trace:"
    for name in (*above, *log.stack(number, record["nr_stack"])):
        yield f" {name}"


def _dump_stack(log: Log, number: int, record: dict[str, int], above: tuple[str, ...]) -> Iterator[str]:
    task = record["task"]
    yield f"Pid: {log.pid(task)}, comm: {log.comm(task)} Not tainted 2.6.34 #1"
    yield from _trace(log, number, record, above)


def _oom(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    comm = log.comm(record["task"])
    yield f"{comm} invoked oom-killer: gfp_mask=0x{record['a']:x}, order={record['b']}, oom_adj={record['c']}"
    yield f"{comm} cpuset=/ mems_allowed=0"
    yield from _dump_stack(log, number, record, OOM_TOP)
    yield from _show_mem(log, record["snapshot"])


def _memcg_oom(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    """As Linux v6.1 mm/memcontrol.c:mem_cgroup_print_oom_meminfo; swap has no limit of its own here."""
    comm, group = log.comm(record["task"]), log.scenario.cgroups[record["who"] - 1]
    yield f"{comm} invoked oom-killer: gfp_mask=0x{record['a']:x}, order=0, oom_adj={record['b']}"
    yield from _dump_stack(log, number, record, MEMCG_OOM_TOP)
    limit = group.max_bytes // (PAGE_KIB << 10) * PAGE_KIB
    yield f"memory: usage {record['c'] * PAGE_KIB}kB, limit {limit}kB, failcnt {record['d']}"


def _memcg_stat(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    """As memory_stat_format prints it, of what is counted here."""
    group = printable(log.scenario.cgroups[record["who"] - 1].name)
    yield f"Memory cgroup stats for /{group}:"
    for name, field in zip(MEMCG_STATS, "abcd", strict=True):
        yield f"{name} {record[field] * (PAGE_KIB << 10)}"
    yield f"oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/{group}"


def _alloc_failure(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    yield f"{log.comm(record['task'])}: page allocation failure. order:{record['b']}, mode:0x{record['a']:x}"
    yield from _dump_stack(log, number, record, ("dump_stack",))
    yield from _show_mem(log, record["snapshot"])


def _show_mem(log: Log, snapshot: int) -> Iterator[str]:
    if snapshot == c.NIL:
        yield "# pageout: Mem-Info not kept, there is room for the first ones only"
        return
    yield "Mem-Info:"
    zones = range(log.nr_zones)
    for zone in zones:
        here = log.zone(snapshot, zone)
        yield f"Node 0 {zone_name(zone)} per-cpu:"
        for cpu in range(log.nr_cpus):
            used = log.on_cpu(snapshot, zone, cpu)
            yield f"CPU {cpu:4d}: hi:{here['pcp_high']:5d}, btch:{here['pcp_batch']:4d} usd:{used:4d}"
    yield from _totals(log, snapshot)
    for zone in zones:
        yield from _zone(log, snapshot, zone)
    for zone in zones:
        here = log.zone(snapshot, zone)
        blocks = [here[f"nr{order}"] for order in range(c.MAX_ORDER)]
        each = "".join(f"{nr}*{PAGE_KIB << order}kB " for order, nr in enumerate(blocks))
        total = sum(nr << order for order, nr in enumerate(blocks))
        yield f"Node 0 {zone_name(zone)}: {each}= {total * PAGE_KIB}kB"
    yield from _cache_and_swap(log, snapshot)
    yield from _tasks(log, snapshot)


def _totals(log: Log, snapshot: int) -> Iterator[str]:
    mem = log.row("klog_mem", snapshot)
    lists = [log.lists(snapshot, zone) for zone in range(log.nr_zones)]
    nr = [sum(zone[lru]["nr"] for zone in lists) for lru in range(c.NR_LRU)]
    isolated = [
        sum(log.zone(snapshot, zone)[name] for zone in range(log.nr_zones))
        for name in ("isolated_anon", "isolated_file")
    ]
    mapped = sum(zone[lru]["mapped"] for zone in lists for lru in (c.LRU_INACTIVE_FILE, c.LRU_ACTIVE_FILE))
    inactive_anon, active_anon, inactive_file, active_file = nr
    yield f"active_anon:{active_anon} inactive_anon:{inactive_anon} isolated_anon:{isolated[0]}"
    yield f" active_file:{active_file} inactive_file:{inactive_file} isolated_file:{isolated[1]}"
    yield f" unevictable:0 dirty:{mem['nr_dirty']} writeback:{mem['nr_writeback']} unstable:0"
    yield f" free:{mem['nr_free']} slab_reclaimable:0 slab_unreclaimable:0"
    yield f" mapped:{mapped} shmem:0 pagetables:0 bounce:0"


def _zone(log: Log, snapshot: int, zone: int) -> Iterator[str]:
    here, lists = log.zone(snapshot, zone), log.lists(snapshot, zone)
    pages = {
        "free": here["nr_free"],
        "min": here["wmark_min"],
        "low": here["wmark_low"],
        "high": here["wmark_high"],
        "active_anon": lists[c.LRU_ACTIVE_ANON]["nr"],
        "inactive_anon": lists[c.LRU_INACTIVE_ANON]["nr"],
        "active_file": lists[c.LRU_ACTIVE_FILE]["nr"],
        "inactive_file": lists[c.LRU_INACTIVE_FILE]["nr"],
        "unevictable": 0,
        "isolated(anon)": here["isolated_anon"],
        "isolated(file)": here["isolated_file"],
        "present": here["present"],
        "mlocked": 0,
        "dirty": here["nr_dirty"],
        "writeback": here["nr_writeback"],
        "mapped": sum(lists[lru]["mapped"] for lru in (c.LRU_INACTIVE_FILE, c.LRU_ACTIVE_FILE)),
        "shmem": 0,
        "slab_reclaimable": 0,
        "slab_unreclaimable": 0,
        "kernel_stack": here["stack_pages"],
        "pagetables": 0,
        "unstable": 0,
        "bounce": 0,
        "writeback_tmp": 0,
    }
    amounts = " ".join(f"{name}:{nr * PAGE_KIB}kB" for name, nr in pages.items())
    given_up = "yes" if here["all_unreclaimable"] else "no"
    yield f"Node 0 {zone_name(zone)} {amounts} pages_scanned:{here['pages_scanned']} all_unreclaimable? {given_up}"
    reserves = [here[f"reserve{classzone}"] for classzone in (0, 1, 2, 2)]  # ZONE_MOVABLE is empty: as Normal
    yield f"lowmem_reserve[]: {' '.join(map(str, reserves))}"


def _cache_and_swap(log: Log, snapshot: int) -> Iterator[str]:
    mem = log.row("klog_mem", snapshot)
    in_swap_cache = sum(row["swapcache"] for zone in range(log.nr_zones) for row in log.lists(snapshot, zone))
    machine = log.scenario.machine
    nr_pages = machine.memory_bytes // (PAGE_KIB << 10)
    present = sum(log.zone(snapshot, zone)["present"] for zone in range(log.nr_zones))
    yield f"{mem['nr_file'] + in_swap_cache} total pagecache pages"
    yield f"{in_swap_cache} pages in swap cache"
    yield f"Free swap  = {mem['swap_free'] * PAGE_KIB}kB"
    yield f"Total swap = {machine.swap_bytes // (PAGE_KIB << 10) * PAGE_KIB}kB"
    yield f"{nr_pages} pages RAM"
    yield f"{nr_pages - present} pages reserved"


def _tasks(log: Log, snapshot: int) -> Iterator[str]:
    nr = log.row("klog_mem", snapshot)["nr_tasks"]
    if not nr:
        return
    yield "[ pid ]   uid  tgid total_vm      rss cpu oom_adj name"
    for i in range(nr):
        row = log.row("klog_task", snapshot * log.nr_tasks + i)
        task, pid = log.row("task", row["task"]), log.pid(row["task"])
        uid = 0 if task["privileged"] else 1000
        rss = row["anon_rss"] + row["file_rss"]
        yield (
            f"[{pid:5d}] {uid:5d} {pid:5d} {row['total_vm']:8d} {rss:8d} {row['cpu']:3d}     "
            f"{task['oom_adj']:3d} {log.comm(row['task'])}"
        )


def _score(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    why = OOM_REASONS[record["b"]]
    who = f"{log.pid(record['who'])} ({log.comm(record['who'])})"
    yield f"{why}: kill process {who} score {record['a']} or a child"


def _killed(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    vsz, anon, file = (record[name] * PAGE_KIB for name in "bcd")
    who = f"{record['a']} ({log.comm(record['who'])})"
    yield f"Killed process {who} vsz:{vsz}kB, anon-rss:{anon}kB, file-rss:{file}kB"


def _panic(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    yield f"Kernel panic - not syncing: {PANICS[record['a']]}"


def _stack_used(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    yield f"{log.comm(record['who'])} used greatest stack depth: {max(0, log.stack_bytes - record['a'])} bytes left"


def _overrun(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    """The kernel says the first line only once it crashes of it; the second is ours."""
    yield "Thread overran stack, or stack corrupted"
    yield f"{log.comm(record['who'])}/{log.pid(record['who'])}: {record['a']} of {log.stack_bytes} bytes of stack used"
    leaf = list(frames.LEAVES.values())[record["b"]].split()[::-1] if record["b"] >= 0 else []
    yield from _trace(log, number, record, tuple(leaf))


def _disk(log: Log, queue: int) -> str:
    return printable(log.scenario.machine.disks[queue].name)


def _io_error(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    yield f"end_request: I/O error, dev {_disk(log, record['a'])}, sector {record['b']}"


def _page_lost(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    disk = _disk(log, record["a"])
    yield f"Buffer I/O error on device {disk}, logical block {record['b']}"
    yield f"lost page write due to I/O error on {disk}"


def _swap_error(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    yield f"Write-error on swap-device (8:{16 * record['a']}:{record['b']})"


def _hung(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    task, comm = record["who"], log.comm(record["who"])
    parent = log.row("task", task)["parent"]
    ppid = log.pid(parent) if parent != c.NIL else 1
    yield f"INFO: task {comm}:{log.pid(task)} blocked for more than {record['a']} seconds."
    yield '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.'
    yield f"{comm:<13.13} D {0:016x} {record['b']:5d} {log.pid(task):5d} {ppid:6d} 0x{0:08x}"
    yield from _trace(log, number, record)


def _suppressed(log: Log, number: int, record: dict[str, int]) -> Iterator[str]:
    yield f"{LIMITED[record['a']]}: {record['b']} callbacks suppressed"


SAID: dict[int, Callable[[Log, int, dict[str, int]], Iterator[str]]] = {
    c.KLOG_OOM: _oom,
    c.KLOG_OOM_SCORE: _score,
    c.KLOG_OOM_KILLED: _killed,
    c.KLOG_PANIC: _panic,
    c.KLOG_ALLOC_FAILURE: _alloc_failure,
    c.KLOG_STACK_USED: _stack_used,
    c.KLOG_STACK_OVERRUN: _overrun,
    c.KLOG_IO_ERROR: _io_error,
    c.KLOG_PAGE_LOST: _page_lost,
    c.KLOG_SWAP_ERROR: _swap_error,
    c.KLOG_HUNG: _hung,
    c.KLOG_SUPPRESSED: _suppressed,
    c.KLOG_MEMCG_OOM: _memcg_oom,
    c.KLOG_MEMCG_STAT: _memcg_stat,
}
