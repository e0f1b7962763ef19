# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of the kernel log, era by era: what they say, with their lines; nothing is left over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.readers.facts import AllocFailure, KernelVersion, MemoryState, OomReport, Snapshot, TaskStack, ZoneState
from pageout.readers.facts import Fact as AnyFact
from tests.readers.kernel_logs import (
    ALL,
    ALLOC_NEW,
    ALLOC_OLD,
    LOCKUP,
    OOM_2010,
    OOM_MEMCG_V1,
    OOM_MEMCG_V2,
    OOM_NEW,
    SLUB,
    STALLED,
    SYSRQ,
    TASK_ARM,
    TASK_NEW,
    TASK_OLD,
    TASK_PPC,
    read,
)  # fmt: skip


def tasks(text: str) -> list[TaskStack]:
    return [fact for fact in read(text)[0] if isinstance(fact, TaskStack)]


def ooms(text: str) -> list[OomReport]:
    return [fact for fact in read(text)[0] if isinstance(fact, OomReport)]


def failures(text: str) -> list[AllocFailure]:
    return [fact for fact in read(text)[0] if isinstance(fact, AllocFailure)]


def called(task: TaskStack | OomReport | AllocFailure) -> list[str]:
    return [frame.function for frame in task.frames if not frame.guess]


def zone(memory: MemoryState | None, name: str) -> ZoneState:
    assert memory is not None
    (found,) = (zone for zone in memory.zones if zone.name == name)
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_line_of_a_report_is_known(name: str) -> None:
    text = ALL[name]
    facts, account, _ = read(text)
    assert account.unread_lines == []
    assert account.lines == account.known_non_events == text.count("\n")
    assert [fact for fact in facts if not isinstance(fact, KernelVersion)]


def test_a_hung_task_of_today_names_who_holds_the_mutex() -> None:
    waiter, holder = tasks(TASK_NEW)
    assert (waiter.source, waiter.comm, waiter.pid, waiter.state, waiter.blocked_s) == (
        "hung task",
        "tar",
        4711,
        "D",
        122,
    )
    assert waiter.kernel == "6.6.3-test-1"
    assert waiter.blocker == ("kworker/u8:3", 99)
    assert called(waiter) == [
        "__schedule", "schedule", "io_schedule", "folio_wait_bit_common", "xfs_file_fsync",
        "entry_SYSCALL_64_after_hwframe",
    ]  # fmt: skip
    assert [frame.function for frame in waiter.frames if frame.guess] == ["__pfx_wake_bit_function"]
    assert [frame.module for frame in waiter.frames if frame.module] == ["xfs"]
    assert (holder.comm, holder.pid, holder.state, holder.blocked_s) == ("kworker/u8:3", 99, "R", None)
    assert holder.workqueue == "writeback wb_workfn (flush-8:16)"
    assert holder.line == 19
    assert holder.frames[0].line == 23


def test_guesses_of_an_old_stack_are_marked() -> None:
    (task,) = tasks(TASK_OLD)
    assert (task.comm, task.pid, task.state, task.blocked_s) == ("rsync", 2222, "D", 120)
    assert called(task) == ["io_schedule", "sync_page", "nfs_wait_on_request", "system_call_fastpath"]
    assert task.frames[0].guess


def test_a_powerpc_stack_has_no_dots_and_marks_the_unreliable() -> None:
    (task,) = tasks(TASK_PPC)
    assert called(task) == ["__switch_to", "io_schedule", "syscall_exit"]
    assert [frame.function for frame in task.frames if frame.guess] == [""]


def test_an_arm_stack_ends_with_the_last_caller() -> None:
    (task,) = tasks(TASK_ARM)
    assert (task.comm, task.pid) == ("jbd2/mmcblk0p2-", 77)
    assert called(task) == ["__schedule", "schedule", "io_schedule", "ret_from_fork"]


