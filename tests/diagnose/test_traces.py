# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces: who is held back, who reclaims, and on what. Each trace is text, read through the readers' own door."""

from collections.abc import Iterable

from pageout.diagnose.explain import explain
from pageout.diagnose.findings import ERROR, INFO, WARNING, Finding
from pageout.readers.read import read_pieces

Event = tuple[float, str, int, str]  # seconds, comm, pid, "name: payload"


def text(events: Iterable[Event], context: str = ".....") -> str:
    rows = sorted(events, key=lambda event: event[0])
    return "# tracer: nop\n" + "".join(
        f"{comm:>16}-{pid:<7} [000] {context} {time:12.6f}: {what}\n" for time, comm, pid, what in rows
    )


def found(trace: str) -> dict[str, Finding]:
    return {finding.id: finding for finding in explain([read_pieces("t", [trace.encode()])]).findings}


def balance(time: float, comm: str = "dd", pid: int = 7, **more: object) -> Event:
    told: dict[str, object] = {
        "bdi": "8:0", "limit": 40000, "setpoint": 30000, "dirty": 31000, "bdi_setpoint": 29000, "bdi_dirty": 30900,
        "dirty_ratelimit": 2000, "task_ratelimit": 1900, "dirtied": 64, "dirtied_pause": 64, "paused": 0, "pause": 100,
        "period": 104, "think": 4, "cgroup_ino": 1,
    } | more  # fmt: skip
    bdi = told.pop("bdi")
    return time, comm, pid, f"balance_dirty_pages: bdi {bdi}: " + " ".join(f"{k}={v}" for k, v in told.items())


def dirty_state(time: float, dirty: int = 100, writeback: int = 0, thresh: int = 40000) -> Event:
    what = f"dirty={dirty} writeback={writeback} bg_thresh={thresh // 2} thresh={thresh} limit={thresh} dirtied=9 written=9"
    return time, "kworker/u4:1", 30, f"global_dirty_state: {what}"


def reclaim(
    begin: float, took: float, comm: str = "app", pid: int = 50, order: int = 0, kind: str = "direct"
) -> list[Event]:
    return [
        (begin, comm, pid, f"mm_vmscan_{kind}_reclaim_begin: order={order} gfp_flags=GFP_HIGHUSER_MOVABLE"),
        (begin + took, comm, pid, f"mm_vmscan_{kind}_reclaim_end: nr_reclaimed=32"),
    ]


def shrink(
    time: float,
    comm: str = "app",
    pid: int = 50,
    scanned: int = 32,
    reclaimed: int = 30,
    dirty: int = 0,
    writeback: int = 0,
) -> Event:
    what = (
        f"nid=0 nr_scanned={scanned} nr_reclaimed={reclaimed} nr_dirty={dirty} nr_writeback={writeback} nr_congested=0 "
        "nr_immediate=0 nr_activate_anon=0 nr_activate_file=0 nr_ref_keep=0 nr_unmap_fail=0 priority=12 "
        "flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC"
    )
    return time, comm, pid, f"mm_vmscan_lru_shrink_inactive: {what}"


# --- the dirty limits ---


def test_a_writer_at_the_limit_is_held_back_by_a_device_of_known_speed() -> None:
    events = [balance(10 + n / 8) for n in range(80)]
    for n in range(100):
        begin = 10 + n / 10
        events += [(begin, "kworker/u4:1", 30, f"block_rq_issue: 8,0 W 131072 () {n * 256} + 256 [kworker/u4:1]"),
                   (begin + 0.05, "<idle>", 0, f"block_rq_complete: 8,0 W () {n * 256} + 256 [0]")]  # fmt: skip

    finding = found(text(events))["dirty-limit-throttling"]

    assert finding.severity == WARNING
    assert "1.26 MiB/s by its requests" in finding.detail
    assert "a high limit for it" in finding.title
    assert any("vm.dirty_bytes=3145728" in text or "vm.dirty_bytes=2097152" in text for text in finding.advice)


