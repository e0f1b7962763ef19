# SPDX-License-Identifier: GPL-2.0-or-later
"""One input, read: what kind it is, where its lines went, the facts and events in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from pageout.readers.counters import members_of
from pageout.readers.dress import Physical, in_utf8, split_lines, undress
from pageout.readers.facts import Fact
from pageout.readers.formats import recognisers
from pageout.readers.lines import Account, Desk, Line, Recogniser
from pageout.readers.source import STDIN, OnRead, open_bytes
from pageout.readers.systrace import HTML, LOOKED_AT, unwrap
from pageout.readers.texts import KEPT_BYTES, Texts
from pageout.vocabulary.errors import TraceError

if TYPE_CHECKING:
    from pageout.events.tables import Events, OnBlock
    from pageout.readers.stream import Stream

_FIO_JOB = re.compile(r"(?:rw|readwrite)\s*=\s*(?:rand)?(?:read|write|rw|trim)\w*")
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
    in_bulk: bool = False  # lines that were not kept stand in the file as they are

    @property
    def lost(self) -> int | None:
        """Events known to be missing; None: an unknown number."""
        return 0 if self.events is None else self.events.lost


def read_input(name: str, on_read: OnRead | None = None) -> Input:
    """Read a file, `-` for standard input.  Raises TraceError: unreadable, or nothing in it that pageout knows.

    on_read: told now and then what share of the file has been read.
    """
    with open_bytes(name, on_read) as pieces:
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
    pieces = chain([first], pieces)
    if first.startswith(b"\x17\x08Dtracing"):
        from pageout.readers.trace_dat import read_recording

        return read_recording(name, pieces, on_block)
    found = Input(name, Account())
    readers = recognisers(name)
    desk = Desk(readers, found.account)
    found.texts = texts = Texts(KEPT_BYTES if on_block is None else 0)
    stream = _stream(readers)
    if stream is not None:
        stream.on_block = on_block
    bulk = _Bulk(found, readers, desk, texts)
    for line in unwrap(undress(pieces, bulk.split), name):
        desk.take(line)
        texts.add(line)
        bulk.taken_by_hand(line)
    found.facts = list(desk.facts())
    _take_events(found, readers)
    found.kind = _kind(found.account, readers)
    if not any(reader.alone for reader in members_of(readers) if reader.kind in found.account.kinds):
        raise TraceError(_nothing_known(found))
    if not found.facts and not found.account.events:
        for reader in readers:
            reader.refuse(name)
    return found


class _Bulk:
    """Lets the compiled loop take what it can of a long ftrace text, where nothing stands between it and the desk."""

    def __init__(self, found: Input, readers: Sequence[Recogniser], desk: Desk, texts: Texts) -> None:
        from pageout.readers.ftrace_text import FtraceText

        self._found, self._desk, self._texts = found, desk, texts
        self._reader = next((reader for reader in readers if isinstance(reader, FtraceText)), None)
        self._nr_looked_at = 0  # lines that may say: this is a page
        self._is_page = False

    def taken_by_hand(self, line: Line) -> None:
        """Look at a line the desk has taken."""
        self._nr_looked_at += bool(line.text.strip())
        self._is_page |= line.prefix == HTML

    def split(self, text: Iterator[bytes], leaves_plain: Callable[[], bool]) -> Iterator[Physical]:
        """Yield the lines of a text that the loop does not take."""
        reader, account = self._reader, self._found.account
        first = []
        nbytes = 0
        while nbytes < BULK_BYTES and (piece := next(text, None)) is not None:
            first.append(piece)
            nbytes += len(piece)
        text = chain(first, text)
        if reader is None or nbytes < BULK_BYTES:
            yield from split_lines(text)
            return
        from pageout.readers.bulk_text import BulkText

        def ready(number: int) -> bool:
            """Nobody holds a line that came before, and this one would be the reader's, as it is."""
            if account.lines != number - 1 or self._nr_looked_at < LOOKED_AT or self._is_page:
                return False
            return leaves_plain() and self._desk.last is reader and reader.is_plain

        self._found.in_bulk = True
        keep = self._texts.add_run if self._found.file == STDIN else None
        yield from BulkText(reader, account, ready, keep).lines(text)