@pytest.mark.parametrize(
    "header",
    [
        "cp              D    0   901    900 0x00000000",
        "cp            D ffff88007d4c1a80     0   901    900 0x00000080",
        "cp            D c0415a20     0   901    900 0x00000000",
        "cp            D 0000000000000001  0   901    900    902 (NOTLB)",
        "task:cp              state:D stack:    0 pid:  901 ppid:   900 flags:0x00000000",
        "task:cp              state:D stack:0     pid:901   ppid:900    flags:0x00004000",
        "task:cp              state:D stack:13000 pid:901   tgid:901   ppid:900    task_flags:0x40 flags:0x00004000",
    ],
)
def test_the_header_of_a_task_is_read_in_every_era(header: str) -> None:
    (task,) = tasks(f"{header}\nCall Trace:\n schedule+0x4a/0xb0\n")
    assert (task.source, task.comm, task.pid, task.state) == ("sysrq", "cp", 901, "D")


def test_sysrq_w_shows_one_stack_a_task() -> None:
    first, second = tasks(SYSRQ)
    assert (first.source, first.comm, first.pid) == ("sysrq", "cp", 901)
    assert called(first) == ["schedule", "balance_dirty_pages"]
    assert (second.comm, called(second)) == ("sync", ["schedule", "wb_wait_for_completion"])


def test_a_soft_lockup_begins_where_the_cpu_was() -> None:
    (task,) = tasks(LOCKUP)
    assert (task.source, task.comm, task.pid, task.blocked_s) == ("soft lockup", "kswapd0", 44, 26)
    assert called(task) == ["shrink_slab", "shrink_node", "kswapd"]


def test_a_colon_in_a_comm_is_part_of_it() -> None:
    (task,) = tasks("INFO: task kworker/u8:3:99 blocked for more than 248 seconds.\n schedule+0x4a/0xb0\n")
    assert (task.comm, task.pid, task.blocked_s) == ("kworker/u8:3", 99, 248)


def test_lockdep_says_what_a_task_holds() -> None:
    text = (
        "Showing all locks held in the system:\n2 locks held by kworker/u8:3/99:\n"
        " #0: ffff888100a3b948 ((wq_completion)writeback){+.+.}-{0:0}, at: process_one_work+0x1c8/0x440\n"
        " #1: ffff888101c5a0e0 (&type->s_umount_key#31){++++}-{3:3}, at: trylock_super+0x16/0x50\n"
        "1 lock held by cp/901:\n #0: ffff888101c5a3f8 (sb_writers#4){.+.+}-{0:0}, at: ksys_write+0x6f/0xf0\n"
    )
    first, second = tasks(text)
    assert (first.source, first.pid) == ("locks held", 99)
    assert first.locks == ("(wq_completion)writeback", "&type->s_umount_key#31")
    assert (second.comm, second.locks, second.frames) == ("cp", ("sb_writers#4",), ())


def test_a_global_oom_report_says_all_of_memory() -> None:
    (oom,) = ooms(OOM_NEW)
    assert (oom.invoker, oom.order, oom.oom_score_adj, oom.kernel) == ("mkfs.ext4", 0, -17, "6.1.9-test")
    assert oom.gfp_mask == "0x101c4a(GFP_NOFS|__GFP_HIGHMEM|__GFP_HARDWALL|__GFP_MOVABLE|__GFP_WRITE)"
    assert (oom.constraint, oom.memcg, oom.kill_memcg) == ("CONSTRAINT_NONE", None, "/user.slice")
    assert called(oom) == ["dump_stack_lvl", "dump_header", "out_of_memory", "__alloc_pages"]
    memory = oom.memory
    assert memory is not None
    assert {name: memory.pages[name].number for name in ("dirty", "writeback", "inactive_file", "free", "ram")} == {
        "dirty": 1536, "writeback": 256, "inactive_file": 2047, "free": 13401, "ram": 1048478,
    }  # fmt: skip
    assert memory.pages["dirty"].line == 15
    assert (memory.swap_kib["free"].number, memory.swap_kib["total"].number, memory.page_kib) == (1020, 2097148, 4)
    normal = zone(memory, "Normal")
    assert (normal.node, normal.pages["free"].number, normal.pages["min"].number) == (0, 9817, 10000)
    assert normal.free_by_order == (917, 450, 500, 740, 0, 0, 0, 0, 0, 0, 0)
    assert zone(memory, "").pages["isolated_anon"].number == 32
    assert zone(memory, "").all_unreclaimable is False
    assert zone(memory, "DMA").pages["managed"].number == 3840


