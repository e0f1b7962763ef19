# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of the kernel that runs the tests: nothing of them may stay unread, in any form they are pasted in."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pageout.readers.facts import Snapshot, Sysctl
from tests.readers.reading import of, read, snapshots, unread, values

FILES = (
    "/proc/meminfo", "/proc/vmstat", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo", "/proc/diskstats",
    "/proc/slabinfo", "/proc/pressure/memory", "/proc/pressure/io", "/proc/pressure/cpu", "/proc/mounts",
    "/proc/version", "/proc/self/io", "/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory/memory.stat",
    "/sys/fs/cgroup/io.stat", "/sys/devices/system/node/node0/meminfo", "/sys/devices/system/node/node0/vmstat",
)  # fmt: skip
COMMANDS = (
    "vmstat 1 2", "vmstat -w -t 1 2", "vmstat -a", "vmstat -s", "free", "free -h", "free -m -l",
    "top -bn1", "slabtop -o", "lsblk", "mount", "uname -a", "iostat -x", "sar -B 1 1",
)  # fmt: skip


def text_of(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        pytest.skip(f"{path}: {error.strerror}")
    if not text.strip():
        pytest.skip(f"{path} is empty here")
    return text


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("form", ["plain", "prefixed", "cat", "tail"])
def test_a_file_of_this_kernel_is_read_whole(path: str, form: str) -> None:
    text = text_of(path)
    if form == "prefixed":
        text = "".join(f"{path}:{line}\n" for line in text.splitlines() if line)
    elif form == "cat":
        text = f"[root@box ~]# cat {path}\n{text}"
    elif form == "tail":
        text = f"==> {path} <==\n{text}\n==> {path} <==\n{text}"
    found = read(text)
    assert found.account.unread_lines == []
    assert found.facts


def test_meminfo_of_this_kernel_has_the_numbers_the_file_has() -> None:
    text = text_of("/proc/meminfo")
    (found,) = snapshots(text, "meminfo")
    assert values(found) == {line.split(":")[0]: float(line.split()[1]) for line in text.splitlines()}


def test_vmstat_of_this_kernel_has_the_numbers_the_file_has() -> None:
    text = text_of("/proc/vmstat")
    (found,) = snapshots(text, "vmstat")
    assert values(found) == {line.split()[0]: float(line.split()[1]) for line in text.splitlines()}


def test_zones_of_this_kernel_have_watermarks() -> None:
    zones = [s for s in snapshots(text_of("/proc/zoneinfo"), "zoneinfo") if ", zone " in s.part]
    assert zones
    assert all({"free", "min", "low", "high", "managed"} <= set(zone.values) for zone in zones)


def test_settings_of_this_kernel_are_all_read() -> None:
    settings = {}
    for path in sorted(Path("/proc/sys/vm").glob("*")):
        try:
            settings[path] = path.read_text().strip()
        except OSError:
            continue
    if not settings:
        pytest.skip("/proc/sys/vm is not readable here")
    text = "".join(f"{path}:{value}\n" for path, value in settings.items() if value and "\n" not in value)
    assert {fact.name for fact in of(Sysctl, text)} == {
        f"vm.{line.split(':')[0].rpartition('/')[2]}" for line in text.splitlines()
    }


def test_cgroup_files_of_this_kernel_are_read_by_their_paths() -> None:
    lines = []
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"):
        for path in sorted(Path(top).glob("*.*")):
            try:
                text = path.read_text() if path.is_file() else ""
            except OSError:
                continue
            lines += [f"{path}:{line}" for line in text.splitlines() if line]
    if not lines:
        pytest.skip("no cgroup files here")
    assert unread("\n".join(lines)) == []
    assert of(Snapshot, "\n".join(lines))


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_tool_prints_here_is_read_whole(command: str) -> None:
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=60)
    if done.returncode or not done.stdout.strip():
        pytest.skip(f"{command}: {done.stderr.strip()[:80]}")
    found = read(f"$ {command}\n{done.stdout}")
    assert found.account.unread_lines == []
    assert found.facts
