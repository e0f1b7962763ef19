# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads lines that are a date and nothing else: of date(1), or what collectors put above each sample.

`Mon Nov 23 09:04:52 UTC 2026`, `2026-11-23 09:04:52`, `2026-11-23T09:04:52+01:00`, `TS 1298130003.07`,
`zzz ***Thu Oct 29 10:00:01 CET 2015`, `1298130003.07`. A time zone is not applied: only differences are asked
for, and one file keeps to one zone.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Sequence

from pageout.readers.facts import Fact, Moment
from pageout.readers.lines import Claim, Line, Recogniser

MAX_MOMENTS = 100_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISO = r"(\d{4})-(\d\d)-(\d\d)[T _-](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ?(?:Z|[A-Z]{3,5}|[+-]\d\d:?\d\d))?"
_BEFORE = r"(?:#{1,4} |={1,10} ?|-{1,10} ?|\*{1,6} ?|zzz \*{3}|[Dd]ate: ?|[Tt]ime(?:stamp)?: ?)?"
_AFTER = r"(?: ?(?:={1,40}|-{1,40}|\*{1,40}|#{1,4}))?"
_DATE_ISO = re.compile(_BEFORE + _ISO + _AFTER)
_DATE = re.compile(
    _BEFORE + r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? {1,2}(?:(\d{1,2}) )?(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    + r" {1,2}(\d{1,2}(?= )|\d{4})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)( [AP]M)?(?: [A-Z]{3,5}| [+-]\d{2,4})?(?: (\d{4}))?"
    + _AFTER
)  # fmt: skip
_EPOCH = re.compile(rf"(?:TS |#|ts[:=] ?)?(\d{{10}})(?:\.(\d{{1,9}}))?(?: {_ISO})?")


def seconds_of(text: str) -> float | None:
    """Return a date line's seconds since 1970, None for any other text."""
    epoch = _EPOCH.fullmatch(text)
    if epoch is not None:
        return int(epoch[1]) + _fraction(epoch[2])
    iso = _DATE_ISO.fullmatch(text)
    if iso is not None:
        return _stamp([int(iso[n]) for n in range(1, 7)], _fraction(iso[7]))
    date = _DATE.fullmatch(text)
    if date is None:
        return None
    before, month, number, year, hour, minute, second, half, later = date.groups()
    day, told = (before, number) if before else (number, year or later)
    if told is None or len(told) != 4 or len(day) > 2:
        return None
    hours = int(hour) % 12 + (12 if half == " PM" else 0) if half else int(hour)
    return _stamp([int(told), _MONTHS.index(month) + 1, int(day), hours, int(minute), int(second)], 0.0)


def _fraction(digits: str | None) -> float:
    return float(f"0.{digits}") if digits else 0.0


def _stamp(parts: Sequence[int], fraction: float) -> float | None:
    year, month, day, hour, minute, second = parts
    if not (1990 <= year <= 2200 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    return timegm((year, month, day, hour, minute, second)) + fraction


class Moments(Recogniser):
    """A date on a line of its own."""

    kind = "date"
    broad = True
    alone = False

    def __init__(self) -> None:
        super().__init__()
        self._found: list[Moment] = []

    def take(self, line: Line) -> Claim | None:
        """Claim a date."""
        text = line.text.strip()
        if not 10 <= len(text) <= 80 or len(self._found) >= MAX_MOMENTS:
            return None
        seconds = seconds_of(text)
        if seconds is None:
            return None
        self._found.append(Moment(line.number, seconds))
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return the dates."""
        return self._found
