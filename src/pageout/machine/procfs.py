# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel would print of its memory: files of /proc and debugfs in the kernel's own formats.

Source: Linux v2.6.34 mm/vmstat.c:frag_show_print, pagetypeinfo_show, zoneinfo_show_print, vmstat_show,
fs/proc/meminfo.c:meminfo_proc_show; v3.1 mm/vmstat.c:extfrag_show_print, unusable_show_print (debugfs since 2.6.35).
Lines of what is not modelled (slab, page tables, mlock ...) are left out: a 0 would say that it was counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.engine.state import NODE_COUNTERS
from pageout.kernel.sched.highorder import HUGETLB_PAGE_ORDER, JOB_HUGEPAGES
from pageout.machine.boot_gen import zone_lists
from pageout.vocabulary.vmstat import VMSTAT

FILES = ("buddyinfo", "pagetypeinfo", "extfrag_index", "unusable_index", "zoneinfo", "vmstat", "meminfo")
ZONE_NAMES = ("DMA", "DMA32", "Normal")
TYPE_NAMES = ("Unmovable", "Reclaimable", "Movable", "Reserve", "Isolate")
PAGEBLOCK = 1 << c.PAGEBLOCK_ORDER
LATER = ("nr_dirtied", "nr_written")  # vmstat names that came after 2.6.34
NOT_MODELLED = ("pginodesteal", "slabs_scanned", "kswapd_inodesteal")
Arrays = Mapping[str, Any]


def proc_files(arrays: Arrays, vmstat: Mapping[str, int]) -> dict[str, str]:
    """Return {file name: its text} as the machine stands; vmstat: counters by the kernel's names."""
    orders = range(c.MAX_ORDER)
    texts = (
        _by_zone(arrays, lambda nr_free: "".join(f"{nr:6d} " for nr in nr_free)),
        "".join(_pagetypeinfo(arrays)),
        _by_zone(arrays, lambda nr_free: "".join(_milli(fragmentation_index(nr_free, order)) for order in orders)),
        _by_zone(arrays, lambda nr_free: "".join(_milli(unusable_index(nr_free, order)) for order in orders)),
        "".join(_zoneinfo(arrays, z) for z in range(len(arrays["zone"]))),
        "".join(f"{name} {vmstat[name]}\n" for name in _vmstat_names(vmstat)),
        "".join(_meminfo(arrays)),
    )
    return dict(zip(FILES, texts, strict=True))


def _vmstat_names(vmstat: Mapping[str, int]) -> Iterator[str]:
    """What is printed: what 2.6.34 has, and what a node of 6.x counts if this one does."""
    yield from (name for name in VMSTAT if name not in LATER + NOT_MODELLED)
    yield from (name for name in NODE_COUNTERS if name in vmstat)


def nr_free_of(arrays: Arrays, zone: int) -> list[int]:
    """Free blocks of a zone by order."""
    counts: list[int] = arrays["free_area"]["nr"][zone * c.MAX_ORDER : (zone + 1) * c.MAX_ORDER].tolist()
    return counts


