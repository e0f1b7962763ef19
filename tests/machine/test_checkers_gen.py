# SPDX-License-Identifier: GPL-2.0-or-later
"""The checker of the multi-generation LRU can fail; and what its choice makes of a machine as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.kernel.mm.lru_gen import LABEL_MASK
from pageout.machine import checkers
from pageout.machine.boot import boot
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.scenario import Scenario
from tests.machine.test_parity_designs import storm, swapping

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
Tables = dict[str, Any]


def caught() -> Scenario:
    """A machine that is reclaiming files and anonymous memory with generations."""
    return msgspec.structs.replace(swapping(storm("linux-6.1", lru="gen")), length_ns=60_000_000)


def listed(tables: Tables, *, anon: bool = False) -> int:
    pflags = tables["page"]["pflags"]
    found = (pflags & c.PG_LRU != 0) & ((pflags & c.PG_SWAPBACKED != 0) == anon)
    return int(np.flatnonzero(found)[0])


def another_label(tables: Tables) -> None:
    page = listed(tables)
    gen = int(tables["page"]["gen"][page])
    label = (gen & LABEL_MASK) % 4 + 1
    tables["page"]["gen"][page] = gen & ~LABEL_MASK | label


def no_label(tables: Tables) -> None:
    tables["page"]["gen"][listed(tables)] &= ~LABEL_MASK


def on_another_list(tables: Tables) -> None:
    tables["page"]["gen"][listed(tables)] ^= 3 << 3


def active(tables: Tables) -> None:
    tables["page"]["pflags"][listed(tables)] |= c.PG_ACTIVE


def unlinked(tables: Tables) -> None:
    tables["page"]["lru_next"][listed(tables)] = c.NIL


def counted(table: str, field: str, by: int = 1) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table][field][0] += by

    return spoil


def a_loop(tables: Tables) -> None:
    """Two pages of a list name each other, its ends the other pages."""
    page, follow = tables["page"], tables["page"]["lru_next"]
    queue = max(tables["gen_list"], key=lambda row: int(row["nr"]) if row["head"] != c.NIL else -1)
    first = int(follow[int(queue["head"])])
    second = int(follow[first])
    rest = int(follow[second])
    page["lru_next"][int(queue["head"])], page["lru_prev"][rest] = rest, int(queue["head"])
    page["lru_next"][second], page["lru_prev"][first] = first, second


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (another_label, "generation"),
        (no_label, "counts for a generation and is on no list"),
        (on_another_list, "is not one list of its pages"),
        (active, "is marked active"),
        (a_loop, "length"),
        (unlinked, "is not one list of its pages"),
        (counted("gen_list", "nr"), "counted"),
        (counted("gen", "max_seq", 3), "has generations"),
        (counted("gen", "min_file", -9), "has generations"),
        (counted("gen_tier", "evicted", -(10**6)), "below nought"),
        (counted("lru", "nr"), "group 0 list 0"),
    ],
)
def test_a_spoiled_generation_is_named(spoil: Callable[[Tables], None], said: str) -> None:
    tables = dict(simulate(caught()).booted.arrays)
    checkers.check(boot(caught())._replace(arrays=tables), caught())
    spoil(tables)
    with pytest.raises(InvariantError) as error:
        checkers.check(boot(caught())._replace(arrays=tables), caught())
    assert said in str(error.value)


def ran(design: str, lru: str, trace: Path | None = None) -> Result:
    what = msgspec.structs.replace(swapping(storm(design, lru=lru)), length_ns=60_000_000)
    return simulate(what, trace=trace, events="full")


def test_nothing_of_a_scan_is_traced_by_6_1_and_batches_of_4096_are_by_later_kernels(tmp_path: Path) -> None:
    ran("linux-6.1", "gen", tmp_path / "6.1")
    ran("linux-6.18", "gen", tmp_path / "6.18")
    old, new = (tmp_path / "6.1").read_text(), (tmp_path / "6.18").read_text()
    assert "mm_vmscan_kswapd_wake" in old
    assert "mm_vmscan_lru" not in old
    assert "nr_requested=4096" in new
    assert "mm_vmscan_lru_shrink_inactive" in new
    assert "mm_vmscan_lru_shrink_active" not in new


def test_the_same_storm_reclaims_as_much_and_counts_pages_as_the_kernel_shows_them() -> None:
    gen, classic = ran("linux-6.1", "gen"), ran("linux-6.1", "classic")
    assert gen.digest != classic.digest
    nodes = [run.booted.arrays["node"] for run in (gen, classic)]
    freed = [int(node["pgsteal_kswapd"][0]) + int(node["pgsteal_direct"][0]) for node in nodes]
    assert 0.5 < freed[0] / freed[1] < 2
    lists = gen.booted.arrays["lru"]["nr"].tolist()
    names_of = ("nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file")
    assert [gen.vmstat[name] for name in names_of] == lists[: c.NR_LRU]
    assert gen.booted.arrays["gen_tier"]["evicted"].sum() + gen.booted.arrays["gen_tier"]["avg_total"].sum() > 0
