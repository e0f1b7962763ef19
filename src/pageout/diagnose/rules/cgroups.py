# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup's own files, of both versions: held back, at its limit, killed in, full of dirty pages, or well.

Source: Linux v6.1 mm/memcontrol.c:memory_stat_format, memory_events; Documentation/admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from pageout.diagnose.case import Case, Said
from pageout.diagnose.findings import ERROR, HIGH, INFO, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.words import bytes_text, percent
from pageout.readers.facts import Value

CURRENT = ("memory.current", "memory.usage_in_bytes")
LIMITS = ("memory.max", "memory.limit_in_bytes", "memory.high", "hierarchical_memory_limit")
NO_LIMIT = float(1 << 60)  # version 1 prints 2^63 less a page for none
AT_LIMIT = 0.95
MUCH_DIRTY = 0.2


class Group(NamedTuple):
    """What the files of one cgroup say together, in bytes; the last snapshot of each."""

    place: str
    said: Mapping[str, Said]

    def get(self, *names: str) -> Said | None:
        """Return the first of some values that is stated."""
        return next((self.said[name] for name in names if name in self.said), None)

    @property
    def name(self) -> str:
        """The cgroup as a finding calls it."""
        return f"cgroup {self.place}" if self.place.strip("/") else "the cgroup"

    def limit(self) -> Said | None:
        """Return the lowest limit there is."""
        stated = [self.said[name] for name in LIMITS if name in self.said and 0 < self.said[name].number < NO_LIMIT]
        return min(stated, key=lambda one: one.number, default=None)


def groups(case: Case) -> list[Group]:
    """Return the cgroups whose memory files were given. Totals of version 1 count its children in: they go first."""
    found: dict[tuple[str, str], dict[str, Said]] = {}
    for source in ("memory.stat", "memory.events", "memory.events.local", "memory.failcnt", *CURRENT, *LIMITS):
        for file, one in case.snapshots(source):
            known = found.setdefault((file, one.place), {})
            for name, value in _named(source, one.values).items():
                known[name] = Said(value.number, Evidence(file, value.line))
    return [Group(place, said) for (_, place), said in found.items() if said]


def _named(source: str, values: Mapping[str, Value]) -> dict[str, Value]:
    if source.startswith("memory.events"):
        return {f"events {name}": value for name, value in values.items()}
    if source != "memory.stat":
        return dict(values)
    whole = {name.removeprefix("total_"): value for name, value in values.items() if name.startswith("total_")}
    return {**{name: value for name, value in values.items() if not name.startswith("total_")}, **whole}


def events(case: Case) -> Iterator[Finding]:
    """Kills, and how often a limit was met."""
    for group in groups(case):
        kills, high, most = (group.get(f"events {name}") for name in ("oom_kill", "high", "max"))
        if kills is not None and kills.number > 0:
            yield _killed(group, kills)
        if high is not None and high.number > 0:
            yield _held_back(high, most)
        fails = most if most is not None and most.number > 0 else group.get("memory.failcnt", "failcnt")
        if fails is not None and fails.number > 0 and not (kills is not None and kills.number > 0):
            yield _at_limit(group, fails)


def _killed(group: Group, kills: Said) -> Finding:
    return Finding(
        id="memcg-oom-kills",
        severity=ERROR,
        title=f"{kills.number:,.0f} task{'s' if kills.number > 1 else ''} of {group.name} were killed for want of memory since it was made",
        detail="Reclaim inside the cgroup found nothing more to take below memory.max." + _holds(group),
        confidence=HIGH,
        why="oom_kill of memory.events, a total since the cgroup was made: it need not have been today",
        evidence=(kills.evidence, *_stat_lines(group)),
        unknown=("when, and what the cgroup held then: the kernel log has the report",),
        capture=("log", "cgroup"),
        weight=1.0,
    )


def _held_back(high: Said, limit: Said | None) -> Finding:
    return Finding(
        id="memory-high-events",
        severity=WARNING,
        title=f"the cgroup went over memory.high {high.number:,.0f} times: its tasks are put to sleep for it",
        detail="Each time tasks reclaim for the cgroup and sleep, up to 2 s, before they go on.",
        confidence=MEDIUM,
        why="a total since the cgroup was made",
        evidence=(high.evidence, *((limit.evidence,) if limit is not None else ())),
        unknown=("how long the tasks slept (memory.pressure)", "what the cgroup holds (memory.stat)"),
        capture=("cgroup",),
        advice=("raise memory.high, or give its tasks less to hold",),
        weight=0.5,
    )


