# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads `perf script`: `comm pid[/tid] [CPU] time: [period] [system:]event: payload`, and the call chains below.

Source: Linux v6.1 tools/perf/builtin-script.c:perf_sample__fprintf_start, tools/perf/util/evsel_fprintf.c.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pageout.readers.lines import Claim, Line
from pageout.readers.payloads import NULL, Payloads, joined
from pageout.readers.stream import SECONDS, EventRecogniser, Stream, fits_time
from pageout.vocabulary.schema import EventKind, event_of

MAX_LINES = 8  # of one sample, wrapped
_EVENT = re.compile(
    r"(\S.{0,60}?)\s{1,32}(-?\d{1,10})(?:/(-?\d{1,10}))?\s{1,32}(?:\[(\d{1,4})\]\s{1,32})?(\d{1,10})\.(\d{1,9}):\s{1,64}"
    r"(?:(\d{1,20})\s{1,64})?([A-Za-z_][^\s:]{0,127}(?::[\w-]{1,64})?):(?:\s(.*))?",
    re.DOTALL,
)
_FRAME = re.compile(r"([0-9a-f]{1,16})\s{1,8}(\S.*?)(?:\s\((.{0,1000})\))?", re.DOTALL)
_LOST = re.compile(
    r".{0,60}?\s{1,32}-?\d{1,10}(?:/-?\d{1,10})?\s.{0,64}?PERF_RECORD_LOST(?:_SAMPLES)? lost (\d{1,18})\b.*"
)
_TOOL = re.compile(
    r"\[ perf (?:record|script): .*\]|# ========"
    r"|# (?:captured on|header version|hostname|os release|perf version|arch|nrcpus \S+|cmdline|event) ?: .*"
)
_OFFSET = re.compile(r"\+0x[0-9a-f]+$")
_MAX_PID = 1 << 31


class _Sample(NamedTuple):
    """A sample whose payload may go on in the next line."""

    kind: EventKind | None
    name: str
    common: tuple[int, ...]
    payload: str
    number: int
    width: int
    nr_lines: int = 1


class PerfScript(EventRecogniser):
    """Samples of perf, as `perf script` prints them."""

    kind = "perf script"

    def __init__(self, stream: Stream | None = None) -> None:
        super().__init__(stream)
        self.payloads = Payloads()
        self._held: _Sample | None = None
        self._line = 0  # of the last sample
        self._blank = False

    def take(self, line: Line) -> Claim | None:
        """Claim samples, their call chains, and what perf says of itself."""
        text = line.text
        body = text.lstrip()
        if not body:
            self._settle()
            self.stream.end_stack()
            return None
        match = _EVENT.fullmatch(body)
        if match is not None:
            return self._sample(line, match)
        if self.seen and text[0].isspace():
            frame = _FRAME.fullmatch(body[:1200])
            if frame is not None:
                return self._frame(frame)
        lost = _LOST.fullmatch(body[:400]) if "PERF_RECORD_LOST" in body[:400] else None
        if lost is not None:
            self._settle()
            self.stream.hole(line.number, lost=int(lost[1]))
            return Claim.KNOWN
        if _TOOL.fullmatch(body[:1000]) or (self.seen and text.startswith("#")):
            return Claim.KNOWN
        return self.cut(line) or self._more(line)

    def gap(self, number: int) -> None:
        """A sample does not go on over what somebody else has read."""
        self._settle()
        super().gap(number)

    def facts(self) -> tuple[()]:
        """Put the last sample where it belongs."""
        self._settle()
        return ()

    def _sample(self, line: Line, match: re.Match[str]) -> Claim | None:
        comm, pid, tid, cpu, seconds, fraction, period, name, payload = match.groups()
        number = int(tid or pid)
        time = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        if not -1 <= number < _MAX_PID or not fits_time(time):
            return None
        self._settle()
        segment = self.stream.moment(line.number, time, SECONDS, int(cpu or -1), number)
        builder = self.stream.events()
        self.variants.update(("pid/tid",) if tid else ())
        self.variants.update(("no CPU",) if cpu is None else ())
        self.variants.update(("period",) if period else ())
        common = (
            time,
            line.number,
            segment,
            int(cpu) if cpu is not None else NULL,
            number if number >= 0 else NULL,
            builder.word(comm.encode()) if comm != f":{number}" else NULL,
            NULL,
        )
        self.seen, self._line = True, line.number
        last = line.number + line.nr_lines - 1
        self._held = _Sample(event_of(name), name, common, payload or "", last, len(line.text))
        return Claim.EVENT

    def _frame(self, match: re.Match[str]) -> Claim:
        self._settle()
        if not self.stream.in_stack:
            self.stream.stack_of(self._line)
        function = "" if match[2] == "[unknown]" else _OFFSET.sub("", match[2])
        self.stream.frame(function)
        self.variants.add("call chains")
        return Claim.KNOWN

    def _more(self, line: Line) -> Claim | None:
        held = self._held
        if held is None or held.number + 1 != line.number or held.nr_lines >= MAX_LINES or held.kind is None:
            return None
        payload = joined(held.kind, held.payload, line.text, held.width)
        if payload is None:
            return None
        last = line.number + line.nr_lines - 1
        self._held = held._replace(payload=payload, number=last, width=len(line.text), nr_lines=held.nr_lines + 1)
        self.variants.add("wrapped")
        return Claim.KNOWN

    def _settle(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        self.payloads.put(self.stream.events(), held.kind, held.common, held.name, held.payload)
