# SPDX-License-Identifier: GPL-2.0-or-later
"""What was given already: an "unknown" that sends people to a file they have shown would contradict the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pageout.diagnose.case import Case
from pageout.diagnose.pairs import pair


def _snapshot(*sources: str) -> Callable[[Case], bool]:
    return lambda case: any(case.snapshots(source) for source in sources)


def _twice(case: Case) -> bool:
    return pair(case, "vmstat") is not None


def _timed(case: Case) -> bool:
    both = pair(case, "vmstat")
    return both is not None and both.seconds is not None


# What a sentence names as the place of the answer, and whether the files have it.
_PLACES: tuple[tuple[re.Pattern[str], Callable[[Case], bool]], ...] = tuple(
    (re.compile(pattern), known)
    for pattern, known in (
        (r"two snapshots of /proc/vmstat|a second snapshot some seconds later", _twice),
        (r"a second snapshot with its time", _timed),
        (r"/proc/zoneinfo", _snapshot("zoneinfo")),
        (r"/proc/meminfo", _snapshot("meminfo")),
        (r"/proc/diskstats", _snapshot("diskstats")),
        (r"bdi stats in debugfs", _snapshot("bdi stats")),
        (r"slabtop", _snapshot("slabinfo", "slabtop")),
        (r"memory\.stat\b", _snapshot("memory.stat")),
        (r"memory\.events", _snapshot("memory.events")),
        (r"memory\.failcnt", _snapshot("memory.failcnt")),
        (r"memory\.pressure|/proc/pressure/memory", _snapshot("pressure memory")),
        (r"uname -r", lambda case: bool(case.kernels)),
    )
)


def still_unknown(case: Case, unknown: Iterable[str]) -> tuple[str, ...]:
    """Return the sentences without those whose every place is in the files."""
    return tuple(text for text in unknown if not _is_given(case, text))


def _is_given(case: Case, text: str) -> bool:
    named = [known(case) for pattern, known in _PLACES if pattern.search(text)]
    return bool(named) and all(named)