def test_pauses_nobody_notices_clear_the_limits() -> None:
    finding = found(text([balance(10 + n, pid=7 + n % 3, pause=4 if n % 5 == 0 else -8) for n in range(30)]))

    assert finding["dirty-limit-not-the-stall"].severity == INFO
    assert "dirty-limit-throttling" not in finding


def test_times_that_wrapped_are_neither_added_nor_believed() -> None:
    events = [balance(10 + n, pause=-4294824915, think=4294824917) for n in range(5)]

    finding = found(text(events))["dirty-limit-not-the-stall"]

    assert "wrapped" in finding.detail
    assert "none of 5 checks asked for a pause" in finding.is_not[0]


def test_a_devices_own_share_is_told_from_the_machines_limit() -> None:
    events = [
        balance(10 + n / 8, bdi="0:51", dirty=450, bdi_setpoint=0, bdi_dirty=32, task_ratelimit=0) for n in range(40)
    ]

    finding = found(text(events))["device-dirty-limit"]

    assert "0:51" in finding.title
    assert any("450" in text or "1.76 MiB" in text for text in finding.is_not)


def test_a_small_device_held_back_by_another_ones_dirty_pages_is_starved() -> None:
    slow = [balance(10 + n / 8, "cp", 9, bdi="8:16", bdi_dirty=29000) for n in range(80)]
    fast = [balance(10.01 + n / 8, "db", 8, bdi="8:0", bdi_dirty=500) for n in range(80)]

    finding = found(text(slow + fast))["slow-device-starves-others"]

    assert finding.severity == ERROR
    assert "device 8:0" in finding.title
    assert "8:16" in finding.title


def test_a_cgroups_limit_is_told_by_the_machines_level() -> None:
    events = [
        balance(10 + n / 8, dirty=900, limit=1000, setpoint=850, bdi_setpoint=800, bdi_dirty=890, cgroup_ino=4711)
        for n in range(40)
    ]
    events += [dirty_state(10 + n, dirty=1000) for n in range(5)]

    assert "cgroup 4711" in found(text(events))["memcg-dirty-limit"].title


def test_a_call_that_never_gets_under_the_limit_is_an_error() -> None:
    events = [balance(10 + n / 5, dirty=40100, pause=200, paused=200 * n, task_ratelimit=0) for n in range(20)]

    finding = found(text(events))["dirty-hard-limit"]

    assert finding.severity == ERROR
    assert "3,800 ms" in finding.title


def test_levels_far_below_the_limits_are_called_healthy() -> None:
    finding = found(text([dirty_state(10 + n, dirty=50 + n) for n in range(20)]))["writeback-healthy"]

    assert finding.severity == INFO
    assert "the level never came near them" in finding.is_not[0]


def test_a_writer_of_an_old_kernel_that_writes_for_itself_is_told() -> None:
    events: list[Event] = []
    for n in range(40):
        events += [(10 + n / 8, "dd", 7, "balance_dirty_start: bdi 8:0"), (10.001 + n / 8, "dd", 7, "balance_dirty_wait: bdi 8:0"),
                   (10.1 + n / 8, "dd", 7, "writeback_congestion_wait: usec_timeout=100000 usec_delayed=100000")]  # fmt: skip

    finding = found(text(events))["dirty-limit-throttling"]

    assert "held back at the dirty limit, 3.96 s" in finding.title


# --- reclaim ---


def test_short_stalls_are_no_stalls() -> None:
    events = [event for n in range(5) for event in reclaim(10 + n, 0.0005)]

    assert set(found(text(events))) == {"direct-reclaim-short"}


def test_reclaim_that_meets_dirty_pages_says_what_share() -> None:
    events = [
        event
        for n in range(10)
        for event in (*reclaim(10 + n, 0.3), shrink(10.1 + n, reclaimed=1, dirty=30, writeback=10))
    ]

    finding = found(text(events))["direct-reclaim-dirty"]

    assert finding.severity == WARNING
    assert "93.8 %" in f"{finding.title} {finding.detail}"
    assert any("vm.dirty_background_bytes" in text for text in finding.advice)


