# SPDX-License-Identifier: GPL-2.0-or-later
"""One input, read: what kind it is, where its lines went, the facts and events in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from pageout.readers.facts import Fact
from pageout.readers.lines import Account, Desk, Line, Recogniser
from pageout.readers.source import STDIN, open_bytes
from pageout.readers.texts import KEPT_BYTES, Texts
from pageout.vocabulary.errors import TraceError

if TYPE_CHECKING:
    from pageout.events.tables import Events, OnBlock
    from pageout.readers.stream import Stream

BULK_BYTES = 1 << 23  # a text of this size goes through the compiled loop: below, compiling it would take longer


@dataclass
class Input:
    """A file as it was understood."""

    file: str
    account: Account
    facts: list[Fact] = field(default_factory=list)
    events: Events | None = None  # None: no event at all
    kind: str = ""
    unit: str = "line"  # what is counted and numbered: "record" of a binary recording
    texts: Mapping[int, str] = field(default_factory=dict)  # lines kept for evidence

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


def stream_events(name: str, on_block: OnBlock) -> Input:
    """Read a file of any size in little memory: its events go to `on_block` as they come, a block at a time.

    on_block: takes (event, frame): the event's name, "" for those in no row, and some of its rows as in `Events`, its
              words spelled out. An event's blocks come in the order of their lines, some 16,000 rows each, between
              those of other events.
    Returns the rest: facts, account, holes, stacks; no frame and no text.  Raises as `read_input`.
    """
    with open_bytes(name) as pieces:
        return read_pieces(name, pieces, on_block)


def read_pieces(name: str, pieces: Iterable[bytes], on_block: OnBlock | None = None) -> Input:
    """Read an input from its unpacked bytes; with `on_block` as `stream_events`."""
    found = Input(name, Account())
    readers = recognisers()
    desk = Desk(readers, found.account)
    found.texts = texts = Texts(KEPT_BYTES if on_block is None else 0)
    stream = _stream(readers)
    if stream is not None:
        stream.on_block = on_block
    for line in _lines(pieces, readers, desk, found.account, texts):
        desk.take(line)
        texts.add(line)
    found.facts = list(desk.facts())
    _take_events(found, readers)
    found.kind = _kind(found.account, readers)
    if not found.kind:
        raise TraceError(_nothing_known(found))
    if not found.facts and not found.account.events:
        for reader in readers:
            reader.refuse(name)
    return found


def _lines(
    pieces: Iterable[bytes], readers: Sequence[Recogniser], desk: Desk, account: Account, texts: Texts
) -> Iterator[Line]:
    """Yield the lines that go to the desk; of a long ftrace text the compiled loop takes most for itself."""
    from pageout.readers.ftrace_text import FtraceText

    reader = next((reader for reader in readers if isinstance(reader, FtraceText)), None)
    rest = iter(pieces)
    first = []
    nbytes = 0
    while nbytes < BULK_BYTES and (piece := next(rest, None)) is not None:
        first.append(piece)
        nbytes += len(piece)
    pieces = chain(first, rest)
    if reader is None or nbytes < BULK_BYTES:
        return split_lines(pieces)
    from pageout.readers.bulk_text import BulkText

    return BulkText(reader, account, lambda: desk.last is reader and reader.is_plain, texts.add_run).lines(pieces)


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
    stream = _stream(readers)
    found.events = stream.finish() if stream is not None else None


def _stream(readers: Sequence[Recogniser]) -> Stream | None:
    from pageout.readers.stream import EventRecogniser

    return next((reader.stream for reader in readers if isinstance(reader, EventRecogniser)), None)


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
