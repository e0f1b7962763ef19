# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads sar and pidstat: a time, then columns. 12 and 24 hour clocks, averages marked, cut rows joined.

Every option's table has its own columns; `sar -B` and such name them. Source: sysstat 12, man pages of sar and pidstat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.lines import Claim
from pageout.readers.proc.named import Named
from pageout.readers.tools.columns import Sheet, TableReader, is_header, is_value

SAR = {
    "sar -B": "pgpgin/s pgpgout/s fault/s majflt/s pgfree/s pgscank/s pgscand/s pgsteal/s %vmeff pgprom/s pgdem/s",
    "sar -r": "kbmemfree kbavail kbmemused %memused kbmemshrd kbbuffers kbcached "
"kbcommit %commit kbactive kbinact kbdirty "
    "kbanonpg kbslab kbkstack kbpgtbl kbvmused",
    "sar -R": "frmpg/s bufpg/s campg/s shmpg/s",
    "sar -S": "kbswpfree kbswpused %swpused kbswpcad %swpcad",
    "sar -W": "pswpin/s pswpout/s",
    "sar -b": "tps rtps wtps dtps bread/s bwrtn/s bdscd/s",
    "sar -d": "DEV tps rkB/s wkB/s dkB/s rd_sec/s wr_sec/s areq-sz avgrq-sz aqu-sz avgqu-sz await svctm %util",
    "sar -u": "CPU %user %usr %nice %system %sys %iowait %steal %irq %soft %guest %gnice %idle",
    "sar -q": "runq-sz plist-sz ldavg-1 ldavg-5 ldavg-15 blocked",
    "sar -q CPU": "%scpu-10 %scpu-60 %scpu-300 %scpu",
    "sar -q IO": "%sio-10 %sio-60 %sio-300 %sio %fio-10 %fio-60 %fio-300 %fio",
    "sar -q MEM": "%smem-10 %smem-60 %smem-300 %smem %fmem-10 %fmem-60 %fmem-300 %fmem",
    "sar -w": "proc/s cswch/s",
    "sar -n": "IFACE rxpck/s txpck/s rxkB/s txkB/s rxcmp/s txcmp/s rxmcst/s "
"%ifutil rxerr/s txerr/s coll/s rxdrop/s txdrop/s",
    "pidstat -d": "UID PID USER TGID TID kB_rd/s kB_wr/s kB_ccwr/s iodelay Command",
    "pidstat -r": "UID PID USER minflt/s majflt/s VSZ RSS %MEM Command",
    "pidstat -w": "UID PID USER cswch/s nvcswch/s Command",
    "pidstat -u": "UID PID USER TGID TID %usr %user %system %guest %wait %CPU CPU Command",
}  # fmt: skip
_VOCABULARY = {source: frozenset(names.split()) for source, names in SAR.items()}
_ANY = frozenset(name for known in _VOCABULARY.values() for name in known)
_TIME = re.compile(r"(?:\d\d:\d\d:\d\d|#?\s{0,20}Time)(?: ([AaPp][Mm]))?(?=\s|$)")
_EPOCH = re.compile(r"\d{9,11}(?=\s)")  # only under a header that says Time: pidstat -h
_AVERAGE = re.compile(
    r"(?:Average|Summary|Durchschn\.|Moyenne|Media|Média|Mittelwert|Gemiddelde|Среднее|平均時間|平均时间)\s?:",
    re.IGNORECASE,
)
_RESTART = re.compile(r"(?:(?:\d\d:\d\d:\d\d)(?: [AP]M)?\s{1,12})?LINUX RESTART.{0,40}")
_MERIDIEM = re.compile(r"[AaPp][Mm]")


class Sar(TableReader):
    """`04:00:00 PM  pgpgin/s pgpgout/s ...`."""

    kind = "sar"
    words = frozenset(("DEV", "IFACE", "CPU", "Command", "USER"))

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._epoch = False

    def see(self, number: int, text: str) -> Claim | None:
        """Claim headers, rows and what stands between them."""
        if _RESTART.fullmatch(text):
            return Claim.KNOWN
        average = _AVERAGE.match(text)
        time = None if average else _TIME.match(text)
        if time is None and self._epoch:
            time = _EPOCH.match(text)
        lead = average or time
        rest = text[lead.end() :].split() if lead else text.split()
        if not rest:
            return None
        if lead is not None and self._header(number, lead[0], rest):
            return Claim.KNOWN
        if lead is None:
            return self._continued(number, rest)
        if not self.near(number):
            return None
        stamp = "" if average else lead[0]
        return Claim.KNOWN if self._row(number, stamp, rest, average=average is not None) else None

    def _header(self, number: int, stamp: str, names: list[str]) -> bool:
        source = _source(names) if _telling(names) else ""
        if not source:
            return False
        self.begin(number, source, names, source.split()[0])
        self._epoch = stamp.endswith("Time")
        return True

    def _continued(self, number: int, words: list[str]) -> Claim | None:
        sheet = self.sheet
        if sheet is not None and self.header_open(number) and all(word in _ANY for word in words):
            source = _source([*sheet.columns, *words])
            if source:
                sheet.source = source
                self.extend(number, words)
                return Claim.KNOWN
        if self.waiting(number):
            if _MERIDIEM.fullmatch(words[0]):
                words = words[1:]
            sheet = self.sheet
            if sheet is not None and sheet.columns[-1] == "Command" and words and not is_value(words[-1]):
                return None if not self.more(number, words[:-1]) else Claim.KNOWN
            return Claim.KNOWN if self.more(number, words) else None
        return None

    def _row(self, number: int, stamp: str, words: list[str], *, average: bool) -> bool:
        sheet = self.sheet
        if sheet is None:
            return False
        labels = {"time": stamp} if stamp else {}
        values: list[str] = []
        for n, name in enumerate(sheet.columns):
            if n >= len(words):
                break
            if name == "Command":
                labels[name] = " ".join(words[n:])
            elif name in self.words:
                labels[name] = words[n]
            elif name in ("UID", "PID", "TGID", "TID") and words[n] == "-":
                values.append("-")
            else:
                values.append(words[n])
        if len(words) > len(sheet.columns) and sheet.columns[-1] != "Command":
            return False
        return self.row(number, labels, values, average=average)

    def begin(self, line: int, source: str, columns: Sequence[str], tool: str) -> Sheet:
        """A header; sar repeats it, and its first row is no average since boot."""
        sheet = super().begin(line, source, columns, tool)
        sheet.first_since_boot = False
        return sheet


def _source(names: Sequence[str]) -> str:
    """Return the option whose table has these columns, or the most of them; empty if none has half."""
    fitting = [source for source, known in _VOCABULARY.items() if is_header(names, known)]
    return max(fitting, key=lambda source: sum(name in _VOCABULARY[source] for name in names), default="")


def _telling(names: list[str]) -> bool:
    """Whether names are more than what a sentence might hold after a time."""
    return any(re.search(r"[/%_-]|^kb|^[A-Z]{2}|tps$", name) for name in names)
