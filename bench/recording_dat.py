# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.recording_dat FILE [--events N]`: a long trace.dat, as trace-cmd records it on a 6.x kernel.

Nothing in it happened: times rise, values are of a likely size, and that is all. The same arguments give the same
bytes.
"""

from __future__ import annotations

import argparse
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.dat_pages import CPUSTAT, UNAME, VERSION, Dat, Ring

EVENTS = 2_000_000
NR_CPUS = 4
LOST_EVERY = 300_000

Random = random.Random


class Part(NamedTuple):
    """A field: C type, name, letter of `struct`; or of characters, with their number."""

    ctype: str
    name: str
    letter: str
    count: int = 0


def number(ctype: str, name: str) -> Part:
    """Return a field of one of C's numbers."""
    letters = {
        "int": "i", "unsigned int": "I", "long": "q", "unsigned long": "Q", "dev_t": "I", "sector_t": "Q",
        "ino_t": "Q", "void *": "Q", "unsigned short": "H", "pid_t": "i",
    }  # fmt: skip
    return Part(ctype, name, letters[ctype])


def text(name: str, count: int) -> Part:
    """Return a field of characters."""
    return Part("char", name, "s", count)


class Event(NamedTuple):
    """An event, its format, and what makes values of it."""

    system: str
    name: str
    number: int
    fields: Sequence[Part]
    print_fmt: str
    make: Callable[[Random], tuple[object, ...]]
    weight: int

    def layout(self, *, big: bool = False, long_size: int = 8) -> tuple[str, list[tuple[Part, int, int]]]:
        """Return the format of `struct` for a whole record and each field's offset and size."""
        fmt, at, places = (">" if big else "<") + "HBBi", 8, []
        for part in self.fields:
            letter = part.letter
            if long_size == 4 and part.ctype in ("long", "unsigned long", "ino_t", "void *"):
                letter = "i" if letter == "q" else "I"
            size = part.count or struct.calcsize("=" + letter)
            gap = -at % (1 if part.count else size)
            fmt += "x" * gap + (f"{size}s" if part.count else letter)
            places.append((part, at + gap, size))
            at += gap + size
        return fmt, places

    def format_text(self, *, big: bool = False, long_size: int = 8) -> str:
        """Return the event's format file."""
        lines = [f"name: {self.name}", f"ID: {self.number}", "format:"]
        rows = [("unsigned short", "common_type", 0, 2, 0), ("unsigned char", "common_flags", 2, 1, 0),
                ("unsigned char", "common_preempt_count", 3, 1, 0), ("int", "common_pid", 4, 4, 1)]  # fmt: skip
        for part, at, size in self.layout(big=big, long_size=long_size)[1]:
            name = f"{part.name}[{part.count}]" if part.count else part.name
            rows.append((part.ctype, name, at, size, int(part.letter in "iq" and not part.count)))
        for n, (ctype, name, at, size, signed) in enumerate(rows):
            lines += [""] if n == 4 else []
            lines.append(f"\tfield:{ctype} {name};\toffset:{at};\tsize:{size};\tsigned:{signed};")
        return "\n".join([*lines, "", f"print fmt: {self.print_fmt}", ""])


def _up_to(r: Random, limit: int) -> int:
    """A number below the limit, small ones as likely as large ones."""
    return int(limit ** r.random()) - 1


