# SPDX-License-Identifier: GPL-2.0-or-later
"""Well-formed lines, dressed as mailers, terminals and people dress them, give the same events."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.readers.traces import others, read, rows, segments

HEAD = "              tar-5563  [025] ....   165.504703: "
PAUSE = (
    "balance_dirty_pages: bdi 8:144: limit=1048576 setpoint=917504 dirty=950942 bdi_setpoint=83005 bdi_dirty=81088 "
    "dirty_ratelimit=63408 task_ratelimit=63528 dirtied=32 dirtied_pause=32 paused=0 pause=12 period=20 think=0"
)
COLUMNS = ("bdi", "limit", "setpoint", "dirty", "bdi_setpoint", "bdi_dirty", "dirty_ratelimit", "task_ratelimit")
PAUSED = [("8:144", 1048576, 917504, 950942, 83005, 81088, 63408, 63528)]
PAYLOADS = {
    "mm_vmscan_direct_reclaim_begin": "order=4 may_writepage=1 gfp_flags=GFP_KERNEL|__GFP_NOWARN|__GFP_COMP",
    "mm_vmscan_direct_reclaim_end": "nr_reclaimed=35",
    "mm_vmscan_lru_isolate": "isolate_mode=0 order=0 nr_requested=32 nr_scanned=32 nr_taken=31 contig_taken=0 "
    "contig_dirty=0 contig_failed=0",
    "mm_shrink_slab_start": "super_cache_scan+0x0/0x1b0 00000000f2c9d9ab: objects to shrink 824 gfp_flags GFP_KERNEL "
    "pgs_scanned 64 lru_pgs 91231 cache items 13000 delta 18 total_scan 842",
    "balance_dirty_pages": PAUSE.partition(": ")[2],
    "block_rq_issue": "8,16 WS 4096 () 17039656 + 8 [tar]",
    "global_dirty_state": "dirty=2 writeback=0 unstable=0 bg_thresh=52194 thresh=209545 limit=352521 dirtied=22058 "
    "written=21975",
    "sched_switch": "prev_comm=a prev_pid=5 prev_prio=120 next_comm=b next_pid=7",
}


def words_of(found):
    """Return all events as plain rows without their lines, sorted by time."""
    frames = {name: frame.drop("line").rows() for name, frame in found.events.frames.items()}
    return frames, found.events.other.drop("line").with_columns().rows()


@pytest.mark.parametrize("at", [n for n, letter in enumerate(PAUSE) if letter == " "])
def test_an_event_cut_between_any_two_words_is_one_event(at):
    found = read(f"{HEAD}{PAUSE[:at]}\n{PAUSE[at + 1 :]}\n{HEAD}{PAUSE}\n")

    assert rows(found, "balance_dirty_pages", *COLUMNS) == PAUSED * 2
    assert rows(found, "balance_dirty_pages", "line", "think") == [(1, 0), (3, 0)]
    assert (found.account.events, found.account.known_non_events, found.account.unread) == (2, 1, 0)
    assert segments(found) == [0, 0]
    assert "wrapped" in found.kind


@pytest.mark.parametrize("at", [at for at in range(25, len(PAUSE) - 10) if " " not in PAUSE[at - 1 : at + 1]])
def test_an_event_cut_inside_a_word_is_one_event(at):
    found = read(f"{HEAD}{PAUSE[:at]}\n{PAUSE[at:]}\n{HEAD}{PAUSE}\n")

    assert rows(found, "balance_dirty_pages", *COLUMNS, "think") == [(*PAUSED[0], 0)] * 2


@pytest.mark.parametrize("at", [n for n, letter in enumerate(HEAD) if letter == " " and HEAD[:n].strip()])
def test_an_event_cut_before_its_name_is_one_event(at):
    found = read(f"{HEAD}{PAUSE}\n{HEAD[:at]}\n{HEAD[at:]}{PAUSE}\n{HEAD}{PAUSE}\n")

    assert rows(found, "balance_dirty_pages", "line", "pid", "cpu", "time_ns", "think") == [
        (line, 5563, 25, 165_504_703_000, 0) for line in (1, 2, 4)
    ]
    assert found.account.unread == 0
    assert segments(found) == [0, 0, 0]


def test_one_event_over_four_lines_is_one_event():
    first, second, third = PAUSE[:40], PAUSE[40:130], PAUSE[130:]

    found = read(f"{HEAD}\n     {first}\n     {second}\n     {third}\n{HEAD}{PAUSE}\n")

    assert rows(found, "balance_dirty_pages", *COLUMNS, "think") == [(*PAUSED[0], 0)] * 2
    assert (found.account.events, found.account.unread) == (2, 0)


@pytest.mark.parametrize(
    "line",
    [
        "this is where dirty=5 goes wrong",
        "the limit=300 is what I set",
        "limit=5",
        "and so on",
        "12",
        "vm.dirty_ratio = 20",
        "MemTotal:       16000000 kB",
        "Hmm.",
        "order:0, mode:0x20",
    ],
)
def test_what_does_not_go_on_is_never_joined(line):
    found = read(f"{HEAD}{PAUSE}\n{line}\n{HEAD}{PAUSE}\n")

    assert rows(found, "balance_dirty_pages", *COLUMNS, "think") == [(*PAUSED[0], 0)] * 2
    assert found.account.kinds["ftrace text"] == found.account.events == 2
    assert segments(found) == [0, 1]


@pytest.mark.parametrize(
    "line", ["this is where it goes wrong", "with gfp_flags=GFP_KERNEL of course", "x = 3", "none"]
)
def test_prose_after_a_short_event_is_not_its_payload(line):
    found = read(f"{HEAD}mm_vmscan_direct_reclaim_end: nr_reclaimed=35\n{line}\n{HEAD}sched_x: a=1 b=2\n{line}\n")

    assert rows(found, "mm_vmscan_direct_reclaim_end", "nr_reclaimed") == [(35,)]
    assert others(found) == [("sched_x", "a=1 b=2")]
    assert found.account.unread == 2


def test_an_unknown_event_that_was_cut_keeps_all_its_pairs():
    found = read(f"{HEAD}sched_x: prev_comm=a prev_pid=5\nnext_comm=b next_pid=7\n{HEAD}sched_x: prev_comm=a\n")

    assert others(found) == [("sched_x", "prev_comm=a prev_pid=5 next_comm=b next_pid=7"), ("sched_x", "prev_comm=a")]
    assert found.account.unread == 0


EVENT = st.tuples(
    st.sampled_from(sorted(PAYLOADS)),
    st.sampled_from(["tar", "kworker/u8:2", "Web Content", "IndexedDB #18", "jbd2/sda-8", ""]),
    st.integers(1, 99999),
    st.integers(0, 63),
    st.sampled_from(["....", "d..1", ".N.1.", "dNh1.2"]),
)
HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: 3/3   #P:4\n#\n"


@settings(deadline=None, max_examples=60)
@given(st.lists(EVENT, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_events_are_the_same_in_every_dress(events, random):
    plain, dressed = [], []
    for n, (name, comm, pid, cpu, flags) in enumerate(events):
        time, payload = f"{100 + n}.{random.randrange(10**6):06d}", PAYLOADS[name]
        plain.append(f"{comm:>16}-{pid:<7} [{cpu:03d}] {flags} {time}: {name}: {payload}")
        tgid = random.choice(["", f"({pid:5d}) ", "(-----) "])
        pad = random.choice(["", " " * random.randrange(30)])
        line = f"{pad}{comm}-{pid} {tgid}[{cpu:03d}] {flags} {time}: {name}:{' ' * random.randrange(1, 9)}{payload}"
        if random.random() < 0.5:  # never so near to the end that both halves are whole
            spaces = [at for at, letter in enumerate(line) if letter == " " and ": " + name in line[:at]]
            if name not in ("mm_vmscan_direct_reclaim_end",) and spaces:
                at = random.choice(spaces)
                line = f"{line[:at].rstrip()}\n{' ' * random.randrange(6)}{line[at:].strip()}"
        dressed.append(line)
        if random.random() < 0.2:
            dressed.append("")
    end = random.choice(["\n", "\r\n", "   \n", "^M\n"])
    text = random.choice(["", HEADER]) + end.join(dressed) + random.choice(["", end])
    text = text if not end.startswith("\r") else text.replace("\r\n", "\n").replace("\n", "\r\n")

    first, second = read("\n".join(plain)), read(text)

    assert first.account.events == second.account.events == len(events)
    assert second.account.unread == 0
    assert words_of(first)[0] == words_of(second)[0]
    assert [row[:-1] for row in words_of(first)[1]] == [row[:-1] for row in words_of(second)[1]]
    assert [payload.split() for _, payload in others(first)] == [payload.split() for _, payload in others(second)]


@settings(deadline=None, max_examples=60)
@given(st.lists(EVENT, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_torn_trace_is_accounted_for_line_by_line(events, random):
    text = bytearray()
    for n, (name, comm, pid, cpu, flags) in enumerate(events):
        text += f"{comm:>16}-{pid:<7} [{cpu:03d}] {flags} {n}.000001: {name}: {PAYLOADS[name]}\n".encode()
    text += b" => func\nCPU:0 [LOST 5 EVENTS]\n...\n"
    for _ in range(random.randint(1, 30)):
        at = random.randrange(len(text))
        text[at : at + random.randint(0, 9)] = random.choice([random.randbytes(2), b"\n", b" ", b"", b"=", b": "])

    found = read(bytes(b" tar-1 [000] .... 0.000001: sched_x: y\n" + text))

    assert found.account.events == len(found.events) > 0
