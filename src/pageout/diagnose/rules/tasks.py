# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that do not get on: grouped by what they wait for, with the one that holds up the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.verdict import dirty_limits, not_the_limits
from pageout.diagnose.wait_sites import (
    DEVICE,
    JOURNAL,
    LIMIT,
    LOCK,
    OTHER,
    SYNC,
    UNKNOWN,
    WRITEBACK,
    Site,
    asleep,
    has,
    site_of,
    telling,
)
from pageout.readers.facts import LogLine, TaskStack

BY_CHOICE = ("S", "I", "Z", "X", "R")  # states in which a task waits for nothing of ours
GONE = ("device gone",)
NEAR_S = 3600  # between a device's trouble and a wait it may explain
SILENT_SERVER = "server not responding"
DEVICE_TROUBLE = (
    *GONE, "device timeout", "I/O error", "lost write", "device reset", "journal aborted", "remounted read-only",
    "filesystem shut down", SILENT_SERVER,
)  # fmt: skip
# In these a handle of the journal is open as a rule.
HANDLE_OPEN = (
    r"ext4_(?:xattr_(?:set_handle|delete_inode|block_\w+|ibody_\w+|inode_\w+)|evict_inode|mb_\w+|ext_(?!readpages)\w+|"
    r"mark_inode_dirty|unlink|rmdir|rename2?|create|mkdir|orphan_\w+|add_entry|truncate|da_write_end|write_end|"
    r"initxattrs|dquot_\w+|read_block_bitmap\w*|wait_block_bitmap|writepages)|__ext4_(?:mark_inode_dirty|new_inode|unlink)|"
    r"ocfs2_\w+trans\w*"
)
IN_FAULT = r"(?:\w+_)?page_mkwrite|do_page_mkwrite|do_shared_fault|do_wp_page"


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
        if (stack.state or "D")[:1] in BY_CHOICE or not asleep(stack):
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
        title=f"{_names(found)} {_are(found, 'is', 'are')} put to sleep because its cgroup is above memory.high",
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
    trouble = _trouble(case, found)
    if trouble:
        return _dead_device(case, found, trouble)
    hung = [one for one in found if (one.stack.blocked_s or 0) >= 100]
    return Finding(
        id="dirty-limit-wait",
        severity=ERROR if hung else WARNING,
        title=f"{_names(found)} {_are(found, 'is', 'are')} held back at the dirty limit; whether its device still works, the stack cannot say",
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
            *_dirty_unknown(case),
        ),
        capture=("counters", "device", "log", "throttle"),
        advice=(
            "first look whether the device is there and completes requests (dmesg, /proc/diskstats twice)",
            "raising vm.dirty_bytes moves the wall, and puts more data at risk; a dead device needs removing",
        ),
        weight=len(found),
    )


def _dirty_unknown(case: Case) -> tuple[str, ...]:
    limit = dirty_limits(case).reached is not None
    if case.counter("meminfo", "Dirty") is None and case.counter("vmstat", "nr_dirty") is None:
        return ("how much is dirty" + ("" if limit else ", and against which limit"),)
    return () if limit else ("against which limit the dirty pages count",)


def _dead_device(case: Case, found: Sequence[Waiter], trouble: Sequence[tuple[str, LogLine]]) -> Finding:
    devices = sorted({fact.device for _, fact in trouble if fact.device})
    named = ", ".join(devices[:3]) + (f" and {len(devices) - 3} more" if len(devices) > 3 else "")
    gone = any(fact.topic in GONE for _, fact in trouble)
    silent = all(fact.topic == SILENT_SERVER for _, fact in trouble)
    unclean = any(one.site.waits_for in (WRITEBACK, LIMIT) for one in found)
    waits = "for pages that cannot get clean" if unclean else "behind it"
    return Finding(
        id="device-dead",
        severity=ERROR,
        title=f"{named or 'a device'} {'does not answer' if silent else _trouble_words(gone, len(devices) > 1)}, and {_names(found, 3)} "
        f"{_are(found, 'waits', 'wait')} {waits}",
        detail=(
            f"The log says {_topics(trouble)}. Pages of a device that completes nothing stay dirty; once they fill the "
            "dirty limit, everybody who writes waits, on healthy devices too. No setting of vm.dirty_* ends that."
        ),
        confidence=HIGH if gone or unclean else MEDIUM,
        why="the log names the device's trouble, and the stacks stand where I/O would have to complete",
        evidence=(*(Evidence(file, fact.line) for file, fact in trouble[:4]), *_lines(found)),
        is_not=("a limit set too low: whatever the limit, a dead device fills it",),
        unknown=(
            "how much dirty data belongs to that device",
            "whether every one of these tasks waits for that device",
        ),
        capture=("counters", "device"),
        advice=(
            f"bring the {'server' if silent else 'device'} back, or take it out (unmount lazily, remove it): its dirty data is lost then",
        ),
        weight=len(found) + 100,
        covers=("device-errors",),
    )


