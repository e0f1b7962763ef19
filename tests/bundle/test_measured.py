# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of a recording: by hand on a small one, against other witnesses on real ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import read_bundle
from pageout.bundle.calls import Quantiles, job_text, of_values, pooled
from pageout.bundle.evidence import evidence_of
from pageout.bundle.measured import FIGURES, measured
from pageout.twin.boxes import scenario_of
from pageout.vocabulary.errors import TraceError
from tests.bundle.made import META, SAMPLES, TRACE, small
from tests.conftest import ROOT

TRUTH = ROOT.parent / "shared" / "groundtruth"
RECORDINGS = sorted(path.parent for path in TRUTH.glob("linux-6.*/*/meta.json"))
needs_truth = pytest.mark.skipif(not RECORDINGS, reason="no recordings of real kernels beside the repository")

NO_CASE = {name: value for name, value in META.items() if name != "case"}


def figures(path):
    return measured(evidence_of(read_bundle(str(path))))


def test_samples_are_tied_to_the_trace_by_what_both_say(tmp_path):
    bundle = read_bundle(str(small(tmp_path / "b")))

    assert bundle.samples.clock == "tied"
    assert bundle.samples.samplers == {7}
    assert bundle.samples.time_ns[0] == 100_100_000_000


def test_a_small_recording_measured_by_hand(tmp_path):
    found = figures(small(tmp_path / "b"))

    assert found["write_mb_s"] == pytest.approx(1310720 / 0.2 / 1e6)
    assert (found["throttle_count"], found["throttle_s"]) == (1, 0.012)
    assert found["throttle_slept_s"] is None
    assert (found["write_requests"], found["mean_write_kib"]) == (1, 128)
    assert (found["write_p50_us"], found["write_p99_us"]) == (30, 4000)
    assert (found["scanned_kswapd"], found["scanned_direct"], found["alloc_stall_count"]) == (5, 0, 0)
    # fio began 200 ms before its last write ended, and all but 10 pages of others was written then
    window = evidence_of(read_bundle(str(tmp_path / "b"))).window
    assert (window.start_ns, window.end_ns) == (100_150_000_000, 100_350_000_000)
    assert found["dirty_max_mib"] == pytest.approx((150 - 10) / 256, rel=0.01)


def test_what_was_not_recorded_is_none(tmp_path):
    found = figures(small(tmp_path / "b", trace__txt__gz=None, fio__json=None, meta__json={"kernel": "6.1"}))

    known = {name for name, value in found.items() if value is not None}
    assert known == {"plateau_mib", "dirty_mean_mib", "writeback_mean_mib", "dirty_writeback_mean_mib", "dirty_max_mib"}


@pytest.mark.parametrize(("shift_s", "trace_from", "scanned"), [
    (0.0, "100.150000", 30), (0.0, "99.000000", None), (5.0, "100.150000", None), (-5.0, "100.150000", None),
])  # fmt: skip
def test_samples_that_are_of_a_part_of_the_command_count_nothing_of_reclaim(tmp_path, shift_s, trace_from, scanned):
    rows = [f"{shift_s + 100.1 + n / 10:.1f},{n * 10}" for n in range(4)]
    meta = {"samples": {"clock": "trace", "time_column": "t_s"}, "vmstat_delta": None}
    told = TRACE.replace("100.150000", trace_from)
    path = small(tmp_path / "b", samples__csv="\n".join(["t_s,pgscan_kswapd", *rows]) + "\n",
                 meta__json=META | meta, trace__txt=told, trace__txt__gz=None)  # fmt: skip

    assert figures(path)["scanned_kswapd"] == scanned


def test_a_command_that_is_no_fio_is_measured_by_what_the_kernel_counted(tmp_path):
    meta = {"start_s": 100.1, "end_s": 100.35, "command_io": {"wchar": 1 << 20}, "command": ["/bin/dd", "of=x"]}
    path = small(tmp_path / "b", fio__json=None, job__fio=None, meta__json=META | meta)
    calls = read_bundle(str(path)).calls

    assert [(one.name, one.nbytes, one.latency.nr) for one in calls] == [("dd", 1 << 20, 0)]
    assert figures(path)["write_mb_s"] == pytest.approx((1 << 20) / 0.25 / 1e6)
    assert figures(path)["write_p99_us"] is None


