# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what blkparse and btrace print by default, as the block layer's own events.

Actions become the tracepoints at the same place of the kernel: Q block_bio_queue, G block_getrq, I block_rq_insert,
D block_rq_issue, C block_rq_complete, M and F the merges, X block_split, A block_bio_remap... A completion is one of a
bio where its device never issued a request (md, dm, pmem). Times are from the start of blktrace.

Source: blktrace 1.3 blkparse_fmt.c:process_default, blkparse.c:show_stats; Linux v6.1 kernel/trace/blktrace.c.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pageout.readers.lines import Claim, Line
from pageout.readers.payloads import NULL
from pageout.readers.stream import SECONDS, EventRecogniser, Stream, fits_time
from pageout.vocabulary.schema import ANY_BASE, DEC, EVENTS, HEX

MAX_LINES = 3  # of one row, wrapped
HELD_COMPLETIONS = 4096  # of a device whose nature is not known yet
_ROW = re.compile(
    r"\s{0,64}(\d{1,4}),\s?(\d{1,7})\s{1,32}(\d{1,5})\s{1,32}(\d{1,12})\s{1,32}(\d{1,10})\.(\d{9})\s{1,32}(\d{1,10})"
    r"\s{1,32}([A-Za-z]{1,2})\s{1,32}([A-Z]{1,8}|[a-z])(?:\s{1,32}(.*))?",
    re.DOTALL,
)
_TIMED = r"(?:\s{1,8}\(\s{0,16}\d{1,18}\))?"  # blkparse -t: ns since the request was queued or issued
_WHO = r"(?:\s{1,8}\[(.{0,64})\])?"
_RANGE = re.compile(rf"(\d{{1,20}}) \+ (\d{{1,10}}){_TIMED}{_WHO}")
_DONE = re.compile(
    rf"(?:(?:\([0-9a-f ]{{0,400}}\) )?(?:(\d{{1,20}})(?: \+ (\d{{1,10}}))?)?){_TIMED}\s{{0,8}}\[(-?\d{{1,10}})\]"
)
_REMAP = re.compile(r"(\d{1,20}) \+ (\d{1,10}) <- \((\d{1,4}),\s?(\d{1,7})\) (\d{1,20})(?:\s{1,8}\[.{0,64}\])?")
_SPLIT = re.compile(rf"(\d{{1,20}}) / (\d{{1,20}}){_WHO}")
_PLUG = re.compile(r"\[(.{0,64})\](?: (\d{1,9}))?")
_BARE = re.compile(r"(?:(?:\d{1,10} )?\([0-9a-f ]{0,400}\))?\s{0,8}\[(.{0,64})\]")
_TAIL = re.compile(r"\s{0,64}\[[^\]]{0,64}\]")
_SUMMARY = re.compile(
    r"\s{0,8}(?:(?:PC )?(?:Reads?|Writes?) (?:Queued|Dispatches|Requeued|Completed|Merges|depth|Compl\.|Disp\.|Req\.).*"
    r"|(?:IO|Timer) unplugs:.*|(?:CPU\d{1,5}|Total) \(.{1,64}\):|Throughput \(R/W\):.*|Events \(.{1,64}\): .*"
    r"|Input file .* added|\S{1,64}: \d{1,18} events, .* KiB data|CPU\s{1,16}\d{1,5}:\s{1,16}\d{1,18} events, .*"
    r"|Total:.*events.*)"
)
_SKIPS = re.compile(r"Skips: \d{1,18} forward \((\d{1,18}) - .*\)")
_DROPPED = re.compile(
    r".{0,80}?(\d{1,18}) dropped events?.*|.{0,80}[Dd]ropped (\d{1,18}) (?:binary )?(?:log )?events?.*"
)

_BIO = {"Q": "block_bio_queue", "M": "block_bio_backmerge", "F": "block_bio_frontmerge", "G": "block_getrq",
        "S": "block_sleeprq", "B": "block_bio_bounce"}  # fmt: skip
_REQUEST = {"D": "block_rq_issue", "I": "block_rq_insert"}
_DONES = {"C": "block_rq_complete", "R": "block_rq_requeue"}
_OF_REQUESTS = frozenset("DI")  # a device that shows these completes requests


class _Row(NamedTuple):
    line: Line
    match: re.Match[str]
    nr_lines: int


class _Event(NamedTuple):
    name: str
    values: dict[str, object]
    comm: str | None


