# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/vmstat. Counts are events or pages, as the file has them. Source: Linux v6.1 mm/vmstat.c:vmstat_text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact
from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, count
from pageout.readers.proc.named import Named, names
from pageout.readers.sysctl import VM

# A line of these begins a snapshot; inside one, any name the file could have.
_NAME = re.compile(
    r"nr_(?:free|zone|inactive|active|unevictable|mlock|anon|mapped|file|dirty|writeback|slab|page_table|sec_page_table|kernel|"
    r"unstable|bounce|vmscan|isolated|shmem|dirtied|written|throttled_written|pages_scanned|zspages|swapcached|foll_pin|iommu|"
    r"hugetlb|balloon|memmap|shadow_call|indirectly|overhead|gpu|ion)(?:_[a-z0-9_]{2,40})?|numa_[a-z_]{2,40}|workingset_[a-z_]{4,40}|pg(?:pgin|pgout|free|fault|majfault|reuse|rotated|"
    r"inodesteal|activate|deactivate|lazyfreed?|refill|scan|steal|alloc|skip|promote|demote|migrate)(?:_[a-z0-9_]{1,40})?|"
    r"pswpin|pswpout|allocstall(?:_[a-z0-9]{2,20})?|slabs_scanned|kswapd_[a-z_]{4,40}|pageoutrun|"
    r"drop_(?:pagecache|slab)|oom_kill|compact_[a-z_]{3,40}|htlb_[a-z_]{3,40}|unevictable_pgs_[a-z]{3,20}|"
    r"thp_[a-z_]{3,40}|balloon_[a-z]{3,20}|swap_ra(?:_hit)?|swp(?:in|out)_zero|zsw(?:pin|pout|pwb)|zone_reclaim_[a-z]{3,20}|"
    r"direct_map_[a-z0-9_]{3,40}|ksm_swpin_copy|cow_ksm|vma_lock_[a-z]{3,20}|mlocked_[a-z]{3,20}|pginodesteal"
)
# Names that other files have too: cgroup.stat and cpu.stat; and those a cgroup's memory.stat shares.
_OTHERS = VM | names(
    "nr_descendants nr_dying_descendants nr_periods nr_throttled nr_bursts numa_stat numa_zonelist_order"
)
_SHARED = re.compile(
    r"pgpgin|pgpgout|pgfault|pgmajfault|pgrefill|pgactivate|pgdeactivate|pglazyfreed?|pg(?:scan|steal|demote)_(?:kswapd|direct|"
    r"khugepaged|proactive)|workingset_\w+|thp_(?:fault|collapse)_alloc|thp_swpout(?:_fallback)?|zsw\w+|swp\w+|"
    r"numa_\w+|pgpromote_success|pgscan|pgsteal"
)
_BARE = re.compile(r"pgscan|pgsteal|pgalloc|pgskip|pgpromote|pgdemote|pgmigrate")  # only with a suffix in this file
# Names of memory.stat alone: one of these inside a run of shared names tells whose they all are.
CGROUP_ONLY = re.compile(
    r"total_\w+|hierarchical_\w+|file_\w+|shmem_\w+|slab_\w+|(?:in)?active_(?:anon|file)|kernel_stack|mapped_file|rss_huge|"
    r"anon_thp|sec_pagetables|anon|cache|rss|recent_(?:rotated|scanned)_\w+|pgscan|pgsteal"
)
_FOREIGN = re.compile(f"{_BARE.pattern}|{CGROUP_ONLY.pattern}")
_PAIR = re.compile(r"([a-z][a-z0-9_]{2,48})(?:\s{0,8}[:=]\s{0,40}|\s{1,80})(\d[\d,]{0,30})")
_NODE = re.compile(r"\bnode/node(\d{1,4})/")
_KEY = re.compile(r"([a-z][a-z0-9_]{2,48})")


class Vmstat(Family):
    """`nr_free_pages 1320053`."""

    kind = "vmstat"
    files = r"vmstat"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._waiting: tuple[int, str] | None = None
        self.run: list[tuple[int, str, int]] = []  # line, name, number of names that memory.stat has too

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting[0] == number - 1 and count(text) is not None:
            return self._keep(number, waiting[1], text, path, explicit)
        pair = _PAIR.fullmatch(text)
        if pair is None:
            key = _KEY.fullmatch(text)
            if key is not None and self._mine(key[1]) and self.blocks.near("vmstat", number):
                self._waiting = (number, key[1])
                self.blocks.reach("vmstat", number)
                return Claim.KNOWN
            return None
        inside = bool(path) or (self.blocks.near("vmstat", number) and "_" in pair[1])
        if not self._mine(pair[1]) and not (inside and pair[1] not in _OTHERS and not _FOREIGN.fullmatch(pair[1])):
            return None
        return self._keep(number, pair[1], pair[2], path, explicit)

    def _mine(self, name: str) -> bool:
        return bool(_NAME.fullmatch(name)) and name not in _OTHERS and not _FOREIGN.fullmatch(name)

    def _keep(self, number: int, name: str, digits: str, path: str, explicit: bool) -> Claim | None:
        found = count(digits)
        if found is None:
            return None
        shared = not path and bool(_SHARED.fullmatch(name))
        if shared and (self.run or not self.blocks.near("vmstat", number)):
            self.run.append((number, name, found))
        else:
            self.run.clear()
        node = _NODE.search(path)
        self.blocks.add("vmstat", f"Node {node[1]}" if node else "", number, [(name, found)], explicit=explicit)
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return the snapshots, without the lines a cgroup's memory.stat has adopted."""
        kept = []
        for snapshot in self.blocks.snapshots():
            values = {name: value for name, value in snapshot.values.items() if value.line not in self.named.adopted}
            if values:
                kept.append(snapshot._replace(values=values, line=min(value.line for value in values.values())))
        return kept
