# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was read to ranked findings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import islice

from pageout.diagnose.capture import is_answered
from pageout.diagnose.case import Case
from pageout.diagnose.findings import INFO, LOW, Evidence, Finding, ranked
from pageout.diagnose.given import still_unknown
from pageout.diagnose.quiet import RULES as LAST
from pageout.diagnose.verdict import not_the_limits
from pageout.readers.facts import TaskStack
from pageout.readers.read import Input, fetch_texts

LOG_LINES, ODD_SHOWN = 200_000, 4
_TROUBLE = re.compile(
    r"\b(?:errors?\b(?!=)|fail(?:ed|ure|s)\b|bugs?:|warning:|oops|panic\b(?!=)|call trace|timed out|time-?out\b|resetting|corrupt"
    r"|hung|stall|lockup|blocked for|exception|frozen|will reset|remounting|read-only|offline|abort|not responding"
    r"|deadlock|segfault|hogged|controller is down)",
    re.IGNORECASE,
)
LOG_KINDS = {"kernel log", "kernel version"}
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
    """Yield findings without the captures whose question a trace answers already, and what the files do answer."""
    have = {name for _, events in case.traces() for name in events.frames}
    for finding in found:
        wanted = tuple(name for name in finding.capture if not is_answered(name, have))
        yield replace(finding, capture=wanted, unknown=still_unknown(case, finding.unknown))


def _is_log(case: Case) -> bool:
    """Say whether all there is are lines of a kernel's log, without a stack, a counter or a setting among them."""
    kinds = {kind for found in case.inputs for kind in found.account.kinds}
    return "kernel log" in kinds and kinds <= LOG_KINDS and not any(case.facts(TaskStack))


def _odd_lines(case: Case) -> tuple[Evidence, ...]:
    """Return the first lines of logs that may speak of trouble, which no rule has a word for."""
    logs = (found for found in case.inputs if "kernel log" in found.account.kinds)
    lines = ((found.file, number, found.texts[number]) for found in logs for number in islice(found.texts, LOG_LINES))
    odd = (Evidence(file, number, text) for file, number, text in lines if _TROUBLE.search(text[:1000]))
    return tuple(islice(odd, ODD_SHOWN))


def _nothing(case: Case) -> Finding:
    odd = _odd_lines(case)
    if _is_log(case) and not odd and all(found.account.lines <= LOG_LINES for found in case.inputs):
        return Finding(
            id="log-quiet",
            severity=INFO,
            title="nothing in this log speaks of trouble with memory or writeback",
            detail="Of what a log tells of them (tasks hung for two minutes, failed allocations, kills, failing devices) "
            "none was found. It says nothing of waits that are shorter.",
            confidence=LOW,
            why="a log begins at boot, or where its buffer was overwritten: what is not in it may have been",
            is_not=not_the_limits(case),
            unknown=("who waits for what, and for how long: record while it is slow (pageout record)",),
            capture=("blocked", "throttle", "reclaim"),
        )
    kinds = ", ".join(sorted({found.kind for found in case.inputs}))
    return Finding(
        id="cannot-tell",
        severity=INFO,
        title="I cannot tell what is wrong from these files",
        detail=f"They were read as {kinds}; nothing in them points to a cause pageout knows."
        + (" Lines that may speak of trouble are below." if odd else ""),
        confidence=LOW,
        why="no rule found anything to conclude from",
        evidence=odd,
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
