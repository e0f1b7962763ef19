# SPDX-License-Identifier: GPL-2.0-or-later
"""A real machine to record, for tests: whether there is one, one test on it at a time, what it must look like after."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pageout.record import tenancy, tracefs
from tests.conftest import ROOT

LOCK = Path("/run/lock/pageout-tests")


def why_not() -> str:
    """Return why nothing can be recorded here, "" if it can."""
    if os.geteuid():
        return "recording needs root"
    if tracefs.mounted_at() is None and not tracefs.USUAL_PLACE.is_dir():
        return "this kernel has no tracefs"
    try:
        probe = tenancy.Note(os.getpid(), tenancy.started(os.getpid()), f"{tracefs.PREFIX}{os.getpid()}")
        instance = tracefs.Instance(tenancy.arrive(probe), probe.instance)
        try:
            instance.create()
        finally:
            tenancy.depart(probe)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the reason
        return f"no instance of tracefs can be made here: {error}"
    return ""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no other test record meanwhile: some look at what is mounted."""
    lock = os.open(LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if reason := why_not():
            pytest.skip(reason)
        yield
    finally:
        os.close(lock)


def wait_for(what: Callable[[], object], patience_s: float = 20.0) -> bool:
    """Wait until something holds."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.01)
    return False


@dataclass
class Recorder:
    """`pageout record` in a process of its own."""

    arguments: list[str]
    folder: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pageout", "record", *self.arguments],
            cwd=self.folder, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        signal.signal(signal.SIGHUP, before)

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_tracing(self) -> bool:
        place = tracefs.mounted_at()
        file = place / "instances" / f"{tracefs.PREFIX}{self.pid}" / "tracing_on" if place else None
        with contextlib.suppress(OSError):
            return file is not None and file.read_text().strip() == "1"
        return False

    def wait_until_tracing(self) -> None:
        assert wait_for(self.is_tracing), self.process.communicate(timeout=10)
        time.sleep(0.3)

    def note(self) -> tenancy.Note:
        found = tenancy.read_note(tenancy.RUN / f"{self.pid}.json")
        assert found is not None
        return found

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def finish(self, patience_s: float = 60.0) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=patience_s)
        return self.process.returncode, out, err


def notes() -> set[str]:
    """Return the notes of recorders that are gone."""
    return {path.name for path in tenancy.RUN.glob("*.json") if not tenancy.started(int(path.stem))}


def has_left_nothing(pid: int, was_mounted: bool, folder: Path) -> bool:
    """Whether nothing of a recorder is left: instance, note, mount, unfinished output."""
    place = tracefs.mounted_at()
    instance = place is not None and (place / "instances" / f"{tracefs.PREFIX}{pid}").exists()
    note = (tenancy.RUN / f"{pid}.json").exists()
    tracks = not list(tenancy.RUN.parent.glob(f"{tenancy.RUN.name}/*.json")) and tenancy.RUN.exists()
    hidden = [path for path in folder.iterdir() if path.name.startswith(".")]
    return not (instance or note or hidden or tracks) and (tracefs.mounted_at() is not None) == was_mounted


def a_second() -> float:
    """The second of the promise, and time for a machine that has other work: bench/record_overhead.py measures."""
    return 5.0 + 2 * os.getloadavg()[0] / (os.cpu_count() or 1)


def run(*argv: str) -> str:
    """Run a program that has to succeed; returns what it prints."""
    done = subprocess.run(argv, capture_output=True, text=True)
    assert not done.returncode, f"{argv}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class ThrottledDisk:
    """An ext4 on a loop device on tmpfs, as slow as it is told to be by cgroup v1's blkio."""

    mount: Path
    device: str  # /dev/loopN
    number: str  # MAJ:MIN


@contextlib.contextmanager
def throttled_disk(folder: Path, write_bps: int, mib: int = 512) -> Iterator[ThrottledDisk]:
    """Make one, and take it away."""
    throttle = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
    for program in ("losetup", "mkfs.ext4", "mount"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here")
    if not throttle.exists():
        pytest.skip("no blkio controller of cgroup v1 here")
    memory, mount = folder / "memory", folder / "mount"
    with contextlib.ExitStack() as undo:
        for place in (memory, mount):
            place.mkdir()
        try:
            run("mount", "-t", "tmpfs", "-o", f"size={mib + 64}m", "tmpfs", str(memory))
        except AssertionError as error:
            pytest.skip(f"nothing can be mounted here: {error}")
        undo.callback(run, "umount", str(memory))
        image = memory / "image"
        with image.open("wb") as file:
            file.truncate(mib << 20)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
        try:
            device = run("losetup", "-f", "--show", str(image))
        except AssertionError as error:
            pytest.skip(f"no loop device here: {error}")
        undo.callback(run, "losetup", "-d", device)
        number = Path(device).stat().st_rdev
        dev = f"{os.major(number)}:{os.minor(number)}"
        run("mount", device, str(mount))
        undo.callback(run, "umount", str(mount))
        throttle.write_text(f"{dev} {write_bps}")
        undo.callback(throttle.write_text, f"{dev} 0")
        yield ThrottledDisk(mount, device, dev)
