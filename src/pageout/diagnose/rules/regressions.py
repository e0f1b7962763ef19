# SPDX-License-Identifier: GPL-2.0-or-later
"""Known faults of certain kernels: a finding where the symptom shows, surer if the kernel's name is in the range.

A name alone is never a finding. A symptom alone is a weak one, and asks for the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case, parse_release
from pageout.diagnose.findings import ERROR, HIGH, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.known_kernels import KNOWN, Known
from pageout.diagnose.releases import IN, MAYBE, OPEN, OUT, UNSAID, is_vendor
from pageout.diagnose.signatures import Seen
from pageout.diagnose.verdict import dirty_limits

_LESS = {HIGH: MEDIUM, MEDIUM: LOW, LOW: LOW}
_WEIGHT = 0.5  # behind what the general rules say of the same lines


def known_faults(case: Case) -> Iterator[Finding]:
    """One finding for each row whose signature shows and whose range the kernel's name does not rule out."""
    for row in KNOWN:
        name, where = _kernel(case)
        standing = row.span.holds(name) if name else UNSAID
        if standing == OUT or (standing == UNSAID and row.told_by_name):
            continue
        seen = row.signature(case)
        if seen is not None:
            yield _finding(case, row, seen, name, where, standing)


def _kernel(case: Case) -> tuple[str, Evidence | None]:
    """Return the one kernel the files speak of, "" if there is none or there are several releases."""
    if case.release is None:
        return "", None
    return next((name, where) for name, where in case.kernels if parse_release(name) is not None)


def _finding(case: Case, row: Known, seen: Seen, name: str, where: Evidence | None, standing: str) -> Finding:
    confidence = _confidence(row, name, standing)
    verdict = dirty_limits(case)
    severity = WARNING if row.severity == ERROR and confidence == LOW else row.severity
    return Finding(
        id=f"known-{row.id}",
        severity=severity,
        title=f"{_kind(row, name, standing)}: {row.title}",
        detail=f"{_range(row, name, standing)} Seen here: {seen.text}. What it looks like elsewhere: {row.looks}.",
        confidence=confidence,
        why=_why(row, name, standing),
        evidence=tuple(dict.fromkeys((*seen.evidence, *([where] if where is not None else [])))),
        is_not=(verdict.text,) if verdict.reached is False else (),
        unknown=_unknown(row, name, standing),
        capture=row.capture if name else tuple(dict.fromkeys(("settings", *row.capture))),
        advice=(*row.do, f"read {row.source} (looked up {row.looked_up})"),
        weight=_WEIGHT,
    )


def _confidence(row: Known, name: str, standing: str) -> str:
    if standing == IN:
        return _LESS[row.sure] if is_vendor(name) else row.sure
    if standing == OPEN and (row.span.introduced or row.span.fixed):
        known = row.sure if row.span.fixed else _LESS[row.sure]
        return _LESS[known] if is_vendor(name) else known
    return LOW


def _told_by_range(row: Known, standing: str) -> bool:
    return standing == IN or (standing == OPEN and bool(row.span.introduced or row.span.fixed))


def _kind(row: Known, name: str, standing: str) -> str:
    if _told_by_range(row, standing):
        return f"known fault of {name}"
    return "looks like a known fault" if row.span.introduced or row.span.fixed else "looks like what others reported"


def _range(row: Known, name: str, standing: str) -> str:
    """Return which kernels have it, and whether this is one."""
    if not row.span.introduced and not row.span.fixed:
        return f"Reported of {', '.join(row.seen_on)}." if row.seen_on else "Nobody found which kernels have it."
    said = f"Kernels {row.span.words} have it"
    if _told_by_range(row, standing):
        return f"{said}; this one is in the range and shows it."
    if standing == MAYBE:
        return f"{said}; whether this one, {name}, has it or its fix, its name does not tell."
    return f"{said}, if this is one."


def _why(row: Known, name: str, standing: str) -> str:
    said = {
        IN: "both the symptom and the kernel's name fit",
        OPEN: "the symptom fits; one end of the range of kernels is not known, or nobody found the cause",
        MAYBE: "the symptom fits; stable and vendor kernels take over fixes, and faults, without changing the first numbers",
    }.get(standing, "the symptom fits; no line names the kernel, or several kernels are named")
    if name and is_vendor(name):
        said += "; this is a vendor's or a self-built kernel, which may have the fix, or the fault, of another release"
    return said + f". Source: {row.source}"


def _unknown(row: Known, name: str, standing: str) -> tuple[str, ...]:
    missing = [f"whether it is not rather: {other}" for other in row.or_else]
    if not name:
        missing.insert(0, "the kernel's release: uname -r")
    elif standing == MAYBE and row.commit:
        missing.insert(0, f"whether {name} has {row.commit}: its changelog or its vendor says")
    return tuple(missing)


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (known_faults,)
