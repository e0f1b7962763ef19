# SPDX-License-Identifier: GPL-2.0-or-later
"""From the ledger of causes to a document: why reclaim wrote, why tasks had to reclaim."""

from __future__ import annotations

from typing import Any

from pageout.kernel.mm import causes as c
from pageout.machine.boot import Booted

WRITE_CAUSES = {
    c.CAUSE_SWAP: "swap",
    c.CAUSE_REDIRTIED: "redirtied",
    c.CAUSE_ZONE: "zone",
    c.CAUSE_INODE_AGE: "inode-age",
    c.CAUSE_BACKGROUND: "background",
    c.CAUSE_DEVICE: "device",
    c.CAUSE_FILE_ORDER: "file-order",
    c.CAUSE_INODE_QUEUE: "inode-queue",
    c.CAUSE_UNKNOWN: "unknown",
    c.CAUSE_CLUSTERED: "clustered",
}
UNTIMED = ("swap", "clustered")  # no facts are kept of these
RECLAIM_CAUSES = {
    c.RECLAIM_FRAGMENTED: "fragmented",
    c.RECLAIM_EXHAUSTED: "exhausted",
    c.RECLAIM_BURST: "burst",
    c.RECLAIM_KSWAPD_DEVICE: "kswapd-device",
    c.RECLAIM_KSWAPD_WAITS: "kswapd-waits",
    c.RECLAIM_DIRTY_TAIL: "tail",
    c.RECLAIM_OUTRUN: "outrun",
}
FACTS = (
    "redirtied",
    "zone-over-share",
    "below-background",
    "inode-restamped",
    "device-busy",
    "inode-being-written",
    "inodes-ahead",
    "flusher-idle",
    "expired",
    "under-1s",
    "younger-first",
)


def why(booted: Booted) -> dict[str, Any]:
    """Return the causes of all pages that reclaim wrote and of all direct reclaims, with shares and examples.

    `writes` and `direct_reclaims` each have `total` and `causes`: name, count, share (0-1, null of nothing), mean and
    largest age in ms (a page: time dirty; a direct reclaim: time since kswapd was woken), examples. `refused`: pages
    beside these that the filesystem would not write for reclaim, and that stayed dirty. `facts`: share of the file
    pages written that reclaim had asked for of which each fact held; `ages`: those pages by upper bound of the time
    they had been dirty.
    """
    writes = _table(booted, WRITE_CAUSES)
    wanted = sum(row["count"] for row in writes["causes"] if row["cause"] not in UNTIMED)
    held = [int(n) for n in booted.arrays["fact"]]
    ages = [int(n) for n in booted.arrays["cause_age"]]
    return {
        "writes": writes,
        "refused": int(booted.arrays["stat"]["reclaim_refused"][0]),
        "direct_reclaims": _table(booted, RECLAIM_CAUSES),
        "facts": {name: _share(n, wanted) for name, n in zip(FACTS, held, strict=True)},
        "ages": [{"below_ms": 1 << bits, "pages": n} for bits, n in enumerate(ages) if n],
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _table(booted: Booted, names: dict[int, str]) -> dict[str, Any]:
    rows = booted.arrays["cause"]
    total = sum(int(rows["nr"][number]) for number in names)
    causes = [_cause(booted, number, name, total) for number, name in names.items() if int(rows["nr"][number])]
    return {"total": total, "causes": sorted(causes, key=lambda row: (-row["count"], row["cause"]))}


def _cause(booted: Booted, number: int, name: str, total: int) -> dict[str, Any]:
    row = booted.arrays["cause"][number]
    nr = int(row["nr"])
    is_write = number in WRITE_CAUSES
    timed = name not in UNTIMED
    return {
        "cause": name,
        "count": nr,
        "share": _share(nr, total),
        "by_direct": int(row["nr_direct"]),
        "mean_ms": int(row["total"]) / nr if timed else None,
        "max_ms": int(row["largest"]) if timed else None,
        "mean_inodes_ahead": int(row["total_ahead"]) / nr if is_write and timed else None,
        "examples": _examples(booted, number, is_write) if timed else [],
    }


def _examples(booted: Booted, number: int, is_write: bool) -> list[dict[str, Any]]:
    found = booted.arrays["example"][number * c.EXAMPLES : (number + 1) * c.EXAMPLES]
    examples = []
    for row in sorted((row for row in found if int(row["number"])), key=lambda row: int(row["time_ns"])):
        pid = int(row["pid"])
        example = {"time_s": int(row["time_ns"]) / 1e9, "pid": pid, "task": booted.comms.get(pid, "")}
        if is_write:
            facts = int(row["facts"])
            example |= {name: int(row[name]) for name in ("page", "inode", "index", "zone")}
            example |= {"dirty_ms": int(row["age_ms"]), "inodes_ahead": int(row["ahead"])}
            example["facts"] = [name for bit, name in enumerate(FACTS) if facts >> bit & 1]
        else:
            example |= {"order": int(row["order"]), "kswapd_awake_ms": int(row["age_ms"])}
        examples.append(example)
    return examples
