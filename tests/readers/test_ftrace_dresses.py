# SPDX-License-Identifier: GPL-2.0-or-later
"""Every dress in which an event of ftrace is met, and what stands between events."""

import pytest

from pageout.vocabulary.errors import TraceError
from tests.readers.traces import others, read, rows, segments

END = "mm_vmscan_direct_reclaim_end: nr_reclaimed=7"
NAME = "mm_vmscan_direct_reclaim_end"
WHO = ("comm", "pid", "cpu", "context", "time_ns")


@pytest.mark.parametrize(
    ("prefix", "comm", "pid", "cpu", "context", "time_ns"),
    [
        ("             cat-4267  [002] ....  8250.326788: ", "cat", 4267, 2, "....", 8250_326_788_000),
        ("cat-1206590 [003] .... 62988.324049: ", "cat", 1206590, 3, "....", 62988_324_049_000),
        ("tar-3093904 [044] ..... 1545451.315895: ", "tar", 3093904, 44, ".....", 1545451_315_895_000),
        ("             cat-4267  [0012] d.h1.2. 8250.326788123: ", "cat", 4267, 12, "d.h1.2.", 8250_326_788_123),
        ("   cat-3876  [014]   151.167682: ", "cat", 3876, 14, None, 151_167_682_000),
        (" gnome-settings-d-4201 553.073384: ", "gnome-settings-d", 4201, None, None, 553_073_384_000),
        (" glider-1155  ( 1155) [001] ...1 12839.528756: ", "glider", 1155, 1, "...1", 12839_528_756_000),
        ("  <...>-1155  (-----) [001] dN.1 12839.528756: ", None, 1155, 1, "dN.1", 12839_528_756_000),
        ("-5972    [006] ....  7971.248399: ", None, 5972, 6, "....", 7971_248_399_000),
        ("  <idle>-0     [006] d.s.  7971.248399: ", "<idle>", 0, 6, "d.s.", 7971_248_399_000),
        ("     Web Content-10876 [000] .... 1.000001: ", "Web Content", 10876, 0, "....", 1_000_001_000),
        ("   IndexedDB #18-11165 [007] ..... 1.000001: ", "IndexedDB #18", 11165, 7, ".....", 1_000_001_000),
        ("    jbd2/sda1-8-587 [000] .... 1.000001: ", "jbd2/sda1-8", 587, 0, "....", 1_000_001_000),
        (" DNS Res~ver #12-5720 [000] .... 1.000001: ", "DNS Res~ver #12", 5720, 0, "....", 1_000_001_000),
        (" kworker/u16:2-5968 [000] .... 1.000001: ", "kworker/u16:2", 5968, 0, "....", 1_000_001_000),
        (" [x] 5.5: y-5968 [000] .... 1.000001: ", "[x] 5.5: y", 5968, 0, "....", 1_000_001_000),
        ("sh-26121 [000] ...1 15.050: ", "sh", 26121, 0, "...1", 15_050_000_000),
        ("461.757468 kswapd0-32 ", "kswapd0", 32, None, None, 461_757_468_000),
        ("461.757468: [003] d..1 ", None, None, 3, "d..1", 461_757_468_000),
    ],
)  # fmt: skip
def test_prefixes_as_kernels_tools_and_people_write_them(prefix, comm, pid, cpu, context, time_ns):
    found = read(prefix + END)

    assert rows(found, NAME, *WHO, "nr_reclaimed") == [(comm, pid, cpu, context, time_ns, 7)]
    assert found.events.clock == "seconds"


@pytest.mark.parametrize("end", ["\r", "   ", "^M", " " * 120, "\t\r"])
def test_what_trails_a_line_is_no_part_of_it(end):
    found = read(f" cat-1 [000] .... 1.000001: {END}{end}\n cat-1 [000] .... 1.000002: {END}{end}")

    assert rows(found, NAME, "nr_reclaimed") == [(7,), (7,)]


@pytest.mark.parametrize(
    "line",
    [
        " cat-99999999999 [000] .... 1.000001: " + END,
        " cat-1 [000] .... 9999999999.000001: " + END,
        " cat-1 [000] .... 99999999999999999999999.1: " + END,
        " cat [000] .... 1.000001: " + END,
        "12.5 some-3 thing: else",
    ],
)
def test_what_no_kernel_prints_is_unread(line):
    found = read(f" cat-1 [000] .... 1.000001: {END}\n{line}\n")

    assert found.account.unread == 1
    assert found.account.unread_lines == [(2, line.rstrip())]


