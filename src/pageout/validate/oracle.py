# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle of throttling: could a kernel with the model's arithmetic have printed these events?

Every number of balance_dirty_pages and bdi_dirty_ratelimit is judged by the set of inputs that are in keeping with what
else is printed: it is attainable if some member of the set gives exactly this number. Nothing is rounded in its favour.
What a trace cannot show is left out by the rules in RULES, and counted.

Printed rates are pages a second times 4, so nothing of them is lost; shares and times are rounded down and stand for
sets. Source: Linux v6.1 mm/page-writeback.c, include/trace/events/writeback.h.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pageout.analysis.jiffies import hz_of as hz_of
from pageout.events.tables import Events
from pageout.validate.attainable import ATTAINABLE, NOT_JUDGED, UNATTAINABLE
from pageout.validate.rows import Rows

FLOOR_MOVED = (6, 14)  # the floor for quiet devices: in __wb_calc_thresh, no longer in wb_position_ratio

# Why a number is not judged. The first that holds is counted.
RULES = {
    "not printed": "a field it needs is missing, or beyond 2**31",
    "another domain": "cgroup_ino is not 1: a memory cgroup's limits may have decided, which are not printed",
    "strictlimit": "a device said to keep its own limits, which are not printed",
    "limits unknown": "no global_dirty_state in the call, and no settings to work the limits out from",
    "bandwidth unknown": "nothing printed bounds the device's bandwidth: no bdi_dirty_ratelimit of it before in this "
    "segment, or none for so long that the estimate may have begun anew",
    "no update before": "no bdi_dirty_ratelimit of the device before it in this segment",
    "no check before": "no balance_dirty_pages of the task before it in this segment",
    "unseen check": "the task may have been looked at between and nothing printed: it was, above free run; or the call "
    "has no global_dirty_state, so that free run would not be seen",
    "no check in the call": "the balance_dirty_pages that follows an update is not in the trace",
    "several unseen updates": "so long after the update before that two and more may have been made unseen",
    "too many inputs": "more than 2**22 members of a set",
}

# What is judged -> the field of the event.
CHECK_KINDS = {
    "free run": "dirty",
    "setpoint": "setpoint",
    "share": "bdi_setpoint",
    "base rate": "dirty_ratelimit",
    "position": "task_ratelimit",
    "period": "period",
    "pause": "pause",
    "dirtied_pause": "dirtied_pause",
}
UPDATE_KINDS = {
    "update position": "task_ratelimit",
    "update balanced": "balanced_dirty_ratelimit",
    "update base rate": "dirty_ratelimit",
    "update bandwidth": "awrite_bw",
    "update dirty_rate": "dirty_rate",
}


@dataclass(frozen=True)
class Settings:
    """What a recording does not say itself."""

    hz: int
    floor_moved: bool  # Linux 6.14 on
    dirty_ratio: int = 0
    dirty_background_ratio: int = 0
    dirty_bytes: int = 0
    dirty_background_bytes: int = 0
    strict_devices: frozenset[str] = frozenset()  # strictlimit: FUSE by default, or bdi/*/strict_limit


class Unattainable(NamedTuple):
    """A number no member of its set gives; times in ms, rates in KiB/s, as printed."""

    line: int
    printed: int
    low: int
    high: int


@dataclass
class Judgement:
    """What came of one kind of judgement."""

    kind: str
    name: str  # of the printed field
    judged: int = 0
    attainable: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  # by rule
    unattainable: list[Unattainable] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Attainable of judged, None if nothing was."""
        return self.attainable / self.judged if self.judged else None


def judge_throttling(events: Events, settings: Settings) -> dict[str, Judgement]:
    """Judge every balance_dirty_pages and bdi_dirty_ratelimit; by kind, those of CHECK_KINDS and UPDATE_KINDS."""
    rows = Rows(events, settings.hz, settings.floor_moved, limits_of(settings), settings.strict_devices)
    rows.judge()
    found = {}
    for kind, name in (CHECK_KINDS | UPDATE_KINDS).items():
        found[kind] = _judgement(rows, kind, name)
    return found


def settings_of(release: str, hz: int, sysctls: Mapping[str, int]) -> Settings:
    """Return the settings of a kernel release ("6.18.44-fc") with these sysctls, by their names without `vm.`."""
    found = re.match(r"(\d{1,3})\.(\d{1,3})", release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return Settings(
        hz,
        version >= FLOOR_MOVED,
        sysctls.get("dirty_ratio", 0),
        sysctls.get("dirty_background_ratio", 0),
        sysctls.get("dirty_bytes", 0),
        sysctls.get("dirty_background_bytes", 0),
    )


def limits_of(settings: Settings) -> tuple[int, int, int, int]:
    """Return (thresh, bg) in pages and as 4096ths of what may be dirty; 0 where it is the other."""
    return (
        -(-settings.dirty_bytes // 4096),
        -(-settings.dirty_background_bytes // 4096),
        settings.dirty_ratio * 4096 // 100,
        settings.dirty_background_ratio * 4096 // 100,
    )


def _judgement(rows: Rows, kind: str, name: str) -> Judgement:
    one = rows.result(kind)
    found = Judgement(kind, name)
    for rule in RULES:
        nr = int((one.left_out == rule).sum())
        if nr:
            found.left_out[rule] = nr
    verdict = one.verdict
    found.judged = int((verdict != NOT_JUDGED).sum())
    found.attainable = int((verdict == ATTAINABLE).sum())
    for number in np.flatnonzero(verdict == UNATTAINABLE).tolist():
        found.unattainable.append(
            Unattainable(*(int(values[number]) for values in (one.line, one.printed, one.low, one.high)))
        )
    return found
