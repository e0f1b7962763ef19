# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads mounts (/proc/mounts, mount, lsblk), a device's knobs, a bdi's counters in debugfs, /proc/PID/io."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import BlockDevice, Fact, Mount, Sysctl
from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, count
from pageout.readers.proc.named import Named, Reader

MAX_FACTS = 100_000

_MOUNT = re.compile(r"(\S{1,400}) on (/.{0,400}?) type ([\w.-]{2,40}) \(([^()\s][^\n]{0,2000})\)(?: \[[^\]]{0,80}\])?")
_MOUNT_CUT = re.compile(r"\S{1,400} on /.{0,400}? type [\w.-]{2,40}")
_MOUNTS = re.compile(
    r"(?:/proc/(?:\w{1,20}/)?mounts:)?(\S{1,400}) (/\S{0,400}) ([\w.-]{2,40}) ((?:rw|ro)(?:,\S{0,2000})?) [01] [0-9]"
)
_LSBLK_HEADER = re.compile(r"NAME\s{1,80}MAJ:MIN RM\s{1,12}SIZE RO TYPE\s{1,12}MOUNTPOINTS?")
_LSBLK = re.compile(
    r"[\s|`├└─│+\\-]{0,40}([\w.!/-]{1,80})(?: "
    r"\([\w-]{1,40}\))?\s{1,80}(\d{1,4}:\d{1,7})\s{1,8}[01]\s{1,12}[\d.,]{1,12}[BKMGTPE]?\s{1,8}[01] "
    r"([a-z]\w{1,12})(?:\s{1,12}(\S.{0,400}))?"
)
_LSBLK_MORE = re.compile(r"[│|\s]{0,200}(/\S{0,400}|\[SWAP\])")
# A knob's path says what it is; only its name must be one that nobody prints by chance.
_VALUE = (
    r"\S{1,400}|[\d.:-]{1,24}(?:\s{1,8}[\d.:-]{1,24}){1,16}|"
    r"(?=[^\[]{0,400}\[)\[?[\w.:+-]{1,40}\]?(?: \[?[\w.:+-]{1,40}\]?){1,16}"
)
_KNOB = re.compile(
    # A value is a word, several numbers, or a choice: `none [mq-deadline] bfq`. A sentence is none.
    r"(/sys/(?!fs/cgroup/|devices/system/node/node\d+/(?:meminfo|vmstat))(?:block|class|devices|kernel|module|fs|dev)/[^\s]{1,400}/[A-Za-z][\w.-]{0,60})"
    rf"(?::[ \t]?|\s{{0,4}}=\s{{0,4}})({_VALUE})"
)
_SYS_FILE = re.compile(r"/?sys/(?:block|class|kernel|module|devices)/\S{1,400}")
_RELATIVE = re.compile(
    r"((?:\S{1,200}/)(?:read_ahead_kb|nr_requests|scheduler|rotational|wbt_lat_usec|max_sectors_kb|write_cache|"
    r"queue_depth|nomerges|rq_affinity|max_ratio|min_ratio|max_bytes|min_bytes|strict_limit"
    r"|stable_pages_required))[:=](\S{1,80}|(?=[^\[]{0,80}\[)[\w.\[\] -]{1,80})"
)
_BDI_LINE = re.compile(
    r"([A-Z][A-Za-z]{3,30}):\s{1,40}(\d{1,20})(?: (kB|kBps))?|(b_(?:dirty|io|more_io|dirty_time)"
    r"|bdi_list|state|threads|wb_list|wb_mask|wb_cnt):\s{1,40}([0-9a-fx]{1,20})"
)
_BDI_NAMES = re.compile(
    r"(?:Bdi|Wb)(?:Writeback|Reclaimable|DirtyThresh|Dirtied|Written|WriteBandwidth|CgIno)|DirtyThresh|BackgroundThresh"
)


