# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was read to ranked findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module

from pageout.diagnose.capture import events_of
from pageout.diagnose.case import Case
from pageout.diagnose.findings import INFO, LOW, Evidence, Finding, ranked
from pageout.diagnose.given import still_unknown
from pageout.diagnose.quiet import RULES as LAST
from pageout.diagnose.verdict import not_the_limits
from pageout.readers.read import Input, fetch_texts

Rule = Callable[[Case], Iterable[Finding]]

# Modules of rules; each has RULES. Which comes first does not matter: findings are ranked.
ROOMS = (
    "sysctls",
    "sysctl_values",
    "tasks",
    "on_cpu",
    "crash",
    "alloc_failure",
    "stack_shapes",
    "oom",
    "io_path_memory",
    "counters",
    "pressure",
    "memory",
    "dirty_levels",
    "cgroups",
    "rates",
    "series",
    "stacks",
    "monitors",
    "trace_reclaim",
    "trace_reclaim_writes",
    "trace_limits_until_3_1",
    "trace_throttle",
    "trace_block",
    "regressions",
)


@dataclass(frozen=True)
class Answer:
    """Findings, the most important first, and what was read."""

    findings: tuple[Finding, ...]
    case: Case


def rules() -> tuple[Rule, ...]:
    """Return every rule there is."""
    return tuple(rule for room in ROOMS for rule in import_module(f"pageout.diagnose.rules.{room}").RULES)


def explain(inputs: list[Input]) -> Answer:
    """Return what the inputs say together. There is always a finding, if only that nothing can be told."""
    case = Case(inputs)
    found = ranked([finding for rule in rules() for finding in rule(case)])
    if not found:
        found = ranked([finding for rule in LAST for finding in rule(case)])
    if not found:
        found = [_nothing(case)]
    return Answer(tuple(_asking(with_texts(found, inputs), case)), case)


def _asking(found: list[Finding], case: Case) -> Iterator[Finding]:
    """Yield findings without the captures whose every event a trace has already, and what the files do answer."""
    have = {name for _, events in case.traces() for name in events.frames}
    for finding in found:
        wanted = tuple(name for name in finding.capture if not (events_of(name) and events_of(name) <= have))
        yield replace(finding, capture=wanted, unknown=still_unknown(case, finding.unknown))


def _nothing(case: Case) -> Finding:
    kinds = ", ".join(sorted({found.kind for found in case.inputs}))
    return Finding(
        id="cannot-tell",
        severity=INFO,
        title="I cannot tell what is wrong from these files",
        detail=f"They were read as {kinds}; nothing in them points to a cause pageout knows.",
        confidence=LOW,
        why="no rule found anything to conclude from",
        is_not=not_the_limits(case),
        unknown=("who waits for what, and for how long",),
        capture=("blocked", "throttle", "reclaim"),
    )


def with_texts(findings: list[Finding], inputs: list[Input]) -> list[Finding]:
    """Fill the text of every line of evidence from its file."""
    by_file = {found.file: found for found in inputs}
    wanted: dict[str, set[int]] = {}
    for finding in findings:
        for evidence in finding.evidence:
            wanted.setdefault(evidence.file, set()).add(evidence.line)
    texts = {file: fetch_texts(by_file[file], lines) for file, lines in wanted.items() if file in by_file}

    def told(evidence: Evidence) -> Evidence:
        return evidence._replace(text=texts.get(evidence.file, {}).get(evidence.line, evidence.text))

    return [replace(finding, evidence=tuple(map(told, finding.evidence))) for finding in findings]
