# SPDX-License-Identifier: GPL-2.0-or-later
"""One input, read: what kind it is, where its lines went, the facts and events in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from pageout.readers.dress import undress
from pageout.readers.facts import Fact
from pageout.readers.formats import recognisers
from pageout.readers.lines import Account, Desk, Recogniser
from pageout.readers.source import STDIN, open_bytes
from pageout.readers.systrace import unwrap
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
    for line in unwrap(undress(pieces), name):
        desk.take(line)
        if kept < KEPT_BYTES:
            found.texts[line.number] = line.text
            kept += len(line.text)
    found.facts = list(desk.facts())
    _take_events(found, readers)
    found.kind = _kind(found.account, readers)
    if not any(reader.alone for reader in readers if reader.kind in found.account.kinds):
        raise TraceError(_nothing_known(found))
    if not found.facts and not found.account.events:
        for reader in readers:
            reader.refuse(name)
    return found


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
            for line in unwrap(undress(pieces), found.file):
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