class Blkparse(EventRecogniser):
    """Rows of blkparse: block events."""

    kind = "blkparse"

    def __init__(self, stream: Stream | None = None) -> None:
        super().__init__(stream)
        self._held: _Row | None = None  # may go on in the next line
        self._requests: set[str] = set()  # devices that issue requests
        self._bios: set[str] = set()  # devices taken for ones that do not
        self._completions: dict[str, list[tuple[tuple[int, ...], _Event]]] = {}

    def take(self, line: Line) -> Claim | None:
        """Claim rows, and the tables of numbers after them."""
        text = line.text
        if not text:
            self._settle()
            return None
        match = _ROW.fullmatch(text)
        if match is not None:
            self._settle()
            if not fits_time(int(match[5]) * 10**9) or int(match[7]) >= 1 << 31 or int(match[3]) >= 1 << 15:
                return None
            self.seen = True
            self._held = _Row(line, match, 1)
            return Claim.EVENT
        if self._held is not None and self._goes_on(line):
            return Claim.KNOWN
        return self._between(line) if self.seen else None

    def gap(self, number: int) -> None:
        """A row does not go on over what somebody else has read."""
        self._settle()
        super().gap(number)

    def facts(self) -> tuple[()]:
        """Put the last row, and completions that waited, where they belong."""
        self._settle()
        for device in list(self._completions):
            self._release(device)
        return ()

    def _goes_on(self, line: Line) -> bool:
        held = self._held
        assert held is not None
        if held.nr_lines >= MAX_LINES or line.number != held.line.number + held.nr_lines or len(line.text) > 160:
            return False
        details = held.match[10] or ""
        whole = _details(held.match[8], details)
        if whole is not None and (whole.comm is not None or not _TAIL.fullmatch(line.text)):
            return False
        match = _ROW.fullmatch(f"{held.line.text} {line.text.strip()}")
        if match is None or _details(match[8], match[10] or "") is None:
            return False
        self._held = _Row(held.line._replace(text=match[0]), match, held.nr_lines + 1)
        self.variants.add("wrapped")
        return True

    def _between(self, line: Line) -> Claim | None:
        text = line.text.strip()
        skips = _SKIPS.fullmatch(text) or _DROPPED.fullmatch(text[:400])
        if skips is not None:
            self._settle()
            lost = int(next(number for number in skips.groups() if number))
            if lost:
                self.stream.hole(line.number, lost=lost)
            return Claim.KNOWN
        if text.startswith("#") or _SUMMARY.fullmatch(text[:400]):
            return Claim.KNOWN
        return self.cut(line)

    def _settle(self) -> None:
        row, self._held = self._held, None
        if row is None:
            return
        major, minor, cpu, _, seconds, fraction, pid, action, rwbs, details = row.match.groups()
        device = f"{major},{minor}"
        builder = self.stream.events()
        time = int(seconds) * 10**9 + int(fraction)
        segment = self.stream.moment(row.line.number, time, SECONDS, int(cpu), int(pid))
        event = _details(action, details or "")
        comm = event.comm if event is not None else None
        word = builder.word(comm.encode()) if comm is not None else NULL
        common = (time, row.line.number, segment, int(cpu), int(pid), word, NULL)
        if event is None:
            builder.add_other(common, f"blktrace {action}", f"{device} {rwbs} {details or ''}".rstrip())
            return
        event.values.update(dev=device, rwbs=rwbs)
        if action in _OF_REQUESTS and device not in self._requests:
            self._requests.add(device)
            self._release(device)
        if action == "C" and device not in self._requests and device not in self._bios:
            held = self._completions.setdefault(device, [])
            held.append((common, event))
            if len(held) >= HELD_COMPLETIONS:
                self._release(device)
            return
        self._put(common, event, device)

    def _release(self, device: str) -> None:
        """Put a device's completions where they belong, now that it has issued a request, or will not."""
        if device not in self._requests:
            self._bios.add(device)
        for common, event in self._completions.pop(device, ()):
            self._put(common, event, device)

    def _put(self, common: tuple[int, ...], event: _Event, device: str) -> None:
        name = event.name
        if name == "block_rq_complete" and device not in self._requests:
            name = "block_bio_complete"
        builder, kind = self.stream.events(), EVENTS[name]
        row = [NULL] * len(kind.columns)
        for key, value in event.values.items():
            at = kind.index_of(key)
            if at < 0:
                continue
            column = kind.columns[at]
            if column.base in (DEC, HEX, ANY_BASE):
                number = int(str(value))
                if number >= 1 << 64 or (column.width in ("u32", "i32") and number >= 1 << 31):
                    builder.add_other(common, name, str(event.values))
                    return
                row[at] = number - (1 << 64) if number >= 1 << 63 else number
            else:
                row[at] = builder.word(str(value).encode())
        builder.add(kind, common, row)


def _details(action: str, text: str) -> _Event | None:
    """Return the event of an action and what stands behind it; None if it is no action or text that is known."""
    text = text.strip()
    if action in _BIO or action in _REQUEST:
        name = _BIO.get(action) or _REQUEST[action]
        match = _RANGE.fullmatch(text)
        if match is not None:
            return _Event(name, {"sector": match[1], "nr_sector": match[2]}, match[3])
        match = _BARE.fullmatch(text) if text else None
        return None if match is None else _Event(name, {}, match[1])
    if action in _DONES:
        match = _DONE.fullmatch(text)
        if match is None:
            match = _RANGE.fullmatch(text)
            return None if match is None else _Event(_DONES[action], {"sector": match[1], "nr_sector": match[2]}, None)
        said = {"sector": match[1], "nr_sector": match[2], "error": match[3]}
        return _Event(_DONES[action], {key: value for key, value in said.items() if value is not None}, None)
    return _rare(action, text)


def _rare(action: str, text: str) -> _Event | None:
    if action == "A" and (match := _REMAP.fullmatch(text)):
        old = f"{match[3]},{match[4]}"
        said = {"sector": match[1], "nr_sector": match[2], "old_dev": old, "old_sector": match[5]}
        return _Event("block_bio_remap", dict(said), None)
    if action == "X" and (match := _SPLIT.fullmatch(text)):
        return _Event("block_split", {"sector": match[1], "new_sector": match[2]}, match[3])
    if action in ("P", "U", "T", "UT") and (match := _PLUG.fullmatch(text)):
        if action == "P":
            return _Event("block_plug", {}, match[1])
        return _Event("block_unplug", {"nr_rq": match[2]} if match[2] else {}, match[1])
    return None
