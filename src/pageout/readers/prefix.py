# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands before the event in a line of ftrace text, in each of its dresses.

Read from the right: `-PID [(TGID)] [[CPU]] [flags] TIME:`; the comm is what stands before, and may hold anything.
Source: Linux v6.1 kernel/trace/trace_output.c:trace_print_context, trace_print_lat_context; Linux v2.6.26
kernel/trace/trace.c:lat_print_generic.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pageout.readers.stream import COUNTER, FROM_START, SECONDS, fits_time
from pageout.vocabulary.schema import event_of

# White space and comms are bounded everywhere, so that no line costs more than its beginning.
_S = r"\s{1,64}"
_CONTEXT = r"(?!\d+\s)([^\s\[\]:]{4,8})"
_TASK = r"(.{0,160}?)-(\d{1,10})"
_TGID = rf"(?:(\(\s{{0,16}}(?:\d{{1,10}}|-+)\)){_S})?"
_FLAGS = rf"(?:{_CONTEXT}{_S})?"
_CPU = r"\[(\d{1,4})\]"
# First what a kernel prints; then looser, with no CPU and any fraction of a second, as found in mails and tools.
_STRICT = re.compile(rf"{_TASK}{_S}{_TGID}\[(\d{{3,4}})\]{_S}{_FLAGS}(\d{{1,10}})\.(\d{{6,9}}): (.*)", re.DOTALL)
_LOOSE = re.compile(rf"{_TASK}{_S}{_TGID}(?:{_CPU}{_S})?{_FLAGS}(\d{{1,10}})\.(\d{{1,9}}):{_S}(.*)", re.DOTALL)
# Clocks `counter` and `x86-tsc`: a number without a point.
_BARE = re.compile(rf"{_TASK}{_S}{_TGID}{_CPU}{_S}{_FLAGS}(\d{{1,19}}):{_S}(.*)", re.DOTALL)
_LATENCY_START = rf"{_TASK}{_S}(\d{{1,4}})([^\s\d:][^\s:]{{3,7}}){_S}(\d{{1,19}})"
_LATENCY = re.compile(rf"{_LATENCY_START}us(?:[^\w\s:]|\s){{0,3}}:{_S}(.*)", re.DOTALL)
_LATENCY_BARE = re.compile(rf"{_LATENCY_START}\s?:{_S}(.*)", re.DOTALL)
_VERBOSE = re.compile(
    rf"(.{{0,160}}?){_S}(\d{{1,10}}){_S}(\d{{1,4}}){_S}\d{{1,4}}{_S}[0-9a-f]{{8}}(?:{_S}[0-9a-f]{{8}})?{_S}"
    rf"\[[0-9a-f]{{8,16}}\]{_S}(-?\d{{1,12}})\.(\d{{3}})ms{_S}\(\+?-?\d{{1,12}}\.\d{{3}}ms\)\s?:{_S}(.*)",
    re.DOTALL,
)
_TIME_FIRST = re.compile(  # put in another order by hand, or by awk
    rf"\[?\s{{0,16}}(\d{{1,10}})\.(\d{{1,9}})\]?:?{_S}(?:{_TASK}:?{_S})?(?:{_CPU}{_S})?{_FLAGS}"
    r"([A-Za-z_]\w{2,63}:(?:\s.*)?)",
    re.DOTALL,
)
# The beginning of a line that a mailer cut before the event's name was out.
_HEAD = re.compile(
    rf".{{0,48}}?-\d{{1,10}}(?:{_S}\(\s{{0,16}}(?:\d{{1,10}}|-+)\))?(?:{_S}\[\d{{1,4}}\])?(?:{_S}{_CONTEXT})?"
    rf"(?:{_S}\d{{1,10}}(?:\.(?:\d{{1,9}}(?::(?:{_S}\w*)?)?)?)?)?",
    re.DOTALL,
)
_GREP = re.compile(r"[\w./~+-]{1,120}:(?:\d{1,9}[:-])?\s{0,64}")  # what grep puts before a line
_INDENT = " \t\u00a0"
_MAX_COMM = 16
_MAX_HEAD = 160
_MAX_PID = 1 << 31
_POINT = re.compile(r"[\d.]:")  # every dress has a time with a colon, save those with the time first


