# SPDX-License-Identifier: GPL-2.0-or-later
"""One input, read: what kind it is, where its lines went, the facts and events in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile
from typing import TYPE_CHECKING

from pageout.readers.dress import undress
from pageout.readers.facts import Fact
from pageout.readers.formats import recognisers
from pageout.readers.lines import Account, Desk, Line, Recogniser
from pageout.readers.source import STDIN, open_bytes
from pageout.readers.systrace import is_page, unwrap
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
    pieces = iter(pieces)
    first = next(pieces, b"")
    if first.startswith(b"\x17\x08Dtracing"):
        from pageout.readers.trace_dat import read_recording

        return read_recording(name, chain([first], pieces), on_block)
    pieces = chain([first], pieces)
    found = Input(name, Account())
    readers = recognisers()
    desk = Desk(readers, found.account)
    found.texts = texts = Texts(KEPT_BYTES if on_block is None else 0)
    stream = _stream(readers)
    if stream is not None:
        stream.on_block = on_block
    for line in unwrap(_lines(pieces, readers, desk, found.account, texts, name == STDIN), name):
        desk.take(line)
        texts.add(line)
    found.facts = list(desk.facts())
    _take_events(found, readers)
    found.kind = _kind(found.account, readers)
    if not any(reader.alone for reader in readers if reader.kind in found.account.kinds):
        raise TraceError(_nothing_known(found))
    if not found.facts and not found.account.events:
        for reader in readers:
            reader.refuse(name)
    return found


def _lines(
    pieces: Iterable[bytes],
    readers: Sequence[Recogniser],
    desk: Desk,
    account: Account,
    texts: Texts,
    keep_runs: bool,
) -> Iterator[Line]:
    """Yield the lines that go to the desk; of a long ftrace text the compiled loop takes most for itself.

    keep_runs: keep the texts of these for evidence, as the input cannot be read again
    """
    from pageout.readers.ftrace_text import FtraceText

    reader = next((reader for reader in readers if isinstance(reader, FtraceText)), None)
    rest = iter(pieces)
    first = []
    nbytes = 0
    while nbytes < BULK_BYTES and (piece := next(rest, None)) is not None:
        first.append(piece)
        nbytes += len(piece)
    pieces = chain(first, rest)
    if reader is None or nbytes < BULK_BYTES or _is_page(first[:1]):
        return undress(pieces)
    from pageout.readers.bulk_text import BulkText

    keep = texts.add_run if keep_runs else None
    return BulkText(reader, account, lambda: desk.last is reader and reader.is_plain, keep).lines(pieces)


def _is_page(pieces: Iterable[bytes]) -> bool:
    return is_page(line.text for line in split_lines(pieces))


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
    missing = sorted(numbers - texts.keys())
    if missing and found.file != STDIN:
        with open_bytes(found.file) as pieces:
            texts |= {line.number: line.text for line in _some_lines(pieces, missing, found.file)}
    return texts


def _some_lines(pieces: Iterable[bytes], numbers: Sequence[int], file: str) -> Iterator[Line]:
    """Yield the lines of these numbers, which are sorted; what lies between is only counted."""
    pieces = iter(pieces)
    head = next(pieces, b"")
    if _is_page([head]):
        wanted, last = set(numbers), numbers[-1]
        lines_to_last = takewhile(lambda line: line.number <= last, unwrap(split_lines(chain([head], pieces)), file))
        yield from (line for line in lines_to_last if line.number in wanted)
        return
    first, at, rest = 1, 0, b""
    for piece in chain([head], pieces, [b""]):
        text = rest + piece
        end = first + text.count(b"\n")  # the number of the line that is not whole yet
        known = end + bool(text and not piece)
        lines = text.split(b"\n") if at < len(numbers) and numbers[at] < known else []
        while at < len(numbers) and numbers[at] < known:
            yield Line(numbers[at], lines[numbers[at] - first].decode("utf-8", "replace").rstrip())
            at += 1
        if at == len(numbers):
            return
        first, rest = end, text[text.rfind(b"\n") + 1 :]


def _take_events(found: Input, readers: Sequence[Recogniser]) -> None:
    stream = _stream(readers)
    found.events = stream.finish() if stream is not None else None


def _stream(readers: Sequence[Recogniser]) -> Stream | None:
    from pageout.readers.stream import EventRecogniser

    return next((reader.stream for reader in readers if isinstance(reader, EventRecogniser)), None)


def _kind(account: Account, readers: Sequence[Recogniser]) -> str:
    """Return the formats met, the one with most lines first, each with its dresses: `ftrace text (tgid column)`."""
    variants: dict[str, set[str]] = {}
    for reader in readers:
        variants.setdefault(reader.kind, set()).update(reader.variants)
    said = [
        f"{kind} ({', '.join(sorted(variants[kind]))})" if variants[kind] else kind
        for kind, _ in account.kinds.most_common()
    ]
    return " + ".join(said)


def _nothing_known(found: Input) -> str:
    line, text = next(iter(found.account.unread_lines), (1, ""))
    return (
        f"{found.file}:{line}: {text[:60]!r}: nothing here that pageout reads: give it a dmesg, a trace "
        "(trace-cmd report, /sys/kernel/tracing/trace), /proc/meminfo, /proc/vmstat, sysctl -a..."
    )