def fragmentation_index(nr_free: Sequence[int], order: int) -> int:
    """Why a request of this order would fail, in thousandths: near 0 for want of memory, near 1000 for fragmentation.

    -1000 if it would not fail: a block is free. Source: Linux v3.1 mm/vmstat.c:__fragmentation_index.
    """
    blocks = sum(nr_free)
    if not blocks:
        return 0
    if any(nr_free[order:]):
        return -1000
    pages = sum(nr << o for o, nr in enumerate(nr_free))
    return 1000 - (1000 + pages * 1000 // (1 << order)) // blocks


def unusable_index(nr_free: Sequence[int], order: int) -> int:
    """Share of free memory that this order cannot use, in thousandths.

    Source: Linux v3.1 mm/vmstat.c:unusable_free_index.
    """
    pages = sum(nr << o for o, nr in enumerate(nr_free))
    usable = sum(nr << o for o, nr in enumerate(nr_free) if o >= order)
    return (pages - usable) * 1000 // pages if pages else 1000


def _milli(index: int) -> str:
    """As C prints %d.%03d of index / 1000, index % 1000, both rounded towards 0: -1000 is -1.000."""
    whole, rest = divmod(abs(index), 1000)
    sign = "-" if index < 0 else ""
    return f"{sign if whole else ''}{whole}.{sign if rest else ''}{rest:03d} "


def _by_zone(arrays: Arrays, row: Any) -> str:
    zones = range(len(arrays["zone"]))
    return "".join(f"Node 0, zone {ZONE_NAMES[z]:>8} {row(nr_free_of(arrays, z))}\n" for z in zones)


def _on_list(arrays: Arrays, number: int) -> int:
    """Blocks on a free list, counted along its links as the kernel does."""
    following = arrays["page"]["lru_next"].item
    page, count = int(arrays["free_list"]["head"][number]), 0
    while page != c.NIL:
        page, count = following(page), count + 1
    return count


def _pagetypeinfo(arrays: Arrays) -> Iterator[str]:
    yield f"Page block order: {c.PAGEBLOCK_ORDER}\nPages per block:  {PAGEBLOCK}\n\n"
    title = "Free pages count per migrate type at order"
    yield f"{title:<43} " + "".join(f"{order:6d} " for order in range(c.MAX_ORDER)) + "\n"
    for z in range(len(arrays["zone"])):
        for kind, name in enumerate(TYPE_NAMES):
            counts = [
                _on_list(arrays, (z * c.MAX_ORDER + order) * c.NR_FREE_LISTS + kind) if kind < c.NR_FREE_LISTS else 0
                for order in range(c.MAX_ORDER)
            ]
            row = "".join(f"{nr:6d} " for nr in counts)
            yield f"Node {0:4d}, zone {ZONE_NAMES[z]:>8}, type {name:>12} {row}\n"
    title = "Number of blocks type "
    yield f"\n{title:<23}" + "".join(f"{name:>12} " for name in TYPE_NAMES) + "\n"
    for z, zone in enumerate(arrays["zone"]):
        first, last = int(zone["start_page"]) // PAGEBLOCK, -(-int(zone["end_page"]) // PAGEBLOCK)
        counts = np.bincount(arrays["pageblock"][first:last], minlength=len(TYPE_NAMES)).tolist()
        yield f"Node 0, zone {ZONE_NAMES[z]:>8} " + "".join(f"{nr:12d} " for nr in counts) + "\n"


def _zone_levels(arrays: Arrays, z: int) -> dict[str, int]:
    """The zone's counters by vmstat's names, in the kernel's order; those the engine does not keep are recounted."""
    zone, lru = arrays["zone"][z], arrays["lru"]["nr"][z * c.NR_LRU : (z + 1) * c.NR_LRU]
    here = slice(int(zone["start_page"]), int(zone["end_page"]))
    pflags, mapping = arrays["page"]["pflags"][here], arrays["page"]["mapping"][here]
    cached = (mapping >= 0) & (pflags & (c.PG_LRU | c.PG_PVEC | c.PG_ISOLATED) != 0)
    anon = pflags & c.PG_SWAPBACKED != 0
    if int(arrays["param"]["lru_gen"][0]):
        lru = zone_lists(arrays, z)
    elif int(arrays["param"]["reclaim_engine"][0]) == c.ENGINE_NODE:
        kinds = pflags[pflags & c.PG_LRU != 0] & (c.PG_SWAPBACKED | c.PG_ACTIVE)
        inactive_anon, active = c.PG_SWAPBACKED, c.PG_ACTIVE
        lru = [int((kinds == kind).sum()) for kind in (inactive_anon, inactive_anon | active, 0, active)]
    counts = {
        "nr_free_pages": zone["nr_free"],
        "nr_inactive_anon": lru[c.LRU_INACTIVE_ANON],
        "nr_active_anon": lru[c.LRU_ACTIVE_ANON],
        "nr_inactive_file": lru[c.LRU_INACTIVE_FILE],
        "nr_active_file": lru[c.LRU_ACTIVE_FILE],
        "nr_anon_pages": (cached & anon).sum(),
        "nr_mapped": (cached & ~anon & (pflags & c.PG_MAPPED != 0)).sum(),
        "nr_file_pages": (cached & ~anon).sum(),
        "nr_dirty": zone["nr_dirty"],
        "nr_writeback": zone["nr_writeback"],
        "nr_isolated_anon": zone["isolated_anon"],
        "nr_isolated_file": zone["isolated_file"],
    }
    return {name: int(count) for name, count in counts.items()}


def _zoneinfo(arrays: Arrays, z: int) -> str:
    get = {name: int(arrays["zone"][name][z]) for name in arrays["zone"].dtype.names}
    reserve = [get[f"reserve{j}"] for j in range(3)]
    cpus = len(arrays["pcp"]) // len(arrays["zone"])
    lines = [
        f"Node 0, zone {ZONE_NAMES[z]:>8}",
        f"  pages free     {get['nr_free']}",
        f"        min      {get['wmark_min']}",
        f"        low      {get['wmark_low']}",
        f"        high     {get['wmark_high']}",
        f"        scanned  {get['pages_scanned']}",
        f"        spanned  {get['end_page'] - get['start_page']}",
        f"        present  {get['present']}",
        *(f"    {name:<12} {count}" for name, count in _zone_levels(arrays, z).items()),
        # the last one is for ZONE_MOVABLE, which is empty: as for the zone below it
        f"        protection: ({', '.join(map(str, [*reserve, reserve[2]]))})",
        "  pagesets",
    ]
    for cpu in range(cpus):
        lines += [
            f"    cpu: {cpu}",
            f"              count: {int(arrays['pcp']['nr'][z * cpus + cpu])}",
            f"              high:  {max(get['pcp_high'], int(arrays['pcp']['high'][z * cpus + cpu]))}",
            f"              batch: {get['pcp_batch']}",
        ]
    lines += [
        f"  all_unreclaimable: {get['all_unreclaimable']}",
        f"  start_pfn:         {get['start_page']}",
        f"  inactive_ratio:    {get['inactive_ratio']}",
    ]
    return "\n".join(lines) + "\n"


def _meminfo(arrays: Arrays) -> Iterator[str]:
    def vm(name: str) -> int:
        return int(arrays["vm"][name][0])

    pflags, inode, param = arrays["page"]["pflags"], arrays["inode"], arrays["param"]
    active, inactive = (vm(f"nr_{state}_anon") + vm(f"nr_{state}_file") for state in ("active", "inactive"))
    pages = {
        "MemTotal": int(arrays["zone"]["present"].sum()),
        "MemFree": vm("nr_free_pages"),
        "Cached": vm("nr_file_pages"),
        "SwapCached": int((pflags & c.PG_SWAPCACHE != 0).sum()),
        "Active": active,
        "Inactive": inactive,
        "Active(anon)": vm("nr_active_anon"),
        "Inactive(anon)": vm("nr_inactive_anon"),
        "Active(file)": vm("nr_active_file"),
        "Inactive(file)": vm("nr_inactive_file"),
        "SwapTotal": int(param["nr_swap_slots"][0]),
        "SwapFree": int(arrays["stat"]["swap_free"][0]),
        "Dirty": vm("nr_dirty"),
        "Writeback": vm("nr_writeback"),
        "AnonPages": vm("nr_anon_pages"),
        "Mapped": int(inode["nr_mapped"][inode["kind"] == c.INODE_FILE].sum()),
        "KernelStack": int(arrays["stat"]["stack_pages"][0]),
    }
    for name, count in pages.items():
        yield f"{name + ':':<15} {count * 4:8d} kB\n"
    task = arrays["task"]
    is_holder = (arrays["job"]["kind"][task["job"]] == JOB_HUGEPAGES) & (task["tflags"] & c.PF_KTHREAD == 0)
    if is_holder.any():
        pool = int(task["allocated_nr"][is_holder].sum())
        yield f"HugePages_Total:   {pool:5d}\nHugePages_Free:    {pool:5d}\n"
        yield f"Hugepagesize:   {4 << HUGETLB_PAGE_ORDER:8d} kB\n"
