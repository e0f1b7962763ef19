# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from pageout.report import reading
from pageout.report.contrast import against, best, broken, contrast, finding
from pageout.report.reading import endings
from pageout.report.text import prose_number
from tests.report.documents import METRICS, document


def test_the_reading_of_a_run_says_who_wrote_where_time_went_and_how_deep_the_stack_was() -> None:
    text = reading.reading(METRICS, sim_seconds=60.0, stack_bytes=8192)
    assert text == [
        (
            "200,000 pages (781.2 MiB) went to the device: flusher threads 90 %, kswapd 8 %, direct reclaim 2 %; "
            "the writing tasks themselves wrote none."
        ),
        (
            "Writers slept 8.4 s in balance_dirty_pages (40 turns, 210 ms each on average; "
            "0.14 tasks waiting on average)."
        ),
        (
            "Allocations stalled 5.4 s in direct reclaim (812 times, 99 % of them under 40 ms; "
            "0.09 tasks waiting on average)."
        ),
        (
            "At most 402.5 MiB were not yet safe on the device; the oldest dirty page had waited 31.5 s; "
            "12 rewrites of dirty pages cost no I/O."
        ),
        "Reclaim freed 65 % of the 200,000 pages it scanned, direct reclaim doing 20 % of the freeing.",
        (
            "The device was busy 97 % of the time, took 2,000 write requests of 400 KiB on average and made "
            "1,500 seeks over 800.5 MiB on average."
        ),
        "The deepest kernel stack used 7,216 bytes of 8,192: 976 were left.",
        "Of 400 allocations of order 1 and above, 3 failed (under 1 %).",
    ]


def test_every_number_in_the_reading_moves_with_its_figure() -> None:
    before = " ".join(reading.reading(METRICS, 60.0, 8192))
    for name in (
        "written_direct",
        "throttle_slept_s",
        "alloc_stall_s",
        "seek_count",
        "stack_max_bytes",
        "highorder_failures",
    ):
        assert " ".join(reading.reading(METRICS | {name: METRICS[name] * 1.5}, 60.0, 8192)) != before, name


def test_figures_that_do_not_apply_leave_no_sentence() -> None:
    assert reading.reading(dict.fromkeys(METRICS), 60.0, 8192) == []
    assert reading.reading({}) == []


def test_nothing_written_and_nothing_stalled_is_said_as_such() -> None:
    none = METRICS | dict.fromkeys([name for name in METRICS if name.startswith(("written", "throttle", "alloc"))], 0)
    text = reading.reading(none)
    assert text[:3] == [
        "No page was submitted for writing.",
        "No writer was held back in balance_dirty_pages.",
        "No allocation entered direct reclaim.",
    ]


def test_an_overflow_a_kill_and_a_loss_are_said() -> None:
    bad = METRICS | {"stack_max_bytes": 8500, "stack_overflows": 2, "oom_kills": 1, "pages_lost": 256}
    text = reading.reading(bad, 60.0, 8192)
    assert (
        "The deepest kernel stack used 8,500 bytes of 8,192: 308 too many; stacks ran over their end, or over the "
        "thread_info there, 2 times."
    ) in text
    assert text[-1] == "The OOM killer killed 1 task and 256 dirty pages (1 MiB) were lost."


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0 %"), (1, "under 1 %"), (995, "over 99 %"), (1000, "100 %"), (500, "50 %")]
)
def test_a_share_never_rounds_something_away(part: int, text: str) -> None:
    assert reading.percent(part, 1000) == text


def test_the_contrast_names_what_moved_and_by_how_much() -> None:
    first, other = (
        document(),
        document("flushers-only", alloc_stall_s=2.7, written_direct=0, seek_count=1501, oom_kills=2),
    )
    assert against([first], [other]) == (
        "flushers-only beside linux-2.6.34: time stalled in direct reclaim from 5.40 to 2.70 s (-50 %); "
        "written by direct reclaim from 3,000 to 0 pages (-100 %); OOM kills from none to 2."
    )


def test_equal_digests_are_the_same_run() -> None:
    first, other = document(), document("throttle-earlier") | {"digest": "made-up-linux-2.6.34"}
    assert contrast([first, other]) == [
        (
            "throttle-earlier beside linux-2.6.34: the same run to the last bit; "
            "nothing in this workload reached what it changes."
        )
    ]
    assert "none of the figures shown moved" in against([first], [document("throttle-earlier")])


def test_the_reading_begins_with_who_stalls_least_and_what_that_costs() -> None:
    runs = [document(), document("a", alloc_stall_s=1.0, seek_count=3000, write_mb_s=90.0), document("b", oom_kills=1)]
    assert contrast(runs)[0] == (
        "a stalls allocations least: 1 s in direct reclaim, 5.40 s under linux-2.6.34. "
        "It pays with seeks from 1,500 to 3,000 (+100 %)."
    )
    free = [document(), document("a", alloc_stall_s=1.0)]
    assert contrast(free)[0].endswith("It is worse in none of the other figures weighed.")
    assert contrast([document(), document("a", alloc_stall_s=9.0)])[0].startswith("linux-2.6.34, the first, stalls")