def test_latency_format_counts_microseconds_from_its_start():
    found = read(
        "# tracer: wakeup\n#\n# wakeup latency trace v1.1.5 on 6.1.0\n"
        "# latency: 15 us, #3/5, CPU#3 | (M:server VP:0)\n"
        "#    -----------------\n#    | task: cat-5 (uid:0 nice:0)\n#    -----------------\n#\n"
        "#                    _------=> CPU#\n#  cmd     pid    ||||| time  |   caller\n"
        "#     \\   /      |||||  \\    |   /\n"
        "  <idle>-0       3dNs7    0us!: mm_vmscan_kswapd_wake: nid=0 order=1\n"
        f" kswapd0-32      3d..3   11us : {END}\n"
        "     cat-5       3d..3   15us : probe_wakeup <-ttwu_do_wakeup\n"
    )  # fmt: skip

    assert "latency-format" in found.kind
    assert found.events.clock == "us from start"
    assert rows(found, NAME, "time_ns", "comm", "cpu", "context") == [(11_000, "kswapd0", 3, "d..3")]
    assert others(found) == [("function", "probe_wakeup <-ttwu_do_wakeup")]
    assert [(hole.why, hole.lost) for hole in found.events.holes] == [("overwritten", 2)]
    assert found.account.unread == 0


def test_an_old_latency_tracer_prints_its_header_without_marks():
    found = read(
        "preemptoff latency trace v1.1.5 on 2.6.30\n" + "-" * 68 + "\n latency: 9 us, #2/2, CPU#1 | (M:preempt VP:0)\n"
        "    -----------------\n    | task: swapper-0 (uid:0 nice:0)\n    -----------------\n => started at: do_IRQ\n"
        " => ended at:   schedule\n\n  <idle>-0     1d..1    0us+: do_IRQ (common_interrupt)\n"
        "            cat  4000 1 0 00000000 00010a95 [58127d26] 17.415ms (+0.001ms): schedule (do_IRQ)\n"
    )

    assert others(found) == [("function", "do_IRQ (common_interrupt)"), ("function", "schedule (do_IRQ)")]
    assert (found.account.events, found.account.unread) == (2, 0)
    assert found.events.stacks == {}
    assert found.events.other["time_ns"].to_list() == [0, 17_415_000]


def test_a_dump_into_the_log_has_the_clock_of_the_trace():
    found = read(
        "Dumping ftrace buffer:\n---------------------------------\nCPU:1 [LOST 41 EVENTS]\n"
        f"ksoftirq-15      0d..2. 10612061728us : {END}\n---------------------------------\n"
    )

    assert rows(found, NAME, "time_ns", "comm") == [(10612_061_728_000, "ksoftirq")]
    assert (found.events.clock, found.events.lost, found.account.unread) == ("seconds", 41, 0)
    assert "ftrace dump" in found.kind


@pytest.mark.parametrize(("time", "clock"), [("18", "counter"), ("88123456789012", "tsc")])
def test_a_bare_number_for_a_time_is_kept_and_said(time, clock):
    found = read(f" cat-1  [002] ....  {time}: {END}\n")

    assert rows(found, NAME, "time_ns") == [(int(time),)]
    assert found.events.clock == clock
    assert "counter clock" in found.kind


def test_trace_cmd_says_more_than_events():
    found = read(
        "version = 6\nCPU 3 is empty\ncpus=4\n"
        "          cat-7     [001]   106.675718: mm_vmscan_direct_reclaim_end:         nr_reclaimed=7\n"
        "          cat-7     [001]   106.675719: sched_x:              [FAILED TO PARSE] a=1\n"
        "CPU:1 [123 EVENTS DROPPED]\n"
        "          cat-7     [001]   106.675719123: kernel_stack:         <stack trace >\n=> alloc_pages (ffffffff81)\n"
    )

    assert rows(found, NAME, "nr_reclaimed") == [(7,)]
    assert others(found) == [("sched_x", "[FAILED TO PARSE] a=1")]
    assert (found.events.lost, found.account.events, found.account.unread) == (123, 2, 0)
    assert found.events.stacks == {5: ("alloc_pages",)}


