# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers and foreign text made fit for a terminal."""

import math
from typing import Any

from rich.text import Text

NOT_APPLICABLE = "-"


def plain(text: object) -> str:
    """Return `text` with every control, format and surrogate character written out as an escape."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


def literal(text: object, style: str = "") -> Text:
    """Return foreign text as a rich Text: never read as markup, never a terminal command."""
    return Text(plain(text), style=style)


def is_figure(value: Any) -> bool:
    """True for a number that can be compared and printed: not null, not NaN, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number_text(value: Any) -> str:
    """Return a figure with about three significant digits below 100 and thousands separators above; null as '-'."""
    if not is_figure(value):
        return NOT_APPLICABLE
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    if size < 1:
        return f"{value:.3g}"
    if size < 100:
        return f"{value:.2f}"
    return f"{value:,.1f}" if size < 10_000 else f"{value:,.0f}"


def spare(text: str) -> str:
    """Return a number's text without zeros that say nothing: 34.30 as 34.3; for prose, where no column lines up."""
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def prose_number(value: Any) -> str:
    """Return a figure as a sentence says it."""
    return spare(number_text(value))


def compact_text(value: Any) -> str:
    """Return a figure in at most six characters (1,234 -> 1,234; 12,345 -> 12.3k), for narrow columns."""
    if not is_figure(value):
        return NOT_APPLICABLE
    size = abs(value)
    if size < 10_000:
        return number_text(value) if isinstance(value, int) or size < 100 else f"{value:,.0f}"
    for bound, divisor, letter in ((1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if size < bound * 0.9995:
            return f"{value / divisor:.3g}{letter}" if size / divisor < 999.5 else f"{value / divisor:.0f}{letter}"
    return f"{value:.1e}"


def counted(count: int | float, noun: str, plural: str = "") -> str:
    """Return '1 page', '2 pages'."""
    return f"{prose_number(count)} {noun if count == 1 else plural or noun + 's'}"


def joined(parts: list[str]) -> str:
    """Return 'a', 'a and b', 'a, b and c'."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
