# SPDX-License-Identifier: GPL-2.0-or-later
"""Payloads become values: by templates learned once, and by what two halves of a wrapped line say together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pageout.readers.templates import MAX_TEMPLATES, SKIP, Template, learn, learn_by_text
from pageout.vocabulary.schema import ANY_BASE, DEC, HEX, EventKind

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder

NULL = -(1 << 63)
MAX_PAYLOAD = 8192  # characters: no event of ours prints more, and none longer is learned from
_MAX_SHAPES, _LATER = 2048, 16  # shapes of text that taught nothing; with so many, only each so-many-th is tried
_MAX = (1 << 63) - 1
_RANGES = {
    "i32": (-(1 << 31), (1 << 31) - 1), "u32": (0, (1 << 32) - 1), "i64": (-_MAX - 1, _MAX),
    "u64": (-_MAX - 1, (1 << 64) - 1),
}  # fmt: skip
_WIDE = 60  # characters: a terminal or a mailer that cuts inside words does so at the end of a long line
_REST_OF_VALUE = re.compile(r"\d{1,20}|[\w|]*[_|][A-Z0-9_|]*")
_LEAD = re.compile(r"\s*(?:bdi|dev) \S+ ?")
_BASES = {DEC: 10, HEX: 16, ANY_BASE: 1}
_DIGITS = re.compile(r"\d+")
_FAILED = "[FAILED TO PARSE]"  # trace-cmd prints raw fields behind it, in bases of its own
_PAIR = re.compile(r"([A-Za-z_][\w-]{0,63})=(.*)", re.DOTALL)
_VALUES = {DEC: r"-?\d{1,20}", HEX: r"(?:0x)?[0-9a-fA-F]{1,16}", ANY_BASE: r"0x[0-9a-fA-F]{1,16}|\d{1,20}"}


class _Learned(NamedTuple):
    template: Template
    cells: tuple[tuple[int, int, int, int, int], ...]
    match: Callable[[str], re.Match[str] | None]


class Payloads:
    """The templates of one input, and what could not be learned."""

    def __init__(self) -> None:
        self._learned: dict[str, list[_Learned]] = {}
        self.nr_learned = 0
        self._shapes: dict[str, set[int]] = {}  # hashes of payloads nothing could be learned from, digits alike
        self._failures = 0

    @property
    def learned(self) -> dict[str, list[Template]]:
        """The templates of each event so far, in the order they are tried."""
        return {name: [known.template for known in learned] for name, learned in self._learned.items()}

    def put(
        self, builder: EventBuilder, kind: EventKind | None, common: Sequence[int], name: str, payload: str
    ) -> None:
        """Give an event to the builder: with its values if its text is known, else with the text."""
        values = self.values(builder, kind, payload) if kind is not None else None
        if kind is None or values is None:
            builder.add_other(common, name, payload)
        else:
            builder.add(kind, common, values)

    def values(self, builder: EventBuilder, kind: EventKind, payload: str) -> list[int] | None:
        """Return a row's own values, NULL for what was not said; None if the text is not this event's."""
        if payload.startswith(_FAILED):
            return None
        for known in self._learned.setdefault(kind.name, []):
            match = known.match(payload)
            if match is not None:
                return _convert(builder, known, match)
        found = self._learn(kind, payload)
        match = found.match(payload) if found is not None else None
        return _convert(builder, found, match) if found is not None and match is not None else None

    def _learn(self, kind: EventKind, payload: str) -> _Learned | None:
        learned = self._learned[kind.name]
        if len(learned) >= MAX_TEMPLATES or len(payload) > MAX_PAYLOAD:
            return None
        shape = hash(_DIGITS.sub("0", payload))
        shapes = self._shapes.setdefault(kind.name, set())
        tried = shape in shapes or (len(shapes) >= _MAX_SHAPES and self._failures % _LATER)
        template = learn(kind, payload) if not tried else None
        found = _Learned(template, _cells(template), template.pattern().fullmatch) if template is not None else None
        if found is None or found.match(payload) is None:
            self._failures += 1
            if len(shapes) < _MAX_SHAPES:
                shapes.add(shape)
            return None
        learned.append(found)
        self.nr_learned += 1
        return found


def _cells(template: Template) -> tuple[tuple[int, int, int, int, int], ...]:
    """Return, for each value a template takes: its group, its column, base (0: a word, 1: either), and range."""
    cells = []
    for group, at in enumerate(template.columns, start=1):
        if at != SKIP:
            column = template.kind.columns[at]
            low, high = _RANGES["u64" if column.base == ANY_BASE else column.width] if column.base in _BASES else (0, 0)
            cells.append((group, at, _BASES.get(column.base, 0), low, high))
    return tuple(cells)


def _convert(builder: EventBuilder, learned: _Learned, match: re.Match[str]) -> list[int] | None:
    kind = learned.template.kind
    values = [NULL] * len(kind.columns)
    for group, at, base, low, high in learned.cells:
        text = match[group]
        if not base:
            values[at] = builder.word(text.encode())
            continue
        number = int(text, base if base > 1 else 16 if text.startswith("0x") else 10)
        if not low <= number <= high:
            return None
        values[at] = number - (1 << 64) if number > _MAX else number
    for key in learned.template.unknown:
        builder.unknown_fields[kind.name, key] += 1
    return values


class _Fit(NamedTuple):
    """How well a payload looks like an event's; more is better."""

    whole: int  # 0, unless it is as a text of the schema has it: 1 and the number of its columns
    pairs: int  # key=value, the value such as the column has
    stray: int  # minus the number of words that are no such thing


