# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads block traces in CSV: MSR Cambridge, CloudPhysics, Alibaba, Tencent: a request a line.

Each line becomes block_rq_issue, and block_rq_complete where it says how long the request took.

MSR Cambridge: Timestamp (FILETIME, 100 ns since 1601), Hostname, DiskNumber, Type, Offset, Size (bytes), ResponseTime
(100 ns). CloudPhysics: version, time, op (SCSI operation code, hex), size (bytes), lbn (sectors of 512 bytes); nobody
says the unit of its time, so the clock is `counter`. Alibaba: device_id, opcode, offset, length (bytes), timestamp
(us). Tencent: timestamp (s), offset, size (sectors), io type (0 read, 1 write), volume. The last two by their
publishers' descriptions only: no sample was at hand.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pageout.readers.lines import Claim, Line
from pageout.readers.payloads import NULL
from pageout.readers.stream import COUNTER, SECONDS, EventRecogniser, fits_time
from pageout.vocabulary.schema import EVENTS

SECTOR = 512
_FILETIME_1970 = 116_444_736_000_000_000  # 100 ns from 1601 to 1970
_HEADERS = {
    "version,time,op,size,lbn": "CloudPhysics",
    "timestamp,hostname,disknumber,type,offset,size,responsetime": "MSR Cambridge",
    "device_id,opcode,offset,length,timestamp": "Alibaba",
    "timestamp,offset,size,iotype,volumeid": "Tencent",
}
_N = r"(\d{1,19})"
_ROWS = {
    "CloudPhysics": re.compile(rf"\d{{1,2}},{_N},([0-9a-f]{{1,2}}),{_N},{_N}"),
    "MSR Cambridge": re.compile(
        rf"(1[1-3]\d{{16}}),([\w.-]{{1,32}}),(\d{{1,4}}),(Read|Write),{_N},{_N},{_N}", re.IGNORECASE
    ),
    "Alibaba": re.compile(rf"(\d{{1,9}}),([RW]),{_N},{_N},(1\d{{15}})"),
    "Tencent": re.compile(rf"(1\d{{9}}),{_N},{_N},([01]),(\d{{1,9}})"),
}
_NEEDS_HEADER = {"CloudPhysics"}
# SCSI operation codes, SBC-4 table 33.
_SCSI = {0x08: "R", 0x28: "R", 0x88: "R", 0xA8: "R", 0x0A: "W", 0x2A: "W", 0x8A: "W", 0xAA: "W", 0x2E: "W", 0x8E: "W",
         0x35: "F", 0x91: "F", 0x42: "D", 0x41: "W", 0x93: "W"}  # fmt: skip


class _Request(NamedTuple):
    time: int
    dev: str
    rwbs: str
    sector: int
    bytes: int
    took: int | None  # same unit as time


class BlockCsv(EventRecogniser):
    """Requests, a line each."""

    kind = "block CSV"
    _form = ""

    def take(self, line: Line) -> Claim | None:
        """Claim the header and the rows of the form that was seen first."""
        text = line.text.strip()
        form = _HEADERS.get(text.lower().replace(" ", "").replace('"', "")) if len(text) < 100 else None
        if form is not None:
            self._form = form
            self.variants.add(form)
            return Claim.KNOWN
        if not text[:1].isdigit() or len(text) > 200 or "," not in text:
            return self.cut(line) if self.seen else None
        for name in (self._form,) if self._form else [name for name in _ROWS if name not in _NEEDS_HEADER]:
            match = _ROWS[name].fullmatch(text)
            request = _request(name, match) if match is not None else None
            if request is not None:
                self._form = name
                self.variants.add(name)
                return self._put(line, request)
        return None

    def gap(self, number: int) -> None:
        """Rows of another form may follow."""
        super().gap(number)
        self._form = ""

    def _put(self, line: Line, request: _Request) -> Claim | None:
        sectors = -(-request.bytes // SECTOR)
        if not fits_time(request.time + (request.took or 0)) or request.bytes >= 1 << 31 or request.sector >= 1 << 63:
            return None
        clock = COUNTER if self._form == "CloudPhysics" else SECONDS
        if clock == COUNTER:
            self.variants.add("time of unknown unit")
        segment = self.stream.moment(line.number, request.time, clock)
        builder = self.stream.events()
        self.seen = True
        said = {"dev": builder.word(request.dev.encode()), "rwbs": builder.word(request.rwbs.encode()),
                "sector": request.sector, "nr_sector": sectors, "bytes": request.bytes}  # fmt: skip
        who = (line.number, segment, NULL, NULL, NULL, NULL)
        self._add("block_rq_issue", (request.time, *who), said)
        if request.took is not None:
            self._add("block_rq_complete", (request.time + request.took, *who), said)
        return Claim.EVENT

    def _add(self, name: str, common: tuple[int, ...], said: dict[str, int]) -> None:
        kind = EVENTS[name]
        self.stream.events().add(kind, common, [said.get(column.name, NULL) for column in kind.columns])


def _request(form: str, match: re.Match[str]) -> _Request | None:
    if form == "CloudPhysics":
        time, op, size, lbn = match.groups()
        rwbs = _SCSI.get(int(op, 16))
        return None if rwbs is None else _Request(int(time), "disk", rwbs, int(lbn), int(size), None)
    if form == "MSR Cambridge":
        time, host, disk, way, offset, size, took = match.groups()
        since_1970 = (int(time) - _FILETIME_1970) * 100
        sector = int(offset) // SECTOR
        return _Request(since_1970, f"{host},{disk}", way[0].upper(), sector, int(size), int(took) * 100)
    if form == "Alibaba":
        device, way, offset, size, time = match.groups()
        return _Request(int(time) * 1000, device, way, int(offset) // SECTOR, int(size), None)
    time, offset, size, way, volume = match.groups()
    return _Request(int(time) * 10**9, volume, "RW"[int(way)], int(offset), int(size) * SECTOR, None)
