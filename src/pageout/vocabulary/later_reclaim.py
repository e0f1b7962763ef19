# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernels of 6.x reclaim otherwise: choice points, each a difference in behaviour, none a version.

Values that 6.1, 6.12 and 6.18 need: docs/explanation/reclaim-6.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

CHOICES: dict[str, tuple[tuple[str, ...], str]] = {
    "reclaim.engine": (
        ("zone", "node"),
        "whose lists are reclaimed: each zone's (2.6.34), or the node's with refault distances (since 4.8)",
    ),
    "reclaim.file_writepage": (
        ("allocated", "never"),
        "dirty file pages that kswapd of reclaim.engine=node writes: ext2-4 where a block is chosen (6.1), none",
    ),
    "reclaim.scan_cost": (
        ("pages", "rotations"),
        "what weighs anon against file: pages written and refaulted, or 32 times that and pages rotated (since 6.3)",
    ),
    "reclaim.trim_retry": (
        ("off", "on"),
        "whether kswapd that freed nothing begins again and spares no list for the other's sake (since 6.9)",
    ),
    "watermark.marks": (
        ("quarter", "scaled"),
        "LOW and HIGH above MIN: a quarter and a half of it; or by vm.watermark_scale_factor if that is more",
    ),
    "watermark.hugepages": (
        ("off", "on"),
        "whether khugepaged raises min_free_kbytes, as it does with transparent huge pages",
    ),
    "buddy.steal": (
        ("half", "alike"),
        "what a block of another kind brings along: a pageblock half free; or half free or alike, and a boost (5.0)",
    ),
    "lru.batch": (("14", "15", "31"), "new pages that a CPU gathers before they go to their lists"),
    "pcp.high": (
        ("batch", "low", "auto"),
        "free pages a CPU keeps of a zone: six batches; its part of LOW, fewer while kswapd runs; or self-tuned (6.7)",
    ),
    "compaction": (("off", "on"), "whether reclaim.engine=node moves pages together for requests of order 1 and up"),
    "events.isolate_mode": (
        ("on", "off"),
        "whether mm_vmscan_lru_isolate has it in reclaim.engine=node (no: since 6.7)",
    ),
    "oom.score": (
        ("badness", "rss"),
        "whom the OOM killer takes: by address space, CPU time and age, or by memory in use",
    ),
    "memcg.walk": (
        ("all", "part"),
        "memory cgroups that direct reclaim visits: all; or on from where the last one stopped, till it has enough",
    ),
    "lru": (
        ("classic", "gen"),
        "lists of reclaim.engine=node: active and inactive, or up to four generations (MGLRU, since 6.1, off there)",
    ),
    "gen.node": (
        ("shared", "own"),
        "reclaim with lru=gen: kswapd ages the lists, then all scan (6.1); or who runs out of old pages ages (6.12)",
    ),
    "gen.flush": (
        ("never", "dirty"),
        "whether lru=gen wakes the flushers: if all it met was dirty (since 6.12.104)",
    ),
    "gen.events": (("off", "on"), "whether lru=gen traces mm_vmscan_lru_isolate and lru_shrink_inactive (since 6.7)"),
}
STATUS_QUO: dict[str, str | int] = {
    "reclaim.engine": "zone",
    "reclaim.file_writepage": "allocated",
    "reclaim.scan_cost": "pages",
    "reclaim.trim_retry": "off",
    "watermark.marks": "quarter",
    "watermark.hugepages": "off",
    "buddy.steal": "half",
    "lru.batch": "14",
    "pcp.high": "batch",
    "compaction": "off",
    "events.isolate_mode": "on",
    "oom.score": "badness",
    "memcg.walk": "all",
    "lru": "classic",
    "gen.node": "shared",
    "gen.flush": "never",
    "gen.events": "off",
}


def min_free_kbytes(kbytes: int, memory_bytes: int, chosen: Mapping[str, object]) -> int:
    """Return vm.min_free_kbytes, unless it was set, from what 2.6.34 makes it: a higher ceiling, room for huge pages.

    Source: Linux v6.1 mm/page_alloc.c:calculate_min_free_kbytes, mm/khugepaged.c:set_recommended_min_free_kbytes.
    """
    lowmem = memory_bytes // 1024
    if chosen["watermark.marks"] == "scaled":
        kbytes = min(max(math.isqrt(lowmem * 16), 128), 262144)
    if chosen["watermark.hugepages"] == "on":
        zones = 1 + (memory_bytes > 16 << 20) + (memory_bytes > 4 << 30)
        kbytes = max(kbytes, min(512 * zones * 11 * 4, lowmem // 20))
    return kbytes