_GFP_TABLE = (
    "{( unsigned long)((( gfp_t)((((1UL))) << (6))) | (( gfp_t)((((1UL))) << (7))) | (( gfp_t)(((((1UL))) << (10))|"
    '((((1UL))) << (11))))), "GFP_KERNEL"}, {( unsigned long)((( gfp_t)((((1UL))) << (6))) | '
    '(( gfp_t)(((((1UL))) << (10))|((((1UL))) << (11))))), "GFP_NOFS"}, {( unsigned long)(( gfp_t)((((1UL))) << '
    '(13))), "__GFP_NOWARN"}, {( unsigned long)(( gfp_t)((((1UL))) << (18))), "__GFP_COMP"}'
)
_GFP = f'(REC->gfp_flags) ? __print_flags(REC->gfp_flags, "|", {_GFP_TABLE}) : "none"'
_GFP_VALUES = (0xCC0, 0xC40, 0xC40 | 1 << 13, 0xCC0 | 1 << 18, 0xC40 | 1 << 13 | 1 << 18, 0)
_RECLAIM = (
    '(REC->reclaim_flags) ? __print_flags(REC->reclaim_flags, "|", {0x0001u, "RECLAIM_WB_ANON"}, '
    '{0x0002u, "RECLAIM_WB_FILE"}, {0x0010u, "RECLAIM_WB_MIXED"}, {0x0004u, "RECLAIM_WB_SYNC"}, '
    '{0x0008u, "RECLAIM_WB_ASYNC"} ) : "RECLAIM_WB_NONE"'
)
_DEV = "((unsigned int) ((REC->dev) >> 20)), ((unsigned int) ((REC->dev) & ((1U << 20) - 1)))"
_STATE = (
    '__print_flags(REC->state, "|", {(1 << 0), "I_DIRTY_SYNC"}, {(1 << 1), "I_DIRTY_DATASYNC"}, {(1 << 2), '
    '"I_DIRTY_PAGES"}, {(1 << 3), "I_NEW"}, {(1 << 7), "I_SYNC"}, {(1 << 8), "I_REFERENCED"})'
)
_BDI = (b"8:0", b"8:16", b"253:0", b"259:1")
_DEVS = (8 << 20, 8 << 20 | 16, 253 << 20)
_RWBS = (b"W", b"WS", b"WM", b"R", b"RA")
_SHRINKERS = (0xFFFFFFFF81234000, 0xFFFFFFFF81456780)
KALLSYMS = b"".join(
    f"{address:016x} t {name}\n".encode()
    for address, name in (
        (_SHRINKERS[0], "super_cache_scan"), (_SHRINKERS[1], "xfs_buftarg_shrink_scan"), (0xFFFFFFFF82000000, "_etext"),
    )
)  # fmt: skip


def _balance(r: Random) -> tuple[object, ...]:
    dirty, pause = r.randrange(600_000), _up_to(r, 200)
    return (
        r.choice(_BDI), 655360, 573440, dirty, dirty >> 1, dirty >> 2, _up_to(r, 400_000), _up_to(r, 400_000),
        _up_to(r, 512), _up_to(r, 512), r.randrange(2), pause, pause + 4, r.randrange(-2, 9), r.choice((1, 1, 4711)),
    )  # fmt: skip


def _inactive(r: Random) -> tuple[object, ...]:
    scanned = r.randrange(1, 33)
    return (
        r.randrange(2), scanned, r.randrange(scanned), r.randrange(4), r.randrange(4), 0, r.randrange(2), 0,
        r.randrange(3), 0, 0, r.randrange(13), r.choice((0xA, 0x9, 0x6)),
    )  # fmt: skip


def _issue(r: Random) -> tuple[object, ...]:
    sectors = 8 << r.randrange(8)
    return (
        r.choice(_DEVS), _up_to(r, 4_000_000_000), sectors, sectors * 512, r.choice(_RWBS), r.choice(NAMES), 0,
    )  # fmt: skip


def _taken(r: Random) -> tuple[object, ...]:
    taken = r.randrange(33)
    return r.randrange(4), r.randrange(4), 32, taken, 0, taken, r.randrange(4)


NAMES = (b"kswapd0", b"fio", b"dd", b"kworker/u16:3", b"jbd2/sda1-8", b"Web Content", b"tmux: server")
PIDS = (88, 20481, 3301, 4481, 142, 7710, 902)
CMDLINES = b"".join(b"%d %s\n" % pair for pair in zip(PIDS, NAMES, strict=True))

