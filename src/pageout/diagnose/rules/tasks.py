# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that do not get on: grouped by what they wait for, with the one that holds up the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.wait_sites import DEVICE, JOURNAL, UNKNOWN, Site, has, site_of
from pageout.readers.facts import LogLine, TaskStack

ASLEEP = ("S", "I", "Z", "X", "R")  # states in which a task waits for nothing of ours
DEVICE_TROUBLE = ("device gone", "device timeout", "I/O error", "device reset", "journal aborted", "remount read-only")
IN_FAULT = r"(?:\w+_)?page_mkwrite|do_page_mkwrite|do_shared_fault|do_wp_page"
WRITES_PAGES = r"write_cache_pages|writeback_iter|\w+_writepages|writeback_single_inode|__writeback_single_inode"


class Waiter(NamedTuple):
    """A task, where it waits, and the line that tells."""

    file: str
    stack: TaskStack
    site: Site
    evidence: Evidence

    @property
    def name(self) -> str:
        """Return the task as the log names it."""
        if self.stack.comm is None:
            return "a task"
        return self.stack.comm + (f":{self.stack.pid}" if self.stack.pid is not None else "")


def waiters(case: Case) -> list[Waiter]:
    """Return the tasks that wait, each once: a task reported again is still waiting."""
    found: dict[tuple[str, object], Waiter] = {}
    for file, stack in case.facts(TaskStack):
        if not stack.frames or (stack.state or "D")[:1] in ASLEEP:
            continue
        site, frame = site_of(stack.frames)
        line = frame.line if frame is not None else stack.line
        key = (file, stack.pid if stack.pid is not None else stack.line)
        found[key] = Waiter(file, stack, site, Evidence(file, line))
    return list(found.values())


def groups(found: Sequence[Waiter]) -> list[tuple[Site, list[Waiter]]]:
    """Return waiters by site, the site nearest to the hardware first."""
    sites: dict[str, list[Waiter]] = {}
    for waiter in found:
        sites.setdefault(waiter.site.id, []).append(waiter)
    return sorted(
        ((members[0].site, members) for members in sites.values()), key=lambda group: (group[0].level, -len(group[1]))
    )


def blocked(case: Case) -> Iterator[Finding]:
    """One finding for all that wait together: who waits for whom."""
    found = waiters(case)
    if not found:
        return
    special = _circle(case, found) or _one_site(case, found)
    yield special if special is not None else _chain(case, found)


# --- a circle ---


def _circle(case: Case, found: Sequence[Waiter]) -> Finding | None:
    """The journal's commit waits for a page whose holder waits for the journal: nobody will ever get on."""
    commits = [one for one in found if one.site.id == "commit-page"]
    holders = [one for one in found if one.site.waits_for == JOURNAL and has(one.stack.frames, IN_FAULT)]
    if not commits or not holders:
        return None
    commit = commits[0]
    others = [one for one in found if one not in holders and one not in commits]
    kernels = ", ".join(name for name, _ in case.kernels) or "this kernel"
    return Finding(
        id="journal-page-deadlock",
        severity=ERROR,
        title=f"{commit.name} commits the journal and waits for a page; the page's likely holders wait for the journal",
        detail=(
            f"{len(holders)} of {len(found)} waiting tasks stand in a write fault ({_names(holders)}): they hold a "
            f"page of a file locked or in use and wait for the journal. The journal's thread waits for a page of file "
            f"data before it can commit. That is a circle, not a slow disk. {_rest(others)}"
        ).strip(),
        confidence=MEDIUM,
        why="both ends stand in the stacks; that it is the same page, no stack can say",
        evidence=tuple(one.evidence for one in (*commits, *holders, *others)),
        is_not=not_the_limits(case),
        unknown=("which page it is, and who has it locked", "whether requests are still in flight to the device"),
        capture=("blocked", "device"),
        advice=(f"a deadlock inside the filesystem is a kernel fault: search for it by {kernels}, and report it",),
        weight=len(found),
    )


# --- all at one place ---


def _one_site(case: Case, found: Sequence[Waiter]) -> Finding | None:
    """Everybody waits at one place that has a meaning of its own."""
    sites = {one.site.id for one in found}
    if len(sites) != 1:
        return None
    make = _SINGLE.get(sites.pop())
    return make(case, found) if make is not None else None


