# SPDX-License-Identifier: GPL-2.0-or-later
"""The schema holds together."""

import string
from pathlib import Path

import pytest
from tests.events.recording import COMMON

from pageout.vocabulary import tracepoints as schema
from pageout.vocabulary.tracepoints import EV, MAX_FIELDS, PRINTERS, ROWS, TRACEPOINTS, disk_of, enabled, major_minor

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "tracepoints.md"
DERIVED = {"page", "comm", "comm_of_target"}


@pytest.mark.parametrize("row", TRACEPOINTS, ids=lambda row: row.name)
def test_text_prints_the_fields_in_ring_order(row):
    printed = [name for _, name, _, _ in string.Formatter().parse(row.text) if name and name not in DERIVED]

    assert printed == [column.name for column in row.fields if column.printed != "reason"]  # which came with 3.2
    assert len(row.fields) <= MAX_FIELDS
    assert all(column.printed in PRINTERS for column in row.fields)
    assert not {column.name for column in row.fields} & {name for name, _ in COMMON}


def test_names_and_aliases_are_each_one_row():
    names = [name for row in TRACEPOINTS if not row.key for name in (row.name, *row.aliases)]

    assert len(names) == len(set(names))
    assert set(ROWS) == {*names, *(row.name for row in TRACEPOINTS)}
    assert all(not TRACEPOINTS[ROWS[name]].key for name in names)
    assert all(TRACEPOINTS[getattr(EV, row.key or row.name)] is row for row in TRACEPOINTS)


def test_decisions_are_part_of_full_and_hold_no_page_by_page_kmem_event():
    decisions, full = enabled("decisions"), enabled("full")

    assert [row.name for on, row in zip(full, TRACEPOINTS, strict=True) if not on] == [
        "writeback_single_inode_start",
        "writeback_dirty_page",
        "mm_filemap_add_to_page_cache",
        "mm_filemap_delete_from_page_cache",
    ]
    assert all(enabled("full", later=True))
    assert not any(on for on, row in zip(decisions, TRACEPOINTS, strict=True) if row.system == "kmem")
    assert decisions[EV.mm_vmscan_writepage]  # the kernel's post-processing script counts them
    assert not decisions[EV.wbc_writepage]


@pytest.mark.parametrize("device", [0, 1, 15, 16, 127, disk_of(0, 51), disk_of(202, 1), disk_of(8, 1)])
def test_device_numbers_are_unambiguous(device):
    assert disk_of(*major_minor(device)) == device


def test_whole_scsi_disks_are_small_numbers():
    assert [disk_of(8, 0), disk_of(8, 16), disk_of(8, 240), disk_of(65, 0), disk_of(71, 240)] == [0, 1, 15, 16, 127]


def test_gfp_sets_have_the_values_of_gfp_h():
    assert (schema.GFP_KERNEL, schema.GFP_NOFS, schema.GFP_ATOMIC, schema.GFP_HIGHUSER_MOVABLE) == (
        0xD0,
        0x50,
        0x20,
        0x200DA,
    )


@pytest.mark.parametrize("row", TRACEPOINTS, ids=lambda row: row.name)
def test_the_reference_page_names_each_tracepoint_and_its_text(row):
    page = DOCS.read_text()

    assert f"| `{row.name}` |" in page
    assert f"`{row.text}`" in page
