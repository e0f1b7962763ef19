# SPDX-License-Identifier: GPL-2.0-or-later
"""What several designs' figures say beside the first one's, in sentences computed from the figures."""

from collections.abc import Sequence
from typing import Any

from pageout.report.figures import BY_NAME, Document
from pageout.report.reading import figure
from pageout.report.text import counted, is_figure, joined, number_text, plain

MOVED = 0.01  # smaller relative changes are not worth a reader's time
CONTRASTED = (  # figure, what it is called in a sentence
    ("alloc_stall_s", "time stalled in direct reclaim"),
    ("throttle_s", "throttling of writers"),
    ("write_mb_s", "write throughput"),
    ("written_direct", "written by direct reclaim"),
    ("written_kswapd", "written by kswapd"),
    ("seek_count", "seeks"),
    ("stack_max_bytes", "deepest stack"),
    ("fork_stall_p99_us", "99th percentile of a fork's wait"),
    ("highorder_failures", "failed high-order allocations"),
    ("oom_kills", "OOM kills"),
    ("pages_lost", "lost"),
)
RANKED = (  # figure, the sentence's words for being best at it
    ("alloc_stall_s", "stalls allocations least"),
    ("write_mb_s", "writes fastest"),
    ("seek_count", "seeks least"),
    ("stack_max_bytes", "keeps the stack shallowest"),
)


def contrast(runs: Sequence[Document]) -> list[str]:
    """Return the reading of runs of one workload: each beside the first, then who is best, then what broke."""
    if not runs:
        return []
    first = runs[0]
    sentences = [against(first, other) for other in runs[1:]]
    return [text for text in (*sentences, ranking(runs), *map(broken, runs)) if text]


def against(first: Document, other: Document) -> str:
    """Say what moved between two runs, or that nothing did."""
    names = f"{plain(other['design'])} beside {plain(first['design'])}"
    if first.get("digest") and first.get("digest") == other.get("digest"):
        return f"{names}: the same run to the last bit; nothing in this workload reached what the design changes."
    moved = [change(first["metrics"], other["metrics"], *row) for row in CONTRASTED]
    parts = [text for text in moved if text]
    if not parts:
        return f"{names}: none of the figures shown moved by {MOVED:.0%} or more."
    return f"{names}: {'; '.join(parts)}."


def change(first: dict[str, Any], other: dict[str, Any], name: str, words: str) -> str:
    """Return '<words> from a to b unit (-41 %)', or nothing if the figure hardly moved or is unknown on a side."""
    before, after = first.get(name), other.get(name)
    if not is_figure(before) or not is_figure(after) or before == after:
        return ""
    unit = f" {BY_NAME[name].unit}".rstrip()
    if not before:
        return f"{words} from none to {number_text(after)}{unit}"
    share = after / before - 1
    if abs(share) < MOVED:
        return ""
    size = f"{share:+.0%}".replace("%", " %") if share < 9.995 else f"{number_text(round(share + 1, 1))} times"
    return f"{words} from {number_text(before)} to {number_text(after)}{unit} ({size})"


def ranking(runs: Sequence[Document]) -> str:
    """Say which run is best at what, where one is."""
    merits: dict[int, list[str]] = {}
    for name, words in RANKED:
        winners = best(runs, name)
        if len(winners) == 1:
            merits.setdefault(winners[0], []).append(words)
    parts = [f"{plain(runs[number]['design'])} {joined(words)}" for number, words in merits.items()]
    return f"Of these, {'; '.join(parts)}." if parts else ""


def best(runs: Sequence[Document], name: str) -> list[int]:
    """Return which runs have a figure's best value; none if better has no sense, or if all are equally good."""
    better = BY_NAME[name].better
    known = {number: run["metrics"].get(name) for number, run in enumerate(runs)}
    values = {number: value for number, value in known.items() if is_figure(value)}
    if not better or len(values) < 2 or len(set(values.values())) < 2:
        return []
    limit = min(values.values()) if better == "less" else max(values.values())
    return [number for number, value in values.items() if value == limit]


def broken(run: Document) -> str:
    """Say what a run broke: stacks, tasks, data."""
    metrics = run["metrics"]
    parts = []
    if overflows := figure(metrics, "stack_overflows"):
        depth = number_text(metrics.get("stack_max_bytes"))
        parts.append(f"overflowed a kernel stack {counted(overflows, 'time')} (deepest: {depth} bytes)")
    if kills := figure(metrics, "oom_kills"):
        parts.append(f"had {counted(kills, 'task')} killed by the OOM killer")
    if lost := figure(metrics, "pages_lost"):
        parts.append(f"lost {counted(lost, 'dirty page')}")
    return f"{plain(run['design'])} {joined(parts)}." if parts else ""
