# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernels before 2.6.34 did otherwise: choice points, and designs named for the kernels that were read.

Sources and what they do not cover: docs/explanation/before-2.6.16.md.
"""

from __future__ import annotations

CHOICES: dict[str, tuple[tuple[str, ...], str]] = {
    "reclaim.bail": (
        ("priority", "batch", "never"),
        "when a zone's scan ends early: direct reclaim has enough below priority 12, 32 pages were freed, never",
    ),
    "kswapd.zones": (
        ("needy", "all"),
        "zones that kswapd scans, up to the highest in need: those without plenty free, or all",
    ),
    "dirty.base": (
        ("dirtyable", "unmapped", "unreserved"),
        "what dirty ratios are of: free and file pages; all memory, less if mapped; free and file pages less reserves",
    ),
    "zone.dma32": (("on", "off"), "whether memory from 16 MiB to 4 GiB is a zone of its own"),
}
STATUS_QUO: dict[str, str | int] = {
    "reclaim.bail": "priority",
    "kswapd.zones": "needy",
    "dirty.base": "dirtyable",
    "zone.dma32": "on",
}
_OLD: dict[str, str | int] = {
    "reclaim.lumpy": "off",
    "throttle.start": "limit",
    "kswapd.zones": "all",
    "dirty.base": "unmapped",
}
DESIGNS: dict[str, dict[str, str | int]] = {
    "linux-2.6.14": _OLD | {"reclaim.bail": "batch", "zone.dma32": "off"},
    "linux-2.6.15": _OLD | {"reclaim.bail": "batch"},
    "linux-2.6.18": _OLD | {"reclaim.bail": "never"},
}
