# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads ftrace text: what tracefs prints, `trace-cmd report` prints after it, and people paste into mails.

A line is read from the right: `-PID [CPU] flags TIME: EVENT:`; the comm is what stands before, and may hold anything.
Source: Linux v6.1 kernel/trace/trace_output.c:trace_print_context, trace_print_lat_fmt.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pageout.readers.lines import Claim, Line, Recogniser
from pageout.readers.templates import MAX_TEMPLATES, SKIP, Template, learn
from pageout.vocabulary.schema import ANY_BASE, DEC, HEX, EventKind, event_of

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder

# First what a kernel prints; then looser, with no CPU and any fraction of a second, as found in mails and tools.
_STRICT = re.compile(
    r" *(.*?)-(\d{1,10}) +(\( *(?:\d+|-+)\) +)?\[(\d{3,4})\] +(?:([^\s\[\]]{4,8}) +)?(\d{1,10})\.(\d{6,9}): "
    r"([^\s:]+(?::\w+)?):(?: (.*))?",
    re.DOTALL,
)
_LOOSE = re.compile(
    r"\s*(.*?)-(\d{1,10})\s+(\(\s*(?:\d+|-+)\)\s+)?(?:\[(\d{1,4})\]\s+)?(?:([^\s\[\]]{4,8})\s+)?(\d{1,10})\.(\d{1,9}):\s+"
    r"([^\s:]+(?::\w+)?):(?:\s(.*))?",
    re.DOTALL,
)
_LOST = re.compile(r"CPU:(\d{1,4}) \[LOST (?:(\d{1,18}) )?EVENTS\]")
_CUT = re.compile(r"\s*(?:\.\.+|\[\.\.+\])")
_ENTRIES = re.compile(r"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\b.*")
_KNOWN = tuple(
    re.compile(pattern)
    for pattern in (
        r"#+ CPU \d+ buffer started #+",
        r"#.*",
        r"(?:version = \d+|cpus=\d+|CPU \d+ is empty)",
        r".*<stack trace>",
        r"\s*=> .*",
    )
)
_HEADING = re.compile(r"^#\s*$|tracer:|=>|TASK-PID|latency|-----|clock|\|\s*\||buffer started|#P:\d")
_MAX = (1 << 63) - 1
_RANGES = {
    "i32": (-(1 << 31), (1 << 31) - 1), "u32": (0, (1 << 32) - 1), "i64": (-_MAX - 1, _MAX),
    "u64": (-_MAX - 1, (1 << 64) - 1),
}  # fmt: skip


class _Learned(NamedTuple):
    template: Template
    match: Callable[[str], re.Match[str] | None]


class FtraceText(Recogniser):
    """Events in the text of tracefs and its relatives."""

    kind = "ftrace text"

    def __init__(self) -> None:
        super().__init__()
        self.builder: EventBuilder | None = None
        self.learned: dict[str, list[_Learned]] = {}

    def take(self, line: Line) -> Claim | None:
        """Claim events and what tracefs prints between them."""
        text = line.text
        match = _STRICT.fullmatch(text) or _LOOSE.fullmatch(text)
        if match is not None:
            return self._event(line, match)
        return self._other_line(line)

    def _events(self) -> EventBuilder:
        if self.builder is None:
            from pageout.events.tables import EventBuilder

            self.builder = EventBuilder()
        return self.builder

    def _event(self, line: Line, match: re.Match[str]) -> Claim | None:
        comm, pid, tgid, cpu, context, seconds, fraction, name, payload = match.groups()
        number = int(pid)
        time_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        if number >= 1 << 31:
            return None
        if tgid:
            self.variants.add("tgid column")
        if cpu is None:
            self.variants.add("no CPU")
        builder = self._events()
        common = (
            time_ns,
            line.number,
            builder.segment,
            int(cpu) if cpu is not None else _NULL,
            number,
            builder.word(comm.encode()) if comm and comm != "<...>" else _NULL,
            builder.word(context.encode()) if context else _NULL,
        )
        kind = event_of(name)
        values = self._values(kind, payload or "") if kind is not None else None
        if kind is None or values is None:
            builder.add_other(common, name, payload or "")
        else:
            builder.add(kind, common, values)
        return Claim.EVENT

    def _values(self, kind: EventKind, payload: str) -> list[int] | None:
        learned = self.learned.setdefault(kind.name, [])
        for known in learned:
            match = known.match(payload)
            if match is not None:
                return self._convert(known.template, match)
        if len(learned) >= MAX_TEMPLATES:
            return None
        template = learn(kind, payload)
        if template is None:
            return None
        found = _Learned(template, template.pattern().fullmatch)
        match = found.match(payload)
        if match is None:
            return None
        learned.append(found)
        return self._convert(template, match)

    def _convert(self, template: Template, match: re.Match[str]) -> list[int] | None:
        builder, kind = self._events(), template.kind
        values = [_NULL] * len(kind.columns)
        for text, at in zip(match.groups(), template.columns, strict=True):
            if at == SKIP:
                continue
            column = kind.columns[at]
            if column.base not in (DEC, HEX, ANY_BASE):
                values[at] = builder.word(text.encode())
                continue
            hexadecimal = column.base == HEX or (column.base == ANY_BASE and text.startswith("0x"))
            number = int(text, 16 if hexadecimal else 10)
            low, high = _RANGES[column.width]
            if not low <= number <= high:
                return None
            values[at] = number - (1 << 64) if number > _MAX else number
        for key in template.unknown:
            builder.unknown_fields[kind.name, key] += 1
        return values

    def _other_line(self, line: Line) -> Claim | None:
        text = line.text
        lost = _LOST.fullmatch(text.strip())
        if lost is not None:
            self._events().hole(line.number, int(lost[1]), int(lost[2]) if lost[2] else -1)
            return Claim.KNOWN
        if self.builder is not None and _CUT.fullmatch(text):
            self.builder.hole(line.number, why="cut by the author")
            return Claim.KNOWN
        entries = _ENTRIES.fullmatch(text)
        if entries is not None:
            missing = int(entries[2]) - int(entries[1])
            if missing > 0:
                self._events().hole(line.number, lost=missing, why="overwritten")
            return Claim.KNOWN
        if text.startswith("#") and self.builder is None and not _HEADING.search(text):
            return None  # a root prompt, a comment
        if any(pattern.fullmatch(text) for pattern in _KNOWN):
            return Claim.KNOWN
        return None


_NULL = -(1 << 63)