def test_lost_events_and_overwritten_ones_begin_segments():
    event = " cat-1  [002] ....  1.000001: " + END + "\n"
    found = read(
        "# tracer: nop\n#\n# entries-in-buffer/entries-written: 4/10   #P:2\n#\n"
        f"{event}CPU:0 [LOST 5 EVENTS]\n{event}CPU:1 [LOST EVENTS]\n{event}##### CPU 1 buffer started ####\n{event}"
    )

    assert segments(found) == [1, 2, 3, 3]
    assert [(hole.line, hole.cpu, hole.lost, hole.why) for hole in found.events.holes] == [
        (3, -1, 6, "overwritten"), (6, 0, 5, "lost"), (8, 1, -1, "lost"),
    ]  # fmt: skip
    assert found.lost is None


@pytest.mark.parametrize("cut", ["...", "[...]", "[snip]", "<snip>", "[ ... ]", "-- snip --", "…", "[cut: 300 lines]"])
def test_an_authors_cut_begins_a_segment(cut):
    event = " cat-1  [002] ....  1.000001: " + END

    found = read(f"{event}\n{cut}\n{event}\n")

    assert segments(found) == [0, 1]
    assert [hole.why for hole in found.events.holes] == ["cut by the author"]


def test_prose_between_events_begins_a_segment_and_is_unread():
    event = " cat-1  [002] ....  1.000001: " + END

    found = read(f"What I saw:\n{event}\n{event}\n\nand a little later:\n\n{event}\n{event}\nthat was it\n")

    assert segments(found) == [0, 0, 1, 1]
    assert [number for number, _ in found.account.unread_lines] == [1, 5, 9]


def test_times_of_cpus_may_cross_a_little_but_not_jump_back():
    times = ["1.000000", "1.000900", "1.000200", "1.000950", "0.900000", "0.950000", "7.000000"]

    found = read("".join(f" cat-1  [00{n % 2}] ....  {time}: {END}\n" for n, time in enumerate(times)))

    assert segments(found) == [0, 0, 0, 0, 1, 1, 1]
    assert [(hole.line, hole.why) for hole in found.events.holes] == [(5, "times go back")]


def test_a_stack_belongs_to_the_event_of_its_task_and_cpu():
    found = read(
        f" cat-1  [000] ....  1.000001: {END}\n tar-2  [001] ....  1.000002: {END}\n"
        " cat-1  [000] ....  1.000003: <stack trace>\n => try_to_free_pages\n"
        " => do_page_fault+0x10/0x20 <ffffffff9987224a>\n => <00007f0012345678>\n"
        " sed-3  [000] ....  1.000004: <user stack trace>\n => main\n"
        f" tar-2  [001] ....  1.000005: {END}\n => alloc_pages\n"
    )

    stacks = found.events.stacks
    assert stacks == {1: ("try_to_free_pages", "do_page_fault", ""), 7: ("main",), 9: ("alloc_pages",)}
    assert segments(found) == [0, 0, 0]
    assert (found.account.events, found.account.unread) == (3, 0)


def test_a_marker_of_several_lines_is_one_event():
    found = read(
        " cat-1  [000] ....  1.000001: tracing_mark_write: first\nsecond = 2\nand a third\n"
        f" cat-1  [000] ....  1.000002: {END}\n"
    )

    assert others(found) == [("tracing_mark_write", "first\nsecond = 2\nand a third")]
    assert (found.account.events, found.account.known_non_events, found.account.unread) == (2, 2, 0)
    assert segments(found) == [0, 0]


def test_lines_after_a_marker_that_others_understand_are_not_its():
    found = read(
        " cat-1  [000] ....  1.000001: tracing_mark_write: first\nCOMM PID LAT(ms) PAGES\ncat 5 0.19 143\n"
        f" cat-1  [000] ....  1.000002: {END}\n"
    )

    assert others(found) == [("tracing_mark_write", "first")]
    assert len(found.facts) == 1
    assert segments(found) == [0, 1]


def test_function_tracer_entries_are_events_of_no_row():
    found = read(" cat-2212    [000] d.h..   369.060000: arch_local_irq_restore <-generic_atomic64_read\n")

    assert others(found) == [("function", "arch_local_irq_restore <-generic_atomic64_read")]


