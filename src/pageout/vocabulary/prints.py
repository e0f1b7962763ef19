# SPDX-License-Identifier: GPL-2.0-or-later
"""How a kernel prints what the engine emits: the rows of `tracepoints` with that kernel's names, texts and printers.

Of each event's texts in `schema` it is the newest that this kernel had and that the row can fill. What is the same in
every simulated line stands in the text itself: the root cgroup where there is no other, the default I/O priority, no
SCSI command. Bytes of a request are those of its data, where 3.1 had those of a command.

Source: include/trace/events/{writeback,block,vmscan,kmem,filemap,mmflags}.h of Linux v6.1 to v6.18;
kernel/trace/trace.c:print_event_info, trace_output.c:trace_print_context; the recordings' own context columns.
"""

from __future__ import annotations

import string
from functools import cache

from pageout.vocabulary.schema import EventKind, event_of
from pageout.vocabulary.tracepoints import (
    GFP_ATOMIC,
    GFP_HIGHUSER,
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_NOFS,
    GFP_NOIO,
    GFP_TRANSHUGE,
    GFP_USER,
    I_SYNC_QUEUED,
    INODE_STATE_FLAGS,
    TRACEPOINTS,
    Field,
    Tracepoint,
    enabled,
    gfp_mask,
)

# From this kernel on lines look as they do today; before, as those of 3.1.
FIRST_LATER = (6, 0)
# What stands for a column of a text that no row has. assumed: the root cgroup is inode 1; best effort, level 4.
_CONSTANT = {
    "cgroup_ino": "1", "cmd": "", "ioprio": "be", "ioprio_hint": "0", "ioprio_level": "4",
    "issuer": "{comm}", "target_comm": "{comm_of_target}",
}  # fmt: skip
_PRINTERS = {"gfp": "gfp6", "istate": "istate6", "pfn": "lx"}
# Names of events that changed, and since when.
_NAMES = {
    "mm_page_free_direct": ("mm_page_free", (3, 3)),
    "mm_pagevec_free": ("mm_page_free_batched", (3, 3)),
    "writeback_single_inode_requeue": ("writeback_sb_inodes_requeue", (3, 5)),
    "mm_vmscan_writepage": ("mm_vmscan_write_folio", (5, 18)),
    "writeback_dirty_page": ("writeback_dirty_folio", (5, 18)),
}
SYNC_QUEUED_NAMED = (6, 12)  # assumed: the first kernel whose traces name the inode states above I_REFERENCED
INODE_STATE_6_FLAGS = (*INODE_STATE_FLAGS, (I_SYNC_QUEUED, "I_SYNC_QUEUED"))
# The engine's masks by today's names. What reads ahead asked for cold pages once, and now not to be waited for.
GFP_6_FLAGS: tuple[tuple[int, str], ...] = (
    (GFP_TRANSHUGE, "GFP_TRANSHUGE"),
    (GFP_HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"),
    (GFP_HIGHUSER, "GFP_HIGHUSER"),
    (GFP_USER, "GFP_USER"),
    (GFP_KERNEL, "GFP_KERNEL"),
    (GFP_NOFS, "GFP_NOFS"),
    (GFP_ATOMIC, "GFP_ATOMIC"),
    (GFP_NOIO, "GFP_NOIO"),
    *((gfp_mask(bit), name) for bit, name in (
        ("DMA", "GFP_DMA"), ("HIGHMEM", "__GFP_HIGHMEM"), ("DMA32", "GFP_DMA32"), ("IO", "__GFP_IO"),
        ("FS", "__GFP_FS"), ("NOWARN", "__GFP_NOWARN"), ("REPEAT", "__GFP_RETRY_MAYFAIL"),
        ("NOFAIL", "__GFP_NOFAIL"), ("NORETRY", "__GFP_NORETRY"), ("COLD", "__GFP_NOWARN|__GFP_NORETRY"),
        ("COMP", "__GFP_COMP"), ("ZERO", "__GFP_ZERO"), ("NOMEMALLOC", "__GFP_NOMEMALLOC"),
        ("HARDWALL", "__GFP_HARDWALL"), ("THISNODE", "__GFP_THISNODE"), ("RECLAIMABLE", "__GFP_RECLAIMABLE"),
        ("MOVABLE", "__GFP_MOVABLE"),
    )),
)  # fmt: skip
# Emitted with a spinlock held, which the column `preempt-depth` shows; and by interrupts.
LOCKED = frozenset(
    ("writeback_start", "writeback_written", "writeback_wait", "writeback_queue", "writeback_exec",
     "writeback_queue_io", "bdi_dirty_ratelimit")
)  # fmt: skip
PLAIN_CONTEXT, LOCKED_CONTEXT, IRQ_CONTEXT = ".....", "...1.", "..s.."
COUNTS = "# entries-in-buffer/entries-written: {0}/{0}   #P:{1}"
COLUMNS = """\
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""


def version(text: str) -> tuple[int, ...]:
    """Return "6.12" as (6, 12); nothing is older than everything."""
    return tuple(int(part) for part in text.split(".")) if text else (0,)


def kernel_of(design: str) -> str:
    """Return the kernel a design is of: the one it is named for, else the one the others change."""
    return design.removeprefix("linux-") if design.startswith("linux-") else "2.6.34"


def is_later(kernel: str) -> bool:
    """True for a kernel whose lines look as they do today."""
    return version(kernel) >= FIRST_LATER


def events_of(set_name: str, kernel: str) -> tuple[bool, ...]:
    """Return, per row, whether the event belongs to the set and this kernel has it."""
    chosen = enabled(set_name)
    if not is_later(kernel):
        return chosen
    return tuple(on and _has(row, kernel) for on, row in zip(enabled(set_name, later=True), TRACEPOINTS, strict=True))


def _kind(row: Tracepoint) -> EventKind:
    found = event_of(row.name)
    assert found is not None, row.name
    return found


def _has(row: Tracepoint, kernel: str) -> bool:
    until = _kind(row).until
    return not until or version(kernel) <= version(until)


@cache
def rows_of(kernel: str, *, cgroups: bool = False) -> tuple[Tracepoint, ...]:
    """Return the rows with the names, texts and printers of this kernel.

    cgroups: the cgroup of each event is one of several, and not said in the text itself
    """
    return tuple(_row(row, version(kernel), cgroups) for row in TRACEPOINTS) if is_later(kernel) else TRACEPOINTS


def _row(row: Tracepoint, kernel: tuple[int, ...], cgroups: bool) -> Tracepoint:
    name, since = _NAMES.get(row.name, (row.name, ()))
    text = _text(row, _kind(row), kernel, cgroups).replace("pfn={pfn}", "pfn=0x{pfn}")
    return row._replace(
        name=name if kernel >= since else row.name,
        fields=tuple(_field(field, kernel) for field in row.fields),
        text=text.replace("{page}", "{hashed_page}").replace("{bytes}", "{data_bytes}"),
    )


def _field(field: Field, kernel: tuple[int, ...]) -> Field:
    printed = _PRINTERS.get(field.printed, field.printed)
    if printed == "istate6" and kernel < SYNC_QUEUED_NAMED:
        printed = "istate"
    return field._replace(printed=printed)


def _text(row: Tracepoint, kind: EventKind, kernel: tuple[int, ...], cgroups: bool) -> str:
    """Return the newest text of the kernel that the row can fill, its constants filled in."""
    known = {field.name for field in row.fields} | {"page", "comm", "comm_of_target"} | set(_CONSTANT)
    for text, era in zip(reversed(kind.texts), reversed(kind.eras), strict=True):
        if version(era) <= kernel and {name for _, name, _, _ in string.Formatter().parse(text) if name} <= known:
            for name, value in _CONSTANT.items():
                text = text if cgroups and name == "cgroup_ino" else text.replace(f"{{{name}}}", value)
            return text
    return row.text
