# SPDX-License-Identifier: GPL-2.0-or-later
"""The checkers of stacked devices can fail: one table spoiled by hand, and the complaint names it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.machine import checkers
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.scenario import MIB, NS_PER_S, Disk, File, Filesystem, Machine, Scenario, Task

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
Tables = dict[str, Any]


@cache
def stopped() -> Result:
    """A RAID5 over iSCSI sessions caught in the middle of random writes."""
    fars = tuple(Disk(name=f"d{i}", size_bytes=256 * MIB) for i in range(3))
    links = tuple(
        Disk(name=f"i{i}", kind="iscsi", members=(f"d{i}",), queue_depth=8, mb_s=5, rtt_us=20_000) for i in range(3)
    )
    array = Disk(name="md0", kind="raid5", members=("i0", "i1", "i2"))
    machine = Machine(memory_bytes=64 * MIB, disks=(*fars, *links, array), filesystem=Filesystem(disk="md0"))
    task = Task(name="w", file=(0,), rw="randwrite", io_bytes=8 * MIB, end_fsync=True)
    files = (File(name="f", size_bytes=16 * MIB, exists=True),)
    return simulate(Scenario(name="stack", machine=machine, files=files, tasks=(task,), length_ns=NS_PER_S // 2))


def _more(table: str, field: str, by: int = 1) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table][field][-1] += by

    return spoil


def _lose_a_child(tables: Tables) -> None:
    bio = tables["bio"]
    i = int(np.flatnonzero((bio["used"] == 1) & (bio["children"] > 0))[0])
    bio["children"][i] += 2


def _lose_an_io(tables: Tables) -> None:
    i = int(np.flatnonzero(tables["stripe_page"]["want"])[0])
    tables["stripe_page"]["want"][i] = 0


def _wrong_list(tables: Tables) -> None:
    i = int(np.flatnonzero(tables["stripe"]["which"] == 0)[0])
    tables["stripe"]["which"][i] = 2


def _no_buffer(tables: Tables) -> None:
    segment = tables["segment"]
    i = int(np.flatnonzero((segment["queue"] != c.NIL) & (segment["stage"] != 2))[0])
    segment["page"][i] = int(np.flatnonzero(tables["page"]["pflags"] & c.PG_BUDDY)[0])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_lose_a_child, "parts, a recount finds"),
        (_lose_an_io, "counts other I/Os than its pages want"),
        (_wrong_list, "holds other stripes than say so"),
        (_no_buffer, "has no network buffer"),
        (_more("member", "pending"), "pending"),
        (_more("queue", "active_stripes"), "active stripes"),
        (_more("queue", "preread_active"), "prereading"),
        (_more("queue", "pending_full"), "full writes"),
        (_more("stat", "segments_used"), "segments"),
    ],
)
def test_a_spoiled_table_is_found(spoil: Callable[[Tables], None], words: str) -> None:
    result = stopped()
    tables = {name: array.copy() for name, array in result.booted.arrays.items()}
    checkers.check(result.booted._replace(arrays=tables), result.scenario)
    spoil(tables)
    with pytest.raises(InvariantError) as error:
        checkers.check(result.booted._replace(arrays=tables), result.scenario)
    assert words in str(error.value)


def test_a_send_buffer_that_counts_other_bytes_is_found() -> None:
    result = stopped()
    tables = {name: array.copy() for name, array in result.booted.arrays.items()}
    tables["queue"]["socket_used"][3] += 1
    with pytest.raises(InvariantError, match="send buffer"):
        checkers.check(result.booted._replace(arrays=tables), result.scenario)
