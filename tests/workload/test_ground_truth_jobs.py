# SPDX-License-Identifier: GPL-2.0-or-later
"""The fio jobs that real kernels ran are ours to run too."""

from pathlib import Path

import pytest
from tests.conftest import ROOT

from pageout.jit import INTERPRETED
from pageout.vocabulary.scenario import Scenario
from pageout.workload.program import load_workload

JOBS = sorted((ROOT.parent / "shared" / "groundtruth" / "linux-6.18").glob("*/job.fio"))
pytestmark = pytest.mark.skipif(not JOBS, reason="no ../shared/groundtruth here")


@pytest.mark.parametrize("job", JOBS, ids=lambda path: path.parent.name)
def test_a_recorded_job_loads(job: Path) -> None:
    scenario = load_workload(job)

    assert isinstance(scenario, Scenario)
    assert scenario.tasks
    assert all(task.io_bytes > 0 for task in scenario.tasks if task.kind == "io")


@pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
@pytest.mark.parametrize("bundle", ["seq-20M.1"])
def test_a_recorded_job_runs_on_a_device_of_the_recorded_rate(bundle: str) -> None:
    from pageout.machine.simulate import simulate

    job = next((path for path in JOBS if path.parent.name == bundle), None)
    if job is None:
        pytest.skip(f"no {bundle} here")
    scenario = load_workload(job, settings=["sda.write_bps=20M"])

    result = simulate(scenario)

    written = sum(task.io_bytes for task in scenario.tasks)
    assert result.ending == "done"
    assert result.vmstat["nr_written"] * 4096 == written
    xfs = result.booted.arrays["xfs"][0]
    own = int(xfs["meta_writes"] * 4096 + xfs["synced"])  # its metadata and the log end_fsync forces
    assert own > 0
    assert result.vmstat["pgpgout"] * 1024 == written + own
    assert result.metrics["write_mb_s"] == pytest.approx(20 * 1.048576, rel=0.03)
