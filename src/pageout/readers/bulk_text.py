# SPDX-License-Identifier: GPL-2.0-or-later
"""ftrace text in bulk: a compiled loop takes the lines whose templates Python has learned, and leaves the others to it.

What comes out is what `ftrace_text` by itself would make of every line; it is the loop's twin and its teacher. Only
loaded for large inputs: importing this imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pageout.events.tables import NR_COMMON, NULL
from pageout.jit import bind_state, kentry, kernel_view, kfn
from pageout.readers import bulk_match, bulk_words
from pageout.readers.bulk_bytes import SLACK, find_control
from pageout.readers.bulk_header import HEAD, parse_head
from pageout.readers.bulk_match import MATCH, NO_MATCH, PYTHONS, WORDS_FULL, Step, match_template, match_tables, steps_of
from pageout.readers.bulk_words import NO_ROOM, WordTable, number_of, place_words
from pageout.readers.lines import Account, Line
from pageout.vocabulary.schema import EventKind, event_of

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder
    from pageout.readers.ftrace_text import FtraceText

Array = NDArray[Any]

MAX_BULK_LINE = 1 << 12  # bytes; longer lines are Python's
ROWS = 1 << 14  # rows of an event kept before they become a block
PAYLOAD_BYTES = 1 << 22  # of events in no row, kept before they become a block

NEW_NAME, ROWS_FULL, DONE = 4, 5, 6  # why the loop stopped, beside the outcomes of a payload

# where the loop is: bytes [at, end) of whole lines, the number of the line at `at`, where the one after it begins
_PARAM = np.dtype([(name, "i8") for name in (
    "at", "end", "next", "line", "segment", "had_tgid", "name", "event", "nr_payload", "max_payload", "max_rows",
)])  # fmt: skip
# An event's templates, the cells of its rows, and whether its lines are all Python's. Event 0: those in no row.
_EVENT = np.dtype([(name, "i8") for name in (
    "first_template", "end_template", "first_cell", "nr_cells", "nr_rows", "pythons",
)])  # fmt: skip
_OTHER_CELLS = NR_COMMON + 1

LAYOUT = {
    "param": (_PARAM, True),
    "head": (HEAD, True),
    "buf": (np.dtype("u1"), False),
    "rows": (np.dtype("i8"), False),
    "payload": (np.dtype("u1"), False),
    "event": (_EVENT, False),
    "event_named": (np.dtype("i4"), False),  # event + 1 by the word of its name, 0 for a name not seen yet
    **bulk_match.LAYOUT,
    **bulk_words.LAYOUT,
}
_at = kernel_view(LAYOUT)

_LINE_FEED, _RETURN, _SPACE = 10, 13, 32


@kfn
def put_common(k: Any, row: int, line: int) -> Any:
    """Fill a row's common cells from the head of its line; returns 0 if there is no room for a word."""
    head = k.head
    buf = k.buf
    length = head.comm_end - head.comm
    comm = NULL
    if length == 5 and buf[head.comm] == 60 and buf[head.comm + 1] == 46 and buf[head.comm + 2] == 46:
        length = 0 if buf[head.comm + 3] == 46 and buf[head.comm + 4] == 62 else length
    if length > 0:
        comm = number_of(k, buf, head.comm, length)
    flags = NULL
    if head.flag_end > head.flag:
        flags = number_of(k, buf, head.flag, head.flag_end - head.flag)
    if comm == NO_ROOM or flags == NO_ROOM:
        return 0
    rows = k.rows
    rows[row] = head.time_ns
    rows[row + 1] = line
    rows[row + 2] = k.param.segment
    rows[row + 3] = head.cpu
    rows[row + 4] = head.pid
    rows[row + 5] = comm
    rows[row + 6] = flags
    return 1


