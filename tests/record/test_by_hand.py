# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands for a colleague: they work as they stand, run nothing but what was said, and leave nothing."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pageout.readers.read import read_input
from pageout.record import tracefs
from pageout.record.by_hand import script
from tests.record.machine import alone, wait_for

NASTY = ["printf", "%s\\n", 'it\'s; touch /tmp/oops $(touch x) `touch y` @command@ @set@ \\ "q"', "-n", "*", "ü"]


@pytest.mark.parametrize("events", ["light", "full"])
@pytest.mark.parametrize("argv", [[], NASTY, ["fio", "--output-format=json", "x y.fio"]])
@pytest.mark.parametrize("disk", [None, "7:0"])
def test_a_shell_finds_no_fault_in_it(argv: list[str], events: str, disk: str | None) -> None:
    text = script(argv, 3.0, events, disk)

    for shell in filter(shutil.which, ("sh", "bash", "dash")):
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True)
        assert not done.returncode, done.stderr
    assert "@cost@" not in text


def test_the_words_of_the_command_reach_it_as_they_are(tmp_path: Path) -> None:
    line = next(line for line in script(NASTY, None, "light", None).splitlines() if line.startswith("printf '%s"))

    done = subprocess.run(["sh", "-c", line], env=os.environ | {"OUT": str(tmp_path)}, cwd=tmp_path)

    assert not done.returncode
    assert (tmp_path / "stdout").read_text().splitlines() == NASTY[2:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stderr", "stdout"]


def test_a_colleague_can_run_it_and_explain_reads_it(tmp_path: Path) -> None:
    with alone():
        was_mounted = tracefs.mounted_at() is not None
        busy = ["sh", "-c", "dd if=/dev/zero of=big bs=64k count=4000; sync big; rm big"]
        (tmp_path / "r.sh").write_text(script(busy, None, "light", None))

        done = subprocess.run(
            ["sh", "r.sh"], cwd=tmp_path, env=os.environ | {"OUT": "b"}, capture_output=True, text=True
        )

        assert (done.returncode, "events lost: 0" in done.stdout) == (0, True), done.stderr
        assert (tracefs.mounted_at() is not None) == was_mounted
    meta = json.loads((tmp_path / "b" / "meta.json").read_text())
    assert (meta["command"], meta["rc"], meta["events"]["lost"]) == (busy, 0, 0)
    assert meta["sysctl"]["vm.swappiness"] == int(Path("/proc/sys/vm/swappiness").read_text())
    assert meta["devices"]
    found = read_input(str(tmp_path / "b" / "trace.txt.gz"))
    assert found.events is not None
    assert len(found.events.frame("global_dirty_state")) > 10
    assert found.account.unread == 0
    assert "awk" not in set(found.events.frame("global_dirty_state")["comm"].cast(str))
    header, *rows = (tmp_path / "b" / "samples.csv").read_text().splitlines()
    times = [float(row.split(",")[0]) for row in rows]
    assert header.startswith("t_s,nr_dirty,nr_writeback,nr_free_pages,nr_dirtied,nr_written,")
    assert times[0] < meta["start_s"] < meta["end_s"] < times[-1]
    read_input(str(tmp_path / "b" / "sysctls"))


def test_interrupting_it_undoes_everything(tmp_path: Path) -> None:
    with alone():
        was_mounted = tracefs.mounted_at() is not None
        (tmp_path / "r.sh").write_text(script([], 30.0, "light", None))
        process = subprocess.Popen(["sh", "r.sh"], cwd=tmp_path, env=os.environ | {"OUT": "b"}, process_group=0)
        name = f"instances/{tracefs.PREFIX}{process.pid}"

        def instance() -> bool:
            place = tracefs.mounted_at()
            return place is not None and (place / name).exists()

        assert wait_for(instance)
        assert wait_for((tmp_path / "b" / "vmstat.before").exists)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) in (130, -signal.SIGINT)
        assert not instance()
        assert (tracefs.mounted_at() is not None) == was_mounted


def test_it_copies_the_job_files_of_a_fio(tmp_path: Path) -> None:
    job = tmp_path / "a b.fio"
    job.write_text("[w]\n")

    text = script(["fio", "--output-format=json", str(job)], 5, "light", None)

    assert f'cp {shlex.quote(str(job))} "$OUT/job.fio"' in text
    assert f'timeout -s INT 5 fio --output-format=json {shlex.quote(str(job))} > "$OUT/fio.json"' in text