def test_an_oom_report_names_the_tasks_and_the_killed() -> None:
    (oom,) = ooms(OOM_NEW)
    assert [(task.pid, task.comm, task.pages["rss"]) for task in oom.tasks] == [
        (512, "systemd-udevd", 500), (3300, "Web Content", 870000),
    ]  # fmt: skip
    assert oom.tasks[1].pages["swapents"] == 250000
    ((pid, comm, sizes),) = oom.killed
    assert (pid, comm, sizes["anon_rss_kib"], sizes["pgtables_kib"]) == (3300, "Web Content", 3480000, 7031)
    assert oom.last_line == OOM_NEW.count("\n")


def test_an_oom_report_of_2010_has_dirty_pages_by_zone() -> None:
    (oom,) = ooms(OOM_2010)
    assert (oom.invoker, oom.gfp_mask, oom.order, oom.kernel) == ("dd", "0x201da", 0, "2.6.34")
    dma = zone(oom.memory, "DMA")
    assert (dma.pages["dirty"].number, dma.pages["pages_scanned"].number, dma.all_unreclaimable) == (2200, 19000, True)
    assert dma.free_by_order[:3] == (5, 2, 4)
    assert oom.memory is not None
    assert oom.memory.pages["isolated_file"].number == 64
    assert oom.killed == ((1100, "rsyslogd", {"total_vm_kib": 11920, "anon_rss_kib": 240, "file_rss_kib": 0}),)


def test_a_zone_of_18_has_no_node_and_no_lists_by_kind() -> None:
    text = (
        "oom-killer: gfp_mask=0xd0, order=0\nMem-info:\nDMA per-cpu:\ncpu 0 hot: high 0, batch 1 used:0\n"
        "Active:1000 inactive:2000 dirty:30 writeback:4 unstable:0 free:500 slab:600 mapped:7 pagetables:8\n"
        "DMA free:3588kB min:68kB low:84kB high:100kB active:0kB inactive:12kB present:16384kB pages_scanned:0 "
        "all_unreclaimable? yes\nlowmem_reserve[]: 0 0 880\n"
        "DMA: 1*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 1*512kB 1*1024kB 1*2048kB 0*4096kB = 3588kB\n"
        "Swap cache: add 0, delete 0, find 0/0, race 0+0\nFree swap:            0kB\n"
        "Out of Memory: Killed process 55 (dd).\n"
    )
    (oom,) = ooms(text)
    assert (oom.invoker, oom.gfp_mask, oom.killed) == (None, "0xd0", ((55, "dd", {}),))
    assert zone(oom.memory, "DMA").pages["inactive"].number == 3
    assert oom.memory is not None
    assert oom.memory.pages["active"].number == 1000
    assert read(text)[1].unread == 0


def test_free_lists_copied_from_a_forum_keep_their_numbers() -> None:
    forum = OOM_NEW.replace("*", "_")
    assert zone(ooms(forum)[0].memory, "Normal").free_by_order[:4] == (917, 450, 500, 740)


def test_a_memcg_of_v1_is_summed_over_its_tree() -> None:
    (oom,) = ooms(OOM_MEMCG_V1)
    assert (oom.memcg, oom.kill_memcg) == ("/box", "/box/inner")
    assert (oom.memcg_kib["usage"].number, oom.memcg_kib["limit"].number) == (102400, 102400)
    assert oom.memcg_failcnt is not None
    assert oom.memcg_failcnt.number == 777
    assert oom.memcg_stat["dirty"].number == 70500 * 1024
    assert oom.memcg_stat["cache"].number == 100000 * 1024
    assert oom.killed == ((88, "cp", {"total_vm_kib": 20000, "anon_rss_kib": 2400, "file_rss_kib": 0}),)
    assert oom.memory is None


def test_a_memcg_of_v2_has_its_memory_stat() -> None:
    (oom,) = ooms(OOM_MEMCG_V2)
    assert (oom.memcg, oom.constraint) == ("/system.slice/backup.service", "CONSTRAINT_MEMCG")
    assert {name: oom.memcg_stat[name].number for name in ("file_dirty", "file_writeback", "pgscan")} == {
        "file_dirty": 59000000, "file_writeback": 81920, "pgscan": 9000,
    }  # fmt: skip
    assert oom.tasks[0].pages["rss_file"] == 800
    assert oom.kernel == "6.10.1"