def test_fio_without_a_job_file_is_known_by_its_own_output(tmp_path):
    job = {"write": {"io_bytes": 4096, "runtime": 1, "total_ios": 1}}
    fio = {"global options": {"end_fsync": "1", "group_reporting": ""}, "jobs": [
        job | {"jobname": "a", "job options": {"name": "a", "rw": "write", "size": "1m", "numjobs": "2"}},
        job | {"jobname": "a", "job options": {"name": "a", "rw": "write", "size": "1m", "numjobs": "2"}}]}  # fmt: skip
    bundle = read_bundle(str(small(tmp_path / "b", job__fio=None, fio__json=fio, meta__json=NO_CASE)))

    jobs = "".join(f"[{name}]\nrw=write\nsize=1m\n" for name in ("a.0", "a.1"))
    assert job_text(bundle.files) == f"[global]\nend_fsync=1\ngroup_reporting\n{jobs}"
    assert [calls.name for calls in bundle.calls] == ["a.0", "a.1"]
    twin = scenario_of(bundle, box="white").scenario
    assert [(task.name, task.file) for task in twin.tasks] == [("a.0", (0,)), ("a.1", (1,))]


def test_two_jobs_of_one_name_that_fio_tells_of_are_at_one_file(tmp_path):
    job = {"jobname": "a", "job options": {"rw": "write", "size": "1m"}, "write": {"io_bytes": 4096, "runtime": 1}}
    bundle = read_bundle(str(small(tmp_path / "b", job__fio=None, fio__json={"jobs": [job, job]}, meta__json=NO_CASE)))

    assert [task.file for task in scenario_of(bundle, box="white").scenario.tasks] == [(0,), (0,)]


def test_two_sections_of_one_name_are_two_tasks_named_as_their_calls(tmp_path):
    job = {"jobname": "a", "job options": {"rw": "write", "size": "1m"}, "write": {"io_bytes": 4096, "runtime": 1}}
    text = "[a]\nrw=write\nsize=1m\n[a]\nrw=write\nsize=2m\n"
    bundle = read_bundle(str(small(tmp_path / "b", job__fio=text, fio__json={"jobs": [job, job]}, meta__json=NO_CASE)))

    names = [task.name for task in scenario_of(bundle, box="white").scenario.tasks]
    assert names == [calls.name for calls in bundle.calls] == ["a.0", "a.1"]


def test_a_name_no_section_can_have_is_the_same_in_calls_and_job(tmp_path):
    told = {"rw": "write", "size": "1m", "filename": "/d/a#1;b"}
    job = {"jobname": "a#1 [x]\n", "job options": told, "write": {"io_bytes": 4096, "runtime": 1}}
    bundle = read_bundle(str(small(tmp_path / "b", job__fio=None, fio__json={"jobs": [job]}, meta__json=NO_CASE)))
    twin = scenario_of(bundle, box="white")

    assert twin.box == "white"
    assert [task.name for task in twin.scenario.tasks] == [calls.name for calls in bundle.calls] == ["a_1 _x__"]
    assert twin.scenario.files[0].name.endswith("b")


@pytest.mark.parametrize(("job", "synced"), [
    ("[w]\nrw=write\nsize=1m\n# end_fsync=1\n", False), ("[w]\nrw=write\nsize=1m\nend_fsync = 1\n", True),
    ("[w]\nrw=write\nsize=1m\n[v]\nrw=read\nsize=1m\nend_fsync=1\n", False),
    ("[global]\nend_fsync=1\n[w]\nrw=write\nsize=1m\nend_fsync=0\n", False),
])  # fmt: skip
def test_an_fsync_is_that_of_the_job_that_asks_for_it(tmp_path, job, synced):
    bundle = read_bundle(str(small(tmp_path / "b", job__fio=job, meta__json=NO_CASE)))

    assert evidence_of(bundle).ends_clean is synced