class Mounts(Reader):
    """`/dev/sda1 on / type ext4 (rw,relatime)`, and lsblk."""

    kind = "mounts"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._facts: list[Fact] = []
        self._lsblk = -10
        self._cut = (-10, "")  # a line of mount whose options are on the next

    def see(self, number: int, text: str) -> Claim | None:
        """Claim a mount or a row of lsblk."""
        if len(self._facts) > MAX_FACTS:
            return None
        if _LSBLK_HEADER.fullmatch(text):
            self._lsblk = number
            return Claim.KNOWN
        if self._lsblk == number - 1:
            row = _LSBLK.fullmatch(text)
            if row is not None:
                self._facts.append(BlockDevice(number, row[1], row[2], row[3], row[4] or ""))
            if row is not None or _LSBLK_MORE.fullmatch(text):
                self._lsblk = number
                return Claim.KNOWN
        if _MOUNT_CUT.fullmatch(text):
            self._cut = (number, text)
            return Claim.KNOWN
        cut, self._cut = self._cut, (-10, "")
        if cut[0] == number - 1 and text.startswith("("):
            text = f"{cut[1]} {text}"
        mount = _MOUNT.fullmatch(text) or _MOUNTS.fullmatch(text)
        if mount is None:
            return None
        self._facts.append(Mount(number, *mount.groups()))
        self.named.touch(number)
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return mounts and devices."""
        return self._facts


class Knobs(Reader):
    """`/sys/block/sda/queue/nr_requests:64`: settings of a device, named by their path."""

    kind = "sysfs"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._facts: list[Fact] = []

    def see(self, number: int, text: str) -> Claim | None:
        """Claim a knob and its value."""
        if len(self._facts) > MAX_FACTS:
            return None
        knob = _KNOB.fullmatch(text) or _RELATIVE.fullmatch(text)
        if knob is not None:
            folder = self.named.folder
            name = knob[1] if knob[1].startswith("/") or not folder else f"{folder}/{knob[1].removeprefix('./')}"
            return self._keep(number, name, knob[2])
        path = self.named.path(number, _SYS_FILE)
        if (
            path
            and "*" not in path
            and self.named.said == number - 1
            and len(text.split()) <= 6
            and "cgroup" not in path
        ):
            return self._keep(number, path, text)
        return None

    def _keep(self, number: int, name: str, text: str) -> Claim:
        found = count(text)
        self._facts.append(Sysctl(number, name, text, None if found is None else float(found)))
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return the settings."""
        return self._facts


class BdiStats(Family):
    """`BdiWriteback:   0 kB`: bdi/8:0/stats of debugfs. Source: Linux v6.1 mm/backing-dev.c:bdi_debug_stats_show."""

    kind = "bdi stats"
    files = r"bdi/[^/\s]{1,40}/(?:wb_)?stats"

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        match = _BDI_LINE.fullmatch(text)
        if match is None:
            return None
        name, digits = (match[1], match[2]) if match[1] else (match[4], match[5])
        device = path.split("/")[-2] if path else ""
        inside = bool(path) or self.blocks.near("bdi stats", number)
        if not (_BDI_NAMES.fullmatch(name) or (inside and match[4])):
            return None
        found = count(digits)
        if found is None:
            return Claim.KNOWN if match[4] and inside else None  # a state in hexadecimal
        if name == "WbCgIno":
            self._cgroup = found
        self.blocks.add("bdi stats", device, number, [(name, found)], explicit=explicit)
        return Claim.KNOWN


class PidIo(Family):
    """`/proc/PID/io`: what a task read and wrote, in bytes. Source: Linux v6.1 fs/proc/base.c:do_io_accounting."""

    kind = "pid io"
    files = r"(?:\d{1,10}|self)/io"

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        match = re.fullmatch(
            r"(rchar|wchar|syscr|syscw|read_bytes|write_bytes|cancelled_write_bytes):\s{1,8}(\d{1,20})", text
        )
        found = count(match[2]) if match else None
        if match is None or found is None:
            return None
        part = path.split("/")[-2] if path else ""
        self.blocks.add("pid io", part, number, [(match[1], found)], explicit=explicit)
        return Claim.KNOWN
