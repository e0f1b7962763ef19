# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of the kernel log that mean something by themselves, and those that are only known to be of a log."""

import re

import pytest

from pageout.readers.facts import KernelVersion, LogLine, StackNote
from pageout.readers.log_lines import ROWS, row_of
from pageout.vocabulary.errors import TraceError
from tests.readers.kernel_logs import read

LINES = [
    ("blk_update_request: I/O error, dev sda, sector 1234 op 0x1:(WRITE) flags 0x800 phys_seg 1", "I/O error", "sda"),
    ("end_request: I/O error, dev sdb, sector 99", "I/O error", "sdb"),
    ("I/O error, dev nvme0n1, sector 16 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2", "I/O error", "nvme0n1"),
    ("critical medium error, dev sdc, sector 5 op 0x0:(READ) flags 0x0", "I/O error", "sdc"),
    ("Buffer I/O error on dev sdb1, logical block 0, async page read", "I/O error", "sdb1"),
    ("Buffer I/O error on dev sdb1, logical block 7, lost async page write", "lost write", "sdb1"),
    ("lost page write due to I/O error on dm-3", "lost write", "dm-3"),
    ("XFS (dm-0): metadata I/O error in \"xfs_trans_read_buf_map\" at daddr 0x1 len 1 error 5", "I/O error", "dm-0"),
    ("XFS (sda2): Filesystem has been shut down due to log error (0x2).", "filesystem shut down", "sda2"),
    ("XFS: kworker/1:1(55) possible memory allocation deadlock size 65552 in kmem_alloc", "allocation deadlock", None),
    ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading", "filesystem error", "sda1"),
    ("EXT4-fs (sda1): Remounting filesystem read-only", "remounted read-only", "sda1"),
    ("Aborting journal on device sda1-8.", "journal aborted", "sda1-8"),
    ("EXT4-fs error (device sda1): ext4_journal_check_start:56: Detected aborted journal", "journal aborted", None),
    ("BTRFS error (device sdd1 state EA): bdev /dev/sdd1 errs: wr 3, rd 0, flush 0", "I/O error", "sdd1"),
    ("nvme nvme0: I/O 32 QID 3 timeout, reset controller", "device timeout", "nvme0"),
    ("nvme nvme0: I/O tag 1 (1001) opcode 0x1 (I/O Cmd) QID 1 timeout, aborting", "device timeout", "nvme0"),
    ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10", "device reset", "nvme0"),
    ("nvme nvme0: Removing after probe failure status: -19", "device gone", "nvme0"),
    ("nvme0n1: detected capacity change from 1000215216 to 0", "device gone", "nvme0n1"),
    ("usb 1-1.2: USB disconnect, device number 5", "device gone", "1-1.2"),
    ("usb 2-1: reset SuperSpeed USB device number 2 using xhci_hcd", "device reset", "2-1"),
    ("sd 6:0:0:0: rejecting I/O to offline device", "device gone", "6:0:0:0"),
    ("sd 6:0:0:0: [sdb] rejecting I/O to dead device", "device gone", "6:0:0:0"),
    ("sd 0:0:1:0: task abort: SUCCESS scmd(0x00000000f1c0)", "device reset", "0:0:1:0"),
    ("ata3.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen", "device reset", "ata3.00"),
    ("ata3: hard resetting link", "device reset", "ata3"),
    ("ata3.00: disabled", "device gone", "ata3.00"),
    ("mmc0: Timeout waiting for hardware interrupt.", "device timeout", "mmc0"),
    ("mmc1: card b368 removed", "device gone", "b368"),
    ("md/raid1:md0: Disk failure on sdb1, disabling device.", "device gone", "sdb1"),
    ("nfs: server files.example not responding, still trying", "server not responding", "files.example"),
    ("device-mapper: thin: 253:4: switching pool to out-of-data-space (queue IO) mode", "blocked io", "253:4"),
    ("workqueue: wb_workfn hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND", "CPU hog", "wb_workfn"),
    ("BUG: workqueue lockup - pool cpus=2 node=0 flags=0x0 nice=0 stuck for 31s!", "workqueue lockup", None),
    ("rcu: INFO: rcu_preempt self-detected stall on CPU", "rcu stall", None),
    ("blk_cloned_rq_check_limits: over max size limit.", "request limits", None),
    ("blk_insert_cloned_request: over max segments limit. (65 > 64)", "request limits", None),
    ("Write-error on swap-device (8:16:1234)", "I/O error", "8:16"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "topic", "device"), LINES)
