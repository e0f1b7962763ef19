# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio lays out before its jobs is laid out in the twin, where the recording shows it."""

import msgspec
import pytest

from pageout.bundle.bundle import read_bundle
from pageout.bundle.measured import measured
from pageout.jit import INTERPRETED
from pageout.twin.boxes import scenario_of
from pageout.twin.layout import LAYOUT, is_layout
from pageout.twin.simulated import run
from pageout.vocabulary.scenario import Disk, Filesystem, Machine, Task
from pageout.vocabulary.units import KIB, MIB
from pageout.workload.fio import read_fio
from tests.bundle.made import of_run

pytestmark = pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")

JOB = "[w]\nend_fsync=1\nrw=rw\nbs=64k\nsize=32m\n"
MACHINE = Machine(
    name="small", memory_bytes=256 * MIB, copy_mb_s=2000, filesystem=Filesystem(kind="ext4"),
    disks=(Disk(kind="throttled", limit="slices", write_bps=20 * MIB, service_mb_s=1000, elevator="none"),),
)  # fmt: skip
LIMITS = {
    "vm.dirty_ratio": 0, "vm.dirty_bytes": 8 * MIB, "vm.dirty_background_ratio": 0, "vm.dirty_background_bytes": 2 * MIB,
}  # fmt: skip


@pytest.fixture(scope="module", params=[True, False])
def recorded(request, tmp_path_factory):
    """A run with or without a layout first, and a bundle of it."""
    folder = tmp_path_factory.mktemp("layout")
    plain = read_fio("job.fio", JOB, MACHINE, environ={})
    plain = msgspec.structs.replace(plain, design="linux-6.1", settings=LIMITS)
    scenario = plain
    if request.param:
        layout = Task(name="laid", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=32 * MIB, end_fsync=True,
                      drop_cache=True)  # fmt: skip
        later = tuple(msgspec.structs.replace(task, group=1) for task in plain.tasks)
        files = tuple(msgspec.structs.replace(file, exists=False, unwritten=True) for file in plain.files)
        scenario = msgspec.structs.replace(plain, files=files, tasks=(*later, layout))
    ran = run(scenario, trace=folder / "t.txt")
    return request.param, ran, read_bundle(str(of_run(folder / "b", ran, folder / "t.txt", scenario, JOB)))


def test_a_layout_is_done_first_where_it_is_seen_and_only_there(recorded):
    shown, _, bundle = recorded
    found = scenario_of(bundle).scenario
    layouts = [task for task in found.tasks if is_layout(task)]
    jobs = [task for task in found.tasks if not is_layout(task) and not task.background]

    assert [task.name for task in layouts] == ([f"{LAYOUT}-0"] if shown else [])
    assert {task.group for task in jobs} == {int(shown)}
    assert found.files[0].exists != shown


def test_what_a_layout_does_is_no_call_of_the_job_but_its_pauses_count(recorded):
    _, ran, bundle = recorded
    twin = run(scenario_of(bundle).scenario)
    of_it, of_twin = measured(ran.evidence), measured(twin.evidence)

    assert [calls.name for calls in twin.evidence.calls] == ["w", "w"]
    assert of_twin["write_mb_s"] == pytest.approx(of_it["write_mb_s"], rel=0.1)
    assert of_twin["throttle_s"] == pytest.approx(of_it["throttle_s"], rel=0.3, abs=0.15)
