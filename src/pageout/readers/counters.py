# SPDX-License-Identifier: GPL-2.0-or-later
"""All readers of /proc, /sys and cgroup files, settings and monitoring tools, behind one door.

They share what a prompt or a heading names, and one cheap look at each line: most lines of a log concern none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pageout.readers.facts import Fact
from pageout.readers.lines import Claim, Line, Recogniser
from pageout.readers.proc import blockdev, cgroup, kernel, memory_stat, named, pressure, slabinfo
from pageout.readers.proc.buddyinfo import Buddyinfo
from pageout.readers.proc.diskstats import Diskstats
from pageout.readers.proc.meminfo import Meminfo
from pageout.readers.proc.vmstat import Vmstat
from pageout.readers.proc.zoneinfo import Zoneinfo
from pageout.readers.sysctl import Sysctls
from pageout.readers.tools import free, iostat, iotop, sar, top, vmstat


def members(shared: named.Named) -> list[named.Reader]:
    """Return one of each, the narrow before the broad: settings in prose come last."""
    proc_vmstat = Vmstat(shared)
    return [
        kernel.KernelText(shared),
        vmstat.VmstatTool(shared),
        vmstat.VmstatSummary(shared),
        iostat.Iostat(shared),
        sar.Sar(shared),
        top.Top(shared),
        iotop.Iotop(shared),
        iotop.Dstat(shared),
        free.Free(shared),
        slabinfo.Slabinfo(shared),
        slabinfo.Slabtop(shared),
        Buddyinfo(shared),
        Zoneinfo(shared),
        Diskstats(shared),
        pressure.Pressure(shared),
        cgroup.CgroupFile(shared),
        memory_stat.MemoryEvents(shared),
        Meminfo(shared),
        blockdev.BdiStats(shared),
        blockdev.PidIo(shared),
        memory_stat.MemoryStat(shared, proc_vmstat),
        proc_vmstat,
        blockdev.Mounts(shared),
        blockdev.Knobs(shared),
        Sysctls(shared),
    ]


def members_of(readers: Sequence[Recogniser]) -> list[Recogniser]:
    """Return recognisers with those who stand behind a door of theirs in its place."""
    found: list[Recogniser] = []
    for reader in readers:
        found += reader.members if isinstance(reader, Counters) else [reader]
    return found


class Counters(Recogniser):
    """Hands each line to the member it belongs to; its kind is that of the member who claimed last."""

    def __init__(self, shared: named.Named) -> None:
        super().__init__()
        self.members = members(shared)
        self._shared = shared
        self._last: named.Reader | None = None

    def take(self, line: Line) -> Claim | None:
        """Ask whoever took the last line first, then all in turn."""
        if "**" in line.text:
            line = _unmarked(line)
        if self._shared.look(line) is None:
            return None
        last = self._last
        if last is not None:
            claim = last.take(line)
            if claim is not None:
                return claim
            last.gap(line.number)
            self._last = None
        for member in self.members:
            claim = None if member is last else member.take(line)
            if claim is not None:
                self._last, self.kind = member, member.kind
                return claim
        return None

    def gap(self, number: int) -> None:
        """Lines before this number are somebody else's."""
        if self._last is not None:
            self._last.gap(number)
            self._last = None

    def facts(self) -> Sequence[Fact]:
        """Return what all of them found."""
        return [fact for member in self.members for fact in member.facts()]


def _unmarked(line: Line) -> Line:
    """Return a line without the marks that print it bold: `**HugePages_Free:    11904**`, or one end of them."""
    text = line.text.strip()
    begins, ends = text.startswith("**") and text[2:3].isalpha(), text.endswith("**") and text[-3:-2].isalnum()
    if not begins and not ends:
        return line
    return line._replace(text=text[2 if begins else 0 : -2 if ends else None])
