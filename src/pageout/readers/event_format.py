# SPDX-License-Identifier: GPL-2.0-or-later
"""The format file of an event: where its fields lie in a record, and how the kernel prints them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

MAX_FIELDS = 256

_ID = re.compile(r"^ID:\s*(\d{1,5})\s*$", re.MULTILINE)
_NAME = re.compile(r"^name:\s*(\S{1,200})\s*$", re.MULTILINE)
_FIELD = re.compile(
    r"^\s*field(?: special)?:\s*([^;]{1,400});\s*offset:\s*(\d{1,6});\s*size:\s*(\d{1,6});(?:\s*signed:\s*(\d);)?",
    re.MULTILINE,
)
_DECLARED = re.compile(r"(.*?)\s*(\w+)\s*(\[[^\]]*\])?\s*", re.DOTALL)
_SIZES = (1, 2, 4, 8)


class Shape(Enum):
    """What stands in a field's bytes."""

    NUMBER = "number"
    TEXT = "text"  # char[n]; of 0 bytes: to the end of the record
    ARRAY = "array"
    DATA_LOC = "data_loc"  # where in the record the bytes are, and how many
    REL_LOC = "rel_loc"  # the same, counted from the end of this field


class Field(NamedTuple):
    """One field of a record."""

    name: str
    ctype: str
    offset: int
    size: int
    signed: bool
    shape: Shape
    is_text: bool  # of characters: TEXT, or a DATA_LOC of char


class EventFormat(NamedTuple):
    """One event of one kernel."""

    system: str
    name: str
    number: int
    fields: Mapping[str, Field]  # in their order, the common ones first
    print_fmt: str

    @property
    def own(self) -> list[Field]:
        """The fields that are not common to all events."""
        return [field for field in self.fields.values() if not field.name.startswith("common_")]


def parse_format(system: str, text: str) -> EventFormat | None:
    """Read a format file; None if it is none."""
    number, name = _ID.search(text), _NAME.search(text)
    if number is None or name is None:
        return None
    head, _, print_fmt = text.partition("print fmt:")
    fields: dict[str, Field] = {}
    for match in _FIELD.finditer(head):
        field = _field(match)
        if field is not None and len(fields) < MAX_FIELDS:
            fields.setdefault(field.name, field)
    return EventFormat(system, name[1], int(number[1]), fields, print_fmt.strip())


def _field(match: re.Match[str]) -> Field | None:
    declared = _DECLARED.fullmatch(match[1].strip())
    if declared is None:
        return None
    ctype, name, brackets = declared[1].strip(), declared[2], declared[3]
    offset, size, signed = int(match[2]), int(match[3]), match[4] == "1"
    dynamic = re.match(r"__(data|rel)_loc\b\s*(.*)", ctype, re.DOTALL)
    if dynamic is not None:
        # `__data_loc char[] name`: the brackets belong to the type
        inner = re.sub(r"\[.*\]", "", dynamic[2]).strip()
        shape = Shape.DATA_LOC if dynamic[1] == "data" else Shape.REL_LOC
        return Field(name, inner, offset, 4, False, shape, inner in ("char", "const char")) if size == 4 else None
    if brackets is not None:
        is_text = bool(re.search(r"\bchar\b", ctype)) and "unsigned" not in ctype and "*" not in ctype
        return Field(name, ctype, offset, size, signed, Shape.TEXT if is_text else Shape.ARRAY, is_text)
    shape = Shape.NUMBER if size in _SIZES else Shape.ARRAY
    return Field(name, ctype, offset, size, signed, shape, is_text=False)
