# SPDX-License-Identifier: GPL-2.0-or-later
"""blk-throttle against its twin, and both against what a 6.18 kernel let through."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.kernel.lab import lab, many
from tests.naive.blk_throttle import Throttle, fires_at

from pageout.engine import constants as c
from pageout.engine.clock import wheel
from pageout.kernel.block.blk_throttle import is_throttled, take_ready, throttle_timer

RULES = ("line", "meta", "spare")
RECORDINGS = ROOT.parent / "shared" / "groundtruth" / "linux-6.18"
MIB = 1 << 20


class Engine:
    """The engine's throttle with the face of its twin: one direction of the lab's disk."""

    def __init__(self, bps: int | None, iops: int | None, hz: int, step: int, rules: str, write: bool = True) -> None:
        disk = (("kind", "throttled"), ("limit", "slices"), ("write_bps", MIB))
        self.m = lab(hz=hz, disk=disk, choices=(("block.layer", "mq"),))
        self.k, self.write, self.names = self.m.k, write, dict[int, int]()
        q = self.k.queue[0]
        q.write_bps = q.read_bps = q.write_iops = q.read_iops = 0
        q.slice_jiffies = step
        self.k.param.throttle_rules = RULES.index(rules)
        if write:
            q.write_bps, q.write_iops = bps or 0, iops or 0
        else:
            q.read_bps, q.read_iops = bps or 0, iops or 0

    def _at(self, now: int) -> None:
        self.k.stat.now_ns = now * self.k.param.jiffy_ns

    def come(self, name: int, size: int, now: int, *, meta: bool = False) -> bool:
        self._at(now)
        bio = self.m.bio(0, 0, size // 4096, write=self.write)
        self.k.bio[bio].meta = int(meta)
        self.names[bio] = name
        return not is_throttled(self.k, c.NIL, 0, bio)

    @property
    def waiting(self) -> int:
        return int(self.k.throtl[int(self.write)].nr)

    @property
    def timer(self) -> int | None:
        gen, heap = self.k.queue[0].throttle_gen, self.k.heap
        if not self.waiting:
            return None
        (when,) = [
            heap[i].when_ns for i in range(self.k.stat.heap_nr) if heap[i].kind == c.EV_THROTTLE and heap[i].gen == gen
        ]
        return int(when // self.k.param.jiffy_ns)

    def fire(self) -> list[int]:
        assert self.timer is not None
        self._at(self.timer)
        throttle_timer(self.k, 0, self.k.queue[0].throttle_gen)
        gone, bio = [], int(take_ready(self.k, 0))
        while bio != c.NIL:
            gone.append(self.names[bio])
            bio = int(self.k.bio[bio].next)
        return gone


def test_a_timer_fires_one_jiffy_late_and_on_coarser_marks_further_ahead() -> None:
    assert [wheel(100, at) for at in (90, 100, 101, 162, 163, 170)] == [101, 101, 102, 163, 168, 176]
    assert all(wheel(1000, 1000 + n) == fires_at(1000, 1000 + n) for n in range(-5, 6000))


arrivals = st.lists(
    st.tuples(st.integers(0, 40) | st.just(0), st.integers(1, 2048) | st.integers(1, 8), st.booleans()), max_size=25
)


@many
@given(
    arrivals,
    st.none() | st.sampled_from([300_000, MIB, 20 * MIB, 80 * MIB]),
    st.none() | st.sampled_from([3, 40, 1000]),
    st.sampled_from([(100, 10), (250, 25), (250, 5), (1000, 100)]),
    st.sampled_from(RULES),
    st.booleans(),
)
def test_bios_go_when_the_twin_lets_them_go(program, bps, iops, clock, rules, write) -> None:
    """Triples: jiffies since the last bio, pages, is it metadata?"""
    engine, twin = Engine(bps, iops, *clock, rules, write), Throttle(bps, iops, *clock, rules)
    now = 1000
    for name, (gap, pages, meta) in enumerate(program):
        now += gap
        while twin.timer is not None and twin.timer <= now:
            assert engine.timer == twin.timer
            assert engine.fire() == twin.fire()
        assert engine.come(name, pages * 4096, now, meta=meta) == twin.come(name, pages * 4096, now, meta=meta)
        assert engine.waiting == len(twin.waiting)
    for _ in range(300):
        assert engine.timer == twin.timer
        if twin.timer is None:
            break
        assert engine.fire() == twin.fire()


def test_a_bio_of_twice_a_slices_bytes_waits_two_slices_and_a_jiffy() -> None:
    """40 MiB/s in slices of 25 jiffies is 4 MiB a slice; the second bio has the spare slice and what was over."""
    engine = Engine(40 * MIB, None, 250, 25, "spare")
    assert not engine.come(1, 8 * MIB, 1000)
    assert not engine.come(2, 27 * MIB // 4, 1000)
    first = engine.timer
    assert (first, engine.fire()) == (1051, [1])
    assert (engine.timer, engine.fire()) == (1051 + 42, [2])


def test_metadata_passes_the_line_and_is_paid_for_by_what_follows() -> None:
    for rules, passes in (("line", False), ("meta", True), ("spare", True)):
        engine = Engine(4 * MIB, None, 250, 25, rules)
        assert not engine.come(1, MIB, 1000)
        assert engine.come(2, MIB, 1000, meta=True) is passes


def _issues(path: Path, device: str) -> Iterator[tuple[float, int, int, bool]]:
    """(time, sector, sectors, was it held by the throttle?) of each write issued."""
    line = re.compile(r"(\S+)-\d+\s+\[.*?\s([\d.]+): block_rq_issue: (\S+) (\w+) \d+ \(\) (\d+) \+ (\d+)")
    with gzip.open(path, "rt", errors="replace") as text:
        for row in text:
            found = line.search(row)
            if found and found[3] == device and "W" in found[4] and int(found[6]):
                yield float(found[2]), int(found[5]), int(found[6]), found[1][:7] == "kworker" and "M" not in found[4]


def _bios(path: Path, device: str) -> list[list[Any]]:
    """Requests put together to the bios they were cut from: [time, bytes, end, sectors of the last, throttled?]."""
    found: list[list[Any]] = []
    for time, sector, sectors, throttled in _issues(path, device):
        last = found[-1] if found else None
        whole = last is not None and last[3] == 2560 and last[2] == sector and time - last[0] < 0.003
        if last is not None and whole and last[1] + sectors * 512 <= 8 * MIB:
            last[1:4] = [last[1] + sectors * 512, sector + sectors, sectors]
        else:
            found.append([time, sectors * 512, sector + sectors, sectors, throttled])
    return found


def _gaps(bios: list[tuple[int, int, bool]]) -> list[tuple[int, int]]:
    """(modelled, recorded) jiffies between one release and the next, all throttled bios waiting from the start."""
    engine = Engine(_gaps.bps, None, 250, 25, "spare")  # type: ignore[attr-defined]
    for name, (_, size, throttled) in enumerate(bios):
        if throttled:
            engine.come(name, size, bios[0][0] - 51)
    direct = [(at, size) for at, size, throttled in bios if not throttled]
    went: dict[int, int] = {}
    while (timer := engine.timer) is not None:
        while direct and direct[0][0] <= timer:
            at, size = direct.pop(0)
            engine.come(-1, size, at, meta=True)
        went |= dict.fromkeys(engine.fire(), timer)
    found, before = [], None
    for name, (at, _, _) in enumerate(bios):
        if name in went:
            if before and at != before[1]:
                found.append((went[name] - before[0], at - before[1]))
            before = (went[name], at)
    return found


@pytest.mark.skipif(not RECORDINGS.exists(), reason="no recordings beside the repository")
@pytest.mark.parametrize("case", ["seq-20M.1", "seq-40M.1", "seq-80M.2"])
def test_a_6_18_kernel_let_bios_go_when_the_model_does(case: str) -> None:
    """A sequential writer, its throttle never empty: nine gaps in ten are the model's, to the jiffy of 4 ms.

    The phase of jiffies within the recording is not known: the best of eight is taken.
    """
    folder = RECORDINGS / case
    meta = json.loads((folder / "meta.json").read_text())
    bios = _bios(folder / "trace.txt.gz", meta["dev"].replace(":", ","))
    _gaps.bps = meta["case"]["wbps"]  # type: ignore[attr-defined]
    edge = mode(round(time % 0.004 * 50_000) / 50_000 for time, *_, throttled in bios if throttled)
    best = 0.0
    for phase in range(8):
        rows = [(int((time - edge + 1e-4) // 0.004) + phase, size, throttled) for time, size, _, _, throttled in bios]
        gaps = _gaps(rows)
        best = max(best, sum(abs(model - real) <= 1 for model, real in gaps) / len(gaps))
    assert best > 0.9
