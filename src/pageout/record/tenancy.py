# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recording changes on a machine, written down before it is changed, and how it is put back by whoever is left.

The recorder puts everything back itself. If it dies, its watchdog does, a child in a session of its own that waits at
the end of a pipe. If both died, the next recorder does. All three find what to do in the recorder's note, a file in
/run/pageout; a lock there makes "mounted by us, and nobody else needs it" one step.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pageout.record import tracefs
from pageout.record.tracefs import PREFIX, Instance
from pageout.vocabulary.errors import RecordError

RUN = Path("/run/pageout")
LOCK = "lock"
MOUNTED = "tracefs-mounted"  # a file in RUN: one of us mounted tracefs; it names the place
TERM_GRACE_S = 0.3  # from SIGTERM to SIGKILL for a command nobody waits for any more


@dataclass
class Note:
    """What one recorder has taken."""

    pid: int
    started: int  # of the recorder, as /proc/PID/stat counts; with the pid it names a process for good
    instance: str = ""
    folder: str = ""  # unfinished output
    folder_inode: int = 0
    command: int = 0  # process group
    command_started: int = 0
    watchdog: int = 0
    watchdog_started: int = 0

    def write(self) -> None:
        """Put the note down, whole."""
        part = RUN / f".{self.pid}.part"
        part.write_text(json.dumps(asdict(self)))
        part.replace(RUN / f"{self.pid}.json")


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if there is none, or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[19]) if fields[0] not in "ZX" else 0
    except (OSError, ValueError, IndexError):
        return 0


@contextmanager
def locked() -> Iterator[None]:
    """Keep other recorders from coming and going.  Raises RecordError if there is no place for notes.

    The last one takes the folder away with the lock in it: so the lock that was got may be one that is no more.
    """
    lock = -1
    while lock < 0:
        try:
            RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(RUN / LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RecordError(
                f"record: {RUN} cannot be written ({error.strerror}): notes to clean up by belong there"
            ) from None
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(lock):
            os.close(lock)
            lock = -1
    try:
        yield
    finally:
        if {path.name for path in RUN.iterdir()} == {LOCK}:
            with suppress(OSError):
                (RUN / LOCK).unlink()
                RUN.rmdir()
        os.close(lock)


def _is_current(lock: int) -> bool:
    try:
        return os.fstat(lock).st_ino == (RUN / LOCK).stat().st_ino
    except OSError:
        return False


def arrive(note: Note) -> Path:
    """Clean up after those who died, mount tracefs if nobody has, leave a note; returns tracefs."""
    with locked():
        clean_up_dead()
        place = tracefs.mounted_at()
        if place is None:
            place = tracefs.mount()
            (RUN / MOUNTED).write_text(str(place))
        note.write()
    return place


def give_back(note: Note) -> list[str]:
    """Put back what was changed of tracing; returns what could not be.

    The note stays, for what is still being written.
    """
    with locked():
        left = _remove_instance(note)
        if (RUN / f"{note.pid}.json").exists():
            note.write()
        return left + _unmount_if_last()


def depart(note: Note) -> list[str]:
    """Put everything back that the note names; returns what could not be put back."""
    with locked():
        return _undo(note)


def clean_up_dead() -> None:
    """Undo what recorders left that are gone, their watchdogs too."""
    for path in sorted(RUN.glob("*.json")):
        note = read_note(path)
        if note is None:
            path.unlink(missing_ok=True)
        elif not _is_alive(note):
            _undo(note)
    place = tracefs.mounted_at()
    if place is None:
        (RUN / MOUNTED).unlink(missing_ok=True)  # there was a reboot, or an umount
        return
    for path in (place / "instances").glob(f"{PREFIX}*"):
        found = re.fullmatch(rf"{PREFIX}(\d{{1,10}})", path.name)
        if found and not (RUN / f"{found[1]}.json").exists() and not started(int(found[1])):
            Instance(place, path.name).remove()
    _unmount_if_last()


def read_note(path: Path) -> Note | None:
    """Return what a note says, None if it says nothing of sense."""
    try:
        said = json.loads(path.read_text())
        note = Note(**said)
        numbers = (note.pid, note.started, note.command, note.command_started, note.watchdog, note.folder_inode)
        is_sane = all(isinstance(number, int) and number >= 0 for number in numbers)
        return note if is_sane and isinstance(note.folder, str) and isinstance(note.instance, str) else None
    except (OSError, ValueError, TypeError):
        return None


def _is_alive(note: Note) -> bool:
    return any(
        begun and started(pid) == begun
        for pid, begun in ((note.pid, note.started), (note.watchdog, note.watchdog_started))
    )


def _undo(note: Note) -> list[str]:
    left = _remove_instance(note)
    with suppress(OSError):
        folder = Path(note.folder)
        if note.folder and folder.lstat().st_ino == note.folder_inode:
            shutil.rmtree(folder, ignore_errors=True)
    (RUN / f"{note.pid}.json").unlink(missing_ok=True)
    return left + _unmount_if_last()


def _remove_instance(note: Note) -> list[str]:
    place = tracefs.mounted_at()
    name, note.instance = note.instance, ""
    if not name or place is None or Instance(place, name).remove():
        return []
    return [f"{place / 'instances' / name} is still in use: rmdir it when nobody reads it"]


def _unmount_if_last() -> list[str]:
    mark = RUN / MOUNTED
    notes = [read_note(path) for path in RUN.glob("*.json")]
    if not mark.exists() or any(note is not None and note.instance for note in notes):
        return []
    place = tracefs.mounted_at()
    if place == tracefs.USUAL_PLACE and not tracefs.unmount(place):
        return [f"{place} stays mounted, somebody uses it: umount it then, or the next recording does"]
    mark.unlink()
    return []


def end_command(note: Note) -> None:
    """End what is left of the recorded command: asked first, then killed."""
    if not note.command or not note.command_started or started(note.command) not in (note.command_started, 0):
        return
    with suppress(OSError):
        os.killpg(note.command, signal.SIGTERM)
        os.killpg(note.command, signal.SIGCONT)
        until = time.monotonic() + TERM_GRACE_S
        while time.monotonic() < until:
            os.killpg(note.command, 0)
            time.sleep(0.01)
        os.killpg(note.command, signal.SIGKILL)