def _teardown(case: Case, found: Sequence[Waiter]) -> Finding:
    seconds = max((one.stack.blocked_s or 0 for one in found), default=0)
    return Finding(
        id="cgroup-teardown-writeback",
        severity=INFO,
        title="a dead cgroup is waiting for its last pages to be written: it holds up nobody else",
        detail=(
            f"{_names(found)} frees a memory cgroup that is gone and waits until writeback that was charged to it is "
            f"done{f', for {seconds} s by now' if seconds else ''}. The hung-task detector counts it, no user waits "
            "for it. It takes long because that writeback queues behind everything else on its device."
        ),
        confidence=MEDIUM,
        why="only the worker that frees cgroups is in the log; a task that somebody misses would be there too",
        evidence=_lines(found),
        is_not=(
            "a stall of the tasks that write: none of them is in this log",
            *not_the_limits(case),
        ),
        unknown=("why that writeback takes so long: its device's queue and bandwidth",),
        capture=("device", "throttle"),
        weight=0.0,
    )


def _memory_high(case: Case, found: Sequence[Waiter]) -> Finding:
    return Finding(
        id="memory-high-throttle",
        severity=WARNING,
        title=f"{_names(found)} is put to sleep because its cgroup is above memory.high",
        detail=(
            "The task sleeps on its way back to user space, up to 2 s a time, longer the further the cgroup is above "
            "memory.high. Neither a disk nor the machine's free memory has to be short for this."
        ),
        confidence=HIGH,
        why="mem_cgroup_handle_over_high is on the stack as a certain frame",
        evidence=_lines(found),
        is_not=not_the_limits(case),
        unknown=("which cgroup it is, how far above memory.high, and what it holds (page cache or memory of tasks)",),
        capture=("cgroup",),
        advice=("raise memory.high of that cgroup, or find what fills it; vm.dirty_* do not change this",),
        weight=len(found),
    )


def _dirty_limit(case: Case, found: Sequence[Waiter]) -> Finding:
    trouble = [(file, fact) for file, fact in case.facts(LogLine) if fact.topic in DEVICE_TROUBLE]
    if trouble:
        return _dead_device(case, found, trouble)
    hung = [one for one in found if (one.stack.blocked_s or 0) >= 100]
    return Finding(
        id="dirty-limit-wait",
        severity=ERROR if hung else WARNING,
        title=f"{_names(found)} is held back at the dirty limit; whether its device still works, the stack cannot say",
        detail=(
            "A pause in balance_dirty_pages is 200 ms at most: a task found there again and again is over the hard "
            "limit, because pages do not get clean. Either the device is slow, or it no longer completes anything "
            "(unplugged, dead, a server that is gone): then nothing ever gets clean, and no dirty limit helps."
        ),
        confidence=MEDIUM if hung else LOW,
        why=f"{len(found)} stack{'s' if len(found) > 1 else ''}, a moment: "
        + ("the hung-task detector saw it stand still" if hung else "nothing says for how long, or on which device"),
        evidence=_lines(found),
        unknown=(
            "whether the device is slow, dead or gone: does writeback go down, do requests complete?",
            "how much is dirty, and against which limit",
        ),
        capture=("counters", "device", "log", "throttle"),
        advice=(
            "first look whether the device is there and completes requests (dmesg, /proc/diskstats twice)",
            "raising vm.dirty_bytes moves the wall, and puts more data at risk; a dead device needs removing",
        ),
        weight=len(found),
    )


def _dead_device(case: Case, found: Sequence[Waiter], trouble: Sequence[tuple[str, LogLine]]) -> Finding:
    devices = sorted({fact.device for _, fact in trouble if fact.device})
    return Finding(
        id="device-dead",
        severity=ERROR,
        title=f"{', '.join(devices) or 'a device'} fails, and {_names(found)} waits for pages that cannot get clean",
        detail=(
            f"The log says {_topics(trouble)}. Pages of a device that completes nothing stay dirty; once they fill the "
            "dirty limit, everybody who writes waits, on healthy devices too. No setting of vm.dirty_* ends that."
        ),
        confidence=HIGH,
        why="the log names the device's trouble, and the stacks stand where pages would have to get clean",
        evidence=(*(Evidence(file, fact.line) for file, fact in trouble[:4]), *_lines(found)),
        is_not=("a limit set too low: whatever the limit, a dead device fills it",),
        unknown=("how much dirty data belongs to that device",),
        capture=("counters", "device"),
        advice=("bring the device back, or take it out (unmount lazily, remove it): its dirty data is lost then",),
        weight=len(found) + 100,
        covers=("device-errors",),
    )


