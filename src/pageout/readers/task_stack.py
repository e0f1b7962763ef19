# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that do not get on, as the kernel log shows them: hung tasks, sysrq-w and -t, lockups, plain backtraces.

Source: Linux v2.6.34 and v6.16 kernel/hung_task.c:check_hung_task, debug_show_blocker; kernel/sched.c:sched_show_task,
kernel/sched/core.c:sched_show_task; kernel/watchdog.c:watchdog_timer_fn;
kernel/locking/lockdep.c:lockdep_print_held_locks.
"""

from __future__ import annotations

import re

from pageout.readers.call_trace import frames_of, kernel_of
from pageout.readers.facts import Fact, TaskStack
from pageout.readers.reports import Entry, Report

MAX_LOCKS = 48  # the kernel keeps no more of a task (MAX_LOCK_DEPTH)
_PID = r"(\d{1,10})"
_HUNG = re.compile(
    rf"(?:INFO: )?task (.{{1,64}}?):{_PID} blocked(?: in I/O wait)? for more than (\d{{1,10}})(?: seconds\.?.{{0,80}})?"
)
_HUNG_BEGINS = re.compile(
    r"INFO: task .{1,64}?:\d{1,10}(?: <\w{1,10}>)? (?:is )?blocked\b|task .{1,64}?:\d{1,10} blocked for more"
)
_BLOCKER = re.compile(
    rf"INFO: task (.{{1,64}}?):{_PID}(?: <\w{{1,10}}>)? (?:is )?blocked on an? [\w-]{{1,20}}"
    rf"(?:,? likely (?:owned|last held) by task (.{{1,64}}):{_PID}(?: <\w{{1,10}}>)?\.?|,? but .{{1,80}})?"
)
_NEW_HEADER = re.compile(
    r"task:(.{1,64}?)\s{1,20}state:([A-Z?])\b(?:\s{1,4}running task)?"
    r"(?:\s{1,8}stack:\s{0,8}\d{1,8})?(?:\s{1,8}pid:\s{0,8}(?P<pid>\d{1,10}))?"
    r"(?:\s{1,8}(?:tgid|ppid|task_flags|flags):\s{0,8}[\da-fx]{0,18}){0,4}(?:\s{1,3}\w{1,12}:\s{0,8}[\da-fx]{0,18}){0,2}"
)
_OLD_HEADER = re.compile(
    r"(\S.{0,63}?)\s{1,40}([A-Z?])(?: {1,3}running task)?\s{1,10}"
    r"(?P<address>(?:0x)?[0-9a-f]{7,16}\s{1,12})?\d{1,6}\s{1,8}"
    r"(?P<pid>\d{1,10})\s{1,8}\d{1,10}(?:\s{1,8}\d{1,10}){0,2}"
    r"(?(address)(?:\s{1,8}(?:0x[0-9a-f]{8,16}|\((?:NOTLB|L-TLB)\)))?|\s{1,8}0x[0-9a-f]{8,16})"
)
_OLD_HALF = re.compile(
    r"\S.{0,20}?\s{1,20}[DRSTZ]\s{1,4}(?:running task\s{1,8})?[0-9a-f]{8,16}\s{1,8}\d{1,6}\s{1,8}\d{1,10}.*"
)
_LOCKUP = re.compile(
    rf"(?:NMI )?(?:watchdog: )?(?:BUG|WARN): (soft) lockup - CPU#\d{{1,5}} stuck for (\d{{1,6}})s!"
    rf"(?: \[(.{{1,64}}):{_PID}\].{{0,80}})?"
)
_HARD = re.compile(r"(?:NMI )?watchdog: (?:BUG: |Watchdog detected )?hard LOCKUP on cpu \d{1,5}.{0,80}", re.I)
_CPU = re.compile(
    rf"(?:CPU: ?\d{{1,5}} (?:UID: ?\d{{1,10}} )?PID: ?{_PID} Comm: (.{{1,64}}?)|Pid: {_PID}, comm: (.{{1,64}}?))"
    r"(?:\s\(?(?:Kdump: loaded |Not tainted|Tainted:).{0,200})?"
)
_NMI = re.compile(r"NMI backtrace for cpu \d{1,5}.{0,80}|Task dump for CPU \d{1,5}:?")
_CRASH = re.compile(
    rf"PID: {_PID}\s{{1,12}}TASK: [0-9a-f]{{8,16}}\s{{1,8}}CPU: \d{{1,5}}\s{{1,8}}COMMAND: \"(.{{1,64}})\""
)
_WORKQUEUE = re.compile(r"Workqueue: (.{1,200})")
_LOCK = re.compile(r"#\d{1,3}: [0-9a-f().x]{4,24}\s{0,3}\((.{1,200}?)\)(?:\{|, at:|\.\.).{0,300}")
_HELD = re.compile(rf"\d{{1,4}} locks? held by (.{{1,64}})/{_PID}:?(?: on CPU.{{0,20}})?")
_SYSRQ = re.compile(
    r"(?:sysrq: )?(?:SysRq : )?Show (?:Blocked State|State|backtrace of all active CPUs).{0,20}"
    r"|task\s{1,40}PC stack\s{1,8}pid father"
)


class TaskReport(Report):
    """One task and its stack."""

    def __init__(self, entry: Entry, source: str) -> None:
        super().__init__(entry)
        self.source = source
        self.comm: str | None = None
        self.pid: int | None = None
        self.state: str | None = None
        self.blocked_s: int | None = None
        self.workqueue: str | None = None
        self.blocker: tuple[str, int] | None = None
        self.locks: list[str] = []
        self.headed = False

    def wants(self, text: str) -> bool:
        body = text.strip()
        return super().wants(text) or _BLOCKER.match(body) is not None or _SYSRQ.fullmatch(body) is not None

    def take(self, entry: Entry) -> bool:
        body = entry.text.strip()
        if match := _WORKQUEUE.fullmatch(body):
            self.workqueue = match[1].strip()
        elif match := _BLOCKER.fullmatch(body):
            return self._blocker(match, entry)
        elif match := _LOCK.fullmatch(body):
            if len(self.locks) < MAX_LOCKS:
                self.locks.append(match[1])
        elif match := _CPU.fullmatch(body):
            if self.pid is None:
                self.pid, self.comm = int(match[1] or match[3]), match[2] or match[4]
            self.kernel = self.kernel or kernel_of(body)
        elif not super().take(entry):
            return _SYSRQ.fullmatch(body) is not None
        self.last_line = entry.last
        return True

    def _blocker(self, match: re.Match[str], entry: Entry) -> bool:
        if int(match[2]) == self.pid and match[4]:
            self.blocker = match[3], int(match[4])
        self.last_line = entry.last
        return True

    def header(self, comm: str, state: str, pid: int | None) -> bool:
        """Take a task's header line; False if it is another task's."""
        if self.headed or self.frames or (self.pid is not None and pid is not None and self.pid != pid):
            return False
        self.headed, self.state = True, state
        self.comm, self.pid = self.comm or comm, self.pid if self.pid is not None else pid
        return True

    def finish(self) -> list[Fact]:
        if not self.frames and self.blocked_s is None and not self.headed:
            return []
        return [
            TaskStack(
                self.line, self.source, self.comm, self.pid, self.state, self.blocked_s, self.workqueue, self.stack(),
                self.kernel, self.stamp_s, self.blocker, tuple(self.locks),
            )
        ]  # fmt: skip


def starts_task(text: str) -> bool:
    """Tell whether a line, or its first half, begins a task's stack."""
    body = text.strip()
    return any(
        pattern.match(body)
        for pattern in (_HUNG_BEGINS, _NEW_HEADER, _LOCKUP, _HARD, _NMI, _CPU, _CRASH, _HELD, _SYSRQ, _BLOCKER)
    ) or bool(_OLD_HEADER.fullmatch(body) or _OLD_HALF.fullmatch(body))  # fmt: skip


