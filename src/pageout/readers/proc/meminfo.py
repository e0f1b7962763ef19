# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/meminfo, and that of a NUMA node. Sizes become KiB. Source: Linux v6.1 fs/proc/meminfo.c."""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, count
from pageout.readers.proc.named import Named, names

NAMES = names(
    "MemTotal MemFree MemAvailable MemUsed MemShared Buffers Cached SwapCached Active Inactive Active(anon) "
    "Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked HighTotal HighFree LowTotal LowFree MmapCopy "
    "SwapTotal SwapFree Zswap Zswapped Dirty Writeback AnonPages Mapped "
    "Shmem KReclaimable Slab SReclaimable SUnreclaim "
    "KernelStack ShadowCallStack PageTables SecPageTables NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS "
    "VmallocTotal VmallocUsed VmallocChunk Percpu EarlyMemtestBad HardwareCorrupted AnonHugePages ShmemHugePages "
    "ShmemPmdMapped FileHugePages FilePmdMapped CmaTotal CmaFree Unaccepted Balloon HugePages_Total HugePages_Free "
    "HugePages_Rsvd HugePages_Surp Hugepagesize Hugetlb DirectMap4k DirectMap2M DirectMap4M DirectMap1G Quicklists "
    "FilePages GPUActive GPUReclaim"
)
# /proc/PID/smaps has these too: alone they prove nothing.
SHARED = frozenset(("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Hugetlb"))
PAGES = ("HugePages_",)  # these are counts, not KiB
_KIB = {
    "": 1,
    "k": 1,
    "kb": 1,
    "kib": 1,
    "m": 1024,
    "mb": 1024,
    "mib": 1024,
    "g": 1 << 20,
    "gb": 1 << 20,
    "gib": 1 << 20,
}
_NODE = re.compile(r"Node\s{1,8}(\d{1,4})\s{1,8}(\S.*)")
_PAIR = re.compile(
    r"([A-Z][A-Za-z0-9_]{1,40}(?:\([a-z]{1,12}\))?)(\s{0,40}[:=]\s{0,80}|\s{1,80})(\d[\d,]{0,30})(?:\s{0,8}([kKmMgG](?:i?[bB])?))?(?![\w.])\s*[,;]?\s*"
)
_KEY = re.compile(r"([A-Z][A-Za-z0-9_]{1,40}(?:\([a-z]{1,12}\))?)\s{0,20}:")
_REST = re.compile(r"(\d[\d,]{0,30})(?:\s{0,8}([kKmMgG](?:i?[bB])?))?")


class Meminfo(Family):
    """`MemTotal:  15666184 kB`, also cut in two, or several on a line."""

    kind = "meminfo"
    files = r"meminfo"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._waiting: tuple[int, str, str] | None = None  # line, part and name of a key without its number yet
        self._unit_may_come = -1  # the line after this one may be a lone kB

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        waiting, self._waiting = self._waiting, None
        node = _NODE.fullmatch(text)
        part = f"Node {node[1]}" if node else ""
        if node:
            text = node[2]
        if self._unit_may_come == number - 1 and text.lower() in ("kb", "kib"):
            return Claim.KNOWN
        if waiting is not None and waiting[0] == number - 1 and (rest := _REST.fullmatch(text)):
            return self._keep(number, waiting[1], [(waiting[2], rest[1], rest[2] or "")], explicit)
        pairs = self._pairs(text)
        if pairs is not None:
            inside = bool(path) or self.blocks.near("meminfo", number)
            known = all(name in NAMES for name, _, _ in pairs)
            if not known and not (inside and len(pairs) == 1):
                return None
            if not (inside or explicit) and all(name in SHARED for name, _, _ in pairs):
                return None
            return self._keep(number, part, pairs, explicit)
        key = _KEY.fullmatch(text)
        if key is not None and key[1] in NAMES:
            self._waiting = (number, part, key[1])
            self.blocks.reach("meminfo", number)
            return Claim.KNOWN
        return None

    def _pairs(self, text: str) -> list[tuple[str, str, str]] | None:
        """Return name, number and unit of each pair, None if anything else stands in the line."""
        at = 0
        found: list[tuple[str, str, str]] = []
        while at < len(text):
            pair = _PAIR.match(text, at)
            if pair is None or len(found) > 80:
                return None
            if not pair[2].strip() and not (pair[1] in NAMES and pair[4]):
                return None  # without a colon only a known name, with its unit
            found.append((pair[1], pair[3], pair[4] or ""))
            at = pair.end()
        return found or None

    def _keep(self, number: int, part: str, pairs: list[tuple[str, str, str]], explicit: bool) -> Claim | None:
        values = []
        for name, digits, unit in pairs:
            found = count(digits)
            if found is None:
                return None
            values.append((name, float(found * _KIB[unit.lower()])))
        self.blocks.add("meminfo", part, number, values, explicit=explicit)
        bare = not pairs[-1][2] and not pairs[-1][0].startswith(PAGES)
        self._unit_may_come = number if bare else -1
        return Claim.KNOWN
