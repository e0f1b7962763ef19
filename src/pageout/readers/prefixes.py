# SPDX-License-Identifier: GPL-2.0-or-later
"""What loggers put before a kernel message: taken off, one within another, and its time read.

`[  78.27]`, `[Wed Mar 13 11:16:48 2024]`, `Nov 30 23:42:49 host kernel: [133589.2]`, `<4>`, the records of /dev/kmsg...
Source: Linux v6.1 kernel/printk/printk.c:print_prefix, info_print_ext_header; util-linux dmesg(1); journalctl(1);
Documentation/networking/netconsole.rst.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

MAX_NESTED = 6
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: n + 1 for n, name in enumerate(_NAMES)}
_BEGINNINGS = frozenset((*_NAMES, "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_CLOCK = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?"
_MOMENT = rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}})[T ]{_CLOCK}"
_ZONE = r"(?P<zone>Z|[+-]\d{2}:?\d{2})"
_ISO = rf"{_MOMENT} ?{_ZONE}?"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_TAG = r"(?:\S{1,80} )??(?:\w{1,10}\.\w{1,10} )?(?:kernel|klogd?)(?:\[\d{1,7}\])?: ?"
_STAMPED = r"(?:\S{1,80} )?(?=\[\s{0,12}\d{1,12}\.\d{1,9}\])"


class Undressed(NamedTuple):
    """A message without its prefixes; `names` of what was taken off, outermost first, empty if nothing."""

    text: str
    stamp_s: float | None
    names: tuple[str, ...]


def _fraction(match: re.Match[str]) -> float:
    digits = match["fraction"]
    return int(digits) / 10 ** len(digits) if digits else 0.0


def _uptime(match: re.Match[str]) -> float | None:
    return float(match[1])


def _micro(match: re.Match[str]) -> float | None:
    return int(match[1]) / 1e6


def _none(_: re.Match[str]) -> float | None:
    return None


def _date(match: re.Match[str]) -> float | None:
    """Return seconds since 1970; of a stamp without a year, since that of 1972 (it has a 29 February)."""
    said = match.groupdict()
    month = _MONTHS.get(said["month"]) or int(said["month"])
    year = int(said.get("year") or said.get("year2") or 1972)
    day, hour, minute, second = (int(said[name]) for name in ("day", "hour", "minute", "second"))
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        zone = said.get("zone")
        if zone and zone != "Z":
            offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
            moment = moment.replace(tzinfo=timezone(-offset if zone[0] == "-" else offset))
    except ValueError:
        return None
    return moment.timestamp() + _fraction(match)


class _Form(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    seconds: Callable[[re.Match[str]], float | None]


def _form(name: str, pattern: str, seconds: Callable[[re.Match[str]], float | None]) -> _Form:
    return _Form(name, re.compile(r"\s{0,40}" + pattern), seconds)


_CALLER = r"(?: {0,2}\[\s{0,6}[TC]\d{1,8}\])?"
_BRACKETS = (
    _form("dmesg", rf"\[\s{{0,12}}(\d{{1,12}}\.\d{{1,9}})(?: <\s{{0,9}}\d{{1,9}}\.\d{{1,9}}>)?\]{_CALLER} ?", _uptime),
    _form("dmesg -T", rf"\[{_DAY} {_MONTH} +(?P<day>\d{{1,2}}) {_CLOCK} (?P<year>\d{{4}})\]{_CALLER} ?", _date),
    _form("dmesg -e", rf"\[(?:{_MONTH} ?\d{{1,2}} \d\d:\d\d|\s{{0,12}}\+\d{{1,9}}\.\d{{1,9}})\]{_CALLER} ?", _none),
    _form("console", rf"\[{_ISO}\] ?", _date),
)  # fmt: skip
_LEVEL = (_form("level", r"<\d{1,3}>(?!-\d)", _none),)
_DIGITS = (
    _form("kmsg", r"\d{1,3},\d{1,12},(\d{1,20}),[^;\s]{1,80};", _micro),
    _form("dmesg iso", rf"{_MOMENT}(?<=,\d{{6}}){_ZONE} ", _date),
    _form("journal", rf"{_ISO} (?:{_TAG}|{_STAMPED})", _date),
    _form("journal", rf"(\d{{9,11}}\.\d{{3,6}}) {_TAG}", _uptime),
)
_LETTERS = (
    _form(
        "syslog",
        rf"(?:(?P<year>\d{{4}}) )?(?:{_DAY} )?{_MONTH} {{1,2}}(?P<day>\d{{1,2}}) (?:(?P<year2>\d{{4}}) )?{_CLOCK} "
        rf"(?:\d{{4}} )?(?:{_TAG}|{_STAMPED})",
        _date,
    ),
    _form("journal", rf"{_DAY} {_ISO}(?: [A-Z]{{2,5}})? (?:{_TAG}|{_STAMPED})", _date),
)
_INNER = (_form("journal", _TAG, _none),)
_ALONE = (_form("journal", r"(?:\S{1,80} )?kernel: (?=\[\s{0,12}\d{1,12}\.\d{1,9}\])", _none),)


def strip_prefixes(text: str) -> Undressed:
    """Take off all a logger put before a message. An uptime, once found, is the stamp; else the outermost date."""
    names: list[str] = []
    stamp: float | None = None
    is_uptime = False
    for _ in range(MAX_NESTED):
        found = _first(text, bool(names))
        if found is None:
            break
        form, match = found
        seconds = form.seconds(match)
        if seconds is not None and (stamp is None or (form.name == "dmesg" and not is_uptime)):
            stamp, is_uptime = seconds, form.name == "dmesg"
        text = text[match.end() :]
        if form.name == "kmsg":
            text = _unescape(text)
        elif form.name in ("syslog", "journal"):
            text = text.replace("#011", "\t")
        if form.name not in names:
            names.append(form.name)
    return Undressed(text, stamp, tuple(names))


def _first(text: str, inside: bool) -> tuple[_Form, re.Match[str]] | None:
    start = text.lstrip(" \t")[:1]
    forms: tuple[_Form, ...]
    if start == "[":
        forms = _BRACKETS
    elif start == "<":
        forms = _LEVEL
    elif start.isdigit():
        forms = _DIGITS + _LETTERS[:1]
    elif inside or "kernel: " in text or text.lstrip(" \t")[:3] in _BEGINNINGS:
        forms = _LETTERS + (_INNER if inside else _ALONE)
    else:
        return None
    for form in forms:
        match = form.pattern.match(text)
        if match is not None:
            return form, match
    return None


def _unescape(text: str) -> str:
    r"""Undo /dev/kmsg's `\x09`."""
    if "\\x" not in text:
        return text
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)