def test_function_graph_is_refused_with_what_to_do():
    text = (
        "# tracer: function_graph\n#\n# CPU  DURATION                  FUNCTION CALLS\n"
        " 0)               |  sys_open() {\n 0)   0.541 us    |    kfree();\n 0) $ 18086849 us |  } /* shrink_slab */\n"
        " ------------------------------------------\n 0)  cat-1   =>    tar-2\n"
        " ------------------------------------------\n 0) + 20.5 us     |  }\n"
    )

    with pytest.raises(TraceError, match=r"trace:4: function_graph, not events.*echo nop > current_tracer"):
        read(text)
    found = read(text + f" cat-1  [000] ....  1.000002: {END}\n")
    assert (found.account.events, found.account.unread) == (1, 0)


def test_a_text_an_event_does_not_print_is_kept_and_not_learned_again():
    odd = "".join(
        f" cat-1 [000] .... 1.000001: {NAME}: nothing of word{chr(97 + n % 26) * (n % 90)}\n" for n in range(900)
    )

    found = read(odd + f" cat-1  [000] ....  1.000002: {END}\n")

    assert len(others(found)) == 900
    assert rows(found, NAME, "nr_reclaimed") == [(7,)]


def test_wrapped_numbers_stay_as_printed():
    found = read(
        " cat-1 [025] .... 165.504703: balance_dirty_pages: bdi 8:144: limit=1048576 setpoint=917504 dirty=950942 "
        "bdi_setpoint=83005 bdi_dirty=81088 dirty_ratelimit=63408 task_ratelimit=63528 dirtied=32 dirtied_pause=32 "
        "paused=0 pause=-4294824915 period=2 think=4294824917\n"
    )

    assert rows(found, "balance_dirty_pages", "bdi", "pause", "think") == [("8:144", -4294824915, 4294824917)]


@pytest.mark.parametrize(
    "line",
    ["-" * 60_000, " " * 60_000 + "x", "-1 " * 20_000, "a-1 [000] .... 1.0: x: " + "k= " * 20_000, "9" * 60_000,
     " cat-1 [000] .... 1.000001: balance_dirty_pages: " + "bdi dev = : limit= " * 3000,
     "=> " + "( " * 30_000, "# " + "=> " * 20_000, "8,0 1 " * 10_000, "\x00" * 50_000],
)  # fmt: skip
def test_a_hostile_line_costs_no_more_than_its_length(line):
    text = f" cat-1 [000] .... 1.000001: {END}\n" + f"{line}\n" * 20

    found = read(text)

    assert found.account.lines == 21


def test_what_trace_cmd_failed_to_parse_is_not_read_as_if_it_had():
    found = read(
        f" cat-1 [000] .... 1.000001: {NAME}: [FAILED TO PARSE] nr_reclaimed=7\n cat-1 [000] 1.000002: {END}\n"
    )

    assert others(found) == [(NAME, "[FAILED TO PARSE] nr_reclaimed=7")]
    assert rows(found, NAME, "nr_reclaimed") == [(7,)]


def test_a_dump_keeps_its_own_clock_under_the_logs_stamps():
    found = read(
        "[10612.028400] Dumping ftrace buffer:\n[10612.028450] ---------------------------------\n"
        "[10612.028451] CPU:0 [LOST 41 EVENTS]\n"
        f"[10612.028498] ksoftirq-15        0d..2. 10612061728us : {END}\n"
        "[10612.028898] ---------------------------------\n"
    )

    assert rows(found, NAME, "time_ns", "comm", "cpu") == [(10612_061_728_000, "ksoftirq", 0)]
    assert (found.events.clock, found.lost, found.account.unread) == ("seconds", 41, 0)


def test_a_trace_quoted_in_a_mail_and_wrapped_there_is_read():
    found = read(
        "> >   kswapd0-68    [001] d..1   138.621120: balance_dirty_pages: bdi 8:0: limit=1\n"
        "> > setpoint=2 dirty=3\n> > [...]\n> >   kswapd0-68    [001] d..1   138.621121: " + END + "\n>\n> why?\n"
    )

    assert rows(found, "balance_dirty_pages", "bdi", "limit", "setpoint", "dirty") == [("8:0", 1, 2, 3)]
    assert segments(found) == [0, 1]


@pytest.mark.parametrize("width", range(50, 90, 3))
def test_a_trace_after_a_log_is_not_taken_for_more_of_the_log(width):
    log = "[  100.000003] " + "words " * 20

    found = read(f"{log[:width].rstrip()}\n            cat-4719  [005] ....    57.341146: {END}\n")

    assert rows(found, NAME, "pid", "line") == [(4719, 2)]
