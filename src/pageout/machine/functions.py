# SPDX-License-Identifier: GPL-2.0-or-later
"""The functions as the kernel that the choices build has them: bytes of each frame and of each leaf chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pageout.kernel import frames, frames_node

# Functions whose algorithm a choice exchanges: another unit answers to the same numbers.
OTHER_UNITS = {
    ("throttle.by", "pause"): ("wb", "balance_dirty_pages"),
    ("reclaim.engine", "node"): ("node", *frames_node.MOVED),
    ("lru", "gen"): ("gen", "shrink_node"),
    ("flusher.turn", "bandwidth"): (
        "wb",
        "bdi_writeback_thread",
        "wb_writeback",
        "writeback_inodes_wb",
        "ext4_da_writepages",
        "write_cache_pages",
    ),
}


def boot_functions(arrays: dict[str, Any], choices: Mapping[str, Any]) -> None:
    """Fill the tables `function` and `leaf`."""
    sizes = frames.sizes_of(choices)
    for number, row in enumerate(frames.TABLE):
        arrays["function"]["frame_bytes"][number] = frames.frame_bytes(row, sizes)
        arrays["function"]["unit"][number] = frames.UNITS.index(row.unit)
    for (choice, value), (unit, *names) in OTHER_UNITS.items():
        if choices[choice] == value:
            for name in names:
                arrays["function"]["unit"][getattr(frames.FN, name)] = frames.UNITS.index(unit)
    for number, chain in enumerate(frames.LEAVES.values()):
        arrays["leaf"][number] = frames.chain_bytes(tuple(chain.split()), sizes)
