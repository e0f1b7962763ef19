# SPDX-License-Identifier: GPL-2.0-or-later
"""The C of a print fmt's arguments: parsed to a tree, its numbers computed for whole columns at once.

What cannot be known outside the kernel (jiffies, a call, an enumerator that is in no table) is UNKNOWN and raises when
its value is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]  # int64 or uint64: the sign is the dtype's

MAX_TOKENS = 1 << 16
MAX_DEPTH = 80  # of parentheses and signs, two each
MAX_HEIGHT = 150  # of a tree

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]{1,16}|\d{1,20})[uUlL]{0,3}(?!\w)|(?P<name>[A-Za-z_]\w*)|"
    r"(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<letter>'(?:[^'\\]|\\.)')|"
    r"(?P<sign>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(){}\[\],.]))"
)
_BINARY = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7, "<<": 8, ">>": 8,
    "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip
_TYPES: dict[str, Any] = {
    "char": np.int8, "s8": np.int8, "u8": np.uint8, "__u8": np.uint8, "short": np.int16, "s16": np.int16,
    "u16": np.uint16, "__u16": np.uint16, "int": np.int32, "s32": np.int32, "u32": np.uint32, "__u32": np.uint32,
    "long": np.int64, "s64": np.int64, "u64": np.uint64, "__u64": np.uint64, "unsigned": np.uint32, "signed": np.int32,
    "bool": None, "void": None, "struct": None, "enum": None, "union": None, "const": None, "pid_t": np.int32,
    "dev_t": np.uint32, "sector_t": np.uint64, "gfp_t": np.uint32, "size_t": np.uint64,
    "uint": np.uint32, "ulong": np.uint64, "loff_t": np.int64,
    "ino_t": np.uint64, "pgoff_t": np.uint64, "umode_t": np.uint16, "fmode_t": np.uint32, "isolate_mode_t": np.uint32,
}  # fmt: skip
_UNSIGNED: dict[Any, Any] = {np.int8: np.uint8, np.int16: np.uint16, np.int32: np.uint32, np.int64: np.uint64}


class UnknownError(Exception):
    """A value only the kernel knows."""


class FormatError(ValueError):
    """A print fmt that is not understood."""


class Node:
    """An expression."""


@dataclass(frozen=True)
class Constant(Node):
    """A number."""

    value: int


@dataclass(frozen=True)
class Literal(Node):
    """A text between quotes."""

    text: str


@dataclass(frozen=True)
class Ref(Node):
    """A field of the record, by REC->name, or what it points to."""

    name: str
    how: str = "field"  # "field", "text" (__get_str), "length", "array"


@dataclass(frozen=True, eq=False)
class Apply(Node):
    """An operator on one to three operands: "-", "?:", "cast"."""

    sign: str
    operands: tuple[Node, ...]
    dtype: Any = None
    height: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        height = 1 + max(getattr(operand, "height", 0) for operand in self.operands)
        if height > MAX_HEIGHT:
            raise FormatError("nested too deeply")
        object.__setattr__(self, "height", height)


@dataclass(frozen=True, eq=False)
class Names(Node):
    """__print_flags or __print_symbolic: rows of value and text; separator None for a symbolic one."""

    value: Node
    rows: tuple[tuple[Node, str], ...]
    separator: str | None


@dataclass(frozen=True)
class Unknown(Node):
    """What only the kernel can tell."""

    why: str


def unquote(text: str) -> str:
    """Return the characters a C string literal stands for."""
    plain = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "0": "\0"}
    return re.sub(r"\\(.)", lambda match: plain.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)


class Parser:
    """Takes tokens, gives trees."""

    def __init__(self, text: str, known: Callable[[str], int | None], hz: int = 0) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self._known = known
        self._hz = hz

    def peek(self, ahead: int = 0) -> str:
        """Return a token that is to come, "" at the end."""
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def take(self, wanted: str = "") -> str:
        """Return the next token.  Raises FormatError if it is not the one wanted."""
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise FormatError(f"{token!r} where {wanted or 'more'} was expected")
        self._at += 1
        return token

    def text(self) -> str:
        """Return adjacent string literals as one."""
        found = unquote(self.take()) if self.peek().startswith('"') else None
        if found is None:
            raise FormatError("no string")
        while self.peek().startswith('"'):
            found += unquote(self.take())
        return found

    def expression(self) -> Node:
        """Take an expression, ?: included."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormatError("nested too deeply")
        condition = self._binary(1)
        if self.peek() == "?":
            self.take()
            yes = self.expression()
            self.take(":")
            condition = Apply("?:", (condition, yes, self.expression()))
        self._depth -= 1
        return condition

    def _binary(self, level: int) -> Node:
        left = self._unary()
        while _BINARY.get(self.peek(), 0) >= level:
            sign = self.take()
            left = Apply(sign, (left, self._binary(_BINARY[sign] + 1)))
        return left

    def _unary(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormatError("nested too deeply")
        found = self._prefixed()
        self._depth -= 1
        return found

    def _prefixed(self) -> Node:
        token = self.peek()
        if token in ("-", "~", "!", "+"):
            self.take()
            return Apply("neg" if token == "-" else token, (self._unary(),))
        if token in ("&", "*"):
            self.take()
            self._unary()
            return Unknown("an address")
        if token == "(":
            dtype, length = self._cast()
            if length:
                self._at += length
                return Apply("cast", (self._unary(),), dtype)
            self.take()
            inner = self.expression()
            self.take(")")
            return self._postfix(inner)
        return self._postfix(self._primary())

    def _cast(self) -> tuple[Any, int]:
        """Return the type in parentheses that opens here and how many tokens it takes, 0 if it is none."""
        words: list[str] = []
        at = 1
        while re.fullmatch(r"[A-Za-z_]\w*", self.peek(at)):
            words.append(self.peek(at))
            at += 1
        stars = 0
        while self.peek(at) == "*":
            stars, at = stars + 1, at + 1
        follows = self.peek(at + 1)
        if not words or self.peek(at) != ")" or not re.match(r"[\w\"(~!-]", follows):
            return None, 0
        if not stars and follows == "-" and not any(word in _TYPES or word.endswith("_t") for word in words):
            return None, 0  # (a) - b
        if stars:
            return np.uint64, at + 1
        sizes = [_TYPES[word] for word in words if _TYPES.get(word) is not None and word not in ("unsigned", "signed")]
        dtype = sizes[0] if sizes else (np.uint32 if "unsigned" in words else None)
        return (_UNSIGNED.get(dtype, dtype) if "unsigned" in words else dtype), at + 1

    def _postfix(self, inner: Node) -> Node:
        while self.peek() in ("[", ".", "->"):
            if self.take() == "[":
                self.expression()
                self.take("]")
            else:
                self.take()
            inner = Unknown("a part of a field")
        return inner

    def _primary(self) -> Node:
        token = self.peek()
        if token.startswith('"'):
            return Literal(self.text())
        self.take()
        if token[0] == "'":
            return Constant(ord(unquote(token)))
        if token[0].isdigit():
            octal = re.fullmatch(r"0[0-7]+", token)
            return Constant(int(token, 8) if octal else int(token, 0 if token[:2] in ("0x", "0X") else 10))
        if token == "REC" and self.peek() == "->":
            self.take()
            return Ref(self.take())
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            raise FormatError(f"unexpected {token!r}")
        if self.peek() == "(":
            return self._call(token)
        value = self._known(token)
        return Constant(value) if value is not None else Unknown(token)

    def _call(self, name: str) -> Node:
        self.take("(")
        if name in _NAMES:
            return self._names(flags="flags" in name)
        if name in _GETTERS:
            found = Ref(self.take(), _GETTERS[name])
            self.take(")")
            return found
        if name in _OF_JIFFIES and self._hz and _OF_JIFFIES[name] % self._hz == 0:
            jiffies = self.expression()
            self.take(")")
            return Apply("*", (jiffies, Constant(_OF_JIFFIES[name] // self._hz)))
        open_ones = 1
        while open_ones:
            open_ones += {"(": 1, ")": -1}.get(self.take(), 0)
        return Unknown(f"{name}()")

    def _names(self, *, flags: bool) -> Node:
        value = self.expression()
        separator = None
        if flags:
            self.take(",")
            separator = self.text()
        rows = []
        while self.peek() == ",":
            self.take()
            if self.peek() == ")":
                break
            self.take("{")
            if self.peek() != "}":
                number = self.expression()
                self.take(",")
                text = self.expression()
                if isinstance(text, Literal):  # NULL ends the kernel's own list
                    rows.append((number, text.text))
            self.take("}")
        self.take(")")
        return Names(value, tuple(rows), separator)


_OF_JIFFIES = {"jiffies_to_msecs": 1000, "jiffies_to_usecs": 1_000_000}
_NAMES = ("__print_flags", "__print_symbolic", "__print_flags_u64", "__print_symbolic_u64")
_GETTERS = {
    "__get_str": "text", "__get_rel_str": "text", "__get_dynamic_array_len": "length",
    "__get_rel_dynamic_array_len": "length",
}  # fmt: skip


def _tokens(text: str) -> Iterator[str]:
    at = 0
    for _ in range(MAX_TOKENS):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at:].strip():
                raise FormatError(f"unexpected {text[at : at + 20]!r}")
            return
        at = match.end()
        yield match["number"] or match[0].strip()
    raise FormatError("too long")


def fields_of(node: Node) -> set[Ref]:
    """Return the fields an expression reads."""
    if isinstance(node, Ref):
        return {node}
    inner: tuple[Node, ...] = ()
    if isinstance(node, Apply):
        inner = node.operands
    elif isinstance(node, Names):
        inner = (node.value,)
    return set().union(*map(fields_of, inner)) if inner else set()


def numbers(node: Node, columns: Mapping[Ref, Numbers]) -> Numbers:
    """Return the value of an expression in every row.  Raises UnknownError."""
    if isinstance(node, Constant):
        return np.array(node.value & (1 << 64) - 1, np.uint64) if node.value >= 1 << 63 else np.array(node.value)
    if isinstance(node, Ref):
        if node not in columns:
            raise UnknownError(node.name)
        return _wide(columns[node])
    if isinstance(node, Apply):
        with np.errstate(all="ignore"):
            return _apply(node, [numbers(operand, columns) for operand in node.operands])
    raise UnknownError(getattr(node, "why", "a text"))


def _wide(values: Numbers) -> Numbers:
    return values if values.dtype in (np.int64, np.uint64) else values.astype(np.int64)


def _apply(node: Apply, values: list[Numbers]) -> Numbers:
    sign = node.sign
    if sign == "cast":
        return values[0] if node.dtype is None else _wide(values[0].astype(node.dtype))
    if sign == "?:":
        yes, no = _alike(values[1], values[2])
        return np.asarray(np.where(values[0] != 0, yes, no))
    if len(values) == 1:
        one = values[0]
        if sign == "!":
            return np.asarray(one == 0).astype(np.int64)
        return np.asarray(np.negative(one) if sign == "neg" else ~one if sign == "~" else one)
    if sign in ("<<", ">>"):
        left, by = values[0], values[1]
        by = by.astype(left.dtype) & np.array(63, left.dtype)
        return np.asarray(left << by if sign == "<<" else left >> by)
    return _operate(sign, *_alike(values[0], values[1]))


def _alike(left: Numbers, right: Numbers) -> tuple[Numbers, Numbers]:
    if left.dtype == right.dtype:
        return left, right
    return left.astype(np.uint64), right.astype(np.uint64)


def _operate(sign: str, left: Numbers, right: Numbers) -> Numbers:
    if sign in ("/", "%"):
        if not np.all(right):
            raise UnknownError("a division by zero")
        quotient = left // right
        if left.dtype == np.int64:  # C rounds to zero
            quotient = quotient + ((left % right != 0) & ((left < 0) != (right < 0)))
        return np.asarray(quotient if sign == "/" else left - quotient * right)
    found: dict[str, Callable[[], Any]] = {
        "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right, "&": lambda: left & right,
        "|": lambda: left | right, "^": lambda: left ^ right, "==": lambda: left == right, "!=": lambda: left != right,
        "<": lambda: left < right, ">": lambda: left > right, "<=": lambda: left <= right, ">=": lambda: left >= right,
        "&&": lambda: (left != 0) & (right != 0), "||": lambda: (left != 0) | (right != 0),
    }  # fmt: skip
    value = np.asarray(found[sign]())
    return value.astype(np.int64) if value.dtype == bool else value
