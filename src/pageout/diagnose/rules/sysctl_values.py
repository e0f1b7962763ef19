# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings that are legal and odd, that a kernel would refuse, or whose name no kernel has. Odd is not broken.

Source: Linux v6.1 Documentation/admin-guide/sysctl/vm.rst, kernel/sysctl.c:vm_table, mm/page-writeback.c:
domain_dirty_limits; swappiness up to 200 since 5.8, watermark_scale_factor up to 3000 since 5.17.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps

from pageout.diagnose.case import Case, Release, Said
from pageout.diagnose.findings import HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.rules.sysctls import Block, absurd_value, blocks
from pageout.diagnose.words import bytes_text, seconds_text
from pageout.readers.facts import Sysctl
from pageout.readers.sysctl import VM, VM_TOO

Rule = Callable[[Case], Iterator[Finding]]

GIB = 1 << 30
ASSUMED_BYTES = 64 * GIB  # of memory, where the files do not say
DISK = 150e6  # bytes a second that one disk writes
LARGE_LIMIT, LARGE_BACKGROUND = 40, 20  # per cent; the kernel's own are 20 and 10
SHORT_CENTISECS = {
    "dirty_expire_centisecs": (100, 3000),
    "dirty_writeback_centisecs": (50, 500),
}  # below; the kernel's own
MAX_SWAPPINESS, OLD_SWAPPINESS, NEW_SWAPPINESS = 200, 100, (5, 8)
MAX_SCALE, OLD_SCALE, NEW_SCALE = 3000, 1000, (5, 17)
MUCH_PRESSURE = 1000  # ten times the kernel's own
LEAST_FREE_KIB, MUCH_FREE = 1024, 0.1
ALIKE = 0.78  # of two names, by difflib: dirty_centisecs and dirty_expire_centisecs have 0.81
LIMITS = "dirty_bytes", "dirty_ratio", "dirty_background_bytes", "dirty_background_ratio"
_WITH_UNIT = re.compile(r"\"?-?\d{1,19}(?:\.\d{1,9})?\s?(%|[kKmMgGtT]i?[bB]?|[bB]|ms|s|sec|seconds|centisecs|pages)\"?")


def merged(rule: Rule) -> Rule:
    """Return a rule that tells what has one id in one finding: the first names the others."""

    @wraps(rule)
    def told(case: Case) -> Iterator[Finding]:
        found: dict[str, list[Finding]] = {}
        for finding in rule(case):
            found.setdefault(finding.id, []).append(finding)
        for first, *more in found.values():
            also = [title for title in dict.fromkeys(one.title for one in more) if title != first.title]
            yield replace(
                first,
                detail=" ".join([first.detail, *([f"Also: {'; '.join(also)}."] if also else [])]).strip(),
                evidence=tuple(dict.fromkeys(line for one in (first, *more) for line in one.evidence)),
                advice=tuple(dict.fromkeys(line for one in (first, *more) for line in one.advice)),
            )

    return told


@merged
def odd(case: Case) -> Iterator[Finding]:
    """Numbers the kernel takes, and few mean."""
    for block in blocks(case, told=False):
        yield from _large(case, block)
        yield from _short(block)
        yield from _no_limit(block)
        yield from _caches(block)


def _large(case: Case, block: Block) -> Iterator[Finding]:
    """Limits that let so much be dirty that a sync takes minutes."""
    limit, low = block.get("dirty_ratio"), block.get("dirty_background_ratio")
    high = limit is not None and LARGE_LIMIT < limit.number <= 100
    deep = low is not None and LARGE_BACKGROUND < low.number <= 100 and (limit is None or low.number < limit.number)
    if not high and not deep:
        return
    ram = case.counter("meminfo", "MemTotal")
    memory = ram.number * 1024 if ram is not None else ASSUMED_BYTES
    where = f"of {bytes_text(memory)}" + ("" if ram is not None else ", for example,")
    told = []
    for said, what in (
        (low, "the flusher lets {} gather before it writes for their amount"),
        (limit, "writers go on until about {} are dirty"),
    ):
        if said is not None:
            told.append(what.format(bytes_text(memory * said.number / 100)))
    most = max(said.number for said in (limit, low) if said is not None) / 100 * memory
    names = " and ".join(
        f"vm.{name} = {said.number:g}"
        for name, said in (("dirty_ratio", limit), ("dirty_background_ratio", low))
        if said is not None
    )
    yield Finding(
        id="sysctl-large-dirty-limits",
        severity=INFO,
        title=f"{names}: a sync may take {seconds_text(most / DISK)} on a disk of 150 MB/s",
        detail=(
            f"If all {where} were free or page cache: {'; '.join(told)}. A power cut loses what was not written; a sync, an unmount or an fsync "
            "behind the flush waits for much of it. It is legal, and right where bursts must not wait."
        ),
        confidence=MEDIUM,
        why="per cent are of free memory and page cache, not of all memory" + ("" if ram is not None else "; how much memory there is, the files do not say"),
        evidence=(*(said.evidence for said in (limit, low) if said is not None), *((ram.evidence,) if ram is not None else ())),
        unknown=("how fast the devices write", "whether anybody ever has that much dirty"),
        capture=("counters", "throttle"),
        advice=("the kernel's own are 20 and 10; rule of thumb: dirty_bytes for 1 to 3 s of what the slowest device in use writes",),
        weight=most / (64 * GIB),
    )  # fmt: skip