def test_many_designs_are_told_by_figure_the_farthest_first_and_equal_ones_together() -> None:
    stalls = {"a": 1.0, "b": 2.7, "c": 5.3, "d": 10.8, "e": 0.5, "f": 2.0, "g": 4.0}
    same = [document(name) | {"digest": "made-up-linux-2.6.34"} for name in ("x", "y", "z")]
    text = contrast([document(), *(document(name, alloc_stall_s=s) for name, s in stalls.items()), *same])
    assert text[1] == (  # c is within what one seed may do by chance
        "time stalled in direct reclaim, 5.40 s under linux-2.6.34: less under e (-91 %), a (-81 %), f (-63 %), "
        "b (-50 %) and 1 other; more under d (+100 %)."
    )
    assert "x, y and z beside linux-2.6.34: the same run to the last bit" in " ".join(text)
    assert not any(line.startswith("seeks, ") for line in text)  # nobody moved it


def test_a_figure_that_is_unknown_or_nought_at_first_is_not_summed_up() -> None:
    others = [document(name, seek_count=5) for name in "abcd"]
    for before in (None, 0):
        assert not any("seeks, " in line for line in contrast([document(seek_count=before), *others]))


def test_with_seeds_only_what_lies_beyond_their_noise_is_told() -> None:
    first = [document(alloc_stall_s=s, seek_count=n) for s, n in ((5.0, 100), (6.0, 200), (7.0, 300))]
    other = [document("a", alloc_stall_s=s, seek_count=n) for s, n in ((1.0, 250), (2.0, 350), (3.0, 450))]
    text = against(first, other)
    assert "from 6 to 2 s (-67 %)" in text
    assert "seeks" not in text
    near = [document("a", alloc_stall_s=s, seek_count=n) for s, n in ((5.5, 150), (6.5, 250), (7.5, 50))]
    assert against(first, near).endswith("none of the figures shown moved beyond the noise of 3 seeds.")
    assert finding(first + other).startswith("a stalls least in direct reclaim: 2 s against 6 s under linux-2.6.34")


def test_the_contrast_ranks_only_where_one_run_is_best_and_says_what_broke() -> None:
    runs = [document(), document("a", alloc_stall_s=1.0), document("b", oom_kills=3, stack_max_bytes=7000)]
    text = contrast(runs)
    assert "Of these, a stalls allocations least; b keeps the stack shallowest." in text
    assert text[-1] == broken(runs[2:]) == "b had 3 tasks killed by the OOM killer."
    assert contrast([]) == []
    assert contrast([document()]) == []


def test_what_broke_on_any_seed_is_said() -> None:
    seeds = [document("a", stack_overflows=n, stack_max_bytes=depth) for n, depth in ((0, 7000), (2, 8224), (0, 6936))]
    assert broken(seeds) == "a overflowed a kernel stack 2 times on 1 of 3 seeds (deepest: 8,224 bytes)."
    assert contrast([document(), document(), document(), *seeds])[-1] == broken(seeds)


def test_best_knows_which_way_is_better_and_leaves_null_and_ties_out() -> None:
    runs = [document(write_mb_s=50.0), document(write_mb_s=90.0), document(write_mb_s=None), document(write_mb_s=90.0)]
    assert best(runs, "write_mb_s") == [1, 3]
    assert best(runs, "alloc_stall_s") == []
    assert best([document(seek_count=5), document(seek_count=4)], "seek_count") == [1]
    assert best([document(written_kswapd=5), document(written_kswapd=4)], "written_kswapd") == []


def test_a_power_cut_that_the_run_did_not_reach_is_said() -> None:
    said = endings(document() | {"power_cut_s": 90.0, "ending": "length"})
    assert said == ["The run was over before the power was to be cut, at 90 s."]
    assert endings(document() | {"power_cut_s": 9.0, "ending": "power cut"}) == ["The run ended early: power cut."]
    assert endings(document() | {"power_cut_s": None, "ending": "done"}) == []


def test_a_page_older_than_the_run_was_dirty_before_it_began() -> None:
    assert "had waited 31.5 s, 11.5 s of them before the run began;" in reading.dirty_levels(METRICS, 20.0)
    assert "before the run" not in reading.dirty_levels(METRICS, 31.5)


def of_device(**figures: float | None) -> dict[str, float | None]:
    return {"write_requests": 1000, "seek_count": 0, "seek_mean_mib": None, "device_busy_share": 0.5} | figures


def test_seeks_of_several_disks_are_told_by_the_disk_that_made_them() -> None:
    devices = {
        "sda": of_device(seek_count=1400, seek_mean_mib=90.0, device_busy_share=0.97),
        "sdb": of_device(seek_count=100, seek_mean_mib=9000.0),
        "md0": of_device(seek_count=None),
        "sdc": of_device(write_requests=0),
    }
    text = reading.device_load(METRICS, devices)

    assert text == (
        "Of 2 devices at work sda, the busiest, was busy 97 % of the time; together they took 2,000 write requests of "
        "400 KiB on average and made 1,500 seeks, 1,400 of them sda over 90 MiB on average."
    )
    assert "800.5" not in text


def test_a_device_that_was_only_read_was_at_work() -> None:
    read = of_device(write_requests=0, read_requests=9, device_busy_share=0.9)
    text = reading.device_load(METRICS, {"sda": of_device(seek_count=1500), "sdb": read})

    assert text.startswith("Of 2 devices at work sdb, the busiest, was busy")


def test_one_device_at_work_is_the_device() -> None:
    one = reading.device_load(METRICS, {"sda": of_device(seek_count=5), "sdb": of_device(write_requests=0)})
    assert one == reading.device_load(METRICS)


@pytest.mark.parametrize(
    ("value", "text"), [(34.3, "34.3"), (34.0, "34"), (0.10, "0.1"), (100, "100"), (1e-9, "1e-09")]
)
def test_a_sentence_has_no_zeros_that_say_nothing(value: float, text: str) -> None:
    assert prose_number(value) == text