def test_two_reports_in_a_row_are_two() -> None:
    first, second = ooms(OOM_MEMCG_V2 + OOM_NEW)
    assert (first.invoker, second.invoker) == ("tar", "mkfs.ext4")
    assert (first.memory, second.memcg_stat) == (None, {})


def test_a_kill_whose_report_was_cut_off_is_still_one() -> None:
    (oom,) = ooms(OOM_NEW.splitlines()[-2])
    assert (oom.invoker, oom.memory, oom.killed[0][0]) == (None, None, 3300)


def test_the_invoker_may_stand_on_a_line_of_its_own() -> None:
    text = "[   12.5] mkfs.ext4 invoked\noom-killer: gfp_mask=0x200da, order=1, oom_adj=0, oom_score_adj=0\n"
    (oom,) = ooms(text)
    assert (oom.invoker, oom.gfp_mask, oom.order, oom.stamp_s, oom.line) == ("mkfs.ext4", "0x200da", 1, 12.5, 1)


def test_a_report_that_ends_early_says_what_it_had() -> None:
    cut = "\n".join(OOM_NEW.splitlines()[:16])
    (oom,) = ooms(cut)
    assert oom.killed == ()
    assert oom.memory is not None
    assert oom.memory.zones == ()


def test_an_allocation_that_failed_says_its_order_and_mode() -> None:
    (failure,) = failures(ALLOC_NEW)
    assert (failure.comm, failure.order, failure.source, failure.kernel) == ("kworker/u4:1", 4, "page", "5.10.60")
    assert failure.mode == "0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)"
    assert zone(failure.memory, "Normal").free_by_order[4] == 0
    assert called(failure)[:2] == ["dump_stack", "warn_alloc"]


def test_the_old_form_of_a_failed_allocation_is_read() -> None:
    (failure,) = failures(ALLOC_OLD)
    assert (failure.comm, failure.order, failure.mode, failure.kernel) == ("swapper", 0, "0x20", "2.6.34")
    assert called(failure) == ["__alloc_pages_nodemask"]


def test_an_allocation_that_stalled_says_how_long() -> None:
    (failure,) = failures(STALLED)
    assert (failure.source, failure.stalled_ms, failure.order, failure.comm) == ("stall", 10516, 2, "java")


def test_slub_fails_at_its_smallest_order() -> None:
    (failure,) = failures(SLUB)
    assert (failure.source, failure.order, failure.mode) == ("slab", 0, "0x20000(GFP_ATOMIC)")


def test_vmalloc_fails_too() -> None:
    text = "modprobe: vmalloc error: size 2101248, page order 0, failed to allocate pages, mode:0xcc0(GFP_KERNEL)\n"
    (failure,) = failures(text)
    assert (failure.source, failure.order, failure.comm) == ("vmalloc", 0, "modprobe")


def test_a_line_of_another_cpu_between_does_not_end_a_report() -> None:
    lines = [f"[   99.{n:06}] {line}" for n, line in enumerate(OOM_NEW.splitlines())]
    lines.insert(20, "[   99.000020] usb 1-1: USB disconnect, device number 4")
    lines.insert(9, "[   99.000008] audit: type=1400 audit(1.1:2): something else")
    facts: list[AnyFact] = read("\n".join(lines))[0]
    (oom,) = (fact for fact in facts if isinstance(fact, OomReport))
    assert oom._replace(line=1, stamp_s=None, last_line=0).killed == ooms(OOM_NEW)[0].killed
    assert oom.memory is not None
    assert len(oom.memory.zones) == 3
    assert len(oom.frames) == 5


def test_two_traces_with_prose_between_are_two() -> None:
    text = " schedule+0x4a/0xb0\n vfs_write+0x1/0x2\nand some minutes later\n schedule+0x4a/0xb0\n vfs_read+0x1/0x2\n"
    first, second = tasks(text)
    assert (called(first)[-1], called(second)[-1], second.line) == ("vfs_write", "vfs_read", 4)