def _short(block: Block) -> Iterator[Finding]:
    """Hundredths of a second that look like seconds."""
    for name, (least, own) in SHORT_CENTISECS.items():
        said = block.get(name)
        if said is None or said.number >= least:
            continue
        what = (
            "everything written is sent to disk almost at once"
            if "expire" in name
            else f"the flusher wakes {100 / said.number:.0f} times a second"
        )
        yield Finding(
            id="sysctl-seconds-meant",
            severity=WARNING,
            title=f"vm.{name} = {said.number:g} is {seconds_text(said.number / 100)}: perhaps seconds were meant",
            detail=f"The unit is 1/100 s. As it stands {what}: short-lived files reach the disk, and pages written again are written twice.",
            confidence=MEDIUM,
            why=f"the kernel's own is {own} ({own / 100:g} s); a number this small is seldom meant",
            evidence=(said.evidence,),
            advice=(f"for {said.number:g} s write vm.{name} = {said.number * 100:g}",),
        )


def _no_limit(block: Block) -> Iterator[Finding]:
    """All zero: none of them says anything, and the limit is no page at all."""
    stated = [block.values[f"vm.{name}"] for name in LIMITS if f"vm.{name}" in block.values]
    whole = [block.values.get(f"vm.{name}") for name in LIMITS[:2]]
    if any(said is None or said.number != 0 for said in whole) or any(said.number != 0 for said in stated):
        return
    yield Finding(
        id="sysctl-no-dirty-memory",
        severity=WARNING,
        title="vm.dirty_bytes and vm.dirty_ratio are both 0: no page may be dirty, so every writer waits",
        detail=(
            "0 does not mean no limit. One of the two must be above 0 to count; with both 0 the kernel's limit is 0 pages "
            "(kernels of 2010 and before took 5 % at the least), and writers are held back from their first dirty pages on."
        ),
        confidence=HIGH,
        why="domain_dirty_limits() takes the ratio where the bytes are 0, and the ratio is 0, too",
        evidence=tuple(said.evidence for said in stated),
        advice=("vm.dirty_ratio = 20 and vm.dirty_background_ratio = 10 are the kernel's own",),
    )  # fmt: skip


def _caches(block: Block) -> Iterator[Finding]:
    said = block.values.get("vm.vfs_cache_pressure")
    if said is None or 0 < said.number <= MUCH_PRESSURE:
        return
    if said.number == 0:
        found = absurd_value(
            "vfs_cache_pressure", said, "dentries and inodes are never reclaimed for want of memory: they can fill it",
            "100 is the kernel's own; 50 keeps more of them and still gives them back",
        )  # fmt: skip
        yield replace(found, id="sysctl-cache-pressure", why="vm.rst: it can lead to out of memory")
    elif said.number > 0:
        found = absurd_value(
            "vfs_cache_pressure", said, f"reclaim looks at {said.number / 100:,.0f} times the dentries and inodes",
            "100 is the kernel's own: what is found again and again, and cannot be freed, costs CPU time and locks",
        )  # fmt: skip
        yield replace(found, id="sysctl-cache-pressure", severity=INFO, confidence=MEDIUM, why="vm.rst warns of it")


# --- out of range ---


@merged
def ranges(case: Case) -> Iterator[Finding]:
    """Numbers the kernel refuses, and reserves that leave nothing to work with."""
    for block in blocks(case, told=False):
        yield from _limited(case, block, "swappiness", MAX_SWAPPINESS, OLD_SWAPPINESS, NEW_SWAPPINESS)
        yield from _limited(case, block, "watermark_scale_factor", MAX_SCALE, OLD_SCALE, NEW_SCALE)
        yield from _reserve(case, block)


