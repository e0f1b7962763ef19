# SPDX-License-Identifier: GPL-2.0-or-later
"""A print fmt: literals, and after each how a value of the record is printed; its tables of flags and states.

Source: Linux v6.12 lib/vsprintf.c:vsnprintf, kernel/trace/trace_output.c:trace_print_flags_seq,
trace_print_symbols_seq.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pageout.readers.c_expression import (
    Apply,
    FormatError,
    Literal,
    Names,
    Node,
    Numbers,
    Parser,
    Ref,
    Unknown,
    UnknownError,
    numbers,
)

_SPEC = re.compile(r"%([-+ #0]{0,5})(\d{1,3}|\*)?(?:\.(\d{1,3}|\*))?(hh|h|ll|l|L|z|t|j)?([a-zA-Z%])")
_POINTER = re.compile(r"[a-zA-Z0-9]{0,3}")
_SYMBOLS = ("pS", "ps", "pF", "pf", "pB")

# Enumerators that formats name without their value. They are those of the kernels that have them as enumerators:
# before, they were macros, and stand in the format as numbers.
# Source: Linux v6.18 include/linux/fs.h, include/linux/gfp_types.h (bits below those that depend on the configuration),
# include/uapi/linux/ioprio.h.
KNOWN: dict[str, int] = {
    **{name: 1 << bit for bit, name in enumerate((
        "I_NEW", "I_SYNC", "I_LRU_ISOLATING", "", "I_DIRTY_SYNC", "I_DIRTY_DATASYNC", "I_DIRTY_PAGES", "I_WILL_FREE",
        "I_FREEING", "I_CLEAR", "I_REFERENCED", "I_LINKABLE", "I_DIRTY_TIME", "I_WB_SWITCH", "I_OVL_INUSE",
        "I_CREATING", "I_DONTCACHE", "I_SYNC_QUEUED", "I_PINNING_NETFS_WB",
    )) if name},
    **{f"___GFP_{name}_BIT": bit for bit, name in enumerate((
        "DMA", "HIGHMEM", "DMA32", "MOVABLE", "RECLAIMABLE", "HIGH", "IO", "FS", "ZERO", "UNUSED", "DIRECT_RECLAIM",
        "KSWAPD_RECLAIM", "WRITE", "NOWARN", "RETRY_MAYFAIL", "NOFAIL", "NORETRY", "MEMALLOC", "COMP", "NOMEMALLOC",
        "HARDWALL", "THISNODE", "ACCOUNT", "ZEROTAGS",
    ))},
    "IOPRIO_CLASS_NONE": 0, "IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3,
    "IOPRIO_CLASS_INVALID": 7, "NULL": 0, "true": 1, "false": 0,
}  # fmt: skip


class Conversion(NamedTuple):
    """One % of the format: printf's own words for it, and what is printed."""

    flags: str  # with width and precision
    length: str
    letter: str  # d, u, x, s, c..., or a pointer's: "p", "pS"
    node: Node

    @property
    def is_text(self) -> bool:
        """Whether it prints characters, not a number."""
        return self.letter in ("s", "c", *_SYMBOLS) or is_text(self.node)


class PrintFmt(NamedTuple):
    """Parts in order: a text, or a conversion."""

    parts: tuple[str | Conversion, ...]


def is_text(node: Node) -> bool:
    """Whether an expression is a text."""
    if isinstance(node, Apply) and node.sign == "?:":
        return any(map(is_text, node.operands[1:]))
    return isinstance(node, Literal | Names) or (isinstance(node, Ref) and node.how == "text")


def parse_print_fmt(text: str, text_fields: frozenset[str], hz: int = 0) -> PrintFmt:
    """Parse `"format", arguments`; text_fields: names of the fields that are of characters.  Raises FormatError."""
    parser = Parser(text, KNOWN.get, hz)
    fmt = parser.text()
    arguments: list[Node] = []
    while parser.peek() == ",":
        parser.take()
        node = parser.expression()
        arguments.append(_as_text(node, text_fields))
    if parser.peek():
        raise FormatError(f"{parser.peek()!r} behind the arguments")
    return PrintFmt(tuple(_parts(fmt, arguments)))


def _as_text(node: Node, text_fields: frozenset[str]) -> Node:
    """REC->comm is the text that stands there, in all branches."""
    if isinstance(node, Ref) and node.name in text_fields and node.how == "field":
        return Ref(node.name, "text")
    if isinstance(node, Apply) and node.sign in ("?:", "cast"):
        kept = node.operands[:1] if node.sign == "?:" else ()  # the condition is a number
        inner = tuple(_as_text(operand, text_fields) for operand in node.operands[len(kept) :])
        if node.sign == "cast" and is_text(inner[0]):
            return inner[0]
        return Apply(node.sign, (*kept, *inner), node.dtype)
    return node


