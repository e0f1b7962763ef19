# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of one event made columns, by its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.blocks import Block, Part
from pageout.readers.c_expression import Numbers, Ref, UnknownError, fields_of, numbers
from pageout.readers.dat_fields import FieldReader, Rows, distinct
from pageout.readers.dat_plan import Parts, Plan, Source
from pageout.readers.event_format import EventFormat, Field, Shape
from pageout.readers.print_fmt import Conversion, Values, printed_type, render
from pageout.vocabulary.schema import WORD, Column, EventKind

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder

Array = NDArray[Any]

_WIDTHS: dict[str, Any] = {"i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64}


class FieldColumns(Mapping[Ref, Numbers]):
    """The fields of some records, read when asked for."""

    def __init__(self, reader: FieldReader, form: EventFormat, rows: Rows) -> None:
        self._reader, self._form, self._rows = reader, form, rows
        self._found: dict[Ref, Numbers] = {}

    def __getitem__(self, ref: Ref) -> Numbers:
        found = self._found.get(ref)
        if found is None:
            field = self._form.fields[ref.name]
            if ref.how == "length":
                found = self._reader.places(field, self._rows)[1]
            elif ref.how == "field" and field.shape is Shape.NUMBER:
                found = self._reader.numbers(field, self._rows)
            else:
                raise KeyError(ref)
            self._found[ref] = found
        return found

    def __contains__(self, ref: object) -> bool:
        field = self._form.fields.get(ref.name) if isinstance(ref, Ref) else None
        if field is None or not isinstance(ref, Ref):
            return False
        return ref.how == "length" or (ref.how == "field" and field.shape is Shape.NUMBER)

    def __iter__(self) -> Any:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class FrameMaker:
    """Makes columns whose words are still numbers of the builder's."""

    def __init__(
        self, reader: FieldReader, builder: EventBuilder, symbol: Callable[[int], str], long_size: int
    ) -> None:
        self.reader, self.builder, self.symbol, self.long_size = reader, builder, symbol, long_size

    def known(self, plan: Plan, kind: EventKind, rows: Rows, common: list[Part]) -> Block:
        """Return the columns of an event of the table."""
        fields = FieldColumns(self.reader, plan.form, rows)
        own = [self._column(column, plan, plan.sources.get(n), rows, fields) for n, column in enumerate(kind.columns)]
        return Block(len(rows.at), [*common, *own], None)

    def _column(self, column: Column, plan: Plan, source: Source | None, rows: Rows, fields: FieldColumns) -> Part:
        if source is None:
            return Part(None, None)
        try:
            if column.base == WORD:
                return Part(self.words(plan, source.parts, rows, fields), None)
            return self._numbers(column, source, len(rows.at), fields)
        except UnknownError:
            return Part(None, None)

    def _numbers(self, column: Column, source: Source, count: int, fields: FieldColumns) -> Part:
        conversion = source.number
        if conversion is None:
            raise UnknownError("no number")
        values = _as_printed(conversion, fields, count, self.long_size)
        wanted = _WIDTHS[column.width]
        if np.can_cast(values.dtype, wanted) or (wanted == np.uint64 and values.dtype.kind == "i"):
            return Part(values.astype(wanted), None)
        limits = np.iinfo(wanted)
        bad = values > limits.max
        if values.dtype.kind == "i":
            bad |= values < limits.min
        return Part(values.astype(wanted), bad if bad.any() else None)

    def words(self, plan: Plan, parts: Parts, rows: Rows, fields: FieldColumns) -> Array:
        """Return the builder's number of the text these parts print, row by row."""
        if len(parts) == 1 and isinstance(parts[0], Conversion):
            field = plan.form.fields.get(_field_text(parts[0]))
            if field is not None:
                codes, raw = self.reader.texts(field, rows)
                return np.array([self.builder.word(text) for text in raw], np.uint32)[codes]
        codes, texts = self.texts(plan, parts, rows, fields)
        words = [self.builder.word(text.encode("utf-8", "surrogateescape")) for text in texts]
        return np.array(words, np.uint32)[codes]

    def texts(self, plan: Plan, parts: Parts, rows: Rows, fields: FieldColumns) -> tuple[Array, list[str]]:
        """Return a code for each row and the text of each code.  Raises UnknownError."""
        refs = sorted(set().union(*(fields_of(part.node) for part in parts if isinstance(part, Conversion))),
                      key=lambda ref: (ref.name, ref.how))  # fmt: skip
        keys = []
        for ref in refs:
            if ref.how == "text" and ref.name in plan.form.fields:
                keys.append(self.reader.texts(plan.form.fields[ref.name], rows)[0])
            elif ref in fields:
                keys.append(fields[ref])
            else:
                raise UnknownError(ref.name)
        codes, chosen = distinct(keys) if keys else (np.zeros(len(rows.at), np.int64), np.zeros(1, np.int64))
        few = Rows(rows.at[chosen], rows.size[chosen])
        values = self._values(plan, refs, few)
        printed = [part if isinstance(part, str) else render(part, values) for part in parts]
        texts = ["".join(one if isinstance(one, str) else one[n] for one in printed) for n in range(len(chosen))]
        return codes, texts

    def _values(self, plan: Plan, refs: list[Ref], rows: Rows) -> Values:
        texts = {}
        for ref in refs:
            if ref.how == "text":
                codes, found = self.reader.texts(plan.form.fields[ref.name], rows)
                decoded = [text.decode("utf-8", "surrogateescape") for text in found]
                texts[ref.name] = [decoded[code] for code in codes]
        fields = FieldColumns(self.reader, plan.form, rows)
        return Values(len(rows.at), fields, texts, self.symbol, self.long_size)

    def other(self, plan: Plan, rows: Rows, common: list[Part]) -> Block:
        """Return the columns of an event outside the table: its name and its whole text."""
        name, parts = _name_and_parts(plan)
        payload = self._payload(plan, parts, rows)
        names = np.full(len(rows.at), self.builder.word(name.encode()), np.uint32)
        return Block(len(rows.at), [*common, Part(names, None)], payload)

    def _payload(self, plan: Plan, parts: Parts, rows: Rows) -> pl.Series:
        """Print records. A value only the kernel could tell is `?`, and the fields not printed follow by name."""
        fields = FieldColumns(self.reader, plan.form, rows)
        pieces: list[Any] = []
        printed: set[str] = set()
        unknown = False
        for part in parts:
            try:
                pieces.append(pl.lit(part) if isinstance(part, str) else self._printed(plan, part, rows, fields))
                printed |= {ref.name for ref in fields_of(part.node)} if isinstance(part, Conversion) else set()
            except UnknownError:
                pieces.append(pl.lit("?"))
                unknown = True
        for field in plan.form.own if unknown else ():
            if field.name not in printed:
                pieces += [
                    pl.lit(part) if isinstance(part, str) else self._printed(plan, part, rows, fields)
                    for part in _named(field)
                ]
        whole = pl.concat_str(pieces) if pieces else pl.lit("")
        found = pl.select(whole.str.strip_chars_end("\n\r ").alias("payload")).to_series()
        return found if len(found) == len(rows.at) else found.new_from_index(0, len(rows.at))

    def _printed(self, plan: Plan, part: Conversion, rows: Rows, fields: FieldColumns) -> Any:
        if _is_plain(part) and part.node in fields:
            return pl.lit(pl.Series(_as_printed(part, fields, len(rows.at), self.long_size))).cast(pl.String)
        codes, texts = self.texts(plan, (part,), rows, fields)
        clean = [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts]
        return pl.lit(pl.Series(clean, dtype=pl.String).gather(codes))


def _field_text(part: Conversion) -> str:
    """Return the name of the field whose text is printed as it is, else an empty string."""
    plain = isinstance(part.node, Ref) and part.node.how == "text" and not part.flags and part.letter == "s"
    return part.node.name if plain and isinstance(part.node, Ref) else ""


def _is_plain(part: Conversion) -> bool:
    return isinstance(part.node, Ref) and part.node.how == "field" and part.letter in ("d", "i", "u") and not part.flags


def _as_printed(conversion: Conversion, fields: FieldColumns, count: int, long_size: int) -> Array:
    values = numbers(conversion.node, fields)
    wanted = printed_type(conversion, long_size)
    found = values.astype(wanted, copy=False)
    return found if found.shape else np.full(count, found)


def _name_and_parts(plan: Plan) -> tuple[str, Parts]:
    form = plan.form
    if form.system == "ftrace" and form.name == "print" and "buf" in form.fields:
        return "tracing_mark_write", (Conversion("", "", "s", Ref("buf", "text")),)
    return form.name, plan.parts if plan.parts is not None else _keys_and_values(form)


def _keys_and_values(form: EventFormat) -> Parts:
    parts = tuple(part for field in form.own for part in _named(field))
    return (str(parts[0]).lstrip(), *parts[1:]) if parts else ()


def _named(field: Field) -> Parts:
    """Return ` key=value` of a field."""
    key = f" {field.name}="
    if field.is_text:
        return key, Conversion("", "", "s", Ref(field.name, "text"))
    if field.shape is Shape.NUMBER:
        letter = "d" if field.signed else "p" if "*" in field.ctype else "u"
        return key, Conversion("", "ll", letter, Ref(field.name))
    return (f"{key}({field.size} bytes)",)