def _limited(case: Case, block: Block, name: str, most: int, once: int, since: tuple[int, int]) -> Iterator[Finding]:
    said = block.get(name)
    if said is None or said.number <= once:
        return
    version = ".".join(map(str, since))
    if said.number > most:
        yield _refused(name, said, f"at most {most}; before {version}: {once}")
    elif _older(case.release, since):
        yield _refused(name, said, f"above {once} only since {version}")
    elif case.release is None:
        yield Finding(
            id="sysctl-since",
            severity=INFO,
            title=f"vm.{name} = {said.number:g}: kernels before {version} refuse more than {once}",
            detail="Then the old value stays, and sysctl says so only when it is run.",
            confidence=LOW,
            why="the files do not say which kernel this is",
            evidence=(said.evidence,),
            unknown=("the kernel's version: uname -r",),
            capture=("settings",),
        )


def _refused(name: str, said: Said, why: str) -> Finding:
    found = absurd_value(name, said, "the kernel refuses it, and the old value stays")
    return replace(
        found, id="sysctl-out-of-range", detail=f"What it takes: {why}.", why="the range stands in kernel/sysctl.c"
    )


def _older(release: Release | None, since: tuple[int, int]) -> bool:
    return release is not None and release[:2] < since


def _reserve(case: Case, block: Block) -> Iterator[Finding]:
    said, ram = block.values.get("vm.min_free_kbytes"), case.counter("meminfo", "MemTotal")
    if said is None:
        return
    if said.number < LEAST_FREE_KIB and (ram is None or ram.number > 64 * LEAST_FREE_KIB):
        found = absurd_value(
            "min_free_kbytes", said, "too little for allocations that cannot wait: they fail or deadlock under load",
            "1024 is the least that works; without a line of yours the kernel sets it by the size of memory",
        )  # fmt: skip
        yield replace(found, id="sysctl-reserve", why="vm.rst names 1024 kB as the least")
    elif ram is not None and said.number > MUCH_FREE * ram.number:
        share = 100 * said.number / ram.number
        found = absurd_value(
            "min_free_kbytes", said, f"{bytes_text(said.number * 1024)}, {share:.0f} % of memory, must stay free: the rest is short early",
            "for a kswapd that starts earlier raise vm.watermark_scale_factor instead: this reserve is lost to everybody",
        )  # fmt: skip
        yield replace(found, id="sysctl-reserve", evidence=(said.evidence, ram.evidence))


# --- names and texts ---


@merged
def names(case: Case) -> Iterator[Finding]:
    """Settings no kernel has, and values that are no number."""
    for file, fact in case.facts(Sysctl):
        if fact.how == "said" or not fact.name.startswith("vm."):
            continue
        name = fact.name.removeprefix("vm.")
        if name not in VM and name not in VM_TOO:
            yield from _unknown_name(file, fact, name)
        elif fact.number is None and (unit := _WITH_UNIT.fullmatch(fact.text)):
            yield Finding(
                id="sysctl-not-a-number",
                severity=WARNING,
                title=f"vm.{name} = {fact.text[:20]}: the kernel takes a number alone, so the setting is refused",
                detail=f"`{unit[1]}` is not read. The old value stays.",
                confidence=HIGH,
                why="the text stands there; the kernel's parser stops at it with an error",
                evidence=(Evidence(file, fact.line),),
                advice=(f"write it in the unit of vm.{name}, without a letter or sign",),
            )


def _unknown_name(file: str, fact: Sysctl, name: str) -> Iterator[Finding]:
    near = get_close_matches(name[:60], sorted(VM), 1, ALIKE)
    if not near:
        return
    yield Finding(
        id="sysctl-unknown-name",
        severity=WARNING,
        title=f"vm.{name[:40]}: no such setting is known; the nearest is vm.{near[0]}",
        detail="If the name is misspelt, the line does nothing: sysctl says so when it is run, and at boot hardly anybody sees it.",
        confidence=MEDIUM,
        why="the name is in no kernel pageout knows of; a vendor's kernel may have it",
        evidence=(Evidence(file, fact.line),),
        advice=(
            f"vm.{near[0]} = {fact.text[:20]}, if that is what is meant; what the kernel has: sysctl -a | grep ^vm.",
        ),
    )


RULES: tuple[Rule, ...] = (odd, ranges, names)