@cache
def _value(base: str) -> re.Pattern[str] | None:
    pattern = _VALUES.get(base)
    return None if pattern is None else re.compile(pattern)


def _odd_blanks(template: Template, payload: str) -> int:
    """Return how many blanks stand in values: none does, unless a word was cut and a blank put in."""
    match = template.pattern().fullmatch(payload)
    values = match.groups() if match is not None else ()
    return sum(value.count(" ") for value, at in zip(values, template.columns, strict=False) if at != SKIP)


def _fit(kind: EventKind | None, payload: str) -> _Fit:
    template = learn_by_text(kind, payload) if kind is not None else None
    whole = 1 + sum(at != SKIP for at in template.columns) if template is not None else 0
    pairs = stray = 0
    for word in payload.split():
        pair = _PAIR.fullmatch(word)
        if pair is None:
            stray += 1
            continue
        at = kind.index_of(pair[1]) if kind is not None else -1
        value = _value(kind.columns[at].base) if kind is not None and at >= 0 else None
        if value is None or value.fullmatch(pair[2].rstrip(",:")):
            pairs += 1
        else:
            stray += 1
    if template is not None:
        stray = _odd_blanks(template, payload)
    return _Fit(whole, pairs, -stray)


def joined(kind: EventKind | None, payload: str, more: str, width: int) -> str | None:
    """Return a payload with the next line of the file, if that line goes on with it; None if it is something else.

    width: characters of the line the payload stands in
    A line goes on if the two together are what the event prints, or if it holds nothing but key=value pairs that the
    payload lacks; its first word may be the rest of a word that was cut.
    """
    payload, more = payload.rstrip(), more.strip()
    if len(payload) + len(more) > MAX_PAYLOAD or not more:
        return None
    alone = _fit(kind, payload)
    texts = (f"{payload} {more}", payload + more)
    fits = [_fit(kind, text) for text in texts]
    best = max(range(2), key=lambda n: (*fits[n], -n))
    if fits[best].whole > alone.whole:
        return texts[best]
    if width >= _WIDE and _REST_OF_VALUE.fullmatch(more) and not (alone.whole and more.isdigit()):
        return texts[1] if "=" in payload.rpartition(" ")[2] else None
    return texts[best] if _goes_on(kind, payload, texts[best], alone, fits[best], bool(best)) else None


def _words(payload: str) -> list[str]:
    """Return the words behind `bdi 8:0:` or `dev 8,0`."""
    return _LEAD.sub("", payload).split()


def _goes_on(kind: EventKind | None, payload: str, text: str, alone: _Fit, together: _Fit, cut_word: bool) -> bool:
    before, words = _words(payload), _words(text)
    if kind is None and before and not any(map(_PAIR.fullmatch, before)):
        return False  # nothing is known of this event: only more of the same can be told from prose
    new = words[max(len(before) - cut_word, 0) :]
    pairs = [_PAIR.fullmatch(word) for word in new]
    if not any(pairs) or not all(
        pair or (kind is not None and kind.index_of(word) >= 0) for pair, word in zip(pairs, new, strict=True)
    ):
        return False
    keys = [pair[1] for word in words if (pair := _PAIR.fullmatch(word)) is not None]
    return len(keys) == len(set(keys)) and (together.pairs > alone.pairs or together.stray > alone.stray)
