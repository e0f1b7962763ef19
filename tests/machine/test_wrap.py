# SPDX-License-Identifier: GPL-2.0-or-later
"""A flusher's pass that ends before where it began."""

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.vocabulary.scenario import Filesystem
from tests.machine.test_simulate import KIB, MIB, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")


@pytest.mark.parametrize("design", ["linux-6.1", "linux-6.18"])
def test_ext4_chooses_blocks_for_pages_before_where_the_pass_began(design: str) -> None:
    at = {"bs_bytes": 64 * KIB, "end_fsync": False}
    what = scenario(
        machine(128, filesystem=Filesystem(kind="ext4"), kind="ssd"),
        (file(24),),
        io("write", 8, "middle", offset_bytes=8 * MIB, **at),
        io("write", 8, "start", start_delay_ns=4 * S, **at),
        io("write", 8, "end", offset_bytes=16 * MIB, start_delay_ns=4 * S, **at),
        settings={"vm.dirty_expire_centisecs": 100, "vm.dirty_writeback_centisecs": 50},
        length_ns=8 * S,
    )
    result = simulate(msgspec.structs.replace(what, design=design), check=500)

    assert result.vmstat["nr_dirty"] == 0
    assert int(result.booted.arrays["inode"]["disk_pages"][0]) == 24 * MIB // 4096
