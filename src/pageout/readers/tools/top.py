# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads top's batch print: memory of its heading as a snapshot in KiB, tasks as a table (state, %CPU of kswapd).

Source: procps-ng's top(1), versions 3.2 (`Mem: 16k total`) to 4.0 (`MiB Mem :`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact
from pageout.readers.lines import Claim
from pageout.readers.proc.files import Blocks
from pageout.readers.proc.named import Named, names
from pageout.readers.tools.columns import TableReader, real

_HEAD = re.compile(r"top - \d\d:\d\d:\d\d up .{1,80}?load average: ([\d.]{1,8}),? ([\d.]{1,8}),? ([\d.]{1,8})")
_TASKS = re.compile(r"(?:Tasks|Threads):\s{1,8}\d{1,8} total.{0,200}")
_CPU = re.compile(r"%?Cpu(?:\(s\)|\d{1,4})\s{0,3}:\s{0,4}(.{1,300})")
_ONE_CPU = re.compile(r"%?Cpu\d{1,4}\s{0,3}:\s{0,4}.{1,300}")  # a line each: a heading may have hundreds
_CPU_PART = re.compile(r"([\d.,]{1,8})\s{0,3}%?\s?(us|sy|ni|id|wa|hi|si|st)\b")
_MEMORY = re.compile(r"(?:([KMGT])iB )?(Mem|Swap)\s{0,3}:\s{0,12}(\S.{1,300})")
_MEMORY_PART = re.compile(
    r"([\d.]{1,18})([kKmMgG]?)\+? ?(total|free|used|buff/cache|buffers|cached|avail|cached Mem|avail Mem)\b"
)
_KIB = {"": 1.0, "k": 1.0, "K": 1.0, "m": 1024.0, "M": 1024.0, "g": 1048576.0, "G": 1048576.0, "T": float(1 << 30)}
_COLUMNS = names(
    "PID PPID USER UID PR NI VIRT RES SHR S %CPU %MEM TIME TIME+ COMMAND SWAP STAT VSZ %VSZ CPU "
    "CODE DATA nFLT nMaj nDRT P WCHAN Flags TGID nTH RUSER"
)
_WORDS = frozenset(("USER", "RUSER", "PR", "S", "TIME", "TIME+", "COMMAND", "WCHAN", "Flags", "STAT"))


class Top(TableReader):
    """`   45 root  20  0  0  0  0 R  99.7  0.0  12:34.56 kswapd0`."""

    kind = "top"
    words = _WORDS

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._blocks = Blocks()
        self._moment = -10

    def see(self, number: int, text: str) -> Claim | None:
        """Claim the heading and the tasks."""
        claim = self._heading(number, text)
        if claim is not None:
            return claim
        words = text.split()
        if "PID" in words and "COMMAND" in words and "%CPU" in words and _COLUMNS.issuperset(words):
            self.begin(number, "top", words, "top").first_since_boot = None
            return Claim.KNOWN
        return Claim.KNOWN if self.near(number) and self._row(number, words) else None

    def _heading(self, number: int, text: str) -> Claim | None:
        head = _HEAD.fullmatch(text)
        if head is not None:
            loads = [
                (f"load {name}", float(real(word) or 0))
                for name, word in zip(("1", "5", "15"), head.groups(), strict=True)
            ]
            self._blocks.add("top", "", number, loads)
            self._moment = number
            return Claim.KNOWN
        if _TASKS.fullmatch(text):  # many leave out the line above it
            self._moment = number
            return Claim.KNOWN
        if number - self._moment > 24:
            return None
        if _ONE_CPU.fullmatch(text):
            self._moment = number
            return Claim.KNOWN
        cpu = _CPU.fullmatch(text)
        memory = _MEMORY.fullmatch(text)
        values: list[tuple[str, float]] = []
        if cpu is not None and text.startswith(("%Cpu(s)", "Cpu(s)")):
            values = [(f"cpu {name}", real(word) or 0.0) for word, name in _CPU_PART.findall(cpu[1])]
        elif memory is not None:
            for word, unit, name in _MEMORY_PART.findall(memory[3]):
                found = real(word)
                cached = memory[2] == "Swap" and name in ("cached", "avail")
                key = f"{'Mem' if cached else memory[2]} {name.split()[0]}"
                if found is not None:
                    values.append((key, found * _KIB[unit or memory[1] or ""]))
        elif cpu is None:
            return None
        self._blocks.add("top", "", number, values, explicit=True)
        return Claim.KNOWN

    def _row(self, number: int, words: Sequence[str]) -> bool:
        sheet = self.sheet
        if sheet is None or len(words) < len(sheet.columns) or sheet.columns[-1] != "COMMAND" or not words[0].isdigit():
            return False
        labels: dict[str, str] = {}
        values: list[str] = []
        for n, name in enumerate(sheet.columns):
            if name == "COMMAND":
                labels[name] = " ".join(words[n:])
            elif name in self.words:
                labels[name] = words[n]
            else:
                values.append(words[n].upper() if name in ("VIRT", "RES", "SHR", "VSZ") else words[n])
        return self.row(number, labels, [_in_kib(word) for word in values])

    def facts(self) -> Sequence[Fact]:
        """Return headings and tasks."""
        return [*self._blocks.snapshots(), *super().facts()]


def _in_kib(word: str) -> str:
    """Return 1.2G as KiB: top's sizes are KiB where no letter stands."""
    if word[-1:] in "MGT" and real(word) is not None:
        return f"{(real(word) or 0) / 1024:.1f}"
    return word
