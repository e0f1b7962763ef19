# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the reports of a kernel log: hung tasks, lockups, OOM kills, failed allocations, with their stacks and numbers.

A message that a mailer broke is put together again: an entry is looked at only when the next one has begun. A report
goes on until another begins; lines of somebody else may stand between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.alloc_failure import is_alloc_line, start_alloc, starts_alloc
from pageout.readers.call_trace import frames_of, kernel_of
from pageout.readers.facts import Fact, KernelVersion
from pageout.readers.joiner import Joiner
from pageout.readers.lines import Claim, Line, Recogniser
from pageout.readers.mem_info import is_mem_info, is_mem_info_head
from pageout.readers.oom import is_oom_line, start_oom, starts_oom
from pageout.readers.reports import Entry, Report, is_trace_line
from pageout.readers.task_stack import is_sysrq, start_task, start_trace, starts_task

_TITLE = re.compile(  # of a mail, a bug, a page
    r"\s{0,4}(?:Subject|Re|RE|Fwd|Title|title|Bug \d+|Summary|\[(?:PATCH|RFC|[Bb]ug|BUG)[^\]]{0,40}\]|#{1,6})[ :]"
)
MAX_REPORTS = 1 << 16
_LOOSE = re.compile(
    r"</?(?:TASK|IRQ|NMI|EOI|SOFTIRQ)>|(?:Call Trace|Call trace|Backtrace):|(?:RIP|Hardware name"
    r"|Modules linked in|Workqueue): .*"
    r"|\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\".*|(?:Not tainted|Tainted: ).*"
    r"|R[A-Z\d]{2}: [0-9a-f]{16}.*|(?:Future hung task reports are suppressed).*"
)


class KernelLog(Recogniser):
    """The reports a kernel writes to its log when memory or a task is in trouble."""

    kind = "kernel log"

    def __init__(self) -> None:
        super().__init__()
        self._joiner = Joiner(_begins)
        self._report: Report | None = None
        self._found: list[Fact] = []
        self._kernels: set[str] = set()
        self._sysrq = False
        self._interrupted = False
        self._nr_reports = 0

    def take(self, line: Line) -> Claim | None:
        """Claim the lines of reports."""
        if self._joiner.joins(line):
            return Claim.KNOWN
        self._flush()
        text = line.text
        if not text.strip():
            if line.logged:
                self._joiner.open(line)
                return Claim.KNOWN
            return None
        if self._starts(text, line.logged) and (line.logged or not _TITLE.match(text)):
            self._joiner.open(line)
            return Claim.KNOWN
        if not line.logged:
            self._interrupted = True
            if self._report is not None:
                self._report.interrupt()
        return None

    def gap(self, number: int) -> None:
        """Look at what is whole now."""
        self._flush()

    def facts(self) -> Sequence[Fact]:
        """Return the reports, and the kernels they name."""
        self._flush()
        self._close()
        return self._found

    def _starts(self, text: str, logged: bool) -> bool:
        """Tell whether a line is the beginning, or all, of a message of mine."""
        return (
            (self._report is not None and self._report.logged == logged and self._report.wants(text))
            or starts_oom(text)
            or starts_alloc(text)
            or starts_task(text)
            or frames_of(text, 0) is not None
            or is_mem_info_head(text)
            or _LOOSE.fullmatch(text.strip()[:8100]) is not None
        )

    def _flush(self) -> None:
        entry = self._joiner.close()
        if entry is not None and entry.text.strip():
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        release = kernel_of(entry.text)
        if release is not None and release not in self._kernels and len(self._kernels) < 1000:
            self._kernels.add(release)
            self._found.append(KernelVersion(entry.number, release))
        if is_sysrq(entry.text):
            self._sysrq = True
        report = start_oom(entry, self._report) or start_alloc(entry)
        if report is not None:
            self._open(report)
            return
        task, mine = start_task(entry, self._report, self._sysrq)
        if mine and task is not None:
            self._open(task)
            return
        self._inside(entry)

    def _inside(self, entry: Entry) -> None:
        current = self._report
        lone = frames_of(entry.text, entry.number) is not None
        goes_on = current is not None and not (
            lone and current.frames and (self._interrupted or current.is_far_from(entry))
        )
        if current is not None and goes_on and current.take(entry):
            self._interrupted = False
            return
        if lone:
            trace = start_trace(entry)
            if trace is not None:
                self._open(trace)

    def _open(self, report: Report) -> None:
        self._interrupted = False
        if report is self._report:
            return
        self._close()
        self._report = report
        self._nr_reports += 1

    def _close(self) -> None:
        if self._report is not None and self._nr_reports <= MAX_REPORTS:
            found = self._report.finish()
            self._found += found
            self.variants.update(_names(found))
        self._report = None


def _begins(before: str, text: str) -> bool:
    """Tell whether a line begins a message of any report, whichever is open; `before`: the message above."""
    return (
        starts_oom(text)
        or starts_alloc(text)
        or starts_task(text)
        or is_oom_line(before, text)
        or is_alloc_line(text)
        or is_mem_info(text)
        or is_trace_line(text)
    )


_TOPICS = {"OomReport": "OOM reports", "AllocFailure": "allocation failures"}


def _names(facts: Sequence[Fact]) -> set[str]:
    from pageout.readers.facts import TaskStack

    return {
        f"{fact.source}s" if isinstance(fact, TaskStack) else _TOPICS.get(type(fact).__name__, "") for fact in facts
    } - {""}
