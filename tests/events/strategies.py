# SPDX-License-Identifier: GPL-2.0-or-later
"""Hypothesis strategies for ring records: any tracepoint, any value its C type can hold."""

import numpy as np
from hypothesis import strategies as st

from pageout.events.recording import RECORD
from pageout.vocabulary.prints import events_of, rows_of
from pageout.vocabulary.tracepoints import (
    DEV_T,
    NULL_PAGE_PFN,
    NULL_PFN,
    REASONS,
    ROWS,
    SD_DISKS,
    SHRINKERS,
    TRACEPOINTS,
    disk_of,
    gfp_mask,
)

COLD = gfp_mask("COLD")
LONG = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(0, 5000)
INT = SMALL | st.integers(-(2**31), 2**31 - 1)
DEVICE = (
    st.just(-1)
    | st.integers(0, SD_DISKS - 1)
    | st.builds(disk_of, st.integers(0, 4095), st.integers(0, 2**20 - 1)).filter(lambda device: device != DEV_T)
)
RWBS = st.builds(
    lambda flush, kind, rest: flush | 1 << kind | rest << 5,
    st.integers(0, 1),
    st.integers(1, 4),
    st.integers(0, 31),
)
VALUES = {
    "d": INT,
    "u": SMALL | st.integers(0, 2**32 - 1),
    "ld": SMALL | LONG,
    "lu": SMALL | LONG,
    "lx": SMALL | LONG,
    "pfn": SMALL | st.just(NULL_PFN) | LONG.filter(lambda pfn: pfn % 2**64 != NULL_PAGE_PFN),
    "gfp": st.integers(0, 2**24 - 1) | st.integers(0, 2**32 - 1),
    "gfp6": st.integers(0, 2**24 - 1).map(lambda mask: mask & ~COLD),  # which prints as two others do
    "istate6": st.integers(0, 511) | LONG,
    "reclaim": st.integers(0, 31) | st.integers(0, 2**31 - 1),
    "istate": st.integers(0, 511) | LONG,
    "rwbs": RWBS,
    "bdi": DEVICE,
    "sb_dev": DEVICE,
    "dev": DEVICE,
    "shrinker": st.integers(0, len(SHRINKERS) - 1),
    "lru": st.sampled_from([1, 2, 4, 8]),
    "throttle": st.sampled_from([1, 2, 4, 8]),
    "zone": st.sampled_from([1, 2, 4]),
    "reason": st.integers(0, len(REASONS) - 1),
}
CTYPES = {"short": st.integers(-1000, 1000)}

# What a task may call itself: 15 bytes of anything but NUL; line ends cannot be told from the end of the line.
ODD_COMMS = ("dd", "flush-8:0", "kworker/u16:2", "Web Content", "[x]", "a-5 7.5: b: ", "-", "IndexedDB #18", "<a>", "")
COMM = st.sampled_from(ODD_COMMS) | st.text(
    st.characters(exclude_characters="\0\n", exclude_categories=("Cs",)), max_size=15
).filter(lambda comm: len(comm.encode()) <= 15 and not comm.startswith(" ") and comm != "<...>" and "\x1b" not in comm)


@st.composite
def record(draw: st.DrawFn, pids: tuple[int, ...], kernel: str) -> tuple[object, ...]:
    """A record of an event the kernel prints; fields of which its text says nothing are 0."""
    oldest = [n for n, row in enumerate(TRACEPOINTS) if ROWS[row.name] == n]  # what is read back has one row a name
    number = draw(st.sampled_from([n for n in oldest if events_of("full", kernel)[n]]))
    fields = [0] * 14
    row = rows_of(kernel)[number]
    for index, column in enumerate(row.fields):
        if f"{{{column.name}}}" in row.text:
            fields[index] = draw(CTYPES.get(column.ctype, VALUES[column.printed]))
    time_ns = draw(st.integers(0, 10**6) | st.integers(0, 9 * 10**15)) * 1000
    return time_ns, draw(st.sampled_from(pids)), number, draw(st.integers(0, 4095)), tuple(fields)


@st.composite
def traces(draw: st.DrawFn, max_size: int = 20, kernel: str = "") -> tuple[np.ndarray, dict[int, str]]:
    """Ring records and the names of their tasks."""
    pids = tuple(draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5, unique=True)))
    comms = {pid: draw(COMM) for pid in pids if pid and draw(st.booleans())}
    records = np.array(draw(st.lists(record(pids, kernel), max_size=max_size)), RECORD)
    return records, comms
