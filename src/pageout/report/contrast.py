# SPDX-License-Identifier: GPL-2.0-or-later
"""What several designs' figures say beside the first one's, in sentences computed from the figures."""

from collections.abc import Sequence
from typing import Any

from pageout.report.figures import BY_NAME, Document
from pageout.report.reading import figure
from pageout.report.spread import apart, by_design, middle
from pageout.report.text import counted, is_figure, joined, number_text, plain

MOVED = 0.01  # smaller relative changes are not worth a reader's time
CONTRASTED = (  # figure, what it is called in a sentence
    ("alloc_stall_s", "time stalled in direct reclaim"),
    ("throttle_slept_s", "throttling of writers"),
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


PAID = (  # figure, what it is called as a price
    ("seek_count", "seeks"),
    ("write_mb_s", "write throughput"),
    ("throttle_slept_s", "throttling of writers"),
    ("oom_kills", "OOM kills"),
    ("highorder_failures", "failed high-order allocations"),
    ("data_at_risk_max_mib", "data at risk"),
    ("stack_memory_mib", "memory in stacks"),
    ("pages_lost", "lost"),
)
FEW = 4  # designs; more than these are told by figure, not design by design
SUMMED_UP = ("alloc_stall_s", "throttle_slept_s", "write_mb_s", "seek_count", "stack_max_bytes", "highorder_failures")
MOST_NAMES = 4  # designs named on either side of a figure
CHANCE = 0.25  # with one seed a smaller change may well be chance: on the demo seeds differ by that much


def contrast(runs: Sequence[Document]) -> list[str]:
    """Return the reading of runs of one workload: who stalls least and what it pays, each beside the first, what broke.

    Several runs of a design are its seeds: figures are medians then, and only what moved beyond their noise counts.
    """
    groups = by_design(runs)
    if len(groups) < 2:
        return []
    middles = [middle(group) for group in groups]
    same = [other for other in middles[1:] if _same(middles[0], other)]
    if len(groups) <= FEW:
        beside = [against(groups[0], group) for group, one in zip(groups, middles, strict=True) if one not in same][1:]
    else:
        beside = [by_figure(groups, name, words) for name, words in CONTRASTED if name in SUMMED_UP]
        if any(beside) and max(map(len, groups)) == 1:
            beside.append("Moves under 25 % are left out: with one seed they are within chance (--seeds 5 tells).")
    told = (price(middles), *beside, untouched(middles[0], same), ranking(middles), *map(broken, groups))
    return [text for text in told if text]


def finding(runs: Sequence[Document]) -> str:
    """Return the comparison in one line: who stalls least, beside the first design."""
    middles = [middle(group) for group in by_design(runs)]
    first, seconds = middles[0], {}
    for run in middles:
        if is_figure(run["metrics"].get("alloc_stall_s")):
            seconds[str(run["design"])] = run["metrics"]["alloc_stall_s"]
    if len(seconds) < 2 or len(set(seconds.values())) < 2:
        return f"{first['workload']}: {counted(len(middles), 'design')} side by side"
    least = min(seconds, key=seconds.__getitem__)
    base = str(first["design"])
    other = base if base in seconds and base != least else max(seconds, key=seconds.__getitem__)
    text = f"{number_text(seconds[least])} s against {number_text(seconds[other])} s under {other}"
    return f"{least} stalls least in direct reclaim: {text}"


def price(runs: Sequence[Document]) -> str:
    """Say which design stalls allocations least, and in which figures it is worse than the first."""
    winners = best(runs, "alloc_stall_s")
    if len(winners) != 1:
        return ""
    first, least = runs[0], runs[winners[0]]
    seconds = number_text(least["metrics"]["alloc_stall_s"])
    if least is first:
        return f"{plain(first['design'])}, the first, stalls allocations least: {seconds} s in direct reclaim."
    worse = [
        text
        for name, words in PAID
        if _worse(first["metrics"].get(name), least["metrics"].get(name), BY_NAME[name].better)
        and (text := change(first["metrics"], least["metrics"], name, words))
    ]
    before = number_text(first["metrics"].get("alloc_stall_s"))
    paid = f"It pays with {'; '.join(worse)}." if worse else "It is worse in none of the other figures weighed."
    return (
        f"{plain(least['design'])} stalls allocations least: {seconds} s in direct reclaim, "
        f"{before} s under {plain(first['design'])}. {paid}"
    )


def _worse(before: Any, after: Any, better: str) -> bool:
    return is_figure(before) and is_figure(after) and (after > before if better == "less" else after < before)


def _same(first: Document, other: Document) -> bool:
    return bool(first.get("digest")) and first.get("digest") == other.get("digest")


def untouched(first: Document, same: Sequence[Document]) -> str:
    """Say which designs ran as the first did."""
    if not same:
        return ""
    names = joined([plain(run["design"]) for run in same])
    many = "what it changes" if len(same) == 1 else "what they change"
    beside = f"{names} beside {plain(first['design'])}"
    return f"{beside}: the same run to the last bit; nothing in this workload reached {many}."


def by_figure(groups: Sequence[Sequence[Document]], name: str, words: str) -> str:
    """Say under which designs a figure is far below and far above the first design's, the farthest first."""
    base = middle(groups[0])
    before = base["metrics"].get(name)
    if not is_figure(before) or not before:
        return ""
    moved = []
    for group in groups[1:]:
        after = middle(group)["metrics"].get(name)
        share = after / before - 1 if is_figure(after) else 0
        if apart(groups[0], group, name) and abs(share) >= (MOVED if len(group) > 1 else CHANCE):
            moved.append((share, f"{plain(group[0]['design'])} ({_percent(share)})"))
    below = [text for share, text in sorted(moved) if share < 0]
    above = [text for share, text in sorted(moved, reverse=True) if share > 0]
    parts = [f"{side} under {_first_few(names)}" for side, names in (("less", below), ("more", above)) if names]
    value = f"{number_text(before)} {BY_NAME[name].unit}".rstrip()
    return f"{words}, {value} under {plain(base['design'])}: {'; '.join(parts)}." if parts else ""


def _first_few(names: Sequence[str]) -> str:
    left = len(names) - MOST_NAMES
    return joined(list(names) if left <= 0 else [*names[:MOST_NAMES], f"{counted(left, 'other')}"])


def against(first: Sequence[Document], other: Sequence[Document]) -> str:
    """Say what moved between two designs, or that nothing did."""
    one, two = middle(first), middle(other)
    names = f"{plain(two['design'])} beside {plain(one['design'])}"
    seeds = max(len(first), len(other))
    moved = [
        text
        for row in CONTRASTED
        if apart(first, other, row[0]) and (text := change(one["metrics"], two["metrics"], *row))
    ]
    if not moved:
        noise = f" beyond the noise of {seeds} seeds" if seeds > 1 else f" by {MOVED:.0%} or more"
        return f"{names}: none of the figures shown moved{noise}."
    return f"{names}: {'; '.join(moved)}."


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
    return f"{words} from {number_text(before)} to {number_text(after)}{unit} ({_percent(share)})"


def _percent(share: float) -> str:
    return f"{share:+.0%}".replace("%", " %") if share < 9.995 else f"{number_text(round(share + 1, 1))} times"


def ranking(runs: Sequence[Document]) -> str:
    """Say which run is best at what, where one is."""
    merits: dict[int, list[str]] = {}
    for name, words in RANKED:
        winners = best(runs, name)
        if len(winners) == 1:
            merits.setdefault(winners[0], []).append(words)
    parts = [f"{plain(runs[number]['design'])} {joined(words)}" for number, words in merits.items()]
    told = list(merits.values()) == [[RANKED[0][1]]]  # by the first sentence already
    return f"Of these, {'; '.join(parts)}." if parts and not told else ""


def best(runs: Sequence[Document], name: str) -> list[int]:
    """Return which runs have a figure's best value; none if better has no sense, or if all are equally good."""
    better = BY_NAME[name].better
    known = {number: run["metrics"].get(name) for number, run in enumerate(runs)}
    values = {number: value for number, value in known.items() if is_figure(value)}
    if not better or len(values) < 2 or len(set(values.values())) < 2:
        return []
    limit = min(values.values()) if better == "less" else max(values.values())
    return [number for number, value in values.items() if value == limit]


def broken(runs: Sequence[Document]) -> str:
    """Say what the runs of a design broke, on whatever seed: stacks, tasks, data."""
    parts = []
    if overflows := _sum(runs, "stack_overflows"):
        depth = number_text(max(figure(run["metrics"], "stack_max_bytes") for run in runs))
        seeds = _on_seeds(runs, "stack_overflows")
        parts.append(f"overflowed a kernel stack {counted(overflows, 'time')}{seeds} (deepest: {depth} bytes)")
    if kills := _sum(runs, "oom_kills"):
        parts.append(f"had {counted(kills, 'task')} killed by the OOM killer{_on_seeds(runs, 'oom_kills')}")
    if lost := _sum(runs, "pages_lost"):
        parts.append(f"lost {counted(lost, 'dirty page')}{_on_seeds(runs, 'pages_lost')}")
    return f"{plain(runs[0]['design'])} {joined(parts)}." if parts else ""


def _sum(runs: Sequence[Document], name: str) -> float:
    return sum(figure(run["metrics"], name) for run in runs)


def _on_seeds(runs: Sequence[Document], name: str) -> str:
    if len(runs) == 1:
        return ""
    return f" on {sum(figure(run['metrics'], name) > 0 for run in runs)} of {len(runs)} seeds"