def _at_limit(group: Group, fails: Said) -> Finding:
    anon, cache = group.get("anon", "rss"), group.get("file", "cache")
    limit = group.limit()
    easy = anon is not None and cache is not None and cache.number > anon.number
    return Finding(
        id="memcg-at-limit",
        severity=INFO if easy else WARNING,
        title=f"{group.name} met its memory limit {fails.number:,.0f} times since it was made"
        + (": its page cache fills it" if easy else ""),
        detail=(
            "Each time it reclaimed its own pages before it went on. Page cache fills any cgroup up to its limit, and clean cache is given "
            "back at once: that alone is normal."
            if easy
            else "Each time its tasks reclaimed for themselves; kswapd does not work for cgroups. Where most is anonymous, they swap or die."
        ) + _holds(group),
        confidence=MEDIUM,
        why="a total since the cgroup was made",
        evidence=(fails.evidence, *((limit.evidence,) if limit is not None else ()), *_stat_lines(group)),
        unknown=("how long its tasks waited for it: memory.pressure (version 2 only)",),
        capture=("cgroup",),
        weight=0.4,
    )  # fmt: skip


def _holds(group: Group) -> str:
    anon, cache, shmem = group.get("anon", "rss"), group.get("file", "cache"), group.get("shmem")
    said = [f"{bytes_text(one.number)} {what}" for one, what in ((anon, "anonymous"), (cache, "page cache"), (shmem, "of that shared memory or tmpfs")) if one is not None and one.number > 0]  # fmt: skip
    return f" It holds {', '.join(said)}." if said else ""


def _stat_lines(group: Group) -> tuple[Evidence, ...]:
    found = (group.get("anon", "rss"), group.get("file", "cache"))
    return tuple(one.evidence for one in found if one is not None)


def levels(case: Case) -> Iterator[Finding]:
    """How full it is, and of what."""
    for group in groups(case):
        dirty, cache = group.get("file_dirty", "dirty"), group.get("file", "cache")
        limit, used = group.limit(), group.get(*CURRENT)
        if dirty is not None and cache is not None:
            whole = limit.number if limit is not None else cache.number
            if dirty.number > MUCH_DIRTY * whole and dirty.number > 8 << 20:
                yield _dirty(group, dirty, limit or cache)
                continue
        if used is not None and limit is not None:
            yield _fill(group, used, limit)
        elif dirty is not None and cache is not None and group.get("events high") is None:
            yield _healthy(group, cache, dirty)


def _dirty(group: Group, dirty: Said, whole: Said) -> Finding:
    return Finding(
        id="memcg-dirty",
        severity=WARNING,
        title=f"{bytes_text(dirty.number)} of the cgroup's {bytes_text(whole.number)} are dirty",
        detail="Reclaim for this cgroup meets dirty pages, which it can only wait for.",
        confidence=MEDIUM,
        why="a level at one moment",
        evidence=(dirty.evidence, whole.evidence),
        unknown=("the cgroup's limit",) if group.limit() is None else (),
        capture=("cgroup", "throttle"),
        advice=("a lower vm.dirty_bytes, or a higher memory.high: writers are then held back before reclaim is",),
        weight=dirty.number / max(whole.number, 1),
    )


def _fill(group: Group, used: Said, limit: Said) -> Finding:
    anon, cache = group.get("anon", "rss"), group.get("file", "cache")
    full = used.number >= AT_LIMIT * limit.number
    shmem = group.get("shmem")
    stuck = (anon.number if anon is not None else 0.0) + (shmem.number if shmem is not None else 0.0)
    tight = full and anon is not None and stuck >= 0.9 * limit.number
    easy = full and cache is not None and anon is not None and not tight
    told = "nearly all of it anonymous" if tight else "much of it page cache, which gives way" if easy else ""
    return Finding(
        id="memcg-full" if full else "memcg-roomy",
        severity=WARNING if tight else INFO,
        title=f"{group.name} uses {bytes_text(used.number)} of {bytes_text(limit.number)} ({percent(used.number, limit.number)})"
        + (f", {told}" if told else ""),
        detail=("At the limit every page it wants must first be taken from itself." if full else "It is not at its limit now.") + _holds(group),
        confidence=MEDIUM,
        why="a level at one moment" + ("" if anon is not None or not full else "; what it holds (memory.stat) is not in the files"),
        evidence=(used.evidence, limit.evidence, *_stat_lines(group)),
        is_not=() if full else (f"this cgroup's memory limit, at this moment ({used.evidence.file}:{used.evidence.line})",),
        unknown=("whether it met the limit before: memory.events, or memory.failcnt of version 1",),
        capture=("cgroup",),
        weight=0.2 if full else 0.0,
    )  # fmt: skip


def _healthy(group: Group, cache: Said, dirty: Said) -> Finding:
    return Finding(
        id="memcg-healthy",
        severity=INFO,
        title=f"the cgroup holds {bytes_text(cache.number)} of page cache, {bytes_text(dirty.number)} of it dirty: "
        "nothing here is stuck",
        detail="Clean cache is given back at once when it is needed.",
        confidence=MEDIUM,
        why="a level at one moment, without the cgroup's limits and events",
        evidence=(cache.evidence, dirty.evidence),
        is_not=(
            (
                f"dirty pages: {percent(dirty.number, cache.number)} of the cache "
                f"({dirty.evidence.file}:{dirty.evidence.line})"
            ),
        )
        if cache.number
        else (),
        unknown=("memory.high, memory.max and memory.events: whether it was ever held back",),
        capture=("cgroup",),
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (events, levels)