EVENT_TABLE = (
    Event("vmscan", "mm_vmscan_kswapd_wake", 601,
          (number("int", "nid"), number("int", "zid"), number("int", "order")),
          '"nid=%d order=%d", REC->nid, REC->order',
          lambda r: (r.randrange(2), 2, r.randrange(4)), 1),
    Event("vmscan", "mm_vmscan_wakeup_kswapd", 602,
          (number("int", "nid"), number("int", "zid"), number("int", "order"), number("unsigned long", "gfp_flags")),
          f'"nid=%d order=%d gfp_flags=%s", REC->nid, REC->order, {_GFP}',
          lambda r: (r.randrange(2), r.randrange(3), r.randrange(4), r.choice(_GFP_VALUES)), 8),
    Event("vmscan", "mm_vmscan_direct_reclaim_begin", 603,
          (number("int", "order"), number("unsigned long", "gfp_flags")),
          f'"order=%d gfp_flags=%s", REC->order, {_GFP}', lambda r: (r.randrange(10), r.choice(_GFP_VALUES)), 4),
    Event("vmscan", "mm_vmscan_direct_reclaim_end", 604, (number("unsigned long", "nr_reclaimed"),),
          '"nr_reclaimed=%lu", REC->nr_reclaimed', lambda r: (_up_to(r, 4000),), 4),
    Event("vmscan", "mm_vmscan_lru_isolate", 605,
          (number("int", "highest_zoneidx"), number("int", "order"), number("unsigned long", "nr_requested"),
           number("unsigned long", "nr_scanned"), number("unsigned long", "nr_skipped"),
           number("unsigned long", "nr_taken"), number("int", "lru")),
          '"classzone=%d order=%d nr_requested=%lu nr_scanned=%lu nr_skipped=%lu nr_taken=%lu lru=%s", '
          "REC->highest_zoneidx, REC->order, REC->nr_requested, REC->nr_scanned, REC->nr_skipped, REC->nr_taken, "
          '__print_symbolic(REC->lru, {0, "inactive_anon"}, {1, "active_anon"}, {2, "inactive_file"}, '
          '{3, "active_file"})', _taken, 18),
    Event("vmscan", "mm_vmscan_lru_shrink_inactive", 606,
          (number("int", "nid"), *(number("unsigned long", name) for name in (
              "nr_scanned", "nr_reclaimed", "nr_dirty", "nr_writeback", "nr_congested", "nr_immediate")),
           number("unsigned int", "nr_activate0"), number("unsigned int", "nr_activate1"),
           number("unsigned long", "nr_ref_keep"), number("unsigned long", "nr_unmap_fail"), number("int", "priority"),
           number("int", "reclaim_flags")),
          '"nid=%d nr_scanned=%ld nr_reclaimed=%ld nr_dirty=%ld nr_writeback=%ld nr_congested=%ld nr_immediate=%ld '
          'nr_activate_anon=%d nr_activate_file=%d nr_ref_keep=%ld nr_unmap_fail=%ld priority=%d flags=%s", REC->nid, '
          "REC->nr_scanned, REC->nr_reclaimed, REC->nr_dirty, REC->nr_writeback, REC->nr_congested, REC->nr_immediate, "
          "REC->nr_activate0, REC->nr_activate1, REC->nr_ref_keep, REC->nr_unmap_fail, REC->priority, " + _RECLAIM,
          _inactive, 16),
    Event("vmscan", "mm_shrink_slab_end", 607,
          (number("void *", "shr"), number("int", "nid"), number("void *", "shrink"), number("long", "unused_scan"),
           number("long", "new_scan"), number("int", "retval"), number("long", "total_scan")),
          '"%pS %p: nid: %d unused scan count %ld new scan count %ld total_scan %ld last shrinker return val %d", '
          "REC->shrink, REC->shr, REC->nid, REC->unused_scan, REC->new_scan, REC->total_scan, REC->retval",
          lambda r: (0xFFFF888100040000, r.randrange(2), r.choice(_SHRINKERS), _up_to(r, 9000), _up_to(r, 9000),
                     _up_to(r, 1024), _up_to(r, 1024)), 4),
    Event("writeback", "balance_dirty_pages", 701,
          (text("bdi", 32), *(number("unsigned long", name) for name in (
              "limit", "setpoint", "dirty", "wb_setpoint", "wb_dirty", "dirty_ratelimit",
              "task_ratelimit")),
           number("unsigned int", "dirtied"), number("unsigned int", "dirtied_pause"),
           number("unsigned long", "paused"),
           number("long", "pause"), number("unsigned long", "period"), number("long", "think"),
           number("ino_t", "cgroup_ino")),
          '"bdi %s: limit=%lu setpoint=%lu dirty=%lu wb_setpoint=%lu wb_dirty=%lu dirty_ratelimit=%lu '
          "task_ratelimit=%lu dirtied=%u dirtied_pause=%u paused=%lu pause=%ld period=%lu think=%ld "
          'cgroup_ino=%lu", REC->bdi, REC->limit, REC->setpoint, REC->dirty, REC->wb_setpoint, REC->wb_dirty, '
          "REC->dirty_ratelimit, REC->task_ratelimit, REC->dirtied, REC->dirtied_pause, REC->paused, REC->pause, "
          "REC->period, REC->think, (unsigned long)REC->cgroup_ino", _balance, 10),
    Event("writeback", "global_dirty_state", 702,
          tuple(number("unsigned long", name) for name in (
              "nr_dirty", "nr_writeback", "background_thresh", "dirty_thresh", "dirty_limit", "nr_dirtied",
              "nr_written")),
          '"dirty=%lu writeback=%lu bg_thresh=%lu thresh=%lu limit=%lu dirtied=%lu written=%lu", REC->nr_dirty, '
          "REC->nr_writeback, REC->background_thresh, REC->dirty_thresh, REC->dirty_limit, REC->nr_dirtied, "
          "REC->nr_written",
          lambda r: (_up_to(r, 655_360), _up_to(r, 40_000), 327680, 655360, 655360, r.randrange(10**9),
                     r.randrange(10**9)), 4),
    Event("writeback", "writeback_single_inode", 703,
          (text("name", 32), number("ino_t", "ino"), number("unsigned long", "state"),
           number("unsigned long", "dirtied_when"), number("unsigned long", "writeback_index"),
           number("long", "nr_to_write"), number("unsigned long", "wrote"), number("ino_t", "cgroup_ino")),
          '"bdi %s: ino=%lu state=%s dirtied_when=%lu age=%lu index=%lu to_write=%ld wrote=%lu cgroup_ino=%lu", '
          f"REC->name, (unsigned long)REC->ino, {_STATE}, REC->dirtied_when, (jiffies - REC->dirtied_when) / 250, "
          "REC->writeback_index, REC->nr_to_write, REC->wrote, (unsigned long)REC->cgroup_ino",
          lambda r: (r.choice(_BDI), _up_to(r, 90_000_000), r.choice((0x84, 0x87, 0x80, 0)),
                     4294000000 + r.randrange(900_000), _up_to(r, 2_000_000), r.choice((1024, 2048, 2**31 - 1)),
                     _up_to(r, 2048), 1), 5),
    Event("block", "block_rq_issue", 801,
          (number("dev_t", "dev"), number("sector_t", "sector"), number("unsigned int", "nr_sector"),
           number("unsigned int", "bytes"), text("rwbs", 8), text("comm", 16),
           Part("__data_loc char[]", "cmd", "I")),
          f'"%d,%d %s %u (%s) %llu + %u [%s]", {_DEV}, REC->rwbs, REC->bytes, __get_str(cmd), '
          "(unsigned long long)REC->sector, REC->nr_sector, REC->comm", _issue, 7),
    Event("block", "block_rq_complete", 802,
          (number("dev_t", "dev"), number("sector_t", "sector"), number("unsigned int", "nr_sector"),
           number("int", "error"), text("rwbs", 8), Part("__data_loc char[]", "cmd", "I")),
          f'"%d,%d %s (%s) %llu + %u [%d]", {_DEV}, REC->rwbs, __get_str(cmd), (unsigned long long)REC->sector, '
          "REC->nr_sector, REC->error",
          lambda r: (r.choice(_DEVS), _up_to(r, 4_000_000_000), 8 << r.randrange(8), 0, r.choice(_RWBS), 0), 7),
    Event("sched", "sched_waking", 901,
          (text("comm", 16), number("pid_t", "pid"), number("int", "prio"), number("int", "target_cpu")),
          '"comm=%s pid=%d prio=%d target_cpu=%03d", REC->comm, REC->pid, REC->prio, REC->target_cpu',
          lambda r: (r.choice(NAMES), r.choice(PIDS), 120, r.randrange(8)), 2),
)  # fmt: skip


