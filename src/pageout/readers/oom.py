# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of the OOM killer, global and of memory cgroups, from 2.6.18 on.

Source: Linux v2.6.18, v2.6.34, v4.18, v6.1 mm/oom_kill.c:dump_header, dump_tasks, __oom_kill_process;
mm/memcontrol.c:mem_cgroup_print_oom_info, mem_cgroup_print_oom_meminfo.
"""

from __future__ import annotations

import re

from pageout.readers.facts import Fact, OomReport, OomTask, Value
from pageout.readers.mem_info import MemInfo, is_mem_info
from pageout.readers.reports import Entry, Report

MAX_TASKS = 1 << 16
_INVOKED = re.compile(
    r"(?:(.{1,64}?) invoked )?oom-killer:\s?(?:gfp_?mask|gfp)=(.{1,400})|(.{1,32}?) invoked oom-killer:?"
)
_HALF = re.compile(r"[\w./:-]{1,32} invoked")
_GFP = re.compile(r"(?:gfp_?mask|gfp)=(0x[0-9a-f]{1,16}(?:\s?\([\w| ]{0,400}\))?)")
_ORDER = re.compile(r"\border=(-?\d{1,3})\b")
_ADJ = re.compile(r"\boom_score_adj=(-?\d{1,5})\b")
_CONSTRAINT = re.compile(r"oom-kill:\s?constraint=(\w{1,40})(.{0,4000})")
_PART = re.compile(r",\s?(nodemask|cpuset|mems_allowed|oom_memcg|task_memcg|task|pid|uid|global_oom)(?:=|\b)")
_LIMIT = re.compile(r"Task in (\S.{0,1000}?) killed as a result of limit of (\S.{0,1000})")
_USAGE = re.compile(
    r"(memory|swap|memory\+swap|kmem|kmem\.tcp"
    r"|tcpmem): usage (\d{1,18})kB,\s{1,3}limit (\d{1,18})kB,\s{1,3}failcnt (\d{1,18})"
)
_STATS = re.compile(r"Memory cgroup stats(?: for (\S{1,1000}?))?:(?: ((?:\w{1,40}:\d{1,18}[KkMm]?B?\s{0,3}){1,80}))?")
_STAT_V1 = re.compile(r"(\w{1,40}):(\d{1,18})[Kk]B")
_STAT = re.compile(r"((?!nr_)[a-z_A-Z\d]{2,40}) (\d{1,20})")  # nr_...: /proc/vmstat
_TABLE = re.compile(r"\[\s{0,8}pid\s{0,8}\](\s{1,10}\w{2,20}){4,12}")
_ROW = re.compile(r"\[\s{0,9}(\d{1,9})\]((?:\s{1,16}-?\d{1,18}){4,10})\s{1,10}(\S.{0,63})")
_KILLED = re.compile(
    r"(?:(?:Memory cgroup out of memory|Out of [Mm]emory)(?: \([^()]{1,40}\))?: )?"
    r"Killed process (\d{1,10})(?: \((.{1,64}?)\)|, UID \d{1,10},?\s?\((.{1,64}?)\))?[.,]?((?:\s|$).{0,400})?"
)
_SIZE = re.compile(r"([a-z][a-z-]{1,20}):(\d{1,18})kB")
_CHOSEN = re.compile(
    r"(?:Memory cgroup )?[Oo]ut of [Mm]emory(?: \([^()]{1,40}\))?: "
    r"[Kk]ill process (\d{1,10}) \((.{1,64}?)\)(?: score .{0,60})?"
)
_KNOWN = re.compile(
    r"Tasks state \(memory values in pages\):|oom_reaper: .{1,200}"
    r"|Tasks in .{1,1000} are going to be killed due to .{1,60}"
    r"|(?:Memory cgroup )?[Oo]ut of memory and no killable processes.{0,20}|Memory cgroup min protection .{1,200}"
    r"|.{1,64} cpuset=.{1,200} mems_allowed=.{1,100}|COMPACTION is disabled!!!|Out of [Mm]emory.{0,200}"
    r"|(?:Compaction|Purging GPU memory).{1,200}|Call Trace:|memory: .{1,200}|Kill process .{1,200}"
)

_ROW_BEGINS = re.compile(r"\[\s{0,9}\d{1,9}\](?:\s{1,16}\d{1,18}){2}")
_BEGINS = re.compile(r"(?:memory(?:\+swap)?|swap|kmem(?:\.tcp)?|tcpmem): usage \d|Task in \S{1,1000} killed")
_LINES = (_CONSTRAINT, _LIMIT, _BEGINS, _STATS, _KNOWN, _CHOSEN, _KILLED)


class OomBuilder(Report):
    """One report being read."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry)
        self.invoker: str | None = None
        self.gfp: str | None = None
        self.order: int | None = None
        self.adj: int | None = None
        self.constraint: str | None = None
        self.memcg: str | None = None
        self.task_memcg: str | None = None
        self.usage: dict[str, Value] = {}
        self.failcnt: Value | None = None
        self.stat: dict[str, Value] = {}
        self.in_stat = False
        self.columns: list[str] = []
        self.tasks: list[OomTask] = []
        self.killed: dict[int, tuple[str, dict[str, int]]] = {}
        self.memory = MemInfo()

    def wants(self, text: str) -> bool:
        body = text.strip()
        return (
            super().wants(text)
            or is_mem_info(text)
            or is_oom_line("", text)
            or (self.in_stat and _STAT.fullmatch(body) is not None)
        )

    def take(self, entry: Entry) -> bool:
        body, number = entry.text.strip(), entry.number
        if self.in_stat and (match := _STAT.fullmatch(body)):
            self.stat.setdefault(match[1], Value(int(match[2]), number))
        elif not (self._memcg(body, number) or self._kill(body, number) or self.memory.take(body, number)):
            taken = super().take(entry)
            if not taken and not _KNOWN.fullmatch(body):
                return False
            if match := re.search(r"Comm: (.{1,64}?) (?:Not tainted|Tainted|Kdump)", body):
                self.invoker = self.invoker or match[1]
        self.last_line = entry.last
        return True

    def interrupt(self) -> None:
        """End the memory.stat block: what looks like it is now another file's."""
        if not self.logged:
            self.in_stat = False

    def _memcg(self, body: str, number: int) -> bool:
        if match := _USAGE.fullmatch(body):
            prefix = "" if match[1] == "memory" else match[1].replace("+", "_").replace(".", "_") + "_"
            self.usage.setdefault(f"{prefix}usage", Value(int(match[2]), number))
            self.usage.setdefault(f"{prefix}limit", Value(int(match[3]), number))
            if not prefix and self.failcnt is None:
                self.failcnt = Value(int(match[4]), number)
        elif match := _STATS.fullmatch(body):
            self.memcg = self.memcg or match[1]
            self.in_stat = not match[2]
            for name, kib in _STAT_V1.findall(match[2] or ""):  # one line a cgroup of the tree, each without the others
                before = self.stat.get(name, Value(0, number))
                self.stat[name] = Value(before.number + int(kib) * 1024, before.line)
        elif match := _LIMIT.fullmatch(body):
            self.task_memcg, self.memcg = match[1], match[2]
        else:
            return False
        return True

    def _kill(self, body: str, number: int) -> bool:
        if match := _CONSTRAINT.fullmatch(body):
            self.in_stat = False
            self._constraint(match[1], match[2])
        elif _TABLE.fullmatch(body):
            self.columns, self.in_stat = body.replace("[", " ").replace("]", " ").split(), False
        elif self.columns and (match := _ROW.fullmatch(body)):
            self._task(match, number)
        elif match := _CHOSEN.fullmatch(body):
            self.killed.setdefault(int(match[1]), (match[2], {}))
        elif match := _KILLED.fullmatch(body):
            sizes = {
                f"{key.replace('-', '_').replace('vsz', 'total_vm')}_kib": int(kib)
                for key, kib in _SIZE.findall(match[4] or "")
            }
            comm = match[2] or match[3] or self.killed.get(int(match[1]), ("", {}))[0]
            self.killed[int(match[1])] = comm, sizes
        else:
            return False
        return True

    def _constraint(self, name: str, rest: str) -> None:
        """Read `key=value` pairs; a cgroup's path may hold commas, so values end where a known key begins."""
        self.constraint = name
        parts = list(_PART.finditer(rest))
        for n, part in enumerate(parts):
            end = parts[n + 1].start() if n + 1 < len(parts) else len(rest)
            value = rest[part.end() : end].replace(" ", "") if part[1] != "task" else rest[part.end() : end]
            if part[1] == "oom_memcg":
                self.memcg = value
            elif part[1] == "task_memcg":
                self.task_memcg = value

    def _task(self, match: re.Match[str], number: int) -> None:
        names = self.columns[1:-1]
        numbers = [int(word) for word in match[2].split()]
        if len(numbers) == len(names) and len(self.tasks) < MAX_TASKS:
            pages = {name: value for name, value in zip(names, numbers, strict=True) if name not in ("uid", "tgid")}
            self.tasks.append(OomTask(number, int(match[1]), match[3], pages))

    def finish(self) -> list[Fact]:
        killed = tuple((pid, comm, sizes) for pid, (comm, sizes) in self.killed.items())
        return [
            OomReport(
                self.line, self.invoker, self.gfp, self.order, self.constraint, self.memcg, self.usage, self.failcnt,
                self.stat, self.memory.finish(), self.stack(), killed, self.kernel, self.stamp_s, self.last_line,
                self.adj, tuple(self.tasks), self.task_memcg,
            )
        ]  # fmt: skip


