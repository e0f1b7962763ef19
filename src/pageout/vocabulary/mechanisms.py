# SPDX-License-Identifier: GPL-2.0-or-later
"""The mechanisms suspected of making reclaim meet so many dirty pages, each with the choices that switch it off.

The candidates were named on the list in April 2010 and after; that Linux behaved otherwise without them is what an
ablation shows for one workload, not what happened in 2.6.16.
"""

from __future__ import annotations

from typing import NamedTuple


class Mechanism(NamedTuple):
    """A suspect: what it is called, the choices under which it is absent, what is done in its place."""

    name: str
    choices: dict[str, str]
    instead: str


MECHANISMS = (
    Mechanism("global-limits", {"dirty.limits": "zone"}, "dirty limits hold for each zone, not only for the whole"),
    Mechanism("inode-order", {"flusher.order": "page_age"}, "flushers serve the inode with the oldest dirty page"),
    Mechanism("late-background", {"background.start": "half"}, "flushers start at half the background threshold"),
    Mechanism("narrow-gap", {"watermark.gap": "wide"}, "kswapd is woken and stops much further above the min mark"),
    Mechanism("lru-split", {"lru.split": "off"}, "file pages live on one list: none is active"),
    Mechanism("dma32-zone", {"zone.dma32": "off"}, "memory above 16 MiB is one zone, as before 2.6.15"),
    Mechanism("long-scans", {"reclaim.bail": "batch"}, "a zone's scan ends after 32 pages, as before 2.6.16"),
    Mechanism("midpoint-throttle", {"throttle.start": "background"}, "writers are held from the background level on"),
)