class Prefix(NamedTuple):
    """Who, where and when, and the rest of the line: an event, a function, a stack's beginning."""

    comm: str | None  # None: `<...>`, or not printed
    pid: int | None
    tgid: str | None  # as printed
    cpu: int | None
    context: str | None
    time: int  # ns, or a bare number
    clock: str
    rest: str
    dress: str = ""  # what is unusual about it


def read_prefix(text: str) -> Prefix | None:
    """Return what a line says before its event; None if it is no line of a trace.  Never raises."""
    text = text.lstrip(_INDENT)
    match = _STRICT.fullmatch(text)
    if match is None:
        return _unusual(text)
    comm, pid, tgid, cpu, context, seconds, fraction, rest = match.groups()
    return _made(comm, pid, tgid, cpu, context, _ns(seconds, fraction), SECONDS, rest)


def _unusual(text: str) -> Prefix | None:
    if _POINT.search(text) is not None:
        match = _LOOSE.fullmatch(text)
        if match is not None:
            comm, pid, tgid, cpu, context, seconds, fraction, rest = match.groups()
            return _made(comm, pid, tgid, cpu, context, _ns(seconds, fraction), SECONDS, rest)
        match = _BARE.fullmatch(text)
        if match is not None:
            comm, pid, tgid, cpu, context, number, rest = match.groups()
            return _made(comm, pid, tgid, cpu, context, int(number), COUNTER, rest, "counter clock")
    return _latency(text) or _time_first(text)


def _latency(text: str) -> Prefix | None:
    match = _LATENCY.fullmatch(text)
    if match is not None:
        comm, pid, cpu, context, number, rest = match.groups()
        return _made(comm, pid, None, cpu, context, int(number) * 1000, FROM_START, rest, "latency-format")
    match = _LATENCY_BARE.fullmatch(text)
    if match is not None:
        comm, pid, cpu, context, number, rest = match.groups()
        return _made(comm, pid, None, cpu, context, int(number), COUNTER, rest, "latency-format")
    match = _VERBOSE.fullmatch(text)
    if match is not None:
        comm, pid, cpu, milliseconds, fraction, rest = match.groups()
        time = int(milliseconds) * 10**6 + int(fraction) * 1000
        return _made(comm, pid, None, cpu, None, time, FROM_START, rest, "verbose latency-format")
    return None


def _time_first(text: str) -> Prefix | None:
    match = _TIME_FIRST.fullmatch(text)
    if match is None or event_of(match[7].partition(":")[0]) is None:
        return None  # `12.5 foo-3 bar: ...` may be anything, unless it is an event's name
    seconds, fraction, comm, pid, cpu, context, rest = match.groups()
    return _made(comm, pid, None, cpu, context, _ns(seconds, fraction), SECONDS, rest, "time first")


def _ns(seconds: str, fraction: str) -> int:
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def _made(
    comm: str | None,
    pid: str | None,
    tgid: str | None,
    cpu: str | None,
    context: str | None,
    time: int,
    clock: str,
    rest: str,
    dress: str = "",
) -> Prefix | None:
    number = int(pid) if pid is not None else None
    if not fits_time(abs(time)) or (number is not None and number >= _MAX_PID):
        return None
    if comm == "<...>" or not comm:
        comm = None
    elif len(comm) > _MAX_COMM:
        found = _GREP.match(comm)
        comm = comm[found.end() :] if found is not None else comm
    return Prefix(comm, number, tgid, int(cpu) if cpu is not None else None, context, time, clock, rest, dress)


def may_be_head(text: str) -> bool:
    """Return whether a line could be the beginning of one that a mailer wrapped before the event's name."""
    return len(text) <= _MAX_HEAD and _HEAD.fullmatch(text.strip()) is not None
