# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

ERROR, WARNING, INFO = "error", "warning", "info"
HIGH, MEDIUM, LOW = "high", "medium", "low"

_SEVERITIES = {ERROR: 0, WARNING: 1, INFO: 2}
_LEVELS = {HIGH: 0, MEDIUM: 1, LOW: 2}


class Evidence(NamedTuple):
    """A line that proves something. `text` is filled in from the file at the end."""

    file: str
    line: int
    text: str = ""


@dataclass(frozen=True)
class Finding:
    """One answer.

    id        stable, for scripts: "dirty-limit-throttling"
    severity  ERROR: work stops, dies or is lost; WARNING: it is slowed, or will be; INFO: nothing is wrong here, or
              nobody can tell
    title     one sentence in plain words
    detail    what happens, in a few sentences with numbers and units
    why       why the confidence is what it is
    is_not    what it is not, each with its proof
    unknown   what these files cannot say
    capture   recipes of `capture` that would say it, the most telling first
    advice    what to set or do, with the price, one line each
    weight    how much it matters among findings of its severity: seconds of waiting, tasks stuck; any scale below 1e9
    covers    ids of weaker findings that this one explains: they are left out
    """

    id: str
    severity: str
    title: str
    detail: str = ""
    confidence: str = MEDIUM
    why: str = ""
    evidence: tuple[Evidence, ...] = ()
    is_not: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    capture: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    weight: float = 0.0
    covers: tuple[str, ...] = field(default=())

    def rank(self) -> tuple[int, int, float, str]:
        """Return what findings are sorted by, the most important first."""
        return _SEVERITIES[self.severity], _LEVELS[self.confidence], -self.weight, self.id


def ranked(findings: list[Finding]) -> list[Finding]:
    """Return findings by importance, without those that another explains, one of each id."""
    covered = {name for finding in findings for name in finding.covers}
    best: dict[str, Finding] = {}
    for finding in sorted(findings, key=Finding.rank):
        if finding.id not in covered:
            best.setdefault(finding.id, finding)
    return list(best.values())