def start_task(entry: Entry, current: Report | None, sysrq: bool) -> tuple[Report | None, bool]:
    """Return the report an entry begins, or the current one if the entry is its header; and whether it was either."""
    body = entry.text.strip()
    if match := _HUNG.fullmatch(body):
        report = TaskReport(entry, "hung task")
        report.comm, report.pid, report.blocked_s = match[1], int(match[2]), int(match[3])
        return report, True
    if match := _NEW_HEADER.fullmatch(body) or _OLD_HEADER.fullmatch(body):
        number = match["pid"]
        pid = int(number) if number else None
        if isinstance(current, TaskReport) and current.header(match[1].strip(), match[2], pid):
            return current, True
        owner = isinstance(current, TaskReport) and current.blocker is not None and current.blocker[1] == pid
        report = TaskReport(entry, "hung task" if owner and not sysrq else "sysrq")
        report.header(match[1].strip(), match[2], pid)
        return report, True
    return _start_other(entry, body, current)


def _start_other(entry: Entry, body: str, current: Report | None) -> tuple[Report | None, bool]:
    if match := _LOCKUP.fullmatch(body):
        report = TaskReport(entry, "soft lockup")
        report.blocked_s, report.comm, report.pid = int(match[2]), match[3], int(match[4]) if match[4] else None
        return report, True
    if _HARD.fullmatch(body):
        return TaskReport(entry, "hard lockup"), True
    if _NMI.fullmatch(body):
        return TaskReport(entry, "backtrace"), True
    if match := _CRASH.fullmatch(body):
        report = TaskReport(entry, "backtrace")
        report.pid, report.comm, report.headed = int(match[1]), match[2], True
        return report, True
    if _CPU.fullmatch(body) and (current is None or current.frames):
        report = TaskReport(entry, "backtrace")
        report.take(entry)
        return report, True
    if match := _HELD.fullmatch(body):
        report = TaskReport(entry, "locks held")
        report.comm, report.pid, report.headed = match[1], int(match[2]), True
        return report, True
    return None, False


def start_trace(entry: Entry) -> Report | None:
    """Return a report of a trace that stands there without a header."""
    if frames_of(entry.text, entry.number) is None:
        return None
    report = TaskReport(entry, "backtrace")
    report.take(entry)
    return report


def is_sysrq(text: str) -> bool:
    """Tell whether what follows was asked for by sysrq."""
    return _SYSRQ.fullmatch(text.strip()) is not None