def test_reclaim_that_writes_pages_itself_is_told_by_its_pages() -> None:
    events = [event for n in range(10) for event in reclaim(10 + n, 0.3)]
    events += [
        (
            10.1 + n % 10 + n / 1e4,
            "app",
            50,
            f"mm_vmscan_writepage: page=0000000012345678 pfn={n} flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC",
        )
        for n in range(256)
    ]

    assert "1 MiB of file pages themselves" in found(text(events))["direct-reclaim-writes"].detail


def test_compaction_beside_reclaim_is_named_when_it_is_longer() -> None:
    events = [event for n in range(5) for event in reclaim(10 + n, 0.001, order=4)]
    for n in range(5):
        events += [(10.01 + n, "app", 50, "mm_compaction_begin: zone_start=0x1 migrate_pfn=0x2 free_pfn=0x3 zone_end=0x4, mode=sync"),
                   (10.05 + n, "app", 50, "mm_compaction_end: zone_start=0x1 migrate_pfn=0x2 free_pfn=0x3 zone_end=0x4, mode=sync status=contended")]  # fmt: skip

    finding = found(text(events))["direct-reclaim-compaction"]

    assert "compaction took 200 ms" in finding.title
    assert "5 contended" in finding.detail


def test_a_shrinker_that_takes_the_time_is_named() -> None:
    head = "super_cache_scan+0x0/0x1d0 00000000abcd: nid: 0"
    events = [event for n in range(5) for event in reclaim(10 + n, 0.5)]
    for n in range(5):
        events += [(10.01 + n, "app", 50, f"mm_shrink_slab_start: {head} objects to shrink 824 gfp_flags GFP_KERNEL cache items 9 delta 1 total_scan 9 priority 12"),
                   (10.45 + n, "app", 50, f"mm_shrink_slab_end: {head} unused scan count 824 new scan count 0 total_scan 9 last shrinker return val 3")]  # fmt: skip

    assert "most in super_cache_scan (2.2 s" in found(text(events))["direct-reclaim-shrinkers"].detail


def test_a_task_without_the_cpu_is_not_blamed_on_a_disk() -> None:
    steps = [
        (
            10 + n * 0.05,
            "app",
            50,
            "mm_vmscan_lru_isolate: classzone=2 order=0 nr_requested=1 nr_scanned=1 nr_skipped=0 nr_taken=1 lru=inactive_file",
        )
        for n in range(1, 9)
    ]
    trace = text(reclaim(10, 0.5, kind="memcg")) + text(steps, "dN...").removeprefix("# tracer: nop\n")
    ordered = "\n".join(
        sorted(trace.splitlines(), key=lambda row: row.split(": ")[0].rsplit(" ", 1)[-1] if "[000]" in row else "0")
    )

    finding = found(ordered + "\n")["memcg-reclaim-cpu-starved"]

    assert "no disk is involved" in finding.detail


def test_sleeps_to_the_end_of_their_timeout_are_told() -> None:
    events = [
        (
            10 + n / 50,
            f"t{n % 7}",
            100 + n % 7,
            "mm_vmscan_throttled: nid=0 usec_timeout=100000 usect_delayed=100000 reason=VMSCAN_THROTTLE_WRITEBACK",
        )
        for n in range(50)
    ]

    finding = found(text(events))["reclaim-throttled"]

    assert "100 %" in f"{finding.title} {finding.detail}"
    assert finding.severity == ERROR


def test_kswapd_that_scans_the_wrong_zone_is_told_by_what_it_skips() -> None:
    events: list[Event] = [(9.0, "kswapd0", 33, "mm_vmscan_kswapd_wake: nid=0 order=0")]
    for n in range(400):
        events += [shrink(10 + n / 100, "kswapd0", 33, scanned=32, reclaimed=0),
                   (10.001 + n / 100, "kswapd0", 33, "mm_vmscan_lru_isolate: classzone=0 order=0 nr_requested=32 nr_scanned=992 nr_skipped=960 nr_taken=32 lru=inactive_file")]  # fmt: skip

    assert "wrong zone" in found(text(events))["kswapd-scans-in-vain"].detail


