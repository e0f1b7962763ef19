# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernels since 3.2 do otherwise: choice points, and designs named for the kernels that were read.

What of each kernel is modelled and what is not: docs/model-support.md, and each design's page in docs/designs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pageout.vocabulary import later_reclaim
from pageout.vocabulary.keys import FieldError

CHOICES: dict[str, tuple[tuple[str, ...], str]] = {
    "throttle.by": (("writing", "pause"), "what a held writer does: write pages itself, or only sleep (since 3.2)"),
    "flusher.turn": (
        ("pages", "bandwidth"),
        "what a flusher writes of one inode at a turn: 1024 pages, or half a second's (since 3.2; with pauses)",
    ),
    "flusher.requeue": (
        ("chunk", "age"),
        "which partly written inode goes on at once: any with its turn used up, or one old enough for it (since 6.9)",
    ),
    "write.folios": (
        ("none", "xfs", "all"),
        "who writes folios of many pages: one, looked at after each page; or XFS, or XFS and ext4 (with pauses)",
    ),
    "dirty.floor": (
        ("position", "share"),
        "where a quiet device gets its least part of the limit: in the position alone, or in its share (since 6.14)",
    ),
    "block.layer": (
        ("single", "mq"),
        "the request queue: one with a lock and congestion, or blk-mq with tags and plugs",
    ),
    "block.throttle": (
        ("line", "meta", "spare"),
        "blk-throttle: one line for all; metadata passes (since 6.12); and one slice stays spare (since 6.15)",
    ),
    "timer.expiry": (
        ("tick", "late"),
        "when a timer of n ticks ends: at the n-th tick, or never early, after n to n+1 ticks (since 4.8)",
    ),
    "sched.pick": (
        ("turns", "fair"),
        "who runs next: each in turn, 50 us; or by virtual run time, so that who works is not interrupted (CFS)",
    ),
    **later_reclaim.CHOICES,
}
# Filesystems whose files are in folios of many pages, by write.folios.
LARGE_FOLIOS: dict[str, tuple[str, ...]] = {"none": (), "xfs": ("xfs",), "all": ("xfs", "ext4")}
STATUS_QUO: dict[str, str | int] = {
    "throttle.by": "writing",
    "flusher.turn": "pages",
    "flusher.requeue": "chunk",
    "write.folios": "none",
    "dirty.floor": "position",
    "block.layer": "single",
    "block.throttle": "line",
    "timer.expiry": "tick",
    "sched.pick": "turns",
    **later_reclaim.STATUS_QUO,
}
# A choice that makes sense with another only.
NEEDS: dict[tuple[str, str], tuple[str, str]] = {
    ("flusher.turn", "bandwidth"): ("throttle.by", "pause"),
    ("flusher.requeue", "age"): ("flusher.turn", "bandwidth"),
    ("write.folios", "xfs"): ("throttle.by", "pause"),
    ("write.folios", "all"): ("throttle.by", "pause"),
    ("lru", "gen"): ("reclaim.engine", "node"),
}
_PAUSES: dict[str, str | int] = {"throttle.by": "pause", "dirty.base": "unreserved"}
_LINUX_6_1 = _PAUSES | {
    "flusher.turn": "bandwidth",
    "timer.expiry": "late",
    "dirty.limits": "node",
    "sched.pick": "fair",
    "block.layer": "mq",
    "reclaim.engine": "node",
    "watermark.marks": "scaled",
    "watermark.hugepages": "on",
    "buddy.steal": "alike",
    "lru.batch": "15",
    "pcp.high": "low",
    "compaction": "on",
    "oom.score": "rss",
}
_LINUX_6_12 = _LINUX_6_1 | {
    "flusher.requeue": "age",
    "write.folios": "xfs",
    "block.throttle": "meta",
    "lru.batch": "31",
    "pcp.high": "auto",
    "reclaim.file_writepage": "never",
    "reclaim.scan_cost": "rotations",
    "reclaim.trim_retry": "on",
    "memcg.walk": "part",
    "gen.node": "own",
    "gen.flush": "dirty",
    "gen.events": "on",
    "events.isolate_mode": "off",
}
_LINUX_6_18 = _LINUX_6_12 | {
    "write.folios": "all",
    "dirty.floor": "share",
    "block.throttle": "spare",
}
DESIGNS: dict[str, dict[str, str | int]] = {
    "ioless-throttle": _PAUSES,
    "linux-6.1": _LINUX_6_1,
    "linux-6.12": _LINUX_6_12,
    "linux-6.18": _LINUX_6_18,
}
# Since which release a kernel is nearer to a design than to the one below it.
_SINCE = (((6, 14), "linux-6.18"), ((6, 7), "linux-6.12"), ((3, 2), "linux-6.1"), ((0, 0), "linux-2.6.34"))
# Before which release, since which, a kernel differs from the design that stands for it in what matters most.
_DIFFERS = (
    ((3, 2), (5, 16), "waits in reclaim for congestion, no reclaim_throttle; LRU lists of pages, not of folios"),
    ((6, 6), (6, 7), "who runs next is chosen by EEVDF, here by CFS"),
    ((6, 19), (999, 0), "is newer than anything that was read"),
)
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,3})")


def check_needs(chosen: Mapping[str, str | int]) -> None:
    """Check that the choices have what they stand on.  Raises FieldError."""
    for (name, value), (other, needed) in NEEDS.items():
        if chosen[name] == value and chosen[other] != needed:
            raise FieldError(f"design.{name}", f"{value} needs {other} = {needed}")


def differs_of(release: str | None) -> str:
    """Return in what a release differs most from the design that stands for it, as the end of a sentence; or ""."""
    found = _RELEASE.match(release or "")
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return next((f": {words}" for since, before, words in _DIFFERS if since <= version < before), "")


def design_for(release: str | None) -> str:
    """Return the design that stands for a release as uname -r says it; of none, the newest."""
    found = _RELEASE.match(release or "")
    version = (int(found[1]), int(found[2])) if found else (999, 0)
    return next(design for since, design in _SINCE if version >= since)
