# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a JSON document, in plain words and at its place."""

import re

_KINDS = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "null",
    "array": "a list", "object": "an object",
}  # fmt: skip
_WRONG = re.compile(r"Expected `([^`]{1,80})`, got `([^`]{1,80})`(?: - at `([^`]{1,500})`)?")
_MISSING = re.compile(r"Object missing required field `([^`]{1,200})`(?: - at `([^`]{1,500})`)?")
_BEYOND = re.compile(r"Expected `(?:int|float)` ([<>]=?) (-?[\d.]{1,40})(?: - at `([^`]{1,500})`)?")
_MALFORMED = re.compile(r"JSON is malformed: (.{1,200}) \(byte (\d{1,20})\)")


def json_words(error: Exception, field: str = "") -> str:
    """Return what makes a document unusable: its place, what stands there and what belongs there.

    error: of decoding or converting, as msgspec raises it
    field: where the part that was looked at stands in its document
    """
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return "no JSON: not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deep"
    if "truncated" in text:
        return "no whole JSON: it ends too soon"
    if (broken := _MALFORMED.fullmatch(text)) is not None:
        return f"no JSON: {broken[1]} at byte {broken[2]}"
    if (wrong := _WRONG.fullmatch(text)) is not None:
        return f"{_place(field, wrong[3])}{_kinds(wrong[2])}, where {_kinds(wrong[1])} belongs"
    if (beyond := _BEYOND.fullmatch(text)) is not None:
        return f"{_place(field, beyond[3])}a number that has to be {beyond[1]} {beyond[2]}"
    if (missing := _MISSING.fullmatch(text)) is not None:
        return f"{_place(field, missing[2])}{missing[1]} is missing"
    return f"{_place(field, None)}{text}"


def _place(field: str, path: str | None) -> str:
    whole = (field + (path or "$").removeprefix("$").replace("[...]", "")).strip(".")
    return f"{whole}: " if whole else ""


def _kinds(told: str) -> str:
    """Return `int | float | null` as `a number`: that null may stand for what is absent goes without saying."""
    kinds = [kind for kind in told.split(" | ") if kind != "null"] or ["null"]
    if "float" in kinds:
        kinds = [kind for kind in kinds if kind != "int"]
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds)
