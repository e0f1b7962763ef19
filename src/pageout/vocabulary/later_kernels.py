# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernels since 3.2 do otherwise: choice points, and designs named for the kernels that were read.

What of each kernel is modelled and what is not: docs/model-support.md, and each design's page in docs/designs.
"""

from __future__ import annotations

CHOICES: dict[str, tuple[tuple[str, ...], str]] = {
    "throttle.by": (("writing", "pause"), "what a held writer does: write pages itself, or only sleep (since 3.2)"),
    "flusher.turn": (
        ("pages", "bandwidth"),
        "what a flusher writes of one inode at a turn: 1024 pages, or half a second's (since 3.2; with pauses)",
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
}
STATUS_QUO: dict[str, str | int] = {
    "throttle.by": "writing",
    "flusher.turn": "pages",
    "write.folios": "none",
    "dirty.floor": "position",
    "block.layer": "single",
    "block.throttle": "line",
    "timer.expiry": "tick",
}
# A choice that makes sense with another only.
NEEDS: dict[tuple[str, str], tuple[str, str]] = {
    ("flusher.turn", "bandwidth"): ("throttle.by", "pause"),
    ("write.folios", "xfs"): ("throttle.by", "pause"),
    ("write.folios", "all"): ("throttle.by", "pause"),
}
_PAUSES: dict[str, str | int] = {"throttle.by": "pause", "dirty.base": "unreserved"}
_LINUX_6_1 = _PAUSES | {"flusher.turn": "bandwidth", "timer.expiry": "late", "block.layer": "mq"}
_LINUX_6_12 = _LINUX_6_1 | {"write.folios": "xfs", "block.throttle": "meta"}
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