def _sync(case: Case, found: Sequence[Waiter]) -> Finding:
    seconds = max((one.stack.blocked_s or 0 for one in found), default=0)
    return Finding(
        id="sync-waits-for-flusher",
        severity=WARNING,
        title=f"{_names(found, 2)} {_are(found, 'waits', 'wait')} until everything dirty is written: the device takes what it takes",
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
        unknown=(
            f"{'' if case.counter('meminfo', 'Dirty') else 'dirty + writeback, and '}the device's rate and request size: when it ends",
            "which device is slow",
        ),
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
    site = by_site[0][0]
    trouble = _trouble(case, found)
    reach = 2 if all(fact.topic == "device reset" for _, fact in trouble) else 4
    if trouble and any(one.site.level <= reach for one in found):
        return _dead_device(case, found, trouble)
    holders = _handle_holders(found)
    if holders:
        site = holders[0].site
    known = site is not UNKNOWN
    hung = any((one.stack.blocked_s or 0) > 0 for one in found)
    told = "; ".join(f"{len(members)} {_where(group, members)} ({_names(members, 3)})" for group, members in by_site)
    return Finding(
        id=f"waits-{site.id}",
        severity=(ERROR if hung else WARNING) if known else WARNING if hung else INFO,
        title=_chain_title(found, by_site, holders),
        detail=f"By what they wait for: {told}.{_longest(found)}{_holder_words(found, by_site, holders)}",
        confidence=MEDIUM if known and len(found) > 1 else LOW,
        why="who waits where stands in the stacks; who holds what is inferred from the order of these places",
        evidence=tuple(one.evidence for _, members in by_site for one in members),
        is_not=not_the_limits(case),
        unknown=_chain_unknown(found, by_site),
        capture=("blocked", "device", "counters"),
        weight=len(found),
    )


def _trouble(case: Case, found: Sequence[Waiter]) -> list[tuple[str, LogLine]]:
    """Return what the log says of devices that fail, without what came hours before or after the waits."""
    stamps = [(one.file, one.stack.stamp_s) for one in found if one.stack.stamp_s is not None]

    def near(file: str, fact: LogLine) -> bool:
        there = [abs(stamp - fact.stamp_s) for name, stamp in stamps if name == file and fact.stamp_s is not None]
        return not there or min(there) <= NEAR_S

    return [(file, fact) for file, fact in case.facts(LogLine) if fact.topic in DEVICE_TROUBLE and near(file, fact)]


def _chain_title(found: Sequence[Waiter], by_site: Sequence[tuple[Site, list[Waiter]]], holders: list[Waiter]) -> str:
    site, bottom = by_site[0]
    blocker = _blocker(found)
    if blocker is not None:
        alone = len(found) == 1
        return f"{_tasks(found)} wait{'s' if alone else ''}; {blocker} likely owns the lock {'it wants' if alone else 'they want'}"
    if holders:
        one = holders[0]
        return f"{_tasks(found)} wait; the journal likely waits for {one.name}, which itself {one.site.label}"
    if len(by_site) == 1:
        return _says(bottom, site)
    if site.waits_for in (LOCK, OTHER):
        return f"{_tasks(found)} wait, none at a device: {_says(bottom, site, 1)}"
    return f"{_tasks(found)} wait; at the bottom {_says(bottom, site, 1)}"


def _handle_holders(found: Sequence[Waiter]) -> list[Waiter]:
    """Return tasks that likely have an open handle of the journal whose commit waits for handles to end."""
    if not any(one.site.id == "commit-updates" for one in found):
        return []
    others = [one for one in found if one.site.waits_for not in (JOURNAL, SYNC)]
    return [one for one in others if has(one.stack.frames, HANDLE_OPEN) is not None]


def _holder_words(found: Sequence[Waiter], by_site: Sequence[tuple[Site, list[Waiter]]], holders: list[Waiter]) -> str:
    site = by_site[0][0]
    ids = {group.id for group, _ in by_site}
    if holders:
        return (
            f" The commit waits until every open handle is closed; {_names(holders)} stand{'s' if len(holders) == 1 else ''} "
            "where a handle is open. Who waits for the journal is a victim."
        )
    if "commit-updates" in ids:
        return (
            " The commit waits until every open handle is closed: a task that has one open is not among these stacks."
        )
    if site.waits_for == DEVICE:
        return _device_words()
    if _blocker(found) is None and all(group.waits_for == LOCK for group, _ in by_site):
        return " Who holds it is not among these stacks: it runs, sleeps elsewhere, or ended without giving it back."
    return ""


def _chain_unknown(found: Sequence[Waiter], by_site: Sequence[tuple[Site, list[Waiter]]]) -> tuple[str, ...]:
    timed = sum(one.stack.blocked_s is not None for one in found)
    others = "how long the others have waited, and " if timed else "how long each has waited, and "
    said = (f"{others if timed < len(found) else ''}whether anything moves",)
    if all(group.waits_for == LOCK for group, _ in by_site):
        return said if _blocker(found) is not None else ("who holds the lock", *said)
    if by_site[0][0] is UNKNOWN:
        return ("what that function waits for: pageout does not know it", *said)
    return said


def _longest(found: Sequence[Waiter]) -> str:
    """Return how long they wait, by the log; "" if it does not say."""
    times = [one.stack.blocked_s for one in found if one.stack.blocked_s]
    return f" The log says over {max(times)} s." if times else ""


def _device_words() -> str:
    return " The ones at the device wait for hardware: if it is slow, all others are slow for that reason."


def _blocker(found: Sequence[Waiter]) -> str | None:
    named = Counter(one.stack.blocker for one in found if one.stack.blocker is not None)
    return f"{named.most_common(1)[0][0][0]}:{named.most_common(1)[0][0][1]}" if named else None


# --- words ---


def _tasks(found: Sequence[Waiter]) -> str:
    return "1 task" if len(found) == 1 else f"{len(found)} tasks"


def _where(site: Site, members: Sequence[Waiter]) -> str:
    """Return a site's label; of the unknown one, the functions its tasks stand in."""
    if site is not UNKNOWN:
        return site.label
    names = list(dict.fromkeys(_function(one) for one in members))
    return f"in {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}, which pageout does not know"


def _function(one: Waiter) -> str:
    return telling(one.stack.frames) or "a function not named"


def _says(found: Sequence[Waiter], site: Site | None, most: int = 3) -> str:
    """Return a sentence of who waits for what, in the right number."""
    site = site or found[0].site
    names, many = _names(found, most), len({one.name for one in found}) > 1
    if site is UNKNOWN:
        return f"{names} {'stand' if many else 'stands'} in {_function(found[0])}; what for, pageout does not know"
    verb, _, rest = site.label.partition(" ")
    if verb in ("waits", "reclaims", "compacts", "sleeps"):
        return f"{names} {verb[:-1] if many else verb} {rest}"
    if verb == "held":
        return f"{names} {'are' if many else 'is'} {site.label}"
    return f"{names}: {site.label}"


def _are(found: Sequence[Waiter], one: str, many: str) -> str:
    return many if len({waiter.name for waiter in found}) > 1 else one


def _names(found: Sequence[Waiter], most: int = 4) -> str:
    names = list(dict.fromkeys(one.name for one in found))
    if len(names) <= most:
        return ", ".join(names)
    shown = max(most - 1, 1)
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"


def _lines(found: Sequence[Waiter]) -> tuple[Evidence, ...]:
    return tuple(one.evidence for one in found)


def _rest(others: Sequence[Waiter]) -> str:
    if not others:
        return ""
    places = Counter(one.site.label for one in others)
    told = ", ".join(f"{count} {label}" for label, count in places.most_common())
    return f"The others are victims: {told}."


def _trouble_words(gone: bool, many: bool) -> str:
    if gone:
        return "are gone or fail" if many else "is gone"
    return "have I/O trouble" if many else "has I/O trouble"


def _topics(trouble: Sequence[tuple[str, LogLine]]) -> str:
    counts = Counter((fact.topic, fact.device) for _, fact in trouble)
    told = [
        f"{topic}{f' on {device}' if device else ''}{f' ({n} times)' if n > 1 else ''}"
        for (topic, device), n in counts.items()
    ]
    return ", ".join(told[:4])


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (blocked,)
