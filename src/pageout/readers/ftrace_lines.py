# SPDX-License-Identifier: GPL-2.0-or-later
"""What tracefs and trace-cmd print that is no event: headers, rulers, losses, stacks.

Source: Linux v6.1 kernel/trace/trace.c:print_trace_header, print_func_help_header, trace_print_lat_help_header,
kernel/trace/trace_output.c:trace_stack_print; trace-cmd 3.2 tracecmd/trace-read.c.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LOST = re.compile(r"\s*CPU:(\d{1,4}) \[(?:LOST )?(?:(\d{1,18}) )?EVENTS(?: DROPPED)?\]\s*")
_ENTRIES = re.compile(r"#\s*entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\b.*")
_LATENCY = re.compile(r"#? ?latency: \d{1,18} us, #(\d{1,18})/(\d{1,18}),.*")
_LATENCY_TITLE = re.compile(r"#? ?\w{1,32} latency trace v[\d.]{1,12} on .*")
_CPUS = re.compile(r"#.{0,400}\B#P:(\d{1,4})\b.{0,20}|cpus=(\d{1,4})")
_TRACER = re.compile(r"# tracer: (\S+)\s*")
_HEADER = re.compile(
    r"#\s*|#[\s|/\\_]+(?:delay)?|#.*(?:TASK-PID|TIMESTAMP|irqs-off|need-resched|hardirq|preempt-depth|preempt-lazy"
    r"|migrate-disable|=> CPU|CPU +DURATION|cmd +pid|caller).*|#+ CPU \d{1,4} buffer started #+|# clock_type=.*"
    r"|#\s*-{10,}|#\s*\|.*|# +=> (?:started at|ended at):.*|TRACE:"
)
_TRACE_CMD = re.compile(
    r"version = \d{1,4}|cpus=\d{1,4}|CPU \d{1,4} is empty|CPU: ?\d{1,4}|\[trace-cmd.*\]"
    r"|CPU\d{1,4} data recorded at offset=0x[0-9a-f]{1,16}|\s*\d{1,18} bytes in size(?: \(\d{1,18} uncompressed\))?"
)
_DUMP = re.compile(
    r"(?:<\d>)?\s*(?:Dumping ftrace (?:instance \S+ )?buffer:|\(ftrace buffer empty\)|-{20,})\s*", re.IGNORECASE
)
_LATENCY_LINES = re.compile(
    r"\s*(?:-{10,}|\| task: .*|\|? ?\(?uid:.*|=> (?:started at|ended at):.*|\| .*|preemption latency .*)\s*"
)
_FRAME = re.compile(r"\s*(?:=>|<=) +(?:<[0-9a-fx]{4,18}>|(\S{1,256})(?: [<(][0-9a-fx]{4,18}[>)])?)\s*")
_STACK = re.compile(r"(?:(?:kernel|user)_stack:\s+)?<(?:user )?stack trace ?>(?: *)")
_FUNCTION = re.compile(r"([^\s:<]{1,256})\s+(<-\s*\S{1,256}|\(\S{1,256}\))(?:\s.*)?", re.DOTALL)


class Said(NamedTuple):
    """What a line that is no event says."""

    what: str  # header, title, tracer, lost, overwritten, dump, frame
    text: str = ""
    cpu: int = -1
    lost: int = -1


def read_header(text: str) -> Said | None:
    """Return what a line says that cannot be mistaken, wherever it stands."""
    lost = _LOST.fullmatch(text)
    if lost is not None:
        return Said("lost", "", int(lost[1]), int(lost[2]) if lost[2] else -1)
    if not text.startswith("#"):
        if _TRACE_CMD.fullmatch(text):
            return Said("trace-cmd")
        if _LATENCY_TITLE.fullmatch(text):
            return Said("title")
        return Said("dump") if text[:40].lstrip().startswith(("Dump", "(ftr")) and _DUMP.fullmatch(text) else None
    tracer = _TRACER.fullmatch(text)
    if tracer is not None:
        return Said("tracer", tracer[1])
    entries = _ENTRIES.fullmatch(text) or _LATENCY.fullmatch(text)
    if entries is not None:
        return Said("overwritten", lost=max(int(entries[2]) - int(entries[1]), 0))
    if _LATENCY_TITLE.fullmatch(text):
        return Said("title")
    return Said("header") if _HEADER.fullmatch(text) else None


def cpus_told(text: str) -> int | None:
    """Return how many CPUs a header's line says there are: `#P:4`, `cpus=4`; None if it says nothing of it."""
    match = _CPUS.match(text[:500])
    return (int(match[1] or match[2]) or None) if match is not None else None


def read_latency_header(text: str) -> Said | None:
    """Return what a line says between a latency tracer's title and its first event."""
    entries = _LATENCY.fullmatch(text)
    if entries is not None:
        return Said("overwritten", lost=max(int(entries[2]) - int(entries[1]), 0))
    return Said("header") if text.startswith("#") or _LATENCY_LINES.fullmatch(text) else None


def is_dump_ruler(text: str) -> bool:
    """Return whether a line is one of the rulers around an ftrace dump in the log."""
    return _DUMP.fullmatch(text) is not None


def read_frame(text: str) -> str | None:
    """Return the function of a stack's line, empty where only an address stands; None if it is no such line."""
    match = _FRAME.fullmatch(text)
    if match is None:
        return None
    return (match[1] or "").partition("+0x")[0]


def begins_stack(rest: str) -> bool:
    """Return whether the rest of a line is `<stack trace>`."""
    return rest.startswith(("<", "kernel_", "user_")) and _STACK.fullmatch(rest) is not None


def read_function(rest: str) -> str | None:
    """Return the text of a function tracer's entry, `func <-caller` or `func (caller)`; None if it is none."""
    return rest.strip() if _FUNCTION.fullmatch(rest) else None
