# SPDX-License-Identifier: GPL-2.0-or-later
"""A drawing of a recording as Perfetto's protobuf: track descriptors first, then packets in the order of time.

One packet sequence, whose names are interned: a packet that needs a new one brings it along.
Source: the `perfetto` package, protos/perfetto/trace/track_event/{track_event,track_descriptor,debug_annotation}.proto.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import polars as pl
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto  # type: ignore[import-untyped]

from pageout.events.tables import Events
from pageout.export.payloads import escaped
from pageout.export.spans import BEGIN, beside, nested
from pageout.export.tracks import HOLES, Counter, Drawing, Instants, Owner, Spans, draw
from pageout.vocabulary.errors import TraceError

SEQUENCE = 1
MAX_TEXT = 255
MAX_LANES, MAX_NESTED_LANES = 1024, 16
BATCH = 4096
_MAX_I64 = (1 << 63) - 1
_GROUPS = {
    "flusher": "flushers", "disk": "block devices", "bdi": "writeback devices", "zone": "zones",
    "memory": "page cache", "holes": "missing events",
}  # fmt: skip
_PHASES = {
    "begin": proto.TrackEvent.TYPE_SLICE_BEGIN,
    "end": proto.TrackEvent.TYPE_SLICE_END,
    "instant": proto.TrackEvent.TYPE_INSTANT,
    "counter": proto.TrackEvent.TYPE_COUNTER,
}


def write_perfetto(events: Events, out: BinaryIO, progress: Callable[[float], None] = lambda _: None) -> dict[str, int]:
    """Write events as a Perfetto trace.  Returns the events of which nothing is shown, by name, with their number.

    Raises TraceError, before anything is written, if nothing can be drawn.

    Times are the recording's own, in ns; a task's process has the number of the task, for its own is not recorded.
    """
    drawing = draw(events)
    if not (drawing.spans or drawing.counters or any(marks.category != HOLES for marks in drawing.instants)):
        raise TraceError(f"none of its events can be drawn ({', '.join(list(drawing.not_drawn)[:5])})")
    packets = _Packets(drawing)
    out.write(packets.descriptors().SerializeToString())
    total = max(packets.nr_marks, 1)
    for done, trace in packets.events():
        out.write(trace.SerializeToString())
        progress(done / total)
    return drawing.not_drawn


class _Said(NamedTuple):
    """What one kind of marks says: a name and a category each, and columns of annotations."""

    phase: int
    category: str
    names: Sequence[str]
    columns: list[tuple[str, list[Any]]]
    values: Sequence[int]


class _Span(NamedTuple):
    """A span, and what is said where it begins and ends: numbers in the table of what is said, and the row."""

    begin_ns: int
    end_ns: int
    begin: int
    end: int
    row: int


class _Tracks:
    """Numbers tracks and describes them."""

    def __init__(self, comms: dict[int, str]) -> None:
        self._comms = comms
        self._known: dict[Owner, int] = {}
        self.trace = proto.Trace()

    def uuid(self, owner: Owner) -> int:
        """Return the number of a track, describing it and those above it the first time."""
        known = self._known.get(owner)
        if known is not None:
            return known
        if owner[0] == "task" and len(owner) == 2:
            return self._task(owner)
        if len(owner) == 1:
            return self._new(owner, _GROUPS.get(str(owner[0]), str(owner[0])), 0)
        above = owner[:-1] if len(owner) > 2 else (owner[0],)
        return self._new(owner, str(owner[-1]), self.uuid(above))

    def lane(self, owner: Owner, number: int, name: str) -> int:
        """Return the number of one of several lanes of one name below a track."""
        key = (*owner, "lane", name, number)
        return self._known.get(key) or self._new(key, name, self.uuid(owner))

    def counter(self, counter: Counter) -> int:
        """Return the number of a counter's track."""
        found = self._add((*counter.owner, "counter", counter.name), counter.name, self.uuid(counter.owner))
        found.counter.unit_name = counter.unit
        return int(found.uuid)

    def _new(self, owner: Owner, name: str, parent: int) -> int:
        return int(self._add(owner, name, parent).uuid)

    def _add(self, owner: Owner, name: str, parent: int) -> Any:
        packet = self.trace.packet.add()
        packet.trusted_packet_sequence_id = SEQUENCE
        if not self._known:
            packet.sequence_flags = proto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        found = packet.track_descriptor
        found.uuid = self._known[owner] = len(self._known) + 1
        if name:
            found.name = escaped(name, MAX_TEXT)
        if parent:
            found.parent_uuid = parent
        return found

    def _task(self, owner: Owner) -> int:
        pid = owner[1]
        if not pid:  # the idle task of each CPU, or a task whose number is not known
            return self._new(owner, "<idle>", 0)
        comm = escaped(self._comms.get(pid, "<...>"), MAX_TEXT)
        process = self._add((*owner, "process"), "", 0)
        process.process.pid = pid
        process.process.process_name = comm
        thread = self._add(owner, "", process.uuid)
        thread.thread.pid = thread.thread.tid = pid
        thread.thread.thread_name = comm
        return int(thread.uuid)