@kfn
def take_other(k: Any, row: int, name: int) -> Any:
    """Keep the payload of an event in no row as it is."""
    head = k.head
    param = k.param
    length = head.end - head.payload
    first = param.nr_payload
    if first + length + 1 > param.max_payload:
        param.event = 0
        return ROWS_FULL
    for index in range(length):
        k.payload[first + index] = k.buf[head.payload + index]
    k.payload[first + length] = _LINE_FEED
    param.nr_payload = first + length + 1
    k.rows[row + NR_COMMON] = name
    return MATCH


@kfn
def take_payload(k: Any, event: Any, row: int) -> Any:
    """Try the templates of the event, in the order they were learned."""
    head = k.head
    at = head.payload
    while at < head.end and k.buf[at] == _SPACE:
        at += 1
    for number in range(event.first_template, event.end_template):
        if at > head.payload and k.step[k.template[number].first].text_length == 0:
            return PYTHONS  # blanks may be the first value's
        outcome = match_template(k, number, at, head.end, row)
        if outcome != NO_MATCH:
            return outcome
    return PYTHONS


@kfn
def take_line(k: Any, start: int, end: int, line: int) -> Any:
    """Take one line, without its end; returns MATCH, or whose it is, or what is in the way."""
    buf = k.buf
    head = k.head
    param = k.param
    while end > start and buf[end - 1] == _SPACE:
        end -= 1
    head.end = end
    if end - start > MAX_BULK_LINE or not parse_head(buf, start, head):
        return PYTHONS
    name = number_of(k, buf, head.name, head.name_end - head.name)
    if name == NO_ROOM:
        return WORDS_FULL
    number = k.event_named[name] - 1
    if number < 0:
        param.name = name
        return NEW_NAME
    event = k.event[number]
    if event.pythons:
        return PYTHONS
    if event.nr_rows == param.max_rows:
        param.event = number
        return ROWS_FULL
    row = event.first_cell + event.nr_rows * event.nr_cells
    if not put_common(k, row, line):
        return WORDS_FULL
    outcome = take_other(k, row, name) if number == 0 else take_payload(k, event, row)
    if outcome == MATCH:
        event.nr_rows += 1
        param.had_tgid |= head.has_tgid
    return outcome


def bulk_lines(address: Any, nr_lines: int) -> Any:
    """Take lines from `at` on, until one is not taken, or all or `nr_lines` are; returns why it stopped."""
    k = _at(address)
    place_words(k)
    buf = k.buf
    param = k.param
    at = param.at
    end = param.end
    line = param.line
    last = line + nr_lines
    outcome = DONE
    while at < end and line < last:
        stop = find_control(buf, at)
        text_end = stop
        if buf[stop] == _RETURN and buf[stop + 1] == _LINE_FEED:
            stop += 1
        if buf[stop] == _LINE_FEED:
            outcome = take_line(k, at, text_end, line)
        else:
            while buf[stop] != _LINE_FEED:
                stop += 1
            outcome = PYTHONS
        param.next = stop + 1
        if outcome != MATCH:
            break
        outcome = DONE
        at = stop + 1
        line += 1
    param.at = at
    param.line = line
    return outcome


_bulk_lines = kentry(bulk_lines)


