# SPDX-License-Identifier: GPL-2.0-or-later
"""How one kernel prints one event: learned from the first line of it, checked on every line after.

A template is a list of literals with a value after each. A value ends where the next literal first stands, the last
one at the end of the line: a rule simple enough for a compiled loop, and a line that does not fit is never forced: it
teaches another template, or stays with its text.
"""

from __future__ import annotations

import re
import string
from functools import cache
from typing import NamedTuple

from pageout.vocabulary.schema import ANY_BASE, DEC, HEX, EventKind

MAX_TEMPLATES = 16  # of one event: beyond, its lines are not of one kernel's making
SKIP = -1  # a value of no column

_PATTERNS = {DEC: r"-?\d{1,20}", HEX: r"(?:0x)?[0-9a-fA-F]{1,16}", ANY_BASE: r"0x[0-9a-fA-F]{1,16}|\d{1,20}"}
_WORDS = ".{0,300}?"  # bounded: several of them in one pattern must not cost the square of a long line
# What may stand behind a text: key=value pairs, or words with a value each (` cgroup_ino 7`).
_MORE = r"(?:(?P<pairs>:?(?: +[A-Za-z_][\w-]*=\S*)*)|(?P<words>(?:,? +[A-Za-z_][\w-]{2,40}:? +[^\s=]+)+))\s*"
_WORD_AND_VALUE = re.compile(r" ([A-Za-z_][\w-]{2,40}):? +([^\s=,]+)")
_KEY = re.compile(r"([A-Za-z_][\w-]*)=")


class Template(NamedTuple):
    """Literals and, after each but the last, the column (or SKIP) and base of the value that stands there."""

    kind: EventKind
    literals: tuple[str, ...]
    columns: tuple[int, ...]
    unknown: tuple[str, ...]  # keys of the text that are no column

    def pattern(self) -> re.Pattern[str]:
        """Return the template as a regular expression, one group a value."""
        parts = []
        for n, column in enumerate(self.columns):
            parts.append(re.escape(self.literals[n]))
            following = self.literals[n + 1]
            word = f"(?:(?!{re.escape(following)}).)*+" if following else ".*?"
            if following and n == len(self.columns) - 1:
                word = ".*"  # the last literal stands at the end: a task may be called `]`
            base = _PATTERNS.get(self.kind.columns[column].base, word) if column != SKIP else word
            parts.append(f"({base})")
        parts.append(re.escape(self.literals[-1]))
        return re.compile(r"\s*" + "".join(parts) + r"\s*", re.DOTALL)


def learn(kind: EventKind, payload: str) -> Template | None:
    """Return the template of a payload, None if there is none.

    By a text of the schema, else by its key=value pairs, else by words of the schema with a value after each.
    """
    return learn_by_text(kind, payload) or _by_keys(kind, payload) or _by_words(kind, payload)


def learn_by_text(kind: EventKind, payload: str) -> Template | None:
    """Return the template of a payload that a text of the schema has whole, None for any other."""
    for text in reversed(kind.texts):
        found = _by_text(kind, text, payload)
        if found is not None:
            return found
    return None


def _by_text(kind: EventKind, text: str, payload: str) -> Template | None:
    """Match a text of the schema, allowing other names of its keys and more key=value pairs behind."""
    pattern = r"\s*"
    columns: list[int] = []
    for literal, name, _, _ in string.Formatter().parse(text):
        pattern += _literal(kind, literal, name)
        if name is None:
            continue
        column = kind.index_of(name)
        columns.append(column)
        base = kind.columns[column].base if column >= 0 else ""
        pattern += f"({_PATTERNS.get(base, _WORDS)})"
    match = re.fullmatch(pattern + _MORE, payload, re.DOTALL)
    if match is None:
        return None
    spans = [(*match.span(n + 1), column, "") for n, column in enumerate(columns)]
    if not match["words"]:
        return _template(kind, payload, spans + _pairs(kind, payload, match.start("pairs")))
    extra = _WORD_AND_VALUE.finditer(payload, match.start("words"))
    return _template(kind, payload, spans + [(*one.span(2), kind.index_of(one[1]), one[1]) for one in extra])


def _literal(kind: EventKind, literal: str, name: str | None) -> str:
    """Return the pattern of a literal: blanks may be wider, a key may have another of its names."""
    key = re.search(r"(\w+)=$", literal) if name else None
    if key is None:
        return _blanks(literal)
    column = kind.index_of(str(name))
    names = {key[1], str(name), *(kind.columns[column].aliases if column >= 0 else ())}
    return _blanks(literal[: key.start()]) + f"(?:{'|'.join(sorted(map(re.escape, names)))})="