class _Packets:
    """All marks of a drawing, sorted by time, as packets."""

    def __init__(self, drawing: Drawing) -> None:
        self.tracks = _Tracks(drawing.comms)
        self._said: list[_Said] = []
        self._marks = array("q")  # time_ns, track, what is said, row of it
        self._spans(drawing.spans)
        for instants in drawing.instants:
            self._instants(instants)
        for counter in drawing.counters:
            track, said = self.tracks.counter(counter), self._say("counter", "", (), pl.DataFrame(), counter.values)
            for row, time_ns in enumerate(counter.times):
                self._marks.extend((time_ns, track, said, row))
        self.nr_marks = len(self._marks) // 4
        self._iids: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}

    def descriptors(self) -> proto.Trace:
        """Return the descriptors of all tracks."""
        return self.tracks.trace

    def _say(
        self, phase: str, category: str, names: Sequence[str], said: pl.DataFrame, values: Sequence[int] = ()
    ) -> int:
        columns = []
        for series in said.get_columns():
            is_word = series.dtype in (pl.Categorical, pl.String)
            columns.append((series.name, (series.cast(pl.String) if is_word else series).to_list()))
        self._said.append(_Said(_PHASES[phase], category, names, columns, values))
        return len(self._said) - 1

    def _spans(self, every: Sequence[Spans]) -> None:
        """Give each span a lane among those of its owner: of all kinds, unless they are usually several at a time."""
        owned: dict[tuple[Owner, str], list[_Span]] = {}
        for spans in every:
            begin = self._say("begin", spans.category, spans.names, spans.at_begin)
            end = self._say("end", "", (), spans.at_end)
            label = "requests" if spans.overlap else ""
            for row, owner in enumerate(spans.owners):
                owned.setdefault((owner, label), []).append(_Span(spans.begin[row], spans.end[row], begin, end, row))
        for (owner, label), theirs in owned.items():
            self._lanes(owner, label, theirs)

    def _lanes(self, owner: Owner, label: str, theirs: Sequence[_Span]) -> None:
        lanes, most = (beside, MAX_LANES) if label else (nested, MAX_NESTED_LANES)
        left = set(range(len(theirs)))
        for mark in lanes([span.begin_ns for span in theirs], [span.end_ns for span in theirs], most):
            left.discard(mark.span)
            span = theirs[mark.span]
            own = not label and not mark.lane
            track = self.tracks.uuid(owner) if own else self.tracks.lane(owner, mark.lane, label or "overlapping")
            self._marks.extend((mark.time_ns, track, span.begin if mark.phase == BEGIN else span.end, span.row))
        for number in sorted(left):
            span = theirs[number]
            begin = self._said[span.begin]
            self._said.append(begin._replace(phase=_PHASES["instant"]))
            self._marks.extend((span.begin_ns, self.tracks.uuid(owner), len(self._said) - 1, span.row))

    def _instants(self, instants: Instants) -> None:
        said = self._say("instant", instants.category, instants.names, instants.said)
        for row, (time_ns, owner) in enumerate(zip(instants.times, instants.owners, strict=True)):
            self._marks.extend((time_ns, self.tracks.uuid(owner), said, row))

    def events(self) -> Iterator[tuple[int, proto.Trace]]:
        """Yield packets, some thousand at a time, with how many are done then."""
        marks = np.frombuffer(self._marks, np.int64).reshape(-1, 4)
        order = np.argsort(marks[:, 0], kind="stable")
        for start in range(0, len(order), BATCH):
            trace = proto.Trace()
            for time_ns, track, said, row in marks[order[start : start + BATCH]].tolist():
                self._packet(trace.packet.add(), time_ns, track, self._said[said], row)
            yield start + len(trace.packet), trace

    def _packet(self, packet: proto.TracePacket, time_ns: int, track: int, said: _Said, row: int) -> None:
        packet.timestamp = time_ns
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.sequence_flags = proto.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        event = packet.track_event
        event.type = said.phase
        event.track_uuid = track
        if said.values:
            event.counter_value = min(int(said.values[row]), _MAX_I64)
            return
        if said.names:
            event.name_iid = self._iid(packet, "event_names", said.names[row])
            event.category_iids.append(self._iid(packet, "event_categories", said.category))
        for name, values in said.columns:
            value = values[row]
            if value is None:
                continue
            note = event.debug_annotations.add()
            note.name_iid = self._iid(packet, "debug_annotation_names", name)
            if isinstance(value, str):
                note.string_value_iid = self._iid(packet, "debug_annotation_string_values", value)
            elif value > _MAX_I64:
                note.uint_value = value
            else:
                note.int_value = value

    def _iid(self, packet: proto.TracePacket, table: str, text: str) -> int:
        known = self._iids.get((table, text))
        if known is not None:
            return known
        number = self._counts[table] = self._counts.get(table, 0) + 1
        self._iids[table, text] = number
        row = getattr(packet.interned_data, table).add()
        row.iid = number
        shown = escaped(text, MAX_TEXT)
        if table == "debug_annotation_string_values":
            row.str = shown.encode()
        else:
            row.name = shown
        return number