def _sync(case: Case, found: Sequence[Waiter]) -> Finding:
    seconds = max((one.stack.blocked_s or 0 for one in found), default=0)
    return Finding(
        id="sync-waits-for-flusher",
        severity=WARNING,
        title=f"{_names(found)} waits until everything dirty is written: the device takes what it takes",
        detail=(
            f"sync queues all dirty data with the flushers and waits{f', over {seconds} s here' if seconds else ''}. "
            "How long that takes is dirty + writeback over what the device writes a second. If the rate is a small "
            "part of what the device can do, the requests are small or scattered: the filesystem's allocator or random "
            "writes, not the limits."
        ),
        confidence=MEDIUM,
        why="the stack says what is waited for, not how fast it goes",
        evidence=_lines(found),
        is_not=not_the_limits(case),
        unknown=("dirty + writeback, and the device's rate and request size: when it ends", "which device is slow"),
        capture=("counters", "device", "block"),
        advice=(
            "watch Dirty and Writeback in /proc/meminfo: (Dirty + Writeback) / (their fall a second) is the time left",
        ),
        weight=len(found),
    )


_SINGLE: dict[str, Callable[[Case, Sequence[Waiter]], Finding]] = {
    "cgroup-teardown": _teardown,
    "memory-high": _memory_high,
    "dirty-limit": _dirty_limit,
    "sync": _sync,
}


# --- many places ---


def _chain(case: Case, found: Sequence[Waiter]) -> Finding:
    """Tasks at several places: those nearest to the hardware hold up the others."""
    by_site = groups(found)
    site, bottom = by_site[0]
    trouble = [(file, fact) for file, fact in case.facts(LogLine) if fact.topic in DEVICE_TROUBLE]
    if trouble and any(one.site.level <= 2 for one in found):
        return _dead_device(case, found, trouble)
    blocker = _blocker(found)
    told = "; ".join(f"{len(members)} {group.label} ({_names(members, 3)})" for group, members in by_site)
    known = site is not UNKNOWN
    if blocker is not None:
        title = f"{len(found)} task(s) wait; {blocker[0]} likely owns the lock they want"
    elif len(by_site) == 1:
        title = f"{_names(found)} {site.label}" if known else f"{_names(found)} waits, for what its stack does not tell"
    else:
        title = f"{len(found)} tasks wait; at the bottom {_names(bottom)}: {site.label}"
    severity = ERROR if any((one.stack.blocked_s or 0) > 0 for one in found) else WARNING
    return Finding(
        id=f"waits-{site.id}",
        severity=severity if known else INFO,
        title=title,
        detail=f"By what they wait for: {told}." + (_device_words() if site.waits_for == DEVICE else ""),
        confidence=MEDIUM if known and len(found) > 1 else LOW,
        why="who waits where stands in the stacks; who holds what is inferred from the order of these places",
        evidence=tuple(one.evidence for _, members in by_site for one in members),
        is_not=not_the_limits(case),
        unknown=("how long each has waited, and whether anything moves",),
        capture=("blocked", "device", "counters"),
        weight=len(found),
    )


def _device_words() -> str:
    return " The ones at the device wait for hardware: if it is slow, all others are slow for that reason."


def _blocker(found: Sequence[Waiter]) -> tuple[str, int] | None:
    named = Counter(one.stack.blocker for one in found if one.stack.blocker is not None)
    return named.most_common(1)[0][0] if named else None


# --- words ---


def _names(found: Sequence[Waiter], most: int = 4) -> str:
    names = list(dict.fromkeys(one.name for one in found))
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _lines(found: Sequence[Waiter]) -> tuple[Evidence, ...]:
    return tuple(one.evidence for one in found)


def _rest(others: Sequence[Waiter]) -> str:
    if not others:
        return ""
    places = Counter(one.site.label for one in others)
    told = ", ".join(f"{count} {label}" for label, count in places.most_common())
    return f"The others are victims: {told}."


def _topics(trouble: Sequence[tuple[str, LogLine]]) -> str:
    counts = Counter((fact.topic, fact.device) for _, fact in trouble)
    told = [
        f"{topic}{f' on {device}' if device else ''}{f' ({n} times)' if n > 1 else ''}"
        for (topic, device), n in counts.items()
    ]
    return ", ".join(told[:4])


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (blocked,)
