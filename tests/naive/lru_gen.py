# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of the multi-generation LRU, from the kernel's rules alone: generations are plain lists, numbers never wrap.

Where the kernel's numbers, modulo four, make one generation of another, the twin renumbers its pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ANON, FILE = 0, 1
BATCH, MOST = 64, 4096


@dataclass
class Page:
    name: int
    kind: int
    zone: int
    seq: int = -1  # what it counts for; -1: it is on no list
    place: int = -1  # whose list it is on
    active: bool = False
    referenced: bool = False
    workingset: bool = False
    extra: int = 0  # uses beyond the two marks, up to three
    reclaim: bool = False
    dirty: bool = False
    writeback: bool = False
    locked: bool = False
    swapcache: bool = False
    young: bool = False
    index: int = -1

    @property
    def refs(self) -> int:
        return self.extra + self.workingset

    @property
    def tier(self) -> int:
        return self.refs.bit_length()  # the logarithm of refs + 1, rounded up

    def forget(self) -> None:
        self.extra, self.referenced, self.workingset = 0, False, False

    def use(self) -> None:
        if not self.referenced:
            self.referenced = True
        elif not self.workingset:
            self.workingset = True
        else:
            self.extra = min(self.extra + 1, 3)


@dataclass
class Tier:
    avg_refaulted: int = 0
    avg_total: int = 0
    refaulted: int = 0
    evicted: int = 0
    protected: int = 0

    def end(self) -> None:
        self.avg_refaulted = (self.avg_refaulted + self.refaulted) // 2
        self.avg_total = (self.avg_total + self.evicted + self.protected) // 2
        self.refaulted = self.evicted = self.protected = 0

    def position(self) -> tuple[int, int]:
        return self.avg_refaulted + self.refaulted, self.avg_total + self.evicted + self.protected


def not_hotter(sp: tuple[int, int], sp_gain: int, pv: tuple[int, int], pv_gain: int) -> bool:
    """The error of the control loop: is refaulted/total of pv within that of sp, or too small to tell?"""
    return pv[0] < BATCH or pv[0] * (sp[1] + BATCH) * sp_gain <= (sp[0] + 1) * pv[1] * pv_gain


def choose(tiers: list[list[Tier]], min_seq: list[int], swappiness: int) -> tuple[int, int]:
    """(type, last tier that may be taken) for the first try."""
    if swappiness == 0:
        kind = FILE
    elif min_seq[ANON] < min_seq[FILE]:
        kind = ANON
    elif swappiness in (1, 200):
        kind = FILE if swappiness == 1 else ANON
    else:
        gain = [swappiness, 200 - swappiness]
        first = [tiers[i][0].position() for i in (ANON, FILE)]
        kind = FILE if not_hotter(first[ANON], gain[ANON], first[FILE], gain[FILE]) else ANON
        other = 1 - kind
        return kind, unprotected(first[other], gain[other], tiers[kind], gain[kind])
    return kind, own_tiers(tiers[kind])


def own_tiers(tiers: list[Tier]) -> int:
    return unprotected(tiers[0].position(), 1, tiers, 2)


def unprotected(sp: tuple[int, int], sp_gain: int, tiers: list[Tier], gain: int) -> int:
    last = 0
    while last < 3 and not_hotter(sp, sp_gain, tiers[last + 1].position(), gain):
        last += 1
    return last


def ageing_due(sizes: dict[int, list[int]], max_seq: int, min_seq: list[int], can_swap: bool) -> bool:
    """sizes: of each type, of its generations from the oldest to the youngest."""
    kinds = (ANON, FILE) if can_swap else (FILE,)
    nr = max_seq - min_seq[kinds[0]] + 1
    if nr != 3:
        return nr < 3
    total = sum(sum(sizes[kind]) for kind in kinds)
    young = sum(sizes[kind][-1] for kind in kinds)
    old = sum(sizes[kind][-3] for kind in kinds if len(sizes[kind]) > 2)
    return 2 * young > total or 4 * old < total