def record(
    event: Event, values: tuple[object, ...], *, pid: int, bits: int = 0, big: bool = False, long_size: int = 8
) -> bytes:
    """Return the bytes of a record; a dynamic field stands behind the others, with nothing in it but its NUL."""
    fmt, places = event.layout(big=big, long_size=long_size)
    size = struct.calcsize(fmt)
    mask = (1 << 8 * long_size) - 1
    put: list[object] = []
    for (part, _, width), value in zip(places, values, strict=True):
        if part.ctype.startswith("__data_loc"):
            value = 1 << 16 | size
        elif isinstance(value, int) and part.letter in "QI" and width == long_size:
            value &= mask
        put.append(value)
    packed = struct.pack(fmt, event.number, bits >> 8, bits & 255, pid, *put)
    return packed + b"\0" if any(part.ctype.startswith("__data_loc") for part in event.fields) else packed


def rings(events: int, seed: int = 1, *, big: bool = False, long_size: int = 8, page_size: int = 4096) -> list[Ring]:
    """Return each CPU's ring, filled with so many events together."""
    r = Random(seed)
    found = [Ring(page_size=page_size, big=big, long_size=long_size) for _ in range(NR_CPUS)]
    kinds = [event for event in EVENT_TABLE for _ in range(event.weight)]
    since_lost = [0] * NR_CPUS
    time = 1_235_000_000_000
    for _ in range(events):
        time += r.randrange(1, 60_000) if r.random() < 0.9999 else 1_000_000_000
        cpu, event = r.randrange(NR_CPUS), r.choice(kinds)
        since_lost[cpu] += 1
        if since_lost[cpu] == LOST_EVERY:
            found[cpu].lost(r.randrange(1, 5000))
            since_lost[cpu] = 0
        bits = r.choice((0, 0, 1, 0x0102, 0x1101))
        payload = record(event, event.make(r), pid=r.choice(PIDS), bits=bits, big=big, long_size=long_size)
        found[cpu].add(time, payload)
    for ring in found:
        ring.end_page()
    return found