def starts_oom(text: str) -> bool:
    """Tell whether a line, or its first half, begins a report."""
    body = text.strip()
    return any(pattern.fullmatch(body) for pattern in (_INVOKED, _HALF)) or bool(
        _KILLED.fullmatch(body) or _CHOSEN.fullmatch(body) or re.match(r"oom-kill:\s?constraint=", body)
    )


def is_oom_line(before: str, text: str) -> bool:
    """Tell whether a line, or its first half, is of a report; `before`: the message above it."""
    body = text.strip()
    return (
        any(pattern.match(body) for pattern in _LINES)
        or (_STATS.fullmatch(before.strip()) is not None and _STAT.fullmatch(body) is not None)
        or _TABLE.fullmatch(body) is not None
        or _ROW_BEGINS.match(body) is not None
    )


def start_oom(entry: Entry, current: Report | None) -> OomBuilder | None:
    """Return the report an entry begins. A kill without what led to it is a report too: the rest was cut."""
    body = entry.text.strip()
    if match := _INVOKED.fullmatch(body):
        report = OomBuilder(entry)
        report.invoker = match[1] or match[3]
        for pattern, name in ((_GFP, "gfp"), (_ORDER, "order"), (_ADJ, "adj")):
            if found := pattern.search(body):
                setattr(report, name, found[1] if name == "gfp" else int(found[1]))
        return report
    if not isinstance(current, OomBuilder) and starts_oom(body) and not _HALF.fullmatch(body):
        report = OomBuilder(entry)
        report.take(entry)
        return report
    return None