class _Buffer:
    """Bytes of whole lines, gathered from pieces."""

    def __init__(self) -> None:
        self.array = np.zeros(SLACK, np.uint8)
        self.rest = b""

    def fill(self, piece: bytes) -> int:
        """Take the next piece; returns how many bytes of whole lines there are now."""
        cut = piece.rfind(b"\n") + 1
        if not cut:
            self.rest += piece
            return 0
        nbytes = len(self.rest) + cut
        if nbytes + SLACK > len(self.array):
            self.array = np.zeros(nbytes + nbytes // 8 + SLACK, np.uint8)
        self.array[: len(self.rest)] = np.frombuffer(self.rest, np.uint8)
        self.array[len(self.rest) : nbytes] = np.frombuffer(piece, np.uint8, cut)
        self.rest = piece[cut:]
        return nbytes


class BulkText:
    """Takes the lines of ftrace text in bulk, on behalf of a `FtraceText`, and yields those that are Python's.

    ready:  whether a line now offered to the desk would go to `reader` first, as it is; asked after each line that
            was yielded. While it would not, all lines are yielded.
    keep:   is given the number and the text of a run of lines that were taken, for evidence
    """

    def __init__(
        self,
        reader: FtraceText,
        account: Account,
        ready: Callable[[], bool],
        keep: Callable[[int, bytes], object] = lambda number, text: None,
        max_rows: int = ROWS,
    ) -> None:
        self._reader, self._account, self._ready, self._keep = reader, account, ready, keep
        self._words = WordTable()
        self._buffer = _Buffer()
        self._kinds: list[EventKind | None] = [None]  # by event number
        self._numbers: dict[str, int] = {}
        self._nr_learned: list[int] = [0]  # templates of each event taken over
        self._unknown: list[tuple[str, tuple[str, ...]]] = []  # event and unknown keys of each compiled template
        self._param = np.zeros(1, _PARAM)
        self._param["line"], self._param["max_rows"] = 1, max_rows
        self._param["max_payload"] = PAYLOAD_BYTES
        self._event = np.zeros(1, _EVENT)
        self._event["nr_cells"] = _OTHER_CELLS
        self._arrays: dict[str, Array] = {
            "param": self._param,
            "head": np.zeros(1, HEAD),
            "payload": np.zeros(PAYLOAD_BYTES, np.uint8),
            "rows": np.zeros(max_rows * _OTHER_CELLS, np.int64),
            "event": self._event,
            "event_named": np.zeros(0, np.int32),
            **match_tables([]),
        }

    @property
    def _builder(self) -> EventBuilder:
        assert self._reader.builder is not None, "the loop only begins after a first event"
        return self._reader.builder

    def lines(self, pieces: Iterable[bytes]) -> Iterator[Line]:
        """Yield the lines that are Python's, in order; each must have been dealt with when the next is asked for."""
        for piece in pieces:
            nbytes = self._buffer.fill(piece)
            if nbytes:
                yield from self._whole_lines(nbytes)
        rest = self._buffer.rest
        if rest:
            yield Line(int(self._param["line"][0]), rest.decode("utf-8", "replace").rstrip())
        if self._reader.builder is not None:
            self._flush()

    def _whole_lines(self, nbytes: int) -> Iterator[Line]:
        param = self._param
        param["at"], param["end"] = 0, nbytes
        while int(param["at"][0]) < nbytes:
            if self._reader.builder is None or not self._ready():
                yield from self._by_hand()
                continue
            why = self._run()
            if why == PYTHONS:
                yield self._next_line(int(param["next"][0]))
            elif why == NEW_NAME:
                self._meet(int(param["name"][0]))
            elif why == ROWS_FULL:
                self._flush_event(int(param["event"][0]))
            elif why == WORDS_FULL:
                self._words.grow(MAX_BULK_LINE)

    def _by_hand(self) -> Iterator[Line]:
        """Yield lines one by one until they are the reader's again; what was taken before goes to the builder first."""
        self._flush()
        param, text = self._param, self._buffer.array
        while int(param["at"][0]) < int(param["end"][0]):
            first = int(param["at"][0])
            found = text[first : int(param["end"][0])].tobytes()
            for raw in found.split(b"\n")[:-1]:
                yield self._next_line(int(param["at"][0]) + len(raw) + 1)
                if self._reader.builder is not None and self._ready():
                    return

    def _next_line(self, after: int) -> Line:
        """Step over the line at `at`, which ends before `after`."""
        param = self._param
        number, at = int(param["line"][0]), int(param["at"][0])
        param["line"], param["at"] = number + 1, after
        raw = self._buffer.array[at : after - 1].tobytes()
        return Line(number, raw.decode("utf-8", "replace").rstrip())

    def _run(self) -> int:
        """Run the loop over lines that are the reader's; returns why it stopped."""
        builder, param, words = self._builder, self._param, self._words
        if builder.nr_words > len(words):
            words.teach(builder.words_from(len(words)))
        self._take_templates()
        if len(self._arrays["event_named"]) < len(words.arrays["word_start"]):
            named = np.zeros(len(words.arrays["word_start"]), np.int32)
            named[: len(self._arrays["event_named"])] = self._arrays["event_named"]
            self._arrays["event_named"] = named
        param["segment"] = builder.segment
        first, at = int(param["line"][0]), int(param["at"][0])
        block, address = bind_state({**self._arrays, **words.arrays, "buf": self._buffer.array}, LAYOUT)
        why = int(_bulk_lines(address, 1 << 62))
        del block
        for word in words.learned():
            builder.word(word)
        self._count(first, int(param["line"][0]) - first, at)
        return why

    def _count(self, first: int, taken: int, at: int) -> None:
        if not taken:
            return
        reader, account, param = self._reader, self._account, self._param
        account.lines += taken
        account.events += taken
        account.kinds[reader.kind] += taken
        if param["had_tgid"][0]:
            reader.variants.add("tgid column")
        self._keep(first, self._buffer.array[at : int(param["at"][0])].tobytes())

    def _meet(self, word: int) -> None:
        """Give a name met for the first time its event."""
        kind = event_of(self._builder.words_from(word)[0].decode())
        number = 0
        if kind is not None:
            number = self._numbers.get(kind.name, 0) or self._new_event(kind)
        self._arrays["event_named"][word] = number + 1

    def _new_event(self, kind: EventKind) -> int:
        self._flush()
        number = self._numbers[kind.name] = len(self._kinds)
        self._kinds.append(kind)
        self._nr_learned.append(-1)
        event = np.zeros(number + 1, _EVENT)
        event[:number] = self._event
        nr_cells = NR_COMMON + len(kind.columns)
        event[number]["first_cell"], event[number]["nr_cells"] = len(self._arrays["rows"]), nr_cells
        rows = np.zeros(len(self._arrays["rows"]) + int(self._param["max_rows"][0]) * nr_cells, np.int64)
        self._event = self._arrays["event"] = event
        self._arrays["rows"] = rows
        return number

    def _take_templates(self) -> None:
        """Take over what the reader has learned since."""
        learned = self._reader.learned
        counts = [len(learned.get(kind.name, ())) if kind else 0 for kind in self._kinds]
        if counts == self._nr_learned:
            return
        self._count_unknown()
        self._nr_learned, self._unknown = counts, []
        templates: list[list[Step]] = []
        for number, kind in enumerate(self._kinds):
            event = self._event[number]
            event["first_template"] = len(templates)
            for known in learned.get(kind.name, ()) if kind else ():
                steps = steps_of(known.template)
                if steps is None:
                    event["pythons"] = 1
                elif steps:
                    templates.append(steps)
                    self._unknown.append((known.template.kind.name, known.template.unknown))
            event["end_template"] = len(templates)
        self._arrays.update(match_tables(templates))

    def _count_unknown(self) -> None:
        """Tell the builder how often keys stood in lines that are no column."""
        counts = self._arrays["template"]["nr_lines"]
        for (name, keys), nr_lines in zip(self._unknown, counts.tolist(), strict=False):
            for key in keys if nr_lines else ():
                self._builder.unknown_fields[name, key] += nr_lines
        counts[:] = 0

    def _flush_event(self, number: int) -> None:
        """Hand the rows of an event to the builder."""
        event, kind = self._event[number], self._kinds[number]
        nr_rows, nr_cells, first = int(event["nr_rows"]), int(event["nr_cells"]), int(event["first_cell"])
        if not nr_rows:
            return
        block = self._arrays["rows"][first : first + nr_rows * nr_cells].reshape(nr_rows, nr_cells)
        event["nr_rows"] = 0
        if kind is not None:
            self._builder.add_block(kind, block)
            return
        nbytes = int(self._param["nr_payload"][0])
        self._param["nr_payload"] = 0
        self._builder.add_other_block(block, self._arrays["payload"][: nbytes - 1].tobytes().decode("ascii"))

    def _flush(self) -> None:
        for number in range(len(self._kinds)):
            self._flush_event(number)
        self._count_unknown()


