# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a cgroup's other files: limits and usage of one number each, io.stat, numa_stat, blkio.

A limit that is none (`max`, or the largest number of v1) is `inf`. Sizes are bytes.
Source: Linux v6.1 Documentation/admin-guide/cgroup-v2.rst, mm/memcontrol.c.
"""

from __future__ import annotations

import math
import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, cgroup_of, count
from pageout.readers.proc.named import Named

UNLIMITED = (1 << 63) - (1 << 20)  # v1 rounds "no limit" down to a page, of whatever size

_SINGLE = (
    r"memory\.(?:(?:swap\.|zswap\.)?(?:current|max|high|low|min|peak)|(?:(?:kmem|memsw|kmem\.tcp)\.)?(?:limit_in_bytes|usage_in_bytes|"
    r"max_usage_in_bytes|failcnt)|soft_limit_in_bytes|swappiness|use_hierarchy|move_charge_at_immigrate|oom\.group|zswap\.writeback)"
    r"|pids\.(?:current|max|peak)|cgroup\.(?:freeze|max\.depth|max\.descendants|pressure)|notify_on_release|cgroup\.clone_children"
    r"|cgroup\.sane_behavior|(?:io|blkio|cpu)\.(?:bfq\.)?weight|cpu\.(?:shares|cfs_quota_us|cfs_period_us|idle)"
)
_KEYED = r"cgroup\.(?:stat|events)|cpu\.stat(?:\.local)?|memory\.oom_control|pids\.events"
_NESTED = r"io\.stat|io\.max|io\.latency|io\.cost\.(?:qos|model)|memory\.numa_stat|blkio\.[\w.]{2,40}"
_IGNORED = (
    r"cgroup\.(?:procs|threads|controllers|subtree_control|type|kill|event_control)|tasks|release_agent|memory\.reclaim|"
    r"memory\.pressure_level|memory\.force_empty|cpuset\.[\w.]{2,40}|cpu\.max|hugetlb\.[\w.]{2,40}|misc\.[\w.]{2,40}"
)
_VENDOR = r"(?:memory|pids|hugetlb)\.[a-z_.]{3,40}"  # a number in a file of a later kernel, or of a vendor's
_VENDOR_PATH = re.compile(rf"/.*/({_VENDOR})")
_VALUE = re.compile(r"(?:default\s{1,4})?(-?\d{1,20}|max|unlimited)")
_SPACED = re.compile(rf"((?:\S{{0,400}}/)?(?:{_SINGLE}))(?:\s{{1,40}}|\s{{0,8}}=\s{{0,8}})(\d{{1,20}}|max)")
_SINGLE_NAME = re.compile(rf"(?:.*/)?({_SINGLE})")
_PAIR = re.compile(r"([a-z][a-z0-9_.]{1,40})\s{1,40}(\d{1,20})")
_DEVICE = re.compile(r"(\d{1,4}:\d{1,7})((?:\s{1,8}[a-z][\w.]{0,30}=[\w.]{1,24}){0,40})")
_FIELDS = re.compile(r"[a-z][\w.]{0,30}=[\w.]{1,24}(?:\s{1,8}[a-z][\w.]{0,30}=[\w.]{1,24}){0,40}")
_IO_STAT = re.compile(r"\b(?:rbytes|wbytes|rios|wios)=\d")
_IO_MAX = re.compile(r"\b(?:rbps|wbps|riops|wiops)=")
_NUMA = re.compile(r"([a-z_]{2,40})([= ])(?:(\d{1,20})\s{1,4})?(N\d{1,4}=\d{1,20}(?:\s{1,4}N\d{1,4}=\d{1,20}){0,63})")
_BLKIO = re.compile(
    r"(?:(\d{1,4}:\d{1,7})\s{1,8})?(Read|Write|Sync|Async|Discard|Total)\s{1,8}(\d{1,20})|(\d{1,4}:\d{1,7})\s{1,8}(\d{1,20})"
)


class CgroupFile(Family):
    """`/sys/fs/cgroup/a.slice/memory.max:33554432`."""

    kind = "cgroup"
    files = rf"{_SINGLE}|{_KEYED}|{_NESTED}|{_IGNORED}|{_VENDOR}"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._ignored = re.compile(rf"(?:.*/)?(?:{_IGNORED})")
        self._keyed = re.compile(rf"(?:.*/)?({_KEYED})")
        self._said, self._next = -1, 0  # of several files one command prints: which comes next
        self._io: tuple[int, str, str, str] | None = None  # line, source, device and place of the last io row

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        spaced = _SPACED.fullmatch(text)
        if spaced is not None:
            return self._single(number, spaced[2], self.absolute(spaced[1]), explicit=True)
        claim = self._nested(number, text, path, explicit)
        if claim is not None or not path:
            return claim
        if not explicit:
            path = self._which(number, text) or path
        if self._ignored.fullmatch(path):
            return Claim.KNOWN if explicit or re.fullmatch(r"[\w.\- ]{0,400}", text) else None
        if _SINGLE_NAME.fullmatch(path):
            return self._single(number, text, path, explicit=explicit)
        vendor, value = _VENDOR_PATH.fullmatch(path), count(text)
        if explicit and vendor is not None and value is not None:
            self.blocks.add(vendor[1], "", number, [(vendor[1], value)], cgroup_of(path), explicit=True)
            return Claim.KNOWN
        keyed, pair = self._keyed.fullmatch(path), _PAIR.fullmatch(text)
        found = count(pair[2]) if pair else None
        if keyed is None or pair is None or found is None:
            return None
        self.blocks.add(keyed[1], "", number, [(pair[1], found)], cgroup_of(path), explicit=explicit)
        return Claim.KNOWN

    def _which(self, number: int, text: str) -> str:
        """Return the file a bare value is of: a command prints its files in the order it names them."""
        if self.named.said != self._said:
            self._said, self._next = self.named.said, 0
        singles = [path for path in self.named.paths if _SINGLE_NAME.fullmatch(path)]
        if not singles or not _VALUE.fullmatch(text):
            return ""
        if len(singles) == 1:
            return singles[0] if number - self.named.said <= 1 else "?"
        path = singles[self._next] if self._next < len(singles) else "?"
        self._next += 1
        return path

    def _single(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        name, value = _SINGLE_NAME.fullmatch(path), _VALUE.fullmatch(text)
        if name is None or value is None:
            return None
        if value[1] in ("max", "unlimited"):
            found = math.inf
        elif value[1].startswith("-"):
            return None
        else:
            found = float(value[1])
            if found >= UNLIMITED:
                if not re.search(r"limit|\.max$", name[1]):
                    return None  # a usage that wrapped is no usage
                found = math.inf
        self.blocks.add(name[1], "", number, [(name[1], found)], cgroup_of(path), explicit=explicit)
        return Claim.KNOWN

    def _nested(self, number: int, text: str, path: str, explicit: bool) -> Claim | None:
        name = path.rpartition("/")[2]
        device = _DEVICE.fullmatch(text)
        if device is not None and (device[2] or name == "io.stat"):
            source = name or ("io.stat" if _IO_STAT.search(text) else "io.max" if _IO_MAX.search(text) else "")
            if not source.startswith("io."):
                return None
            return self._fields(number, source, device[1], device[2].split(), cgroup_of(path))
        last = self._io
        if last is not None and last[0] == number - 1 and _FIELDS.fullmatch(text):
            return self._fields(number, last[1], last[2], text.split(), last[3])
        numa = _NUMA.fullmatch(text)
        if numa is not None and (not path or name == "memory.numa_stat"):
            return self._numa(number, numa, path, explicit)
        blkio = _BLKIO.fullmatch(text)
        if blkio is not None and name.startswith("blkio."):
            kind, digits = (blkio[2], blkio[3]) if blkio[2] else ("value", blkio[5])
            found = count(digits)
            if found is not None:
                part = blkio[1] or blkio[4] or ""
                self.blocks.add(name, part, number, [(kind, found)], cgroup_of(path), explicit=explicit)
                return Claim.KNOWN
        return None

    def _fields(self, number: int, source: str, device: str, words: list[str], place: str) -> Claim | None:
        values = []
        for word in words:
            name, _, text = word.partition("=")
            found = math.inf if text == "max" else count(text)
            if found is not None:
                values.append((name, float(found)))
        self.blocks.add(source, device, number, values, place, explicit=True)
        self._io = (number, source, device, place)
        return Claim.KNOWN

    def _numa(self, number: int, numa: re.Match[str], path: str, explicit: bool) -> Claim | None:
        pairs = [word.split("=") for word in numa[4].split()]
        values = [(f"{numa[1]} {node}", count(digits)) for node, digits in pairs]
        if numa[2] == "=" and numa[3]:
            values.append((numa[1], count(numa[3])))
        known = [(name, float(found)) for name, found in values if found is not None]
        if (numa[2] == "=") != bool(numa[3]) or len(known) < len(values):
            return None
        self.blocks.add("memory.numa_stat", "", number, known, cgroup_of(path), explicit=explicit)
        return Claim.KNOWN