def first_priority(wanted: int, inactive: int) -> int:
    """So that inactive >> priority is about what is wanted, between 6 and 12; 12 if less than a batch is."""
    if wanted < BATCH:
        return 12
    return max(6, min(12, inactive.bit_length() - 1 - (wanted - 1).bit_length()))


@dataclass
class Generations:
    """The LRU of one group: lists[seq][kind][zone], head first."""

    zones: int
    max_seq: int = 3
    min_seq: list[int] = field(default_factory=lambda: [0, 0])
    lists: dict[tuple[int, int, int], list[Page]] = field(default_factory=dict)
    tiers: list[list[Tier]] = field(default_factory=lambda: [[Tier() for _ in range(4)] for _ in range(2)])
    sorted: int = 0

    def at(self, seq: int, kind: int, zone: int) -> list[Page]:
        return self.lists.setdefault((seq, kind, zone), [])

    def put(self, page: Page, seq: int, *, tail: bool) -> None:
        where = self.at(seq, page.kind, page.zone)
        where.insert(len(where) if tail else 0, page)
        page.place = seq

    def take(self, page: Page) -> None:
        self.at(page.place, page.kind, page.zone).remove(page)

    def pages(self) -> list[Page]:
        return [page for pages in self.lists.values() for page in pages]

    def add(self, page: Page, *, reclaiming: bool = False) -> None:
        oldest = self.min_seq[page.kind]
        if page.active:
            seq = self.max_seq
        elif (page.kind == ANON and not page.swapcache) or (page.reclaim and (page.dirty or page.writeback)):
            seq = self.max_seq - 1
        elif reclaiming or self.max_seq - oldest <= 2:
            seq = oldest
        else:
            seq = oldest + 1
        page.active, page.seq = False, seq
        self.put(page, seq, tail=reclaiming)

    def remove(self, page: Page, *, for_reclaim: bool = False) -> None:
        self.take(page)
        if not for_reclaim and page.seq >= self.max_seq - 1:
            page.active = True
        page.seq = page.place = -1

    def promote(self, page: Page) -> None:
        if page.seq < 0:
            page.referenced = True
        else:
            page.forget()
            page.seq = self.max_seq

    def spare(self, page: Page, *, reclaim: bool = False, tail: bool) -> None:
        """folio_inc_gen and the move that follows it."""
        if page.seq == self.min_seq[page.kind]:
            page.forget()
            page.reclaim |= reclaim
            page.seq += 1
        self.take(page)
        self.put(page, page.seq, tail=tail)

    def end_oldest(self, kind: int, seq: int) -> None:
        for tier in self.tiers[kind]:
            tier.end()
        self.min_seq[kind] = seq

    def begin(self, *, can_swap: bool) -> None:
        """inc_max_seq."""
        for kind in (FILE, ANON):
            oldest = self.min_seq[kind]
            if self.max_seq - oldest != 3:
                continue
            if kind == FILE or can_swap:
                for zone in range(self.zones):
                    while self.at(oldest, kind, zone):
                        self.spare(self.at(oldest, kind, zone)[-1], tail=True)
            self.end_oldest(kind, oldest + 1)
            for zone in range(self.zones):  # what stayed shares its number, modulo four, with the one that begins
                self.lists[oldest + 4, kind, zone] = self.lists.pop((oldest, kind, zone), [])
                for page in self.at(oldest + 4, kind, zone):
                    page.place = oldest + 4
            for page in self.pages():
                if page.kind == kind and page.seq == oldest:
                    page.seq = oldest + 4
        self.max_seq += 1

    def walk(self, *, can_swap: bool) -> None:
        for page in self.pages():
            if page.young and (can_swap or page.kind == FILE):
                page.young = False
                self.promote(page)

    def drop_empty(self, *, can_swap: bool) -> bool:
        """try_to_inc_min_seq."""
        first = list(self.min_seq)
        for kind in (ANON, FILE) if can_swap else (FILE,):
            while first[kind] + 2 <= self.max_seq and not any(
                self.at(first[kind], kind, zone) for zone in range(self.zones)
            ):
                first[kind] += 1
        if can_swap:
            first[ANON] = min(first)
            first[FILE] = max(first[ANON], self.min_seq[FILE])
        changed = first != self.min_seq
        for kind in (ANON, FILE):
            if first[kind] != self.min_seq[kind]:
                self.end_oldest(kind, first[kind])
        return changed

    def spared(self, page: Page, last_tier: int) -> bool:
        """sort_folio."""
        if page.seq != self.min_seq[page.kind]:
            self.take(page)
            self.put(page, page.seq, tail=False)
            return True
        if page.tier > last_tier or page.refs == 4:
            self.tiers[page.kind][page.tier].protected += 1
            self.spare(page, tail=True)
            return True
        if page.locked or page.writeback or (page.kind == FILE and page.dirty):
            self.spare(page, reclaim=True, tail=False)
            return True
        return False

    def scan(self, kind: int, last_tier: int, *, may_write: bool = True) -> tuple[int, list[Page]]:
        """scan_folios: (pages looked at, those taken, in the order they were)."""
        taken: list[Page] = []
        looked_at = 0
        if self.max_seq - self.min_seq[kind] + 1 == 2:
            return 0, taken
        for zone in reversed(range(self.zones)):
            where, skipped = self.at(self.min_seq[kind], kind, zone), list[Page]()
            while where and looked_at < MOST and max(len(taken), len(skipped)) < BATCH:
                page = where[-1]
                looked_at += 1
                if self.spared(page, last_tier):
                    self.sorted += 1
                elif not may_write and (page.dirty or (page.kind == ANON and not page.swapcache)):
                    where.pop()
                    skipped.insert(0, page)
                else:
                    if not page.referenced:
                        page.forget()
                    page.reclaim = page.referenced = False
                    self.remove(page, for_reclaim=True)
                    taken.append(page)
            where[:0] = skipped
            if looked_at == MOST or len(taken) >= BATCH:
                break
        return (looked_at if taken or looked_at == MOST else 0), taken

    def isolate(self, swappiness: int, *, may_write: bool = True) -> tuple[int, int, list[Page]]:
        """isolate_folios: (looked at, type, taken)."""
        kind, last = choose(self.tiers, self.min_seq, swappiness)
        for _ in range(2 if swappiness else 1):
            looked_at, taken = self.scan(kind, last, may_write=may_write)
            if looked_at:
                return looked_at, kind, taken
            kind = 1 - kind
            last = own_tiers(self.tiers[kind])
        return 0, kind, []

    def evict(self, page: Page) -> tuple[int, int, int]:
        """A page goes. Returns its shadow: (type, oldest generation, refs)."""
        self.tiers[page.kind][page.tier].evicted += 1
        return page.kind, self.min_seq[page.kind], page.refs

    def refault(self, page: Page, shadow: tuple[int, int, int], *, fault: bool) -> bool:
        """A page comes back. Was it of the generation that is still the oldest?"""
        kind, seq, refs = shadow
        if seq != self.min_seq[kind]:
            return False
        self.tiers[kind][refs.bit_length()].refaulted += 1
        if fault or refs >= 3:
            page.extra, page.workingset = 3, True
        return True

    def put_back(self, page: Page, *, mapped: bool, again: bool) -> bool:
        """What shrink_folio_list left. False: it is worth a second look, and stays isolated."""
        if page.reclaim and (page.dirty or page.writeback):
            page.referenced |= page.workingset
        elif again or page.active or page.referenced or mapped or page.locked or page.dirty or page.writeback:
            page.forget()
            page.active = True
        else:
            return False
        self.add(page)
        return True