def fetch_texts(found: Input, numbers: set[int]) -> dict[int, str]:
    """Return the texts of some lines, from memory or, of a large input, from the file again."""
    if found.unit == "record":
        from pageout.readers.record_text import texts_of_records

        return texts_of_records(found.events, numbers)
    texts = {number: found.texts[number] for number in numbers if number in found.texts}
    missing = numbers - texts.keys()
    if not missing or found.file == STDIN:
        return texts
    if found.in_bulk:
        with open_bytes(found.file) as pieces:
            texts |= _some_lines(in_utf8(pieces), sorted(missing))
    else:
        last = max(missing)
        with open_bytes(found.file) as pieces:
            for line in unwrap(undress(pieces), found.file):
                if line.number in missing:
                    texts[line.number] = line.text
                if line.number >= last:
                    break
    return texts


def _some_lines(pieces: Iterable[bytes], numbers: Sequence[int]) -> dict[int, str]:
    """Return the lines of these numbers, which are sorted, as they stand in a text; what lies between is counted."""
    found: dict[int, str] = {}
    first, at, rest = 1, 0, b""
    for piece in chain(pieces, [b""]):
        text = rest + piece
        end = first + text.count(b"\n")  # the number of the line that is not whole yet
        known = end + bool(text and not piece)
        lines = text.split(b"\n") if at < len(numbers) and numbers[at] < known else []
        while at < len(numbers) and numbers[at] < known:
            found[numbers[at]] = lines[numbers[at] - first].decode("utf-8", "replace").rstrip()
            at += 1
        first, rest = end, text[text.rfind(b"\n") + 1 :]
        if at == len(numbers):
            break
    return found


def _take_events(found: Input, readers: Sequence[Recogniser]) -> None:
    stream = _stream(readers)
    found.events = stream.finish() if stream is not None else None


def _stream(readers: Sequence[Recogniser]) -> Stream | None:
    from pageout.readers.stream import EventRecogniser

    return next((reader.stream for reader in readers if isinstance(reader, EventRecogniser)), None)


def _kind(account: Account, readers: Sequence[Recogniser]) -> str:
    """Return the formats met, the one with most lines first, each with its dresses: `ftrace text (tgid column)`."""
    variants: dict[str, set[str]] = {}
    for reader in members_of(readers):
        variants.setdefault(reader.kind, set()).update(reader.variants)
    said = [
        f"{kind} ({', '.join(sorted(variants[kind]))})" if variants[kind] else kind
        for kind, _ in account.kinds.most_common()
    ]
    return " + ".join(said)


def _nothing_known(found: Input) -> str:
    if not found.account.unread_lines:
        return f"{found.file}: nothing in it{' but blank lines' if found.account.lines else ''}: name another file"
    line, text = found.account.unread_lines[0]
    if any(_FIO_JOB.fullmatch(row) for _, row in found.account.unread_lines):
        return f"{found.file}:{line}: a fio job file, nothing recorded: pageout run simulates it"
    if found.account.unread == 1 and re.fullmatch(r"\s{0,9}-?\d{1,20}\s{0,9}", text):
        return (
            f"{found.file}:{line}: {text.strip()[:20]!r} alone, and the file's name does not say of what: name it "
            "as the setting is named (vm.dirty_ratio), or give it sysctl -a"
        )
    return (
        f"{found.file}:{line}: {text[:60]!r}: nothing here that pageout reads: give it a dmesg, a trace "
        "(trace-cmd report, /sys/kernel/tracing/trace), /proc/meminfo, /proc/vmstat, sysctl -a..."
    )
