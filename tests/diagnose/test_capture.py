# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands a finding names can be typed as they stand."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pageout.diagnose.capture import RECIPES
from pageout.vocabulary.schema import event_of
from tests.record.machine import alone

TRACEFS = Path("/sys/kernel/tracing")
TRACED = [name for name, recipe in RECIPES.items() if "set_event" in recipe.command]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shell_and_says_its_cost(name: str) -> None:
    recipe = RECIPES[name]

    checked = subprocess.run(["sh", "-n", "-c", recipe.command], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr
    assert recipe.cost
    assert recipe.title


@pytest.mark.parametrize("name", TRACED)
def test_a_recipe_records_events_the_readers_know(name: str) -> None:
    events = re.findall(r"\b[a-z]+:(\w+)", RECIPES[name].command)

    assert events
    assert all(event_of(event) is not None for event in events)


@pytest.fixture
def mounted() -> Iterator[None]:
    with alone():
        was = os.path.ismount(TRACEFS)
        yield
        if not was and os.path.ismount(TRACEFS):
            subprocess.run(["umount", str(TRACEFS)])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not TRACEFS.is_dir(), reason="this kernel has no tracefs")
@pytest.mark.skipif(shutil.which("mountpoint") is None, reason="needs mountpoint")
def test_a_recipe_records_on_this_kernel_and_leaves_nothing_behind(mounted: None, tmp_path: Path) -> None:
    from pageout.readers.read import read_input

    recipe = RECIPES["throttle"]
    out = tmp_path / "trace.txt.gz"
    command = re.sub(r"sleep \d+", "cat /proc/vmstat > /dev/null && sleep 1", recipe.command).replace(
        "/tmp/throttle.txt.gz", str(out)
    )
    if subprocess.run(["sh", "-c", command], capture_output=True).returncode:
        pytest.skip("this machine does not let us trace")
    if not out.exists():
        pytest.skip("this machine does not let root trace")

    found = read_input(str(out))

    assert subprocess.run(["sh", "-c", recipe.undo], capture_output=True).returncode == 0
    assert not (TRACEFS / "instances" / "pageout-throttle").exists()
    assert found.events is not None
    assert "global_dirty_state" in found.events  # reading /proc/vmstat fires it
