# SPDX-License-Identifier: GPL-2.0-or-later
"""A flusher's pass that goes on before where it began."""

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.vocabulary.scenario import Filesystem
from tests.machine.test_simulate import KIB, MIB, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")


@pytest.mark.parametrize("design", ["linux-6.1", "linux-6.18"])
def test_ext4_chooses_blocks_for_pages_before_where_the_pass_began(design: str) -> None:
    what = scenario(
        machine(128, filesystem=Filesystem(kind="ext4"), kind="ssd"),
        (file(8),),
        io("randwrite", 8, bs_bytes=16 * KIB, rate_bps=2 * MIB, seed=1),
        settings={"vm.dirty_expire_centisecs": 20, "vm.dirty_writeback_centisecs": 10},
        length_ns=8 * S,
    )
    result = simulate(msgspec.structs.replace(what, design=design), check=100)

    assert result.vmstat["nr_dirty"] == 0
    assert int(result.booted.arrays["inode"]["disk_pages"][0]) == 8 * MIB // 4096