def test_a_counter_file_after_a_report_is_not_the_reports() -> None:
    cut = OOM_MEMCG_V2[: OOM_MEMCG_V2.index("pgscan")]
    facts, account, _ = read(f"{cut}and this is vmstat:\npgsteal_kswapd 5\nnr_dirty 7\n")
    (oom,) = (fact for fact in facts if isinstance(fact, OomReport))
    assert "pgsteal_kswapd" not in oom.memcg_stat
    assert [text for _, text in account.unread_lines] == ["and this is vmstat:"]
    (counters,) = (fact for fact in facts if isinstance(fact, Snapshot))
    assert set(counters.values) == {"pgsteal_kswapd", "nr_dirty"}


def test_meminfo_and_prose_after_a_report_are_left_to_others() -> None:
    rest = ["MemTotal:       16384000 kB", "Active:          100 kB", "CPU 3 was busy", "note: this was at night"]
    facts, account, _ = read(OOM_NEW + "\n".join(rest))

    assert [text for _, text in account.unread_lines] == rest[2:]
    (oom,) = (fact for fact in facts if isinstance(fact, OomReport))
    assert oom.memory == ooms(OOM_NEW)[0].memory
    assert [set(fact.values) for fact in facts if isinstance(fact, Snapshot)] == [{"MemTotal", "Active"}]


@pytest.mark.parametrize(
    ("line", "function", "guess", "module"),
    [
        (" [<ffffffffa0099645>] :dvb_core:dvb_exit+0xb5/0x100", "dvb_exit", False, "dvb_core"),
        (" [] ? prepare_creds+0xdf/0x190 ", "prepare_creds", True, ""),
        (" [<c034ade4>] (out_of_memory) from [<c03519ac>]  (alloc+0x1178/0x124c)", "out_of_memory", False, ""),
        (" <IRQ>  [<ffffffff81126789>] ? f+0x1/0x2", "f", True, ""),
        (" ([<0000000000123456>] f+0x1/0x2)", "f", False, ""),
        (" f+0x1/0x2 [fat 0a109de409393851f8a884f020fb5682aab8dcd1]", "f", False, "fat"),
        (" context_switch kernel/sched/core.c:5382 [inline]", "context_switch", False, ""),
        (" __schedule+0x123/0x456 kernel/sched/core.c:1234", "__schedule", False, ""),
        ("schedule (kernel/sched/core.c:6621 (discriminator 1))", "schedule", False, ""),
        (" #2 [ffff88123456789a] io_schedule at ffffffff816a0000", "io_schedule", False, ""),
        (" f.isra.0+0x1/0x2 (P)", "f.isra.0", False, ""),
    ],
)
def test_a_frame_is_read_in_every_form(line: str, function: str, guess: bool, module: str) -> None:
    (task,) = tasks(f"Call Trace:\n{line}\n")
    assert (task.frames[0].function, task.frames[0].guess, task.frames[0].module) == (function, guess, module)


@pytest.mark.parametrize("prefix", ["", "[  122.5] "])
def test_bare_names_under_the_heading_of_a_trace_are_frames(prefix: str) -> None:
    head = "INFO: task dd:77 blocked for more than 120 seconds.", "Call Trace:"
    told = [prefix + line for line in (*head, " schedule", " ? io_schedule", " sync_page")]

    (found,) = tasks("\n".join([*told, "", "sync_page", "thanks", ""]))

    assert [(frame.function, frame.guess) for frame in found.frames] == [
        ("schedule", False), ("io_schedule", True), ("sync_page", False),
    ]  # fmt: skip


def test_a_word_that_no_heading_is_above_is_no_frame() -> None:
    (found,) = tasks("INFO: task dd:77 blocked for more than 120 seconds.\nschedule\n")

    assert not found.frames


def test_a_header_of_2008_has_no_flags() -> None:
    (task,) = tasks(
        "INFO: task khubd:66 blocked for more than 120 seconds.\nkhubd         D ffff81003dca9bc0     0    66      2\n"
    )
    assert (task.pid, task.state) == (66, "D")


IN_LOWMEM = """\
Out of memory (in lowmem): kill process 29 (malloc)
\t       score 4323 or a child
Killed process 29 (malloc) vsz:400kB
anon-rss:8kB, file-rss:4kB lowmem 0kB
"""
WITH_UID = """\
Out of memory: Kill process 29 (malloc) score 9 or sacrifice child
Killed process 29, UID 27,(malloc) total-vm:400kB, anon-rss:8kB, file-rss:4kB
"""
BY_HAND = """\
Memory cgroup out of memory: Killed process 29 (malloc)
               total-vm:400kB, anon-rss:8kB,
               file-rss:4kB
"""