@pytest.mark.parametrize("head", ["t_s,nr_dirty,nr_dirty", "\nt_s, nr_dirty,nr_dirty\r", "t_s,#line,nr_dirty"])
def test_columns_of_one_name_are_one_clear_line(tmp_path, head):
    path = small(tmp_path / "b", samples__csv=f"{head}\n0.1,5,6\n")

    with pytest.raises(TraceError, match=r"two columns of one name \('(nr_dirty|#line)'\)"):
        read_bundle(str(path))


def test_samples_nothing_ties_say_so(tmp_path):
    shifted = SAMPLES.replace("1000,", "77,").replace("1200,", "78,").replace("1300,", "79,").replace("1310,", "80,")
    bundle = read_bundle(str(small(tmp_path / "b", samples__csv=shifted)))

    assert bundle.samples.clock == "start"
    assert "nothing ties" in " ".join(bundle.warnings)


@given(st.lists(st.lists(st.floats(1, 1e6), min_size=1, max_size=40), min_size=1, max_size=4), st.floats(0.01, 1))
def test_quantiles_of_several_tasks_are_those_of_all_calls(parts, share):
    together = np.sort(np.concatenate([np.array(part) for part in parts]))
    wanted = together[min(int(np.ceil(share * len(together) * (1 - 1e-9))), len(together)) - 1]

    assert pooled([of_values(np.array(part)) for part in parts]).at(share) == pytest.approx(wanted)


@needs_truth
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_real_recording_agrees_with_its_other_witnesses(path):
    bundle = read_bundle(str(path))
    found = measured(evidence_of(bundle))

    assert bundle.hz in (250, None)
    assert bundle.samples.clock in ("trace", "tied")
    written = sum(calls.nbytes for calls in bundle.calls if calls.is_write)
    assert found["plateau_mib"] > 0
    # what the device finished is what was written, but for rewrites of dirty pages and the filesystem's own
    moved = found["write_requests"] * found["mean_write_kib"] * 1024
    assert 0.4 * written < moved < 1.2 * written
    delta = bundle.meta.vmstat_delta
    assert found["scanned_kswapd"] == delta.get("pgscan_kswapd", 0)
    assert bundle.device == {"6.18": "7:0", "6.1.": "254:0"}[bundle.kernel[:4]]


@needs_truth
@pytest.mark.parametrize("path", [p for p in RECORDINGS if "6.18" in str(p)], ids=lambda path: path.name)
def test_a_recording_agrees_with_its_summary(path):
    rows = [json.loads(line) for line in (path.parent / "summary.jsonl").read_text().splitlines()]
    told = next(row for row in rows if row["case"] == path.name)
    found = figures(path)

    assert found["throttle_count"] == told["pauses"]
    assert found["throttle_s"] == pytest.approx(told["pause_s"], abs=0.01)
    if "two-writers" not in path.name:  # the summary adds up what each did in its own time
        assert found["write_mb_s"] == pytest.approx(told["bw_MBs"], abs=0.02)
        assert found["write_p99_us"] == pytest.approx(told["p99_ms"][0] * 1000, abs=6)


def test_every_judged_figure_has_a_tolerance_and_a_sentence():
    assert all(figure.doc for figure in FIGURES.values())
    assert FIGURES["plateau_mib"].tolerance == 0.10
    assert FIGURES["dirty_mean_mib"].tolerance is None


@given(st.integers(0, 2**31), st.integers(200, 3000), st.floats(0.5, 1.0))
def test_the_mean_of_most_calls_by_a_table_is_near_that_of_the_calls(seed: int, nr: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.sort(np.where(rng.random(nr) < 0.4, 16.0, 180.0) + rng.random(nr))
    exact = of_values(values)
    at = np.append(np.arange(0.01, 1, 0.01), 1.0)
    table = Quantiles(at, np.quantile(values, at), nr)
    wanted = values[: round(share * nr)].mean()

    for told in (exact, table):
        found = told.mean_of(share)
        assert found == pytest.approx(wanted, rel=0.05)
    assert of_values(np.zeros(0)).mean_of(share) is None