def _blanks(literal: str) -> str:
    return re.escape(literal).replace(r"\ ", r" +")


def _by_keys(kind: EventKind, payload: str) -> Template | None:
    """Match key=value pairs in any order, and `bdi X:` or `dev X` before them."""
    spans: list[tuple[int, int, int, str]] = []
    lead = re.match(r"\s*(bdi|dev) ([^\s:]+(?::\d+)?)(?=:? )", payload)
    if lead is not None:
        spans.append((*lead.span(2), kind.index_of(lead[1]), lead[1]))
    found = spans + _pairs(kind, payload, lead.end() if lead else 0)
    if not any(column != SKIP for _, _, column, _ in found):
        return None
    if lead is not None and len(found) == 1 and payload[lead.end() :].strip(": "):
        return None  # the rest is prose
    return _template(kind, payload, found)


def _by_words(kind: EventKind, payload: str) -> Template | None:
    """Match prose no text of the schema has: known words, each with its value, in any order; other numbers are skipped.

    At least two values, and half of them, must be known: else this is some other text.
    """
    phrases = _phrases(kind)
    spans: list[tuple[int, int, int, str]] = []
    for token in _phrase_pattern(kind).finditer(payload):
        phrase = token["phrase"]
        column = SKIP if phrase is None else phrases[" ".join(phrase.split())]
        if column in [known for _, _, known, _ in spans if known != SKIP]:
            return None
        spans.append((*token.span("number" if phrase is None else "value"), column, token["before"] or ""))
    nr_known = sum(column != SKIP for _, _, column, _ in spans)
    if nr_known < 2 or 2 * nr_known < len(spans):
        return None
    return _template(kind, payload, spans)


@cache
def _phrases(kind: EventKind) -> dict[str, int]:
    """Return what may stand before a value -> its column: names, aliases, and the words of the texts."""
    found = {key: n for n, column in enumerate(kind.columns) for key in (column.name, *column.aliases)}
    for text in kind.texts:
        for literal, name, _, _ in string.Formatter().parse(text):
            words = re.search(r"([A-Za-z][\w -]*?)[ =:]*(?:0x)?$", literal)
            if words is not None and name is not None and kind.index_of(name) >= 0:
                found.setdefault(" ".join(words[1].split()), kind.index_of(name))
    return found


@cache
def _phrase_pattern(kind: EventKind) -> re.Pattern[str]:
    """Return the pattern of a phrase with its value, or of a number of nothing known, with the word before it."""
    phrases = sorted(_phrases(kind), key=len, reverse=True)
    words = "|".join(re.escape(phrase).replace(r"\ ", " {1,8}") for phrase in phrases)
    return re.compile(
        rf"(?<![\w-])(?P<phrase>{words})(?:[=:] {{0,8}}| {{1,8}})(?P<value>[^\s,;]{{1,100}}(?:,\d{{1,9}})?)(?<!:)"
        r"|(?:(?<![\w-])(?P<before>[A-Za-z_][\w-]{0,40})[ =:]{1,8})?(?<![\w.])(?P<number>-?\d{1,20})(?![\w.])"
    )


def _pairs(kind: EventKind, payload: str, start: int) -> list[tuple[int, int, int, str]]:
    """Return (start, end, column, key) of each key=value from `start` on."""
    keys = list(_KEY.finditer(payload, start))
    spans = []
    for n, key in enumerate(keys):
        limit = keys[n + 1].start() if n + 1 < len(keys) else len(payload)
        words = payload[key.end() : limit].split()
        value = words[0].rstrip(",") if words and not payload[key.end() : key.end() + 1].isspace() else ""
        spans.append((key.end(), key.end() + len(value), kind.index_of(key[1]), key[1]))
    return spans


def _template(kind: EventKind, payload: str, spans: list[tuple[int, int, int, str]]) -> Template | None:
    """Return literals and columns of the spans of a payload; None if a column stands there twice or is no number."""
    literals: list[str] = []
    columns: list[int] = []
    unknown: list[str] = []
    body = payload.rstrip()
    at = len(body) - len(body.lstrip())
    for start, end, column, key in spans:
        if columns and start == at:
            return None  # two values with nothing between them cannot be told apart
        if column != SKIP:
            if column in columns:
                return None
            base = kind.columns[column].base
            if base in _PATTERNS and not re.fullmatch(_PATTERNS[base], payload[start:end]):
                return None
        elif key:
            unknown.append(key)
        literals.append(payload[at:start])
        columns.append(column)
        at = end
    literals.append(body[at:])
    return Template(kind, tuple(literals), tuple(columns), tuple(unknown))