@pytest.mark.parametrize("prefix", ["", "[  12.500000] "])
def test_a_line_of_the_table_is_a_fact(prefix: str, text: str, topic: str, device: str | None) -> None:
    facts, account, _ = read(f"{prefix}{text}\n")
    (fact,) = (fact for fact in facts if isinstance(fact, LogLine))
    assert (fact.topic, fact.text, fact.line, fact.stamp_s) == (topic, text, 1, 12.5 if prefix else None)
    assert device is None or fact.device == device
    assert account.unread == 0


def test_every_row_says_where_the_kernel_prints_it() -> None:
    assert all(re.search(r"\w/\w|\w\.c", row.source) for row in ROWS)
    assert {topic for _, topic, _ in LINES} <= {row.topic for row in ROWS}


@pytest.mark.parametrize(
    "text",
    [
        "I get an I/O error when I copy files", "my usb disk was removed", "the journal aborted again", "Please help",
        "after a timeout the nvme disk is gone", "error, dev team says no",
    ],
)  # fmt: skip
def test_prose_about_errors_is_no_fact(text: str) -> None:
    assert row_of(text) is None
    assert read(f"{text}\n")[1].unread == 1


def test_what_else_stands_in_a_log_is_known_and_says_nothing() -> None:
    facts, account, readers = read(
        "[    0.000000] Command line: quiet\n[    1.000000] pci 0000:00:1f.3: [8086:a323] type 00\n"
        "Nov 30 23:42:49 host systemd[1]: Started it.\n SUBSYSTEM=block\n DEVICE=b8:0\n"
    )
    assert facts == []
    assert (account.known_non_events, account.unread) == (5, 0)
    assert "dmesg" in next(reader for reader in readers if type(reader).__name__ == "LogLines").variants


@pytest.mark.parametrize(
    "text",
    [
        "[    0.000000] Linux version 5.10.60-x (gcc 10) #2 SMP",
        "Linux host 5.10.60-x #2 SMP Mon Jan 1 00:00:00 UTC 2022 x86_64 GNU/Linux",
        "[    9.0] CPU: 1 PID: 5 Comm: sh Not tainted 5.10.60-x #2",
    ],
)
def test_the_kernel_is_named(text: str) -> None:
    assert [fact.release for fact in read(f"{text}\n")[0] if isinstance(fact, KernelVersion)] == ["5.10.60-x"]


def test_a_note_on_stacks_is_kept_with_what_is_left() -> None:
    (note,) = read("[  12.5] cp (77) used greatest stack depth: 720 bytes left\n")[0]
    assert isinstance(note, StackNote)
    assert (note.bytes_left, note.line) == (720, 1)


def test_a_mail_without_a_log_holds_nothing_known(tmp_path: pytest.TempPathFactory) -> None:
    from pathlib import Path

    from pageout.readers.read import read_input

    file = Path(str(tmp_path)) / "mail.txt"
    file.write_text("From: a@b.example\nSubject: hello\n\nIt is slow.\n-- \nme\n")
    with pytest.raises(TraceError, match="nothing here that pageout reads"):
        read_input(str(file))


def test_headers_signatures_and_fences_of_a_mail_are_known() -> None:
    text = (
        "From 1234 Mon Mar 11 10:00:00 2024\nReceived: from a\n\tby b; Mon, 11 Mar 2024\nFrom: x <x@y.example>\n"
        "X-Mailer: some\nSubject: Re: it hangs\n\nOn Mon, 11 Mar 2024, x wrote:\n> ```\n> ```\n[...]\n-- \n"
    )
    assert read(text)[1].unread_lines == []


@pytest.mark.parametrize("device", ["md0", "md_d1", "dm-5", "loop3"])
def test_an_array_that_is_stopped_is_no_device_that_went(device: str) -> None:
    assert row_of(f"{device}: detected capacity change from 2095104 to 0") is None


def test_a_disk_that_says_hello_is_no_disk_in_trouble() -> None:
    assert row_of("sd 3:0:0:0: Power-on or device reset occurred") is None
