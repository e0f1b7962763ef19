# SPDX-License-Identifier: GPL-2.0-or-later
"""From the black box of one recording another is predicted, whose settings or device differ."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import pytest

from pageout.bundle.bundle import Bundle, read_bundle
from pageout.bundle.measured import figure_of, measured, per_second
from pageout.cli.app import main
from pageout.jit import INTERPRETED
from pageout.twin import between, judge
from pageout.twin.boxes import scenario_of
from pageout.twin.simulated import run
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Phase, Scenario
from pageout.vocabulary.units import MIB
from pageout.workload.fio import read_fio
from tests.bundle.made import META, of_run, small
from tests.conftest import ROOT

TRUTH = ROOT.parent / "shared" / "groundtruth" / "linux-6.18"
JOB = "[global]\nend_fsync=1\n[w]\nrw=write\nbs=64k\nsize={}m\n"
# name -> dirty_bytes, dirty_background_bytes, device's limit, size; MiB
CASES = {
    "plain": (16, 4, 20, 120),
    "tight": (4, 1, 20, 120),
    "loose": (48, 16, 20, 180),
    "slow": (16, 4, 10, 120),
}
needs_engine = pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")


def scenario_named(name: str) -> tuple[Scenario, str]:
    most, background, limit, size = CASES[name]
    machine = Machine(
        name="small", memory_bytes=512 * MIB, filesystem=Filesystem(kind="ext4"), copy_mb_s=2000,
        disks=(Disk(kind="throttled", write_bps=limit * MIB, size_bytes=8 << 30, elevator="noop", queue_depth=32),),
    )  # fmt: skip
    job = JOB.format(size)
    limits = {
        "vm.dirty_ratio": 0, "vm.dirty_bytes": most * MIB,
        "vm.dirty_background_ratio": 0, "vm.dirty_background_bytes": background * MIB,
    }  # fmt: skip
    made = read_fio("job.fio", job, machine, environ={})
    return msgspec.structs.replace(made, name=name, design="linux-6.1", settings=limits), job


@cache
def folder_of(name: str) -> Path:
    """A bundle of a simulated run, as a recorder would have written it."""
    folder = Path(mkdtemp(prefix="pageout-test-"))
    scenario, job = scenario_named(name)
    ran = run(scenario, trace=folder / "trace.txt")
    return of_run(folder / name, ran, folder / "trace.txt", scenario, job)


@cache
def bundle_of(name: str) -> Bundle:
    return read_bundle(str(folder_of(name)))


def judged(source: str, target: str, *, is_moved: bool = True) -> dict[str, dict]:
    """Return the rows of a target predicted from a source; not moved: as if nothing had changed."""
    one, other = bundle_of(source), bundle_of(target)
    twin = scenario_of(one, box="black")
    moved = between.moved(twin, between.conditions_of(one), between.conditions_of(other)) if is_moved else None
    twin = moved.twin if moved is not None else twin
    ran = run(twin.scenario)
    assert ran.evidence.window is not None
    predicted = per_second(measured(ran.evidence), ran.evidence.window.seconds)
    rows = judge.figures(between.rates_of(judge.recorded(other, twin)), predicted, {}, between.MARGIN)
    return {row["name"]: row for row in rows}


# A slow device holds a commit of the journal up, and the writer with it: to the black box it seems to want no more.
JOURNAL = {"write_mb_s", "throttle_s_per_s", "write_p99_us"}
PAIRS = [("plain", "tight"), ("plain", "loose"), ("tight", "plain"), ("loose", "tight"), ("plain", "slow"),
         ("slow", "plain")]  # fmt: skip


@needs_engine
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_one_recording_predicts_another_whose_settings_differ(source: str, target: str) -> None:
    rows = judged(source, target)
    misses = {name: (row["measured"], row["predicted"]) for name, row in rows.items() if row["within"] is False}

    assert misses.keys() <= (JOURNAL if (source, target) == ("slow", "plain") else set())
    assert sum(row["within"] is True for row in rows.values()) >= 8


@needs_engine
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_without_the_others_settings_it_would_not(source: str, target: str) -> None:
    rows = judged(source, target, is_moved=False)

    assert any(row["within"] is False for row in rows.values())


@needs_engine
def test_the_answer_says_what_changed_and_whether_it_beats_no_change(capsys: pytest.CaptureFixture[str]) -> None:
    plain, tight = (str(folder_of(name)) for name in ("plain", "tight"))
    status = main(["validate", tight, "--from", plain, "--json"])
    document = json.loads(capsys.readouterr().out)
    (bundle,) = document["bundles"]
    rows = {row["name"]: row for row in bundle["figures"]}

    assert (document["from"], document["from_case"], document["margin"]) == (plain, "plain", 1.5)
    assert bundle["changes"] == [
        f"vm.dirty_background_bytes {4 * MIB} -> {1 * MIB}", f"vm.dirty_bytes {16 * MIB} -> {4 * MIB}",
    ]  # fmt: skip
    assert bundle["box"] == "black"
    assert status == int(any(row["within"] is False for row in rows.values()))
    assert rows["plateau_mib"]["before"] > 2 * rows["plateau_mib"]["measured"]
    assert {"throttle_count_per_s", "throttle_s_per_s", "write_requests_per_s"} <= rows.keys()

    main(["validate", tight, "--from", plain])
    out = capsys.readouterr().out
    assert "predicted from" in out.splitlines()[0]
    assert "nearer than if nothing had changed" in out
    assert max(map(len, out.splitlines())) <= 100


def conditions(**changed) -> between.Conditions:
    plain = between.Conditions("a", {}, between.Limits(wbps=20 * MIB), {}, (0, 0), "6.1.0", {}, None)
    return plain._replace(**changed)


def moved_to(**changed) -> between.Moved:
    scenario, _ = scenario_named("plain")
    twin = between.Twin(scenario, (), "white")
    return between.moved(twin, conditions(sysctl=scenario.settings), conditions(**changed))


def test_a_ratio_takes_the_place_of_bytes_and_what_is_not_named_stays() -> None:
    moved = moved_to(sysctl={"vm.dirty_bytes": 0, "vm.dirty_ratio": 30})

    assert moved.twin.scenario.settings["vm.dirty_ratio"] == 30
    assert not moved.twin.scenario.settings.get("vm.dirty_bytes", 0)
    assert moved.twin.scenario.settings["vm.dirty_background_bytes"] == 4 * MIB


def test_where_the_other_says_no_sysctl_nothing_is_changed_and_that_is_said() -> None:
    moved = moved_to(sysctl={})

    assert moved.changes == ()
    assert any("says no sysctl" in note for note in moved.twin.notes)


@pytest.mark.parametrize(
    ("had", "before", "after", "is_now"),
    [
        (20, 20, 40, 40),
        (19, 20, 10, 10),
        (8, 20, 40, 8),
        (8, 20, 4, 4),
        (20, 20, 0, 20),
        (20, 0, 10, 10),
        (20, 0, 40, 20),
    ],
)
def test_a_limit_holds_where_it_is_what_held(had: int, before: int, after: int, is_now: int) -> None:
    scenario, _ = scenario_named("plain")
    disk = msgspec.structs.replace(scenario.machine.disks[0], write_bps=had * MIB)
    machine = msgspec.structs.replace(scenario.machine, disks=(disk,))
    twin = between.Twin(msgspec.structs.replace(scenario, machine=machine), (), "black")
    one = conditions(limits=between.Limits(wbps=before * MIB or None))
    other = conditions(limits=between.Limits(wbps=after * MIB or None))

    assert between.moved(twin, one, other).twin.scenario.machine.disks[0].write_bps == is_now * MIB


def test_another_kernel_has_its_own_design_and_the_rest_of_a_machine_is_not_carried_over() -> None:
    moved = moved_to(kernel="6.18.3", sysctl={"vm.dirty_bytes": 16 * MIB}, machine={"CPUs": 4})

    assert moved.twin.scenario.design == "linux-6.18"
    assert any("6.18.3" in change for change in moved.changes)
    scenario, _ = scenario_named("plain")
    one = conditions(machine={"CPUs": 2})
    notes = between.moved(between.Twin(scenario, (), "white"), one, conditions(machine={"CPUs": 4})).twin.notes
    assert any(note.startswith("CPUs: 2 in a, 4 in") for note in notes)


@pytest.mark.parametrize(
    ("written", "amounts"), [(40, (10, 30)), (10, (10,)), (5, (5,)), (20, (10, 10)), (80, (10, 70))]
)
def test_the_last_stretch_of_demand_is_as_long_as_the_other_wrote(written: int, amounts: tuple[int, ...]) -> None:
    scenario, _ = scenario_named("plain")
    phases = (Phase(0, 0, 10 * MIB), Phase(10**9, 5 * MIB, 10 * MIB))
    task = msgspec.structs.replace(scenario.tasks[0], io_bytes=20 * MIB, phases=phases)
    other = msgspec.structs.replace(task, name="other", file=(1,))
    machine = msgspec.structs.replace(
        scenario.machine, disks=(*scenario.machine.disks, Disk(name="sdb", kind="ssd")),
        more_filesystems=(Filesystem(name="log", kind="ext4", disk="sdb"),),
    )  # fmt: skip
    files = (*scenario.files, File(name="log", size_bytes=20 * MIB, filesystem="log"))
    made = msgspec.structs.replace(scenario, machine=machine, tasks=(task, other), files=files)
    twin = between.Twin(made, (), "black")
    moved = between.moved(twin, conditions(written=20 * MIB), conditions(written=written * MIB)).twin.scenario

    assert tuple(phase.amount_bytes // MIB for phase in moved.tasks[0].phases) == amounts
    assert moved.tasks[0].io_bytes == written * MIB
    assert moved.tasks[1] == other  # on another device
    assert moved.files[0].size_bytes >= written * MIB


def test_sums_become_rates_and_the_rest_stays() -> None:
    found = per_second({"throttle_count": 30, "throttle_s": None, "plateau_mib": 7.0}, 10.0)

    assert found == {"throttle_count_per_s": 3.0, "throttle_s_per_s": None, "plateau_mib": 7.0}
    assert figure_of("throttle_count_per_s").unit == "/s"
    assert figure_of("throttle_count_per_s").tolerance == figure_of("throttle_count").tolerance
    assert per_second({"throttle_count": 30}, None) == {"throttle_count_per_s": None}


def test_bad_input_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(small(tmp_path / "b", meta__json=META))
    for words in (["validate", folder, "--from", str(tmp_path / "nowhere")], ["validate", "--from", folder]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1


FAMILY = ("seq-40M.1", "seq-40M-tight.1", "seq-40M-loose.1")
ACROSS = [(one, other) for one in FAMILY for other in FAMILY if one != other]


@cache
def real(name: str) -> Bundle:
    return read_bundle(str(TRUTH / name))


@needs_engine
@pytest.mark.skipif(not TRUTH.is_dir(), reason="no recordings of real kernels beside the repository")
@pytest.mark.parametrize(("source", "target"), ACROSS)
def test_real_recordings_predict_each_other_better_than_no_change(source: str, target: str) -> None:
    one, other = real(source), real(target)
    twin = scenario_of(one, box="black")
    moved = between.moved(twin, between.conditions_of(one), between.conditions_of(other))
    ran = run(moved.twin.scenario)
    assert ran.evidence.window is not None
    predicted = per_second(measured(ran.evidence), ran.evidence.window.seconds)
    recorded, before = (between.rates_of(judge.recorded(each, moved.twin)) for each in (other, one))
    rows = {row["name"]: row for row in judge.figures(recorded, predicted, {}, between.MARGIN)}

    assert any(change.startswith("vm.dirty_bytes") for change in moved.changes)
    assert rows["write_mb_s"]["within"]
    for name in ("plateau_mib", "dirty_writeback_mean_mib"):
        row = rows[name]
        assert abs(row["predicted"] - row["measured"]) < abs(before.figures[name] - row["measured"]), name


def test_the_devices_part_of_the_dirty_limit_is_the_others() -> None:
    moved = moved_to(share={"max_ratio": 10, "strict_limit": True})

    assert moved.changes[-2:] == ("max_ratio 100 -> 10", "strict_limit 0 -> 1")
    disk = moved.twin.scenario.machine.disks[0]
    assert (disk.max_ratio, disk.strict_limit, disk.kind) == (10, True, "throttled")
