# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the lines between: shell prompts with commands, `==> file <==`, `watch` headings, dates of a loop.

They say which file the next lines are of, and which command printed a table. A setting made at a prompt is `sysctl`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact, Moment
from pageout.readers.lines import Claim
from pageout.readers.moments import MAX_MOMENTS, seconds_of
from pageout.readers.proc.named import Named, Reader, names

_TOOLS = names(
    "cat grep egrep zcat head tail more less awk sed sort vmstat iostat "
    "sar pidstat dstat iotop top free slabtop sysctl "
    "uname mount findmnt lsblk cd watch for while date sleep find ls echo "
    "printf sudo time timeout paste tee df ps mpstat "
    "sync dmesg uptime"
)
# user@host:~# cmd, [user@host ~]$ cmd, host ~ # cmd, root# cmd
_STRICT = re.compile(
    r"(?:\[[^\]\s]{1,80}(?: [^\]\s]{1,200})?\]|[\w.-]{1,40}@[\w.-]{1,80}"
    r"(?:[: ][^\s$#>]{0,200})?)\s?[$#%>]\s{0,4}(.{0,1000})"
)
_LOOSE = re.compile(r"(?:\+{1,4} |[\w.~/:-]{0,80}\s?[$#%>]\s{0,4})(\S.{0,1000})")
_HEADED = re.compile(
    r"(?:==> |-{2,40} ?|\*{2,40} ?|#{1,40} ?|={2,40} ?)?((?:/(?:proc|sys)/|/?(?:\S{1,200}/)?cgroup/"
    r"|memory\.|io\.|cpu\.)\S{0,400}?)(?: <==| ?:| ?-{2,40}| ?\*{2,40}| ?#{2,40}| ?={2,40})?"
)
_NAME = re.compile(
    r"(?:==> )?(?:/?proc/)?(meminfo|vmstat|zoneinfo|buddyinfo|pagetypeinfo|diskstats|slabinfo)(?: <==| ?:)?"
)
_FILE_HEAD = re.compile(r"==> (\S{1,400}) <==")
_WATCH = re.compile(r"Every \d{1,6}[.,]\d{1,2}s: (.{1,400}?)(?:\s{2,200}\S.{0,120})?")
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?:[A-Z][a-z]{2} [ \d]\d|[ \d]?\d [A-Z][a-z]{2},? "
    r"\d{4}) \d\d:\d\d:\d\d(?: [AP]M)?(?: [A-Z+-][A-Z\d+:-]{1,6})?(?: \d{4})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[A-Z+-][A-Z\d:]{0,6})?"
)
_SETS = re.compile(r">{1,2}\s{0,4}/?(?:proc/)?sys/|\bsysctl\b.{0,200}=|\btee\s{1,4}(?:-a )?/?(?:proc|sys)/")
_BRACES = re.compile(r"([^\s{}]{0,200})\{([^{}\s]{1,300})\}([^\s{}]{0,200})")
_PATH_LIKE = re.compile(r"[^\s'\"|;&<>()$`]{1,400}")
_TIMED = names("vmstat iostat sar dstat pidstat mpstat top")  # may have numbers after them
_ARGUMENT = re.compile(r"-{1,2}\w|\.{0,2}/\w|[\w-]{1,40}\.\w|[|;]")
_CUT = re.compile(r"\^C|\.{2,4}|[\[<(](?:\.{2,4}|snip|cut)[\]>)]")  # the author stopped, or left something out
MAX_PATHS = 256


def expanded(command: str) -> list[str]:
    """Return the words of a command, `a.{b,c}` as two; at most MAX_PATHS."""
    found: list[str] = []
    for word in re.split(r"[\s|;&<>()`\"']+", command):
        braces = _BRACES.fullmatch(word)
        words = [braces[1] + inner + braces[3] for inner in braces[2].split(",")] if braces else [word]
        found += [word for word in words if word]
        if len(found) > MAX_PATHS:
            break
    return found[:MAX_PATHS]


class Prompt(Reader):
    """`[root@host ~]# cat /proc/meminfo`."""

    kind = "command line"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._moments: list[Moment] = []

    def facts(self) -> Sequence[Fact]:
        """Return the dates."""
        return self._moments

    def see(self, number: int, text: str) -> Claim | None:
        """Claim a line that names what comes next, and remember it."""
        if _CUT.fullmatch(text):
            return Claim.KNOWN if number - self.named.active <= 2 else None
        headed = _FILE_HEAD.fullmatch(text) or _NAME.fullmatch(text) or _HEADED.fullmatch(text)
        if headed is not None and not _assigned(text):
            self.named.say(number, self._paths([headed[1].removesuffix(":")]))
            return Claim.KNOWN
        watch = _WATCH.fullmatch(text)
        if watch is not None:
            return self._command(number, watch[1], strict=True)
        if _DATE.fullmatch(text):
            self.named.touch(number)
            seconds = seconds_of(text)
            if seconds is not None and len(self._moments) < MAX_MOMENTS:
                self._moments.append(Moment(number, seconds))
            return Claim.KNOWN
        strict = _STRICT.fullmatch(text)
        if strict is not None:
            return self._command(number, strict[1], strict=True)
        loose = _LOOSE.fullmatch(text)
        return self._command(number, loose[1] if loose else text, strict=False, prompted=loose is not None)

    def _command(self, number: int, command: str, *, strict: bool, prompted: bool = True) -> Claim | None:
        words = command.split()
        tool = words[0].rpartition("/")[2] if words else ""
        if _SETS.search(command):
            self.named.say(number)
            return None
        if not strict and (tool not in _TOOLS or not _plausible(words, prompted=prompted)):
            return None
        if tool == "cd" and len(words) == 2:
            folder = words[1]
            self.named.folder = folder if folder.startswith("/") else f"{self.named.folder}/{folder}".lstrip("/")
        self.named.say(number, self._paths(expanded(command)), command)
        return Claim.KNOWN

    def _paths(self, words: list[str]) -> list[str]:
        folder = self.named.folder
        return [
            word if word.startswith("/") or not folder else f"{folder.rstrip('/')}/{word.removeprefix('./')}"
            for word in words
            if _PATH_LIKE.fullmatch(word)
        ]


def _assigned(text: str) -> bool:
    """Whether a value stands behind the name: `memory.max:5`, `/proc/sys/vm/x:20`, `memory.max=5`."""
    return (
        re.search(r"[:=]\s{0,8}[^\s:=]", re.sub(r"(?:==|--|\*\*|##).{0,60}$", "", text)) is not None
        and "<==" not in text
    )


def _plausible(words: list[str], *, prompted: bool) -> bool:
    """Whether words are a command, not a sentence that begins with a tool's name."""
    if words[0].rpartition("/")[2] in _TIMED and all(word.isdigit() or word[0] in "-|" for word in words[1:]):
        return len(words) > 1 or prompted
    if len(words) == 1:
        return prompted
    first = words[1:] if prompted else words[1:2]
    return any(_ARGUMENT.match(word) for word in first) or any(word.startswith(("/proc/", "/sys/")) for word in words)
