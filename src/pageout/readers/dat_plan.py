# SPDX-License-Identifier: GPL-2.0-or-later
"""Which field of a record becomes which column: told by the kernel's own print fmt.

A record is printed once with a token for each value, and that text is read the way the text reader reads lines: where
a token comes to stand, there its field goes. So a recording and its text give the same columns, whatever the kernel
calls its fields. Columns the text does not have are taken from fields of their name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pageout.readers.c_expression import FormatError, Ref, fields_of
from pageout.readers.event_format import EventFormat, Field, Shape
from pageout.readers.print_fmt import Conversion, parse_print_fmt
from pageout.readers.templates import SKIP, Template, learn
from pageout.vocabulary.schema import WORD, EventKind

Parts = tuple[str | Conversion, ...]
_OWN_DEVICES = {"dev": ",", "old_dev": ",", "sb_dev": ":"}  # how a dev_t field is printed
_FIRST_TOKEN = 100001


@dataclass(frozen=True)
class Source:
    """What a column is made of: one number, or a text of parts."""

    parts: Parts

    @cached_property
    def number(self) -> Conversion | None:
        """The conversion that is the whole of it, a number's prefix 0x aside."""
        found = [part for part in self.parts if isinstance(part, Conversion)]
        rest = "".join(part for part in self.parts if isinstance(part, str))
        return found[0] if len(found) == 1 and rest in ("", "0x") and not found[0].is_text else None


@dataclass
class Plan:
    """How records of one event are read."""

    form: EventFormat
    kind: EventKind | None  # None: goes to `other`
    sources: dict[int, Source] = field(default_factory=dict)  # by column
    parts: Parts | None = None  # the whole text; None: it cannot be printed
    unknown: tuple[str, ...] = ()  # keys of the text that are no column

    @cached_property
    def fields(self) -> list[Field]:
        """What is read of each record of a known event."""
        names = {ref.name for source in self.sources.values() for ref in _refs(source)}
        names |= {"common_pid", "common_flags", "common_preempt_count"}
        return [one for one in self.form.fields.values() if one.name in names]

    @cached_property
    def min_size(self) -> int:
        """Bytes a record must have."""
        return max((one.offset + one.size for one in self.form.fields.values()), default=0)


def make_plan(form: EventFormat, kind: EventKind | None, hz: int = 0) -> Plan:
    """Return the plan of an event; `kind` None for one that is in no row of the table; `hz`: jiffies a second, or 0."""
    texts = frozenset(one.name for one in form.fields.values() if one.is_text)
    parts: Parts | None
    try:
        parts = parse_print_fmt(form.print_fmt, texts, hz).parts if form.print_fmt else None
    except (FormatError, RecursionError, ValueError):
        parts = None
    if kind is None:
        return Plan(form, None, parts=parts)
    sources, unknown = _by_text(kind, parts) if parts is not None else ({}, ())
    if not sources and kind.columns:
        sources = _by_name(form, kind)
    used = {ref.name for source in sources.values() for ref in _refs(source)}
    for n, column in enumerate(kind.columns):
        if n in sources or column.base == WORD:
            continue
        for name in (column.name, *column.aliases):
            found = form.fields.get(name)
            if found is not None and name not in used and found.shape is Shape.NUMBER:
                sources[n] = Source((_plain(found),))
                break
    return Plan(form, kind if sources or not kind.columns else None, sources, parts, unknown)


def _refs(source: Source) -> set[Ref]:
    return set().union(*(fields_of(part.node) for part in source.parts if isinstance(part, Conversion)))


def _plain(one: Field) -> Conversion:
    return Conversion("", "ll", "d" if one.signed else "u", Ref(one.name))


def _by_text(kind: EventKind, parts: Parts) -> tuple[dict[int, Source], tuple[str, ...]]:
    """Learn from a printed sample; of two samples (dynamic strings present, absent) the one that tells more."""
    best: tuple[dict[int, Source], tuple[str, ...]] = ({}, ())
    has_text = any(isinstance(part, Conversion) and isinstance(part.node, Ref) and part.is_text for part in parts)
    for dynamic in (True, False) if has_text else (True,):
        sample, spans = _sample(parts, dynamic)
        template = learn(kind, sample)
        if template is None:
            continue
        sources = _sources(template, sample, spans)
        if len(sources) > len(best[0]):
            best = (sources, template.unknown)
    return best


class _Span(NamedTuple):
    start: int
    end: int
    part: str | Conversion


def _sample(parts: Parts, dynamic: bool) -> tuple[str, list[_Span]]:
    text, spans = "", []
    for n, part in enumerate(parts):
        token = part if isinstance(part, str) else _token(part, _FIRST_TOKEN + n, dynamic)
        spans.append(_Span(len(text), len(text) + len(token), part))
        text += token
    return text, spans


def _token(part: Conversion, number: int, dynamic: bool) -> str:
    if isinstance(part.node, Ref) and part.node.how == "text" and not dynamic:
        return ""
    if part.is_text:
        return f"w{number}"
    return f"0x{number}" if part.letter == "p" or "#" in part.flags else str(number)


def _sources(template: Template, sample: str, spans: list[_Span]) -> dict[int, Source]:
    match = template.pattern().fullmatch(sample)
    found: dict[int, Source] = {}
    if match is None:
        return found
    for n, column in enumerate(template.columns):
        if column == SKIP:
            continue
        parts = _within(spans, *match.span(n + 1))
        if parts:
            found[column] = Source(parts)
    return found


def _within(spans: list[_Span], start: int, end: int) -> Parts:
    """Return the parts printed from start to end; none if a conversion is only partly in it."""
    parts: list[str | Conversion] = []
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        if isinstance(span.part, str):
            parts.append(span.part[max(start - span.start, 0) : end - span.start])
        elif span.start < start or span.end > end:
            return ()
        else:
            parts.append(span.part)
    return tuple(parts)


def _by_name(form: EventFormat, kind: EventKind) -> dict[int, Source]:
    """Take fields by the names of columns, where the format cannot be printed."""
    found: dict[int, Source] = {}
    for n, column in enumerate(kind.columns):
        names = (column.name, *column.aliases, *(("name",) if column.name == "bdi" else ()))
        one = next((form.fields[name] for name in names if name in form.fields), None)
        if one is None:
            continue
        if column.base != WORD and one.shape is Shape.NUMBER:
            found[n] = Source((_plain(one),))
        elif column.base == WORD and one.is_text:
            found[n] = Source((Conversion("", "", "s", Ref(one.name, "text")),))
        elif column.name in _OWN_DEVICES and one.shape is Shape.NUMBER:
            found[n] = Source(_device(one.name, _OWN_DEVICES[column.name]))
    return found


def _device(name: str, separator: str) -> Parts:
    fmt = f'"%d{separator}%d", ((unsigned int) ((REC->{name}) >> 20)), ((unsigned int) ((REC->{name}) & 1048575))'
    return parse_print_fmt(fmt, frozenset()).parts
