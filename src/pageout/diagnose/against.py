# SPDX-License-Identifier: GPL-2.0-or-later
"""Two captures, before and after: did the upgrade or the setting change anything?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.counter_rates import COUNTERS, Between, between, has_totals_only
from pageout.diagnose.explain import Answer
from pageout.diagnose.findings import ERROR, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.measures import SINCE_BOOT, Measure, measures
from pageout.diagnose.rules.memory import levels
from pageout.diagnose.words import bytes_text

SAME_MEMORY = 0.02  # of MemTotal: kernels of one machine differ by less
CHANGED = 1.5  # ratio: one capture of each, and workloads vary; less is not told from chance
BETTER, WORSE, DIFFERENT, SAME = "better", "worse", "different", "same"


class Difference(NamedTuple):
    """A figure in both captures. `ratio`: after over before, None where before is nothing."""

    name: str
    unit: str
    before: float
    after: float
    ratio: float | None
    verdict: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Comparison:
    """What two captures share, what each has alone, and the findings that came and went."""

    differences: tuple[Difference, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]  # name, before, after
    gone: tuple[Finding, ...]
    new: tuple[Finding, ...]
    stayed: tuple[Finding, ...]
    summary: Finding


def compare(before: Answer, after: Answer) -> Comparison:
    """Hold two answers side by side."""
    old, new = measures(before.case), measures(after.case)
    same_boot = between(before.case, after.case)
    skipped = {SINCE_BOOT} if same_boot or f"vmstat {COUNTERS[1].name}" in old.keys() & new.keys() else set()
    differences = tuple(_difference(old[name], new[name]) for name in old if name in new and name not in skipped)
    old_ids, new_ids = ({finding.id: finding for finding in one.findings} for one in (before, after))
    gone = tuple(
        finding
        for name, finding in old_ids.items()
        if name not in new_ids and finding.severity != INFO and _could_show(finding, before.case, after.case)
    )
    came = tuple(
        finding
        for name, finding in new_ids.items()
        if name not in old_ids and finding.severity != INFO and _could_show(finding, after.case, before.case)
    )
    stayed = tuple(finding for name, finding in new_ids.items() if name in old_ids and finding.severity != INFO)
    settings = _settings(before.case, after.case)
    return Comparison(
        differences,
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name not in old),
        settings,
        gone,
        came,
        stayed,
        _with_machines(
            _with_counters(_summary(differences, settings, gone, came, stayed), before.case, after.case, same_boot),
            other_machine(before.case, after.case),
        ),
    )


def other_machine(before: Case, after: Case) -> tuple[str, tuple[Evidence, ...]] | None:
    """Return what says that two captures are of two machines, and the lines; None where nothing does.

    Memory the kernel manages: it changes by some MiB between releases, not by more.
    """
    told = [next(((file, values["MemTotal"]) for file, values in levels(case) if "MemTotal" in values), None)
            for case in (before, after)]  # fmt: skip
    known = [one for one in told if one is not None]
    sizes = [value.number for _, value in known]
    if len(known) < 2 or max(sizes) - min(sizes) <= SAME_MEMORY * max(sizes):
        return None
    text = " before, ".join(bytes_text(size * 1024) for size in sizes)
    return f"memory: {text} after", tuple(Evidence(file, value.line) for file, value in known)


def _with_machines(summary: Finding, told: tuple[str, tuple[Evidence, ...]] | None) -> Finding:
    """Return the summary with a word before all else that two machines are compared."""
    if told is None:
        return summary
    text, evidence = told
    return replace(
        summary, title=f"two machines ({text}); {summary.title}",
        detail=f"What differs may come of the machines alone: better and worse say nothing of a change. {summary.detail}".strip(),
        confidence=LOW, evidence=evidence + summary.evidence, why=f"MemTotal differs; {summary.why}",
    )  # fmt: skip


def _with_counters(summary: Finding, before: Case, after: Case, same_boot: Between | None) -> Finding:
    """Return the summary with what counters since boot say of the time between, or that they say nothing."""
    if not has_totals_only(before) and not has_totals_only(after):
        return summary  # rates are compared
    if same_boot is not None:
        return replace(
            summary, detail=" ".join([*([summary.detail] if summary.detail else []), f"{same_boot.text}."]),
            evidence=summary.evidence + same_boot.evidence,
            why=f"{summary.why}; no counter of /proc/vmstat went back, and some stand still: one boot",
        )  # fmt: skip
    if before.snapshots("vmstat") and after.snapshots("vmstat"):
        told = (
            "how fast the counters of /proc/vmstat grew: totals since boot are not comparable; two snapshots with their dates in each "
            "capture are"
        )
        return replace(summary, unknown=(*summary.unknown, told), capture=(*summary.capture, "counters"))
    return summary


def _could_show(finding: Finding, shown: Case, other: Case) -> bool:
    """Return whether `other` holds what `finding` was seen in: what a file cannot show is not gone from it."""
    files = {line.file for line in finding.evidence}
    kinds = {kind for one in other.inputs for kind in one.account.kinds}
    if any(one.file in files and not kinds.isdisjoint(one.account.kinds) for one in shown.inputs if one.events is None):
        return True
    here = {name for file, events in shown.traces() if file in files for name in events.frames}
    return bool(here & {name for _, events in other.traces() for name in events.frames})


def _difference(before: Measure, after: Measure) -> Difference:
    old, new = before.number, after.number
    ratio = new / old if old else None
    evidence = tuple(one.evidence for one in (before, after) if one.evidence is not None)
    if max(abs(old), abs(new)) < before.floor or (ratio is not None and 1 / CHANGED < ratio < CHANGED):
        verdict = SAME
    elif before.worse == 0:
        verdict = DIFFERENT
    else:
        verdict = WORSE if (new - old) * before.worse > 0 else BETTER
    return Difference(before.name, before.unit, old, new, ratio, verdict, evidence)


def _settings(before: Case, after: Case) -> tuple[tuple[str, str, str], ...]:
    """Return settings and kernels that differ."""
    from pageout.readers.facts import Sysctl

    told = []
    old, new = ({fact.name: fact.text for _, fact in case.facts(Sysctl)} for case in (before, after))
    told += [(name, old[name], new[name]) for name in old if name in new and old[name] != new[name]]
    kernels = [", ".join(name for name, _ in case.kernels) for case in (before, after)]
    if all(kernels) and kernels[0] != kernels[1]:
        told.insert(0, ("kernel", kernels[0], kernels[1]))
    return tuple(told)


def _summary(
    differences: tuple[Difference, ...],
    settings: tuple[tuple[str, str, str], ...],
    gone: tuple[Finding, ...],
    came: tuple[Finding, ...],
    stayed: tuple[Finding, ...],
) -> Finding:
    better = [one for one in differences if one.verdict == BETTER]
    worse = [one for one in differences if one.verdict == WORSE]
    if not differences and not gone and not came and not stayed:
        return Finding(
            id="cannot-compare",
            severity=INFO,
            title="I cannot tell: the two captures have no figure in common",
            confidence=LOW,
            why="what is in the one is not in the other",
            unknown=("whether anything changed",),
            capture=("reclaim", "throttle", "counters"),
        )
    changed = [f"{len(better)} figure{'s' if len(better) != 1 else ''} better" if better else "",
               f"{len(worse)} worse" if worse else "",
               f"{len(gone)} finding{'s' if len(gone) != 1 else ''} gone" if gone else "",
               f"{len(came)} new" if came else ""]  # fmt: skip
    told = [text for text in changed if text]
    title = "after: " + (
        ", ".join(told) if told else "nothing that is compared differs by more than chance may make it"
    )
    detail = ". ".join(
        [f"Gone: {finding.title}" for finding in gone[:2]] + [f"New: {finding.title}" for finding in came[:2]]
        + [f"Still there: {finding.title}" for finding in stayed[:2]]
    )  # fmt: skip
    worst = max((finding.severity for finding in came), key=(INFO, WARNING, ERROR).index, default=INFO)
    return Finding(
        id="changed-worse" if worse or came else "changed-better" if better or gone else "unchanged",
        severity=worst if worst != INFO else WARNING if worse else INFO,
        title=title,
        detail=f"{detail}." if detail else "",
        confidence=MEDIUM if len(differences) >= 3 else LOW,
        why=f"{len(differences)} figures in both; one capture of each, so that less than {CHANGED} times is not told from chance",
        evidence=tuple(line for one in (*worse, *better)[:4] for line in one.evidence),
        is_not=()
        if settings
        else ("a stated setting or kernel that differs: none is stated in both captures, or they are equal",),
        unknown=("whether both ran the same load",),
    )
