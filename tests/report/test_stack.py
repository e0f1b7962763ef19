# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of a stack: layers, margin, recursion; the same for recorded and simulated ones."""

import pytest

from pageout.analysis.stack import THREAD_INFO_BYTES, Row, StackSize, infer_size, recursion, table_document
from pageout.report.stack import answer_text, layers_text, sentences, table_text
from pageout.vocabulary.kernel_layers import LAYERS, OTHER, layer_of
from tests.conftest import ROOT

REAL = ROOT.parent / "shared" / "realdata" / "stack"
SIZE = StackSize(8192, THREAD_INFO_BYTES, "as told")


def stack(text: str) -> list[Row]:
    """Rows of `name size` pairs, outermost first."""
    rows, depth = [], 0
    for pair in text.split(","):
        name, size = pair.split()
        depth += int(size)
        rows.append(Row(depth, int(size), name))
    return rows[::-1]


AGAIN = stack(
    "sys_write 1000, balance_dirty_pages_ratelimited_nr 200, writeback_single_inode 200, xfs_vm_writepage 1500, "
    "__alloc_pages_nodemask 240, try_to_free_pages 128, shrink_page_list 900, xfs_vm_writepage 1500, "
    "kmem_cache_alloc 64, __alloc_pages_nodemask 240"
)


@pytest.mark.parametrize(
    ("location", "layer"),
    [
        ("xfs_bmapi+0x982/0x1200 [xfs]", "filesystem"),
        ("__make_request+0x9b/0x490", "block"),
        ("some_helper+0x1/0x2 [libata]", "driver"),
        ("ext4_writepages.isra.0+0x1/0x2", "filesystem"),
        (".do_page_fault+0x4/0x9", "VM"),
        ("tcp_sendmsg", "network"),
        ("nvme_queue_rq", "driver"),
        ("raid5_make_request [raid456]", "block"),
        ("try_to_wake_up", "scheduler"),
        ("do_sync_write", "system call"),
        ("vfs_write", "system call"),
        ("jbd2_journal_start", "filesystem"),
        ("virtqueue_kick", "driver"),
        ("0xc00000000f16b100", OTHER),
        ("frobnicate", OTHER),
        ("", OTHER),
        ("x" * 10_000, OTHER),
    ],
)
def test_the_layer_follows_from_the_name(location: str, layer: str) -> None:
    assert layer_of(location) == layer


def test_every_frame_of_the_model_has_a_layer() -> None:
    from pageout.kernel.frames import SIZES

    assert [name for name in SIZES if layer_of(name) == OTHER] == ["user"]


def test_the_sums_of_the_layers_are_the_depth() -> None:
    document = table_document(AGAIN, SIZE)

    assert sum(document["layers"].values()) == document["depth_bytes"] == 5972
    assert set(document["layers"]) <= set(LAYERS)
    assert document["margin_bytes"] == 8192 - THREAD_INFO_BYTES - 5972


def test_recursion_is_named_with_what_runs_inside_what() -> None:
    said = " ".join(sentences(table_document(AGAIN, SIZE), recorded=False))

    assert "the page allocator is entered twice, at 3,140 and 5,972 bytes" in said
    assert "reclaim runs inside writepage inside writeback inside a throttled writer inside a write()" in said
    assert "the filesystem is entered twice" in said
    assert {item["what"]: item["times"] for item in recursion(AGAIN)}["xfs_vm_writepage"] == 2


def test_a_stack_without_recursion_says_nothing_of_it() -> None:
    rows = stack("sys_read 100, xfs_read 200, __alloc_pages_nodemask 240")

    assert recursion(rows) == []
    assert "twice" not in " ".join(sentences(table_document(rows, SIZE), recorded=True))


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (8000, "192 left, 88 above thread_info"),
        (8100, "OVERFLOW, 12 bytes into thread_info"),
        (8336, "OVERFLOW, 144 bytes beyond the end of the stack"),
    ],
)
def test_the_margin_counts_thread_info(depth: int, words: str) -> None:
    assert words in sentences(table_document(stack(f"sys_write {depth}"), SIZE), recorded=False)[0]


@pytest.mark.parametrize(
    ("names", "kernel", "left", "given", "nbytes"),
    [
        ("sys_write 5000", "", -1, None, 8192),
        ("sys_write 8336", "", -1, None, 8192),
        ("sys_write 8336", "2.6.33.2", 7208, None, 16384),
        ("sys_write 9000", "4.4.0", -1, None, 16384),
        ("do_syscall_64 5000", "", -1, None, 16384),
        ("sys_write 5000", "", -1, 4096, 4096),
    ],
)
def test_the_size_of_the_stack_is_inferred_or_told(names: str, kernel: str, left: int, given, nbytes: int) -> None:
    size = infer_size(stack(names), kernel, left, given)

    assert size.nbytes == nbytes
    assert size.why


def test_a_cut_table_shows_what_it_does_not_show() -> None:
    document = table_document([Row(5000, 300, "submit_bio"), Row(4700, 200, "xfs_write")], SIZE)

    assert document["not_shown_bytes"] == 4500
    assert "not shown" in layers_text(document).plain


def test_everything_printed_fits_100_columns_and_is_escaped() -> None:
    rows = stack("sys_write 100, evil\x1b[31m" + "x" * 300 + " 200, [bold]markup[/bold] 50")
    document = table_document(rows, SIZE)
    text = "\n".join(
        part.plain for part in (answer_text(document, True), layers_text(document), table_text(document, "t\x1b[2J"))
    )

    assert max(map(len, text.split("\n"))) <= 100
    assert "\x1b" not in text
    assert "[bold]markup[/bold]" in text


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/realdata here")
def test_the_articles_trace_says_what_chinner_said() -> None:
    from pageout.readers.stack_tables import read_stacks

    (one,) = read_stacks(REAL / "berthels-2010-47.txt").tables
    document = table_document([Row(e.depth, e.size, e.location) for e in one.entries], SIZE)

    assert (document["bytes_left"], document["layers"]["filesystem"]) == (624, 3664)
    assert document["path"] == ["select()", "the page allocator", "reclaim", "writepage", "the block layer"]
