# SPDX-License-Identifier: GPL-2.0-or-later
"""A task that the kernel itself gave up: a BUG, an oops. What it had locked stays locked; what hangs later may follow.

Source: Linux v6.1 lib/bug.c:report_bug, arch/x86/kernel/dumpstack.c:__die, arch/x86/mm/fault.c:show_fault_oops.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, Evidence, Finding
from pageout.diagnose.rules.tasks import waiters
from pageout.diagnose.wait_sites import interrupted, is_primitive, plain_name
from pageout.readers.facts import LogLine, TaskStack

NEAR_LINES = 80  # behind the first line of an oops, within which its stack stands
DIES = re.compile(
    r"kernel BUG at [\w./-]{1,80}:\d{1,6}|BUG: (?:unable to handle|kernel NULL pointer)[\w ]{0,40}|Oops:? [\w ,-]{1,30}"
)


def crashes(case: Case) -> Iterator[Finding]:
    """One finding for the first crash: later ones may follow from it."""
    found = [
        (file, line, stack)
        for file, line in case.facts(LogLine)
        if line.topic == "kernel bug" and DIES.search(line.text) and (stack := _stack_behind(case, file, line.line))
    ]
    if not found:
        return
    file, line, stack = found[0]
    names = [plain_name(frame) for frame in interrupted(stack.frames) if not is_primitive(plain_name(frame))]
    hung = [one for one in waiters(case) if one.file == file and one.stack.line > line.line]
    who = f"{stack.comm}{f':{stack.pid}' if stack.pid is not None else ''}" if stack.comm else "a task"
    words = DIES.search(line.text)
    said = words[0].strip() if words else "an oops"
    yield Finding(
        id="kernel-crash",
        severity=ERROR,
        title=f"{who} crashed in the kernel{f', in {names[0]}' if names else ''}: {said}",
        detail="A task that dies so keeps what it had locked. "
        + (
            f"{len(hung)} task{'s that wait' if len(hung) > 1 else ' that waits'} further down may wait for that. "
            if hung
            else ""
        )
        + "This is a fault of the kernel or of the hardware, not of a setting.",
        confidence=HIGH,
        why="the kernel says so, and prints the stack",
        evidence=(Evidence(file, line.line), Evidence(file, stack.line), *(one.evidence for one in hung[:4])),
        is_not=("memory pressure or slow writeback: the first trouble in this log is the crash",) if not hung else (),
        unknown=("what the task had locked when it died",),
        capture=("log",),
        advice=("search for the function and the release of the kernel, and report it with the whole log before it",),
        weight=len(hung) + 1,
    )


def _stack_behind(case: Case, file: str, number: int) -> TaskStack | None:
    """Return the first stack that stands close behind a line."""
    near = [stack for name, stack in case.facts(TaskStack) if name == file and 0 <= stack.line - number <= NEAR_LINES and stack.source == "backtrace" and stack.frames]  # fmt: skip
    return min(near, key=lambda stack: stack.line, default=None)


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (crashes,)