def _parts(fmt: str, arguments: list[Node]) -> list[str | Conversion]:
    parts: list[str | Conversion] = []
    at = 0
    left = iter(arguments)
    for match in _SPEC.finditer(fmt):
        flags, width, precision, length, letter = match.groups()
        if match.start() < at:
            continue
        parts.append(fmt[at : match.start()])
        at = match.end()
        if letter == "%":
            parts.append("%")
            continue
        if "*" in (width, precision):
            next(left, None)
            width = precision = None
        if letter == "p":
            more = _POINTER.match(fmt, at)
            letter = next((name for name in _SYMBOLS if fmt.startswith(name[1], at)), "p")
            at = at + 1 if letter != "p" else at + (len(more[0]) if more is not None else 0)
        node = next(left, None)
        if node is None:
            raise FormatError("fewer arguments than conversions")
        modifiers = flags + (width or "") + (f".{precision}" if precision else "")
        parts.append(Conversion(modifiers, length or "", letter, node))
    parts.append(fmt[at:])
    return _joined(parts)


def _joined(parts: list[str | Conversion]) -> list[str | Conversion]:
    found: list[str | Conversion] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return found


def printed_type(conversion: Conversion, long_size: int) -> Any:
    """Return the numpy type printf takes a conversion's argument for."""
    signed = conversion.letter in "di"
    size = {"hh": 1, "h": 2, "": 4, "ll": 8, "L": 8, "j": 8}.get(conversion.length, long_size)
    if conversion.letter.startswith("p"):
        signed, size = False, 8
    return np.dtype(f"{'i' if signed else 'u'}{size}").type


class Values(NamedTuple):
    """Rows to be printed: each field's numbers or texts, and the kernel's symbols."""

    nr_rows: int
    numbers: Mapping[Ref, Numbers]
    texts: Mapping[str, Sequence[str]]
    symbol: Callable[[int], str]
    long_size: int


def render(conversion: Conversion, values: Values) -> list[str]:
    """Print a conversion in every row.  Raises UnknownError."""
    node = conversion.node
    if conversion.letter in _SYMBOLS:
        return [_symbol(conversion.letter, number, values) for number in _integers(node, values)]
    if is_text(node):
        texts = _texts(node, values)
        return [_formatted(conversion.flags, "s", text) for text in texts] if conversion.flags else texts
    dtype = printed_type(conversion, values.long_size)
    found = np.broadcast_to(numbers(node, values.numbers), (values.nr_rows,)).astype(dtype).tolist()
    if conversion.letter in ("p", "s"):
        return [f"0x{number & (1 << 64) - 1:x}" for number in found]
    if conversion.letter == "c":
        return [chr(number & 255) for number in found]
    letter = {"i": "d", "u": "d"}.get(conversion.letter, conversion.letter)
    if letter not in ("d", "x", "X", "o"):
        raise UnknownError(f"%{letter}")
    if letter == "d" and not conversion.flags:
        return list(map(str, found))
    return [_formatted(conversion.flags, letter, number) for number in found]


def _formatted(flags: str, letter: str, value: object) -> str:
    return f"%{flags}{letter}" % value


def _integers(node: Node, values: Values) -> list[int]:
    found: list[int] = np.broadcast_to(numbers(node, values.numbers), (values.nr_rows,)).astype(np.uint64).tolist()
    return found


def _symbol(letter: str, address: int, values: Values) -> str:
    name = values.symbol(address)
    if not name:
        return f"0x{address:x}"
    return name if letter in ("pS", "pF", "pB") else name.partition("+")[0]


def _texts(node: Node, values: Values) -> list[str]:
    if isinstance(node, Literal):
        return [node.text] * values.nr_rows
    if isinstance(node, Ref):
        if node.name not in values.texts:
            raise UnknownError(node.name)
        return list(values.texts[node.name])
    if isinstance(node, Names):
        table = _table(node)
        name = _flag_names if node.separator is not None else _state_name
        return [name(table, value, node.separator or "") for value in _integers(node.value, values)]
    if isinstance(node, Apply) and node.sign == "?:":
        chosen = _integers(node.operands[0], values)
        yes, no = (_texts(operand, values) for operand in node.operands[1:])
        return [one if choice else other for choice, one, other in zip(chosen, yes, no, strict=True)]
    raise UnknownError(node.why if isinstance(node, Unknown) else "a number where a text should be")


@cache
def _table(node: Names) -> tuple[tuple[int, str], ...]:
    """Return the rows whose value is known."""
    rows = []
    for value, text in node.rows:
        try:
            rows.append((int(numbers(value, {})) & (1 << 64) - 1, text))
        except UnknownError:
            continue
    return tuple(rows)


def _flag_names(table: tuple[tuple[int, str], ...], value: int, separator: str) -> str:
    names = []
    for mask, text in table:
        if not value:
            break
        if value & mask == mask:
            names.append(text)
            value &= ~mask
    if value:
        names.append(f"0x{value:x}")
    return separator.join(names)


def _state_name(table: tuple[tuple[int, str], ...], value: int, _: str) -> str:
    return next((text for number, text in table if number == value), f"0x{value:x}")
