# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of events holds together, and agrees with what this machine's kernel says of its own events."""

import os
import re
import string
import subprocess
from pathlib import Path

import pytest

from pageout.events.tables import COMMON
from pageout.vocabulary.schema import EVENTS, event_of
from pageout.vocabulary.schema.rows import columns
from pageout.vocabulary.tracepoints import TRACEPOINTS

SKIPPED = {"page", "file"}  # addresses: of no use to anybody
WHOLE_SYSTEMS = ("vmscan", "writeback", "block", "compaction", "oom", "filemap", "readahead", "pagemap", "wbt", "jbd2")
# Fields of the binary record that no text shows.
UNPRINTED = {"file", "folio", "lru", "flags", "index", "last_index", "ip"}

KINDS = pytest.mark.parametrize("kind", EVENTS.values(), ids=lambda kind: kind.name)


def placeholders(text):
    return [name for _, name, _, _ in string.Formatter().parse(text) if name]


@KINDS
def test_a_key_names_one_column_and_none_that_every_event_has(kind):
    keys = [key for column in kind.columns for key in (column.name, *column.aliases)]

    assert len(keys) == len(set(keys))
    assert not {column.name for column in kind.columns} & set(COMMON)


@KINDS
def test_every_value_of_a_text_is_a_column_or_an_address(kind):
    assert len(kind.texts) == len(kind.eras) == len(set(kind.eras))
    for text in kind.texts:
        names = placeholders(text)
        assert len(names) == len(set(names))
        assert {name for name in names if kind.index_of(name) < 0} <= SKIPPED


@KINDS
def test_the_texts_of_an_event_stand_in_the_order_of_their_kernels(kind):
    order = [tuple(map(int, era.split("."))) for era in kind.eras]

    assert order == sorted(order)


@pytest.mark.parametrize("row", [row for row in TRACEPOINTS if row.key], ids=lambda row: row.key)
def test_a_later_text_that_the_engine_emits_is_one_of_its_event(row):
    kind = event_of(row.name)

    assert re.sub("0x(?={pfn})", "", row.text) in [re.sub("0x(?={pfn})", "", text) for text in kind.texts]
    assert {field.name for field in row.fields} <= {column.name for column in kind.columns}


@pytest.mark.parametrize("row", [row for row in TRACEPOINTS if not row.key], ids=lambda row: row.name)
def test_what_the_engine_emits_is_the_base_of_its_event(row):
    kind = EVENTS[row.name]

    assert [column.name for column in kind.columns[: len(row.fields)]] == [field.name for field in row.fields]
    assert [column.unit for column in kind.columns[: len(row.fields)]] == [field.unit for field in row.fields]
    assert kind.eras[0] == row.since


def test_names_of_all_kernels_lead_to_one_event():
    assert event_of("mm_vmscan_write_folio") is event_of("vmscan:mm_vmscan_writepage") is EVENTS["mm_vmscan_writepage"]
    assert event_of("writeback_dirty_folio") is EVENTS["writeback_dirty_page"]
    assert event_of("folio_wait_writeback") is EVENTS["wait_on_page_writeback"]
    assert event_of("writeback_sb_inodes_requeue") is EVENTS["writeback_single_inode_requeue"]
    assert event_of("no_such_event") is None


def test_a_column_says_which_kernels_print_it():
    isolate = EVENTS["mm_vmscan_lru_isolate"]

    assert isolate.span("contig_taken") == ("2.6.36", "before 3.3")
    assert isolate.span("lru") == ("4.8", "")
    assert isolate.span("nr_scanned") == ("2.6.36", "")
    assert isolate.span("active") == ("", "")


def test_a_row_of_another_form_is_refused():
    with pytest.raises(ValueError, match="name:type/unit=alias"):
        columns("nid:d order")


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """Name -> (fields, print fmt) of this machine's events, and the names of each system."""
    if os.geteuid() != 0:
        pytest.skip("reading tracefs takes root")
    place = tmp_path_factory.mktemp("tracefs")
    done = subprocess.run(["mount", "-t", "tracefs", "nodev", str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tracefs here: {done.stderr.strip()}")
    try:
        found = {}
        for path in (place / "events").glob("*/*/format"):
            found[path.parent.parent.name, path.parent.name] = path.read_text()
    finally:
        subprocess.run(["umount", str(place)], check=True)
    release = os.uname().release
    if not release.startswith("6.18"):
        pytest.skip(f"the newest texts are those of 6.18, this is {release}")
    return found


def fields_of(text):
    declared = re.findall(r"\tfield:(?:__data_loc )?(.*?);\toffset", text)
    names = [re.sub(r"\[\w*\]", "", field).split()[-1] for field in declared]
    return [name for name in names if not name.startswith("common_")]


def skeleton(text):
    """Return a text with each value as one mark: 0x and leading 0 belong to the value, so do MAJ:MIN and A,B,C."""
    marked = re.sub(r"0?x?@", "@", text)
    return re.sub(r"@(?:[,:]?@)*", "@", marked).strip()


def ours(kind):
    return skeleton(re.sub(r"\{\w+\}", "@", kind.texts[-1]))


def kernels(text):
    printed = re.search(r'^print fmt: "(.*?)", ', text + ", ", re.MULTILINE | re.DOTALL)[1]
    return skeleton(re.sub(r"%-?\d*(?:pS|p|(?:hh|h|ll|l|L|z)?[duxosc])", "@", printed))


def test_this_kernels_events_of_whole_systems_are_in_the_table(formats):
    missing = [name for system, name in formats if system in WHOLE_SYSTEMS and event_of(name) is None]

    assert not missing


def test_this_kernel_prints_the_newest_text_of_each_event(formats):
    checked = 0
    for (system, name), text in sorted(formats.items()):
        kind = event_of(name)
        if kind is None or kind.system != system:
            continue
        assert ours(kind) == kernels(text), name
        checked += 1
    assert checked > 120


def test_this_kernels_fields_are_known_by_name_or_alias(formats):
    unknown = {
        (name, field)
        for (system, name), text in formats.items()
        if (kind := event_of(name)) is not None and kind.system == system
        for field in fields_of(text)
        if kind.index_of(field) < 0
    }

    assert {field for _, field in unknown} <= UNPRINTED, sorted(unknown)


def test_the_reference_page_is_made_of_the_table():
    from pageout.vocabulary.schema.page import reference

    page = Path(__file__).parents[2] / "docs" / "reference" / "events.md"

    assert page.read_text() == reference()