@pytest.mark.parametrize("text", [IN_LOWMEM, WITH_UID, BY_HAND])
@pytest.mark.parametrize("prefix", ["", "[  9.5] "])
def test_a_kill_is_read_in_every_form(prefix: str, text: str) -> None:
    lines = [
        line if line[:1] in " \tat" and not line.startswith("Out") else prefix + line for line in text.splitlines()
    ]
    (oom,) = ooms("\n".join(lines))
    sizes = {"total_vm_kib": 400, "anon_rss_kib": 8, "file_rss_kib": 4}
    ((pid, comm, said),) = oom.killed
    assert (pid, comm, {name: said[name] for name in sizes}) == (29, "malloc", sizes)


def test_a_failed_allocation_may_have_lost_its_task() -> None:
    (failure,) = failures(
        "page allocation failure: order:0, mode:0x800(GFP_NOWAIT)\nCall Trace:\nwarn_alloc+0xf4/0x190\n"
    )
    assert (failure.comm, failure.order, called(failure)) == (None, 0, ["warn_alloc"])


def test_the_title_of_a_mail_is_no_report() -> None:
    text = "Subject: Re: kswapd0: page allocation failure: order:0,\n mode:0x820(GFP_ATOMIC)\n\nHello\n"
    facts, account, _ = read(text)
    assert (facts, account.unread) == ([], 1)


def test_frames_of_another_hour_are_another_trace() -> None:
    first, second = tasks("[   10.5]  schedule+0x4a/0xb0\n[  728.0]  out_of_memory+0x1/0x2\n")
    assert (called(first), called(second)) == (["schedule"], ["out_of_memory"])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from("\n".join(ALL.values()).splitlines()), st.integers(0, 200), st.integers(0, 200)),
        max_size=30,
    ),
    prefix=st.sampled_from(["", "[ 1.5] ", "> ", "4,1,2,-;"]),
    junk=st.text(max_size=30),
)
def test_torn_reports_in_any_order_are_read_without_harm(
    pieces: list[tuple[str, int, int]], prefix: str, junk: str
) -> None:
    text = "\n".join(prefix + line[start : start + length] for line, start, length in pieces) + "\n" + junk
    facts, account, _ = read(text.encode("utf-8", "surrogatepass"))
    assert account.events + account.known_non_events + account.unread == account.lines
    assert all(1 <= fact.line <= account.lines for fact in facts)


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 400, "9" * 5000])
def test_numbers_without_end_are_no_trouble(digits: str) -> None:
    for text in (TASK_NEW, OOM_NEW, OOM_MEMCG_V1, OOM_MEMCG_V2, ALLOC_NEW, SLUB, STALLED):
        for number in ("4711", "3300", "15360kB", "1536", "120", "65536", "102400", "409600", "4", "0"):
            account = read(text.replace(number, digits))[1]
            assert account.known_non_events + account.unread == account.lines


@pytest.mark.parametrize(
    "line",
    [
        "watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [walker:77]",
        "WARN: soft lockup - CPU#2 stuck for 22s! [walker:77]",
        "BUG: soft lockup - CPU#2 stuck for 22s!",
    ],
)
def test_a_lockup_is_read_however_its_line_is_cut(line: str) -> None:
    text = f"{line}\nCPU: 2 PID: 77 Comm: walker Not tainted 6.1.0 #1\nCall Trace:\n slow_walk+0x10/0x20\n big_loop+0x30/0x40\n"
    (found,) = tasks(text)

    assert (found.source, found.blocked_s, found.comm, found.pid) == ("soft lockup", 22, "walker", 77)
    assert called(found) == ["slow_walk", "big_loop"]


@pytest.mark.parametrize("caller", ["", "[  T416]", " [  T416]", "  [ C3]"])
def test_the_caller_printk_names_is_no_part_of_the_message(caller: str) -> None:
    lines = ALLOC_NEW.splitlines()
    text = "\n".join(f"[ 2681.7575{n:02}]{caller} {line}" for n, line in enumerate(lines[:40]))

    assert failures(text)[0].comm == failures(ALLOC_NEW)[0].comm
    assert called(failures(text)[0]) == called(failures(ALLOC_NEW)[0])
