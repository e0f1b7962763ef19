# SPDX-License-Identifier: GPL-2.0-or-later
"""What people write for a field: the note that describes it, its key, the units and limits of its values."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from pageout.vocabulary.errors import did_you_mean, shown
from pageout.vocabulary.units import (
    MAX_VALUE,
    NS_PER_US,
    format_duration,
    format_rate,
    format_size,
    parse_count,
    parse_duration,
    parse_rate,
    parse_size,
)


def note(doc: str, unit: str = "", low: int = 0, high: int = MAX_VALUE, key: str = "", of: str = "") -> Meta:
    """Describe a field: what it is, its unit (size, rate, duration; none: as it stands), its range, its TOML key.

    of: the kinds of disk or task it belongs to, separated by blanks; empty: all
    """
    return Meta(description=doc, extra={"unit": unit, "low": low, "high": high, "key": key, "of": of})


class Key(NamedTuple):
    """A field as people write it."""

    key: str
    field: str
    type: type
    choices: tuple[Any, ...]
    default: Any
    doc: str
    unit: str
    low: int
    high: int
    of: frozenset[str]


class FieldError(ValueError):
    """A value that cannot be; `where` is its dotted place (`machine.memory`, `task#1.order`: the second task)."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


@cache
def keys_of(struct: type[msgspec.Struct]) -> dict[str, Key]:
    """Return the keys people may write for the annotated fields of a struct, in its order."""
    hints = get_type_hints(struct, include_extras=True)
    found = [_key(field, hints[field.name]) for field in msgspec.structs.fields(struct)]
    return {key.key: key for key in found if key is not None}


def _key(field: msgspec.structs.FieldInfo, hint: Any) -> Key | None:
    if get_origin(hint) is not Annotated:
        return None
    plain, meta = get_args(hint)
    extra = meta.extra
    choices = get_args(plain) if get_origin(plain) is Literal else ()
    kinds = (t for t in (bool, int, float, str) if t in (plain, *get_args(plain)))
    kind = type(choices[0]) if choices else next(kinds, str)
    name = extra["key"] or re.sub(r"_(bytes|ns|us)$", "", field.name)
    of = frozenset(extra["of"].split())
    default = None if field.default is msgspec.NODEFAULT else field.default
    return Key(
        name, field.name, kind, choices, default, meta.description, extra["unit"], extra["low"], extra["high"], of
    )


_PARSERS = {"size": parse_size, "rate": parse_rate, "duration": parse_duration}
_WANTED = {
    bool: "must be true or false",
    str: "must be text in quotes",
    int: "must be a whole number",
    float: "must be a number",
}
_TRUTH = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


def value_of(key: Key, value: object) -> Any:
    """Return a TOML value in base units, checked; ValueError says what the key wants."""
    if key.unit:
        value = _with_unit(key, value)
    if key.type is float and type(value) is int:
        value = float(value)
    if type(value) is not key.type:
        raise ValueError(_WANTED[key.type])
    if key.choices and value not in key.choices:
        raise ValueError(f"must be one of {', '.join(map(str, key.choices))}")
    if type(value) in (int, float) and not key.choices and not key.low <= value <= key.high:  # type: ignore[operator]
        raise ValueError(f"must be from {format_limit(key, key.low)} to {format_limit(key, key.high)}")
    if type(value) is str and not (value.isprintable() and 0 < len(value.strip()) <= 200):
        raise ValueError("must be printable text of 1 to 200 characters")
    return value


def value_of_text(key: Key, text: str) -> Any:
    """Return the value of `--set key=text`; as `value_of`, but everything arrives as text."""
    if key.unit or key.type is str:
        return value_of(key, text)
    if key.type is bool:
        if text.strip().lower() not in _TRUTH:
            raise ValueError("must be true or false")
        return _TRUTH[text.strip().lower()]
    return value_of(key, parse_count(text))


def _with_unit(key: Key, value: object) -> int:
    plain_number = type(value) is int and (key.unit != "duration" or value == 0)
    if not plain_number and not isinstance(value, str):
        raise ValueError("needs a unit, such as " + ('"100ms"' if key.unit == "duration" else '"64M"'))
    amount = int(value) if plain_number else _PARSERS[key.unit](str(value))  # type: ignore[call-overload]
    return amount // NS_PER_US if key.field.endswith("_us") else amount


def format_limit(key: Key, value: int) -> str:
    """Return a limit in the unit the key is written in."""
    if key.unit == "duration":
        return format_duration(value * (NS_PER_US if key.field.endswith("_us") else 1))
    if key.unit == "rate":
        return format_rate(value)
    if key.unit == "size":
        return f"{value // 10**9} GB" if value and value % 10**9 == 0 else format_size(value)
    return str(value)


def read_table(where: str, table: object, keys: dict[str, Key]) -> dict[str, Any]:
    """Return {field: value} of one TOML table.  Raises FieldError at the first key that cannot be."""
    if not isinstance(table, dict):
        raise FieldError(where, f"must be a table, [{where.partition('#')[0]}]")
    kind = table.get("kind", keys["kind"].default if "kind" in keys else "")
    fields = {}
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            raise FieldError(f"{where}.{name}", f"no such key{did_you_mean(name, keys)}")
        try:
            fields[key.field] = value_of(key, value)
        except ValueError as error:
            raise FieldError(f"{where}.{name}", f"{shown(value)}: {error}") from None
        if key.of and kind not in key.of and name != "kind":
            right = " or ".join(sorted(key.of))
            raise FieldError(f"{where}.{name}", f"belongs to kind {right}, this one is {shown(kind)}")
    return fields


def nth(table: str, index: int) -> str:
    """Return the dotted place of the index-th table of an array: `disk`, `disk#1`, `disk#2`."""
    return f"{table}#{index}" if index else table
