# SPDX-License-Identifier: GPL-2.0-or-later
"""One input, read: what kind it is, where its lines went, the facts and events in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from pageout.readers.facts import Fact
from pageout.readers.lines import Account, Desk, Line, Recogniser
from pageout.readers.source import STDIN, open_bytes
from pageout.vocabulary.errors import TraceError

if TYPE_CHECKING:
    from pageout.events.tables import Events

KEPT_BYTES = 1 << 26  # of a text: beyond, evidence is read from the file again


@dataclass
class Input:
    """A file as it was understood."""

    file: str
    account: Account
    facts: list[Fact] = field(default_factory=list)
    events: Events | None = None  # None: no event at all
    kind: str = ""
    unit: str = "line"  # what is counted and numbered: "record" of a binary recording
    texts: dict[int, str] = field(default_factory=dict)  # lines kept for evidence

    @property
    def lost(self) -> int | None:
        """Events known to be missing; None: an unknown number."""
        return 0 if self.events is None else self.events.lost


def recognisers() -> list[Recogniser]:
    """Return one of each, in the order lines are offered to them: the narrow before the broad."""
    from pageout.readers.ftrace_text import FtraceText
    from pageout.readers.function_graph import FunctionGraph
    from pageout.readers.stream import Stream

    stream = Stream()
    return [FtraceText(stream), FunctionGraph()]


def read_input(name: str) -> Input:
    """Read a file, `-` for standard input.  Raises TraceError: unreadable, or nothing in it that pageout knows."""
    with open_bytes(name) as pieces:
        return read_pieces(name, pieces)


def read_pieces(name: str, pieces: Iterable[bytes]) -> Input:
    """Read an input from its unpacked bytes."""
    pieces = iter(pieces)
    first = next(pieces, b"")
    if first.startswith(b"\x17\x08Dtracing"):
        from pageout.readers.trace_dat import read_recording

        return read_recording(name, chain([first], pieces))
    pieces = chain([first], pieces)
    found = Input(name, Account())
    readers = recognisers()
    desk = Desk(readers, found.account)
    kept = 0
    for line in split_lines(pieces):
        desk.take(line)
        if kept < KEPT_BYTES:
            found.texts[line.number] = line.text
            kept += len(line.text)
    found.facts = list(desk.facts())
    _take_events(found, readers)
    found.kind = _kind(found.account, readers)
    if not found.kind:
        raise TraceError(_nothing_known(found))
    if not found.facts and not found.account.events:
        for reader in readers:
            reader.refuse(name)
    return found


def split_lines(pieces: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a text."""
    number, rest = 0, b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for raw in lines:
            number += 1
            yield Line(number, raw.decode("utf-8", "replace").rstrip())
    if rest:
        yield Line(number + 1, rest.decode("utf-8", "replace").rstrip())


def fetch_texts(found: Input, numbers: set[int]) -> dict[int, str]:
    """Return the texts of some lines, from memory or, of a large input, from the file again."""
    if found.unit == "record":
        from pageout.readers.record_text import texts_of_records

        return texts_of_records(found.events, numbers)
    texts = {number: found.texts[number] for number in numbers if number in found.texts}
    missing = numbers - texts.keys()
    if missing and found.file != STDIN:
        last = max(missing)
        with open_bytes(found.file) as pieces:
            for line in split_lines(pieces):
                if line.number in missing:
                    texts[line.number] = line.text
                if line.number >= last:
                    break
    return texts


def _take_events(found: Input, readers: Sequence[Recogniser]) -> None:
    from pageout.readers.stream import EventRecogniser

    stream = next((reader.stream for reader in readers if isinstance(reader, EventRecogniser)), None)
    found.events = stream.finish() if stream is not None else None


def _kind(account: Account, readers: Sequence[Recogniser]) -> str:
    """Return the formats met, the one with most lines first, each with its dresses: `ftrace text (tgid column)`."""
    variants = {reader.kind: sorted(reader.variants) for reader in readers}
    said = [
        f"{kind} ({', '.join(variants[kind])})" if variants[kind] else kind for kind, _ in account.kinds.most_common()
    ]
    return " + ".join(said)


def _nothing_known(found: Input) -> str:
    line, text = next(iter(found.account.unread_lines), (1, ""))
    return (
        f"{found.file}:{line}: {text[:60]!r}: nothing here that pageout reads: give it a dmesg, a trace "
        "(trace-cmd report, /sys/kernel/tracing/trace), /proc/meminfo, /proc/vmstat, sysctl -a..."
    )