def test_a_hole_keeps_begin_and_end_apart() -> None:
    begin, end = reclaim(10, 5.0)
    whole, holed = (
        text([begin, end]),
        text([begin]) + "CPU:0 [LOST 100 EVENTS]\n" + text([end]).removeprefix("# tracer: nop\n"),
    )

    assert "5 s in all" in found(whole)["direct-reclaim-stalls"].title
    finding = found(holed)["direct-reclaim-stalls"]
    assert "5 s" not in finding.title
    assert any("100 events lost" in text for text in finding.unknown)


# --- devices and journals ---


def test_requests_that_never_come_back_are_a_silent_device() -> None:
    events: list[Event] = []
    for n in range(50):
        events += [(10 + n / 10, "kworker/u4:1", 30, f"block_rq_issue: 8,0 W 4096 () {n * 8} + 8 [kworker/u4:1]"),
                   (10.01 + n / 10, "<idle>", 0, f"block_rq_complete: 8,0 W () {n * 8} + 8 [0]")]  # fmt: skip
    events += [
        (15.0 + n, "kworker/u4:1", 30, f"block_rq_issue: 8,0 W 4096 () {9000 + n * 8} + 8 [kworker/u4:1]")
        for n in range(30)
    ]

    finding = found(text(events))["device-silent"]

    assert finding.severity == ERROR
    assert "29.0 s" in finding.title


def test_a_slow_fsync_names_the_commit_it_waited_for() -> None:
    events: list[Event] = [
        (10.0, "db", 8, "ext4_sync_file_enter: dev 8,0 ino 12 parent 2 datasync 0 "),
        (
            14.0,
            "jbd2/sda-8",
            9,
            "jbd2_run_stats: dev 8,0 tid 5 wait 0 request_delay 0 running 20 locked 0 flushing 3900 logging 10 handle_count 5 blocks 6 blocks_logged 7",
        ),
        (14.1, "db", 8, "ext4_sync_file_exit: dev 8,0 ino 12 ret 0"),
    ]

    finding = found(text(events))["fsync-behind-flush"]

    assert "4.1 s" in finding.title
    assert "3,900 ms flushing" in finding.detail


def test_a_journal_that_keeps_tasks_out_is_told() -> None:
    event = (
        14.0,
        "jbd2/sda-8",
        9,
        "jbd2_run_stats: dev 8,0 tid 5 wait 0 request_delay 0 running 20 locked 7000 flushing 5 logging 10 handle_count 5 blocks 6 blocks_logged 7",
    )

    assert "7,000 ms" in found(text([event]))["journal-holds-up"].title


def test_requests_in_bursts_of_a_journal_and_of_expiry_are_read_as_such() -> None:
    rows = [(10.0, "touch", 5), (15.2, "jbd2/sda-8", 9), (45.3, "kworker/u4:1", 30)]
    events = [(time, comm, pid, f"block_rq_issue: 8,0 W 4096 () {pid * 8} + 8 [{comm}]") for time, comm, pid in rows]

    finding = found(text(events))["requests-summary"]

    assert "commits every 5 s" in finding.detail
    assert "30 s of age" in finding.detail


def test_a_request_that_was_put_back_and_given_again_is_one() -> None:
    event = "block_rq_{}: 8,0 W 4096 () 800 + 8 [{}]"
    given_ = [(10.0 + n / 100, "dd", 5, event.format("issue", "dd")) for n in range(3)]
    done = (10.05, "swapper", 0, "block_rq_complete: 8,0 W () 800 + 8 [0]")

    finding = found(text([*given_, done]))["requests-summary"]

    assert finding.title.startswith("1 request in 1 burst")
    assert "dd: 1 write (4 KiB)" in finding.detail


def test_a_trace_of_other_things_says_that_nothing_of_ours_is_in_it() -> None:
    finding = found(text([(10 + n, "x", 5, "irq_handler_entry: irq=3 name=x") for n in range(5)]))

    assert set(finding) == {"no-relevant-events"}
