# SPDX-License-Identifier: GPL-2.0-or-later
"""What all readers of counters know together: which file or command a line belongs to, and which lines to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pageout.readers.lines import Claim, Line, Recogniser

MAX_TEXT = 4096  # no line of these files is longer
GAP = 3  # foreign lines that end a snapshot; fewer are somebody's remark in the middle of it
NEAR = 8  # lines after one of theirs that all of them look at


def names(text: str) -> frozenset[str]:
    """Return the words of a text: a table of names."""
    return frozenset(text.split())


# What a first line of any of them looks like. Most lines of a log do not, and are left without asking anybody.
_BEGINS = re.compile(
    r"[A-Z]\w{1,40}(?:\([a-z]{1,12}\))?(?::|\s{0,8}=)?\s{0,80}(?:\d|$)"
    r"|[\w./-]{1,400}[\s:=]{1,80}\d[\d,]{0,30}$|Node|Page|Free pages|"
    r"Number of|Linux |BOOT_IMAGE|Every |procs|[-=*]{1,40}[a-z/> ]|\*\*\*|top - "
    r"|total |NAME|avg-cpu|Device|Average|Summary|slabinfo|"
    r"[#+;$]|OBJS|Active /|Minimum /|r\s{1,8}b\s|\d\d:\d\d:\d\d|\d{1,4}\s{1,8}\d"
    r"|\d{1,20}\s{1,4}(?:[KMkmB] )?[a-zA-Z]|\d{1,4}:\d{1,7} |"
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? |\d{4}-\d\d-\d\d|some |full |low \d|"
    r"(?:meminfo|vmstat|zoneinfo|buddyinfo|pagetypeinfo|"
    r"diskstats|slabinfo|memory\.|io\.|cpu\.|cat |grep |head |tail |sar |iostat |top |free |slabtop|sysctl|dstat |"
    r"pidstat |mpstat |iotop|watch |cd |uname |lsblk|mount )|\S{1,80}\s{1,40}(?:\d{1,20}\s{1,20}){5}: tunables"
)
_HOLDS = (
    "/proc/", "/sys/", "cgroup", "vm.", "vm/", "# ", "$ ", "% ", "]#", "]$", "> ", "==>", "B/s", "/s ", " type ",
    " rw,", " ro,", " rw ", " ro ",
    "N0=", "root=", "console=", "PID", "DISK", "%util", "sysctl", "queue/", "kernel.", "memory.", "io.stat:",
    "LINUX RESTART",
)  # fmt: skip
_SETTING = re.compile(r"-?(?:abi|crypto|debug|dev|fs|fscache|kernel|net|sunrpc|user|xen)[./]\w")


def may_begin(text: str) -> bool:
    """Whether a line may be the first of any of these files, tables and settings. Much faster than asking them all."""
    return _BEGINS.match(text) is not None or any(mark in text for mark in _HOLDS) or _SETTING.match(text) is not None


@dataclass
class Named:
    """What a command or a heading said of the lines after it. Shared by all families of one input."""

    paths: tuple[str, ...] = ()
    command: str = ""
    folder: str = ""  # of the last `cd`
    said: int = -1  # the line that said so
    last: int = -(1 << 30)  # the last line that belonged to it
    banner: int = -(1 << 30)  # the last line with which sysstat begins: what follows first is since boot
    adopted: set[int] = field(default_factory=set)  # lines of counters that proved to be a cgroup's
    active: int = -(1 << 30)  # the last line that one of them claimed
    _line: Line | None = None
    _text: str | None = None

    def say(self, line: int, paths: Sequence[str] = (), command: str = "") -> None:
        """A line names what comes next."""
        self.paths, self.command, self.said, self.last = tuple(paths), command, line, line

    def say_by_file(self, path: str) -> None:
        """The input's own name says which file its first lines are of: they are looked at, whatever they are like."""
        self.say(0, [path])
        self.active = 0

    def covers(self, line: int) -> bool:
        """Whether what was said still holds for this line."""
        return line - self.last <= GAP

    def touch(self, line: int) -> None:
        """A line belonged to what was named."""
        if self.covers(line):
            self.last = line

    def path(self, line: int, names: re.Pattern[str]) -> str:
        """Return the named path of this kind of file, empty if there is none."""
        if not self.paths or not self.covers(line):
            return ""
        return next((path for path in self.paths if names.fullmatch(path)), "")

    def told(self, line: int, tool: str) -> str:
        """Return the command if it ran this tool and the line is of its output; empty otherwise."""
        return self.command if self.covers(line) and re.search(rf"(?:^|[\s/]){tool}\b", self.command) else ""

    def look(self, line: Line) -> str | None:
        """Return a line's text if it may be one of these files', None if it cannot; decided once for all of them."""
        if line is not self._line:
            self._line = line
            text = line.text.strip()
            passed = not line.cut and 0 < len(text) <= MAX_TEXT
            self._text = text if passed and (line.number - self.active <= NEAR or may_begin(text)) else None
        return self._text


class Reader(Recogniser):
    """A recogniser of counters: sees a line's text only where it may be one of theirs."""

    def __init__(self, named: Named) -> None:
        super().__init__()
        self.named = named

    def take(self, line: Line) -> Claim | None:
        """Look at the next line."""
        text = self.named.look(line)
        if text is None:
            return None
        claim = self.see(line.number, text)
        if claim is not None:
            self.named.active = line.number
        return claim

    def see(self, number: int, text: str) -> Claim | None:
        """Look at a line that may be mine: without white space around it, not empty, not over-long."""
        raise NotImplementedError
