# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables a compiled loop over events reads and fills: templates, words, rows by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pageout.events.tables import COMMON, NR_COMMON, frame_schema
from pageout.jit import bind_state
from pageout.readers.bulk_columns import Narrower
from pageout.readers.bulk_header import HEAD, MAX_BULK_LINE
from pageout.readers.bulk_known import known_tables
from pageout.readers.bulk_loop import EVENT, LAYOUT, NEW_NAME, OTHER_CELLS, PARAM, ROWS_FULL, run_loop
from pageout.readers.bulk_match import Steps, match_tables, packed_steps
from pageout.readers.bulk_words import WordTable
from pageout.vocabulary.schema import EventKind, event_of

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder
    from pageout.readers.payloads import Payloads
    from pageout.readers.templates import Template

Array = NDArray[Any]

ROWS = 1 << 14  # of an event, before they become a block
LINE = COMMON.index("line")
PAYLOAD_BYTES = 1 << 22  # of events in no row, before they become a block
_PAD = 72  # cells between columns: columns a power of two apart would share their places in the CPU's cache
_CELLS = 512  # columns there is room for at first, of all events: memory not written to costs nothing
_CPUS = 10_000  # the text has at most four digits


class RowStore:
    """The tables of the loop. Event 0 is all that is in no row."""

    def __init__(self, max_rows: int = ROWS, words: WordTable | None = None) -> None:
        self.param = np.zeros(1, PARAM)
        stride = max_rows + _PAD
        self.param["max_rows"], self.param["stride"], self.param["max_payload"] = max_rows, stride, PAYLOAD_BYTES
        self._words = WordTable() if words is None else words
        self._kinds: list[EventKind | None] = [None]
        self._numbers: dict[str, int] = {}
        self._seen = (0, 0)  # templates and events when templates were last taken over
        self._unknown: list[tuple[str, tuple[str, ...]]] = []  # event and unknown keys of each template
        self._event = np.zeros(1, EVENT)
        self._event["nr_cells"] = OTHER_CELLS
        self._steps: dict[int, tuple[Template, Steps | None]] = {}  # by identity
        self._narrower = Narrower(run_loop)
        self._nr_cells = OTHER_CELLS  # columns in use
        self._block: Any = None
        self._address: Any = None
        self._buffer: Array | None = None
        self._arrays: dict[str, Array] = {
            "param": self.param,
            "head": np.zeros(2, HEAD),
            "payload": np.zeros(PAYLOAD_BYTES, np.uint8),
            "rows": np.empty(stride * _CELLS, np.int64),
            "event": self._event,
            "event_named": np.zeros(0, np.int32),
            "cpu_pid": np.zeros(_CPUS, np.int32),
            "cpu_line": np.zeros(_CPUS, np.int64),
            **known_tables(),
            **match_tables([], stride),
        }

    def address(self, buffer: Array) -> Any:
        """Return what the loop takes: its tables, with this text."""
        if self._address is None or self._buffer is not buffer:
            arrays = {**self._arrays, **self._words.arrays, "buf": buffer}
            self._buffer = buffer
            self._block, self._address = bind_state(arrays, LAYOUT)
        return self._address

    def take_over(self, builder: EventBuilder, payloads: Payloads) -> None:
        """Take words and templates that Python has met since."""
        words = self._words
        if builder.nr_words > len(words):
            words.teach(builder.words_from(len(words)))
            self._address = None
        if (payloads.nr_learned, len(self._kinds)) != self._seen:
            self._seen = (payloads.nr_learned, len(self._kinds))
            self._take_templates(builder, payloads.learned)
        if len(self._arrays["event_named"]) < words.max_words:
            named = np.zeros(words.max_words, np.int32)
            named[: len(self._arrays["event_named"])] = self._arrays["event_named"]
            self._arrays["event_named"] = named
            self._address = None

    def _take_templates(self, builder: EventBuilder, learned: Mapping[str, Sequence[Template]]) -> None:
        self._count_unknown(builder)
        self._unknown = []
        tables: list[Steps] = []
        for number, kind in enumerate(self._kinds):
            event = self._event[number]
            event["first_template"] = len(tables)
            for template in learned.get(kind.name, ()) if kind else ():
                steps = self._steps_of(template)
                if steps is None:
                    event["pythons"] = 1
                elif steps.nr_steps:
                    tables.append(steps)
                    self._unknown.append((template.kind.name, template.unknown))
            event["end_template"] = len(tables)
        self._arrays.update(match_tables(tables, int(self.param["stride"][0])))
        self._address = None

    def _steps_of(self, template: Template) -> Steps | None:
        known = self._steps.get(id(template))
        if known is None:
            known = self._steps[id(template)] = (template, packed_steps(template))
        return known[1]

    def hand_words(self, builder: EventBuilder) -> None:
        """Give the builder the words the loop has met."""
        for word in self._words.learned():
            builder.word(word)

    def last_of_cpus(self) -> dict[int, tuple[int, int]]:
        """Return the pid and the line of the last event of each CPU."""
        lines = self._arrays["cpu_line"]
        cpus = np.flatnonzero(lines)
        pids = self._arrays["cpu_pid"][cpus].tolist()
        found = {cpu: (pid, line) for cpu, pid, line in zip(cpus.tolist(), pids, lines[cpus].tolist(), strict=True)}
        lines[cpus] = 0
        return found

    def make_way(self, why: int, builder: EventBuilder) -> None:
        """Do away with what stopped the loop."""
        if why == NEW_NAME:
            self._meet(int(self.param["name"][0]), builder)
        elif why == ROWS_FULL:
            self._flush_event(int(self.param["event"][0]), builder)
        else:
            self._words.grow(MAX_BULK_LINE)
            self._address = None

    def _meet(self, word: int, builder: EventBuilder) -> None:
        """Give a name met for the first time its event."""
        kind = event_of(builder.words_from(word)[0].decode())
        number = 0
        if kind is not None:
            number = self._numbers.get(kind.name, 0) or self._new_event(kind)
        self._arrays["event_named"][word] = number + 1

    def _new_event(self, kind: EventKind) -> int:
        number = self._numbers[kind.name] = len(self._kinds)
        self._kinds.append(kind)
        event = np.zeros(number + 1, EVENT)
        event[:number] = self._event
        first, nr_cells = self._nr_cells * int(self.param["stride"][0]), NR_COMMON + len(kind.columns)
        event[number]["first_cell"], event[number]["nr_cells"] = first, nr_cells
        self._nr_cells += nr_cells
        while self._nr_cells * int(self.param["stride"][0]) > len(self._arrays["rows"]):
            self._double_rows()
        self._event = self._arrays["event"] = event
        self._address = None
        return number

    def _double_rows(self) -> None:
        """Make room for as many columns again."""
        stride = int(self.param["stride"][0])
        old = self._arrays["rows"].reshape(-1, stride)
        rows = np.empty((2 * len(old), stride), np.int64)
        for event in self._event:
            cells = slice(event["first_cell"] // stride, event["first_cell"] // stride + event["nr_cells"])
            rows[cells, : event["nr_rows"]] = old[cells, : event["nr_rows"]]
        self._arrays["rows"] = rows.reshape(-1)

    def _count_unknown(self, builder: EventBuilder) -> None:
        """Tell the builder how often keys stood in lines that are no column."""
        counts = self._arrays["template"]["nr_lines"]
        for (name, keys), nr_lines in zip(self._unknown, counts.tolist(), strict=False):
            for key in keys if nr_lines else ():
                builder.unknown_fields[name, key] += nr_lines
        counts[:] = 0

    def _flush_event(self, number: int, builder: EventBuilder) -> None:
        """Hand the rows of an event to the builder."""
        event, kind = self._event[number], self._kinds[number]
        nr_rows, nr_cells, first = int(event["nr_rows"]), int(event["nr_cells"]), int(event["first_cell"])
        if not nr_rows:
            return
        stride = int(self.param["stride"][0])
        event["nr_rows"] = 0
        if kind is not None and builder.make_way(kind, int(self._arrays["rows"][first + LINE * stride])):
            dtypes = list(frame_schema(kind).values())
            builder.add_columns(kind, self._narrower.block(dtypes, self._arrays["rows"], first, stride, nr_rows))
            return
        block = self._arrays["rows"][first : first + nr_cells * stride].reshape(nr_cells, stride)[:, :nr_rows].T
        if kind is not None:
            builder.add_block(kind, block)
            return
        nbytes = int(self.param["nr_payload"][0])
        self.param["nr_payload"] = 0
        builder.add_other_block(block, self._arrays["payload"][: nbytes - 1].tobytes().decode("ascii"))

    def flush(self, builder: EventBuilder) -> None:
        """Hand all rows and counts to the builder."""
        for number in range(len(self._kinds)):
            self._flush_event(number, builder)
        self._count_unknown(builder)