def recording(
    events: int, seed: int = 1, *, version: int = 7, packing: str = "none", big: bool = False, long_size: int = 8
) -> Dat:
    """Return a recording of so many events."""
    filled = rings(events, seed, big=big, long_size=long_size)
    formats = [(event.system, event.format_text(big=big, long_size=long_size)) for event in EVENT_TABLE]
    options = [
        (UNAME, b"Linux test 6.12.41 x86_64\0"), (VERSION, b"3.2.0\0"),
        *((CPUSTAT, f"CPU: {cpu}\nentries: 0\noverrun: 0\ndropped events: 0\n\0".encode()) for cpu in range(NR_CPUS)),
    ]  # fmt: skip
    return Dat(
        formats, [ring.pages for ring in filled], version=version, packing=packing, big=big, long_size=long_size,
        kallsyms=KALLSYMS, cmdlines=CMDLINES, options=options,
    )  # fmt: skip


def main() -> None:
    """Write a recording where the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench.recording_dat", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("-e", "--events", type=int, default=EVENTS, help=f"({EVENTS:,})")
    parser.add_argument("-s", "--seed", type=int, default=1)
    parser.add_argument("-v", "--version", type=int, default=7, choices=(6, 7))
    parser.add_argument("-p", "--packing", default="none", choices=("none", "zlib", "zstd"))
    arguments = parser.parse_args()
    recording(arguments.events, arguments.seed, version=arguments.version, packing=arguments.packing).write(
        arguments.file
    )


if __name__ == "__main__":
    main()
