# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a kernel lies in the range of releases that have a fault, as far as its name can tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pageout.diagnose.case import Release, parse_release

# How a kernel's name stands to a range.
IN, OPEN, MAYBE, OUT, UNSAID = "in", "open", "maybe", "out", "unsaid"

_PLAIN = re.compile(r"v?\d{1,3}\.\d{1,4}(?:\.\d{1,5})?(?:-rc\d{1,3})?(?:\+|-dirty)?")


class Backport(NamedTuple):
    """A stable series that got a change: from `patch` on, None if the exact release was not found."""

    series: str  # "5.15"
    patch: int | None

    def has(self, release: Release, vendor: bool) -> bool | None:
        """Say whether a release of this series has the change, None if that is not known."""
        if release.patch == 0:  # distributions leave the third number at 0 and count on their own
            return None if vendor else False
        return release.patch >= self.patch if self.patch is not None else None

    def covers(self, release: Release) -> bool:
        """Say whether a release is of this series."""
        return self.series == f"{release.major}.{release.minor}"

    def __str__(self) -> str:
        return f"{self.series}.{self.patch}" if self.patch is not None else f"{self.series}.y"


class Span(NamedTuple):
    """Releases with a fault: from `introduced` up to, without, `fixed`; None: not known, or not fixed."""

    introduced: str | None
    fixed: str | None
    backports: tuple[Backport, ...] = ()  # stable series that got the fix
    also: tuple[Backport, ...] = ()  # stable series that got the cause

    def holds(self, name: str) -> str:
        """Return how a kernel's name stands to this range: IN, OPEN (one end is not known), MAYBE or OUT.

        MAYBE: a stable or vendor kernel that may have the fix, or the cause, and does not say so.
        """
        release = parse_release(name)
        if release is None:
            return UNSAID
        first = _first(self.introduced) if self.introduced else None
        last = parse_release(self.fixed) if self.fixed else None
        vendor = is_vendor(name)
        if last is not None and release >= last:
            return OUT
        got = _got(self.backports, release, vendor)
        if first is not None and release < first:
            return MAYBE if got is not True and _got(self.also, release, vendor) is not False else OUT
        if got is True:
            return OUT
        if got is None:
            return MAYBE
        return IN if first is not None and last is not None else OPEN

    @property
    def words(self) -> str:
        """The range in words that follow "kernels": `in [6.1 .. 6.13)`, `before 5.9`, `since 6.5`."""
        if self.introduced and self.fixed:
            return f"in [{self.introduced} .. {self.fixed})"
        if self.fixed:
            return f"before {self.fixed}"
        return f"since {self.introduced}" if self.introduced else "of an unknown range"


def _first(introduced: str) -> Release | None:
    """Return where a fault begins: a release's changes come with its first candidate."""
    release = parse_release(introduced)
    if release is None or "-rc" in introduced:
        return release
    return release._replace(rc=1)


def _got(backports: Sequence[Backport], release: Release, vendor: bool) -> bool | None:
    """Say whether a stable series got a change: False if it is not of these series, None if the name does not tell."""
    for backport in backports:
        if backport.covers(release):
            return backport.has(release, vendor)
    return False


def is_vendor(name: str) -> bool:
    """Say whether a kernel's name has more than the mainline's numbers: somebody built it, with patches or without."""
    return _PLAIN.fullmatch(name) is None
