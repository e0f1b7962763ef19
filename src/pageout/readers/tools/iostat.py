# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads iostat, plain and -x, of all versions: a table of devices and one of the CPU, a report a moment.

The first report of a run is an average since boot (unless -y): its rows say so, or that nobody can tell.
Rates keep their columns' names and units (rkB/s, rMB/s, rsec/s), times are ms. Source: sysstat's iostat(1).
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.named import Named, names
from pageout.readers.tools.columns import TableReader, is_header, is_value

EXTENDED = names(
    "rrqm/s wrqm/s drqm/s r/s w/s d/s f/s rkB/s wkB/s dkB/s rMB/s wMB/s "
    "dMB/s rsec/s wsec/s dsec/s avgrq-sz avgqu-sz aqu-sz "
    "areq-sz rareq-sz wareq-sz dareq-sz await r_await w_await d_await f_await svctm %util %rrqm %wrqm %drqm "
    "rqm/s"
)
PLAIN = names(
    "tps kB_read/s kB_wrtn/s kB_dscd/s kB_read kB_wrtn kB_dscd MB_read/s MB_wrtn/s MB_dscd/s MB_read MB_wrtn MB_dscd "
    "Blk_read/s Blk_wrtn/s Blk_dscd/s Blk_read Blk_wrtn Blk_dscd "
    "kB_w+d/s MB_w+d/s Blk_w+d/s kB_w+d MB_w+d Blk_w+d"
)
CPU = names("%user %nice %system %sys %iowait %steal %idle %usr")
_DEVICE = re.compile(
    r"(?:[shv]d[a-z]{1,3}|xvd[a-z]{1,3}|nvme\d{1,4}n\d{1,4}p?|nvme\d{1,4}c\d{1,4}n\d{1,4}|mmcblk\d{1,3}p?|dm-|md|loop|ram|zram|nbd|sr|drbd|rbd|bcache|nb|cciss/c\d{1,2}d)\d{0,5}(?:p\d{1,3})?|[\w.-]{1,60}-[\w.-]{1,60}"
)
_STAMP = re.compile(r"(?:Time: )?(?:\d{1,4}[/.-]\d\d[/.-]\d{2,4}[ T])?\d\d:\d\d:\d\d(?: [AP]M|[+-]\d{4})?")


class Iostat(TableReader):
    """`Device  r/s  rkB/s ...` and `avg-cpu:  %user ...`."""

    kind = "iostat"
    words = frozenset(("Device",))

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._names: frozenset[str] = frozenset()
        self._stamp = ""
        self._reports = 0

    def see(self, number: int, text: str) -> Claim | None:
        """Claim headers, rows and times."""
        words = text.split()
        if self._header(number, words):
            return Claim.KNOWN
        if self.sheet is None and not self.named.told(number, "iostat") and number - self.named.banner > 3:
            return None
        if _STAMP.fullmatch(text) and ("/" in text or "-" in text or ":" in text):
            self._stamp = text
            self.named.touch(number)
            return Claim.KNOWN
        if self.sheet is None or not self.near(number):
            return None
        if self.header_open(number) and self._names.issuperset(words):
            self.extend(number, words)
            return Claim.KNOWN
        if self.waiting(number) and self.more(number, words):
            return Claim.KNOWN
        return Claim.KNOWN if self._row(number, words) else None

    def _header(self, number: int, words: list[str]) -> bool:
        first = words[0].rstrip(":")
        if first == "avg-cpu" and CPU.issuperset(words[1:]):
            self._names = CPU
            self.begin(number, "iostat cpu", words[1:], "iostat")
            return True
        last = words[-1].rstrip(":") == "Device" and len(words) > 2
        if first != "Device" and not last:
            return False
        names = words[:-1] if last else words[1:]
        for source, known in (("iostat -x", EXTENDED), ("iostat", PLAIN)):
            if is_header(names, known):
                self._names = known
                columns = [*names, "Device"] if last else ["Device", *names]
                self.begin(number, source, columns, "iostat")
                return True
        return False

    def _row(self, number: int, words: list[str]) -> bool:
        sheet = self.sheet
        if sheet is None:
            return False
        labels = {"time": self._stamp} if self._stamp else {}
        if "Device" not in sheet.columns:
            return self.row(number, labels, words)
        if sheet.columns[-1] == "Device" and len(sheet.columns) == len(words):
            return self.row(number, {"Device": words[-1], **labels}, words[:-1])
        if (
            len(words) > len(sheet.columns)
            or is_value(words[0])
            or (len(words) == 1 and not _DEVICE.fullmatch(words[0]))
        ):
            return False
        return self.row(number, {"Device": words[0].rstrip(":") if len(words) > 1 else words[0], **labels}, words[1:])
