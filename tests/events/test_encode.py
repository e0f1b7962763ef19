# SPDX-License-Identifier: GPL-2.0-or-later
"""What the encoder prints, beside a twin that uses Python's formatting, compiled and interpreted."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from events_naive_text import print_records
from events_strategies import traces
from hypothesis import given, settings

from pageout.events.encode import HEADER, TextWriter, encode
from pageout.events.recording import RECORD
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.tracepoints import EV, GFP_HIGHUSER_MOVABLE, TRACEPOINTS, gfp_mask


def ring(*rows):
    return np.array([(*row[:4], (*row[4:], *(14 - len(row[4:])) * (0,))) for row in rows], RECORD)


def every_tracepoint():
    """Some records of each row, small values and large ones of either sign."""
    records = np.zeros(8 * len(TRACEPOINTS), RECORD)
    number = np.arange(len(records))
    records["event"] = number % len(TRACEPOINTS)
    records["time_ns"] = number * 98_765_432_100
    records["pid"] = number % 5
    records["cpu"] = number % 3
    for column in range(14):
        records["a"][:, column] = (number * 2654435761 + column * 40503) % (3 + 7 ** (number % 20 + 1))
    for row, point in enumerate(TRACEPOINTS):  # what names a table row stays inside the table
        for column, one in enumerate(point.fields):
            if one.printed in ("bdi", "sb_dev", "dev", "shrinker"):
                records["a"][records["event"] == row, column] %= 3
    return records


@settings(deadline=None, max_examples=150)
@given(traces())
def test_text_equals_the_naive_twins(trace):
    records, comms = trace
    assert encode(records, comms) == HEADER + print_records(records, comms)


def test_lines_are_those_of_a_3_1_kernel():
    records = ring(
        (5_000_000_499, 4267, EV.mm_vmscan_direct_reclaim_begin, 2, 3, 1, GFP_HIGHUSER_MOVABLE | gfp_mask("NOWARN")),
        (5_000_000_500, 0, EV.block_rq_issue, 0, 0, 2, 0, 17039656, 8),
        (8250_326_788_000, 34, EV.mm_vmscan_writepage, 1, 1000, 0x0A),
        (8250_326_788_000, 34, EV.mm_page_alloc, 1, -1, 2, 0, 0x20),
        (8250_326_788_000, 123456, EV.writeback_start, 11, 1, -1, -5, 0, 1, 1, 0),
    )
    assert encode(records, {4267: "dd", 34: "kswapd0", 0: "never"}).decode() == (
        "# tracer: nop\n#\n"
        "#           TASK-PID    CPU#    TIMESTAMP  FUNCTION\n"
        "#              | |       |          |         |\n"
        "              dd-4267  [002]     5.000000: mm_vmscan_direct_reclaim_begin: "
        "order=3 may_writepage=1 gfp_flags=GFP_HIGHUSER_MOVABLE|GFP_NOWARN\n"
        "          <idle>-0     [000]     5.000001: block_rq_issue: 8,0 W 0 () 17039656 + 8 [<idle>]\n"
        "         kswapd0-34    [001]  8250.326788: mm_vmscan_writepage: "
        "page=ffffea000000dac0 pfn=1000 flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC\n"
        "         kswapd0-34    [001]  8250.326788: mm_page_alloc: "
        "page=          (null) pfn=15811495352273469440 order=2 migratetype=0 gfp_flags=GFP_ATOMIC\n"
        "           <...>-123456 [011]  8250.326788: writeback_start: "
        "bdi 8:16: sb_dev 0:0 nr_pages=-5 sync_mode=0 kupdate=1 range_cyclic=1 background=0\n"
    )


def test_draining_in_chunks_gives_the_same_text():
    records = np.tile(every_tracepoint(), 60)  # several buffers full
    parts = []
    writer = TextWriter(parts.append, {1: "dd"})
    for start in range(0, len(records), 977):
        writer.drain(records[start : start + 977])
    writer.close()

    assert b"".join(parts) == encode(records, {1: "dd"})
    assert writer.written == len(records)
    assert writer.bytes_written == sum(map(len, parts)) > 2 << 20


def test_tasks_may_come_and_go_between_drains():
    parts = []
    writer = TextWriter(parts.append, {1: "dd"})
    one = ring((0, 2, EV.block_plug, 0))
    writer.drain(one)
    writer.drain(one, {1: "dd", 2: "child"})
    writer.drain(one, {1: "dd"})

    assert [line.split()[-1] for line in b"".join(parts[1:]).splitlines()] == [b"[<...>]", b"[child]", b"[<...>]"]


def test_a_cap_says_what_was_lost():
    records = every_tracepoint()[:10]

    text = encode(records, {}, max_events=4)

    cpus = records["cpu"][4:]
    assert text.splitlines()[-3:] == [b"CPU:%d [LOST %d EVENTS]" % (cpu, sum(cpus == cpu)) for cpu in range(3)]
    assert len(text.splitlines()) == 4 + 4 + 3


def test_names_kept_by_a_recording_print_again():
    records = ring((0, 1, EV.writeback_nowork, 0, -2), (0, 1, EV.writeback_nowork, 0, -3), (0, 1, 22, 0, -4))

    lines = encode(records, {}, names=("btrfs-1", "0x")).splitlines()[4:]

    assert [line.split(b"bdi ")[1] for line in lines] == [b"btrfs-1", b"0x", b"unknown"]


def test_a_line_end_in_a_name_does_not_break_the_line():
    assert encode(ring((0, 1, EV.mark_victim, 0, 1)), {1: "a\nb"}).count(b"\n") == 5


def test_an_event_outside_the_table_is_our_own_mistake():
    with pytest.raises(InvariantError, match="tracepoints"):
        encode(ring((0, 1, len(TRACEPOINTS), 0)), {})


def test_compiled_and_interpreted_give_the_same_bytes():
    code = (
        "import sys, hashlib; sys.path[:0] = [sys.argv[1], sys.argv[2]]; import importlib.util\n"
        "spec = importlib.util.spec_from_file_location('conftest', sys.argv[1] + '/conftest.py')\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "import test_encode as t; print(hashlib.sha256(t.encode(t.every_tracepoint(), {1: 'dd'})).hexdigest())"
    )
    src = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(src)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(src)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(encode(every_tracepoint(), {1: "dd"})).hexdigest()


def test_keeping_recordings_and_reading_small_files_needs_no_numba():
    code = (
        "import sys; from pageout.events import recording, tables; from pageout.readers import read; "
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
