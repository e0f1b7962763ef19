# SPDX-License-Identifier: GPL-2.0-or-later
"""blkparse's rows are the block layer's events."""

from tests.readers.traces import others, read, rows, segments

ROWS = """\
  8,0    3        1     0.000000000   697  A   W 223490 + 8 <- (8,1) 223427
  8,0    3        2     0.000001829   697  Q   W 223490 + 8 [fio job]
  8,0    3        3     0.000003000   697  G   W 223490 + 8 [fio job]
  8,0    3        4     0.000003500   697  P   N [fio job]
  8,0    3        5     0.000004000   697  I   W 223490 + 8 [fio job]
  8,0    3        6     0.000004500   697  M   W 223498 + 8 [fio job]
  8,0    3        7     0.000004600   697  F   W 223482 + 8 [fio job]
  8,0    3        8     0.000004700   697  U   N [fio job] 2
  8,0    3        9     0.000005000   697  D   W 223482 + 24 [fio job]
  8,0    0        1     0.002000000     0  C   W 223482 + 24 [0]
  8,0    3       10     0.002100000   697  D FWS [kworker/3:1]
  8,0    0        2     0.002200000     0  C FWS 0 [-5]
  8,0    0        3     0.002300000     0  m   N cfq697 slice expired
"""
TABLES = """\
CPU0 (8,0):
 Reads Queued:           0,        0KiB\t Writes Queued:           3,       12KiB
 Read depth:             0        \t Write depth:             1
 IO unplugs:             1        \t Timer unplugs:           0

Total (8,0):
 Reads Completed:        0,        0KiB\t Writes Completed:        2,       12KiB

Throughput (R/W): 0KiB/s / 3KiB/s
Events (8,0): 13 entries
Skips: 2 forward (17 -   5.0%)
"""


def test_each_action_is_the_tracepoint_at_its_place():
    found = read(ROWS + TABLES)

    assert {name: len(frame) for name, frame in found.events.frames.items()} == {
        "block_bio_remap": 1, "block_bio_queue": 1, "block_getrq": 1, "block_plug": 1, "block_rq_insert": 1,
        "block_bio_backmerge": 1, "block_bio_frontmerge": 1, "block_unplug": 1, "block_rq_issue": 2,
        "block_rq_complete": 2,
    }  # fmt: skip
    assert rows(found, "block_rq_issue", "time_ns", "cpu", "pid", "comm", "dev", "rwbs", "sector", "nr_sector") == [
        (5_000, 3, 697, "fio job", "8,0", "W", 223482, 24),
        (2_100_000, 3, 697, "kworker/3:1", "8,0", "FWS", None, None),
    ]
    assert rows(found, "block_rq_complete", "sector", "nr_sector", "error", "comm") == [
        (223482, 24, 0, None),
        (0, None, -5, None),
    ]
    assert rows(found, "block_bio_remap", "sector", "old_dev", "old_sector") == [(223490, "8,1", 223427)]
    assert others(found) == [("blktrace m", "8,0 N cfq697 slice expired")]
    assert (found.account.events, found.account.unread, found.events.lost) == (13, 0, 17)
    assert set(segments(found)) == {0}


def test_completions_before_the_first_issue_wait_for_it():
    found = read("8,0 0 1 0.000000001 0 C W 5 + 8 [0]\n9,0 0 1 0.000000002 0 C W 5 + 8 [0]\n" + ROWS)

    assert [row[0] for row in rows(found, "block_rq_complete", "line")] == [1, 12, 14]
    assert rows(found, "block_bio_complete", "line", "dev") == [(2, "9,0")]


def test_comments_prose_and_wrapped_rows_between():
    found = read(
        "# what the touch reads\n259,0    2        1    37.115679608  6646  Q  RM 4232 + 8\n[touch]\n"
        "259,0    2        2    37.115682891  6646  C  RM\n4232 + 8 [0]\n# and writes, 30 seconds later\n"
        "259,0    2        3    67.1  Q\n259,0    2        4    67.115682891  6646  X  WS 1024 / 2048 [touch]\n...\n"
        "9,0   18     1181     0.525037895 15995  Q  WS 1479315464 + 63392\n"
    )

    assert rows(found, "block_bio_queue", "comm", "nr_sector") == [("touch", 8), (None, 63392)]
    assert rows(found, "block_bio_complete", "sector", "error") == [(4232, 0)]
    assert rows(found, "block_split", "sector", "new_sector", "segment") == [(1024, 2048, 1)]
    assert found.account.unread_lines == [(7, "259,0    2        3    67.1  Q")]
    assert segments(found) == [0, 0, 1, 2]


def test_numbers_no_device_has_do_no_harm():
    found = read(
        "8,0 3 1 0.000000001 697 D W 99999999999999999999 + 8 [x]\n8,0 3 2 0.000000002 697 D W 5 + 4294967295 [x]\n"
        "8,0 3 3 9999999999.000000002 697 D W 5 + 1 [x]\n8,0 3 3 0.000000002 9999999999 D W 5 + 1 [x]\n"
    )

    assert (found.account.events, found.account.unread) == (2, 2)
    assert len(found.events) == 2
