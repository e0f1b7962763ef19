# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that was read, as the rules ask for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pageout.diagnose.findings import Evidence
from pageout.readers.facts import Fact, KernelVersion, OomReport, Snapshot, Sysctl, Table, TaskStack

if TYPE_CHECKING:
    from pageout.events.tables import Events
    from pageout.readers.read import Input

_F = TypeVar("_F")
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,5}))?(?:-rc(\d{1,3}))?")


class Said(NamedTuple):
    """A number and the line that says it."""

    number: float
    evidence: Evidence


class Release(NamedTuple):
    """A kernel version as numbers: 5.16-rc1 is (5, 16, 0, 1), 5.16 itself (5, 16, 0, 1000)."""

    major: int
    minor: int
    patch: int
    rc: int


@dataclass
class Case:
    """What the rules see: all inputs together, since people post a problem in several files."""

    inputs: Sequence[Input]
    _facts: dict[type, list[tuple[str, Any]]] = field(default_factory=dict, init=False, repr=False)  # asked for before
    _counters: dict[tuple[str, str, bool], Said | None] = field(default_factory=dict, init=False, repr=False)

    def facts(self, kind: type[_F]) -> Iterator[tuple[str, _F]]:
        """Yield (file, fact) of one class, in the order of files and lines."""
        if kind not in self._facts:
            self._facts[kind] = [
                (found.file, fact) for found in self.inputs for fact in found.facts if isinstance(fact, kind)
            ]
        yield from self._facts[kind]

    def traces(self) -> Iterator[tuple[str, Events]]:
        """Yield (file, events) of every input that has events."""
        for found in self.inputs:
            if found.events is not None and len(found.events):
                yield found.file, found.events

    def snapshots(self, source: str) -> list[tuple[str, Snapshot]]:
        """Return (file, snapshot) of one source: "meminfo"; "" in `part` for those without parts."""
        return [(file, fact) for file, fact in self.facts(Snapshot) if fact.source == source]

    def tables(self, source: str) -> list[tuple[str, Table]]:
        """Return (file, table) of one tool."""
        return [(file, fact) for file, fact in self.facts(Table) if fact.source == source]

    def counter(self, source: str, name: str, last: bool = True) -> Said | None:
        """Return a counter of the last (or first) snapshot that has it, None if none has."""
        key = (source, name, last)
        if key not in self._counters:
            found = [
                Said(fact.values[name].number, Evidence(file, fact.values[name].line))
                for file, fact in self.snapshots(source)
                if name in fact.values
            ]
            self._counters[key] = found[-1 if last else 0] if found else None
        return self._counters[key]

    def sysctl(self, name: str) -> Said | None:
        """Return the last stated number of a setting such as `vm.dirty_ratio`."""
        said = [
            Said(fact.number, Evidence(file, fact.line))
            for file, fact in self.facts(Sysctl)
            if fact.name == name and fact.number is not None
        ]
        return said[-1] if said else None

    @cached_property
    def kernels(self) -> tuple[tuple[str, Evidence], ...]:
        """Releases the files speak of, each with its first line."""
        found: dict[str, Evidence] = {}
        for file, fact in self.facts(KernelVersion):
            found.setdefault(fact.release, Evidence(file, fact.line))
        for file, stack in self.facts(TaskStack):
            if stack.kernel:
                found.setdefault(stack.kernel, Evidence(file, stack.line))
        for file, report in self.facts(OomReport):
            if report.kernel:
                found.setdefault(report.kernel, Evidence(file, report.line))
        return tuple(found.items())

    @property
    def release(self) -> Release | None:
        """The kernel's version, None if the files do not say, or speak of several."""
        releases = {parse_release(name) for name, _ in self.kernels} - {None}
        return releases.pop() if len(releases) == 1 else None

    def files(self) -> tuple[str, ...]:
        """Return the names of all inputs."""
        return tuple(found.file for found in self.inputs)


def parse_release(text: str) -> Release | None:
    """Return the numbers of a kernel release, None if there are none in it."""
    match = _RELEASE.search(text)
    if match is None:
        return None
    major, minor, patch, rc = match.groups()
    return Release(int(major), int(minor), int(patch or 0), int(rc) if rc else 1000)


def of_fact(file: str, fact: Fact) -> Evidence:
    """Return the line a fact begins at."""
    return Evidence(file, fact.line)
