# SPDX-License-Identifier: GPL-2.0-or-later
from pageout.vocabulary.vmstat import VMSTAT


def test_the_counters_are_named_once_each() -> None:
    assert len(set(VMSTAT)) == len(VMSTAT)


def test_the_counters_of_reclaim_are_there_for_each_zone() -> None:
    for name in ("pgalloc", "pgrefill", "pgsteal", "pgscan_kswapd", "pgscan_direct"):
        assert {f"{name}_dma", f"{name}_dma32", f"{name}_normal"} <= set(VMSTAT)
    assert {"nr_dirty", "allocstall", "pageoutrun", "kswapd_skip_congestion_wait", "pswpout"} <= set(VMSTAT)
