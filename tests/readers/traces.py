# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a text as a file is read, and what all readers of traces must keep."""

from typing import Any

from pageout.readers.read import Input, read_pieces


def read(text: str | bytes) -> Input:
    """Read a text; its lines add up."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    found = read_pieces("trace", [data])
    account = found.account
    assert account.lines == account.events + account.known_non_events + account.unread
    if b"\n" in data or b"\r" not in data:  # else the carriage returns may be the line ends
        assert account.lines == len(data.removesuffix(b"\n").split(b"\n"))
    assert account.unread >= 0
    return found


def rows(found: Input, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of an event's frame as plain values."""
    assert found.events is not None
    frame = found.events.frame(name)
    return list(frame.select(columns).iter_rows())


def others(found: Input) -> list[tuple[str, str]]:
    """Return name and payload of the events in no row."""
    assert found.events is not None
    return list(found.events.other.select("name", "payload").iter_rows())


def segments(found: Input) -> list[int]:
    """Return the segment of each event, in the order of lines."""
    assert found.events is not None
    frames = [*found.events.frames.values(), found.events.other]
    return [segment for _, segment in sorted(row for frame in frames for row in frame.select("line", "segment").rows())]
