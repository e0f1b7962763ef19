# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the command that is recorded: as its argument list says, no shell between, in a process group of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pageout.vocabulary.errors import RecordError
from pageout.vocabulary.fio_words import fio_command

MAX_KEPT = 1 << 20  # bytes of each output
MAX_JSON = 1 << 26
GRACE_S = 5.0  # for a command told to end, until it is told so less kindly


class Command:
    """One run of a command; what it prints is passed on and kept."""

    def __init__(self, argv: Sequence[str], user: str | None, output_to: IO[bytes] | None = None) -> None:
        """Take what is needed.  output_to: in place of our standard output."""
        self.argv = list(argv)
        self._who = identity(user) if user else None
        self._process: subprocess.Popen[bytes] | None = None
        limit = MAX_JSON if wants_json(self.argv) else MAX_KEPT
        self._tees = [_Tee(output_to or sys.stdout.buffer, limit), _Tee(sys.stderr.buffer, MAX_KEPT)]

    def start(self) -> None:
        """Begin.  Raises RecordError if it cannot be executed."""
        stdin = subprocess.DEVNULL if _is_terminal(0) else None  # it is no job of the terminal's: to read would stop it
        who = self._who
        try:
            self._process = subprocess.Popen(
                self.argv, stdin=stdin, stdout=self._tees[0].end, stderr=self._tees[1].end, process_group=0,
                env=who.environment if who else None, user=who.uid if who else None, group=who.gid if who else None,
                extra_groups=who.groups if who else None,
            )  # fmt: skip
        except OSError as error:
            raise RecordError(f"record: {self.argv[0]}: cannot be executed: {error.strerror}") from None
        finally:
            for tee in self._tees:
                tee.let_go()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def tids(self) -> list[int]:
        """The threads that pass its output on."""
        return [tee.tid for tee in self._tees]

    @property
    def has_spoken(self) -> bool:
        """Whether it has printed anything."""
        return any(tee.kept for tee in self._tees)

    def has_ended(self) -> bool:
        """Look whether it is done, and leave its last counters in /proc readable."""
        if self._process is None or self._process.returncode is not None:
            return True
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return found is not None

    def tell(self, number: int) -> None:
        """Pass a signal on to it and all it started."""
        if not self.has_ended():
            with suppress(OSError):
                os.killpg(self.pid, number)

    def wait(self) -> int:
        """Wait until it is done, if it was told to end for GRACE_S at each signal; returns its exit status."""
        if self._process is None:
            return 0
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._process.wait(GRACE_S)
                break
            except subprocess.TimeoutExpired:
                self.tell(number)
        for tee in self._tees:
            tee.finish()
        return self._process.wait()

    def abandon(self) -> None:
        """It is not to be started any more."""
        for tee in self._tees:
            tee.let_go()

    def kept(self) -> tuple[bytes, bytes]:
        """Return what it printed on standard output and standard error, cut."""
        return bytes(self._tees[0].kept), bytes(self._tees[1].kept)


class _Tee:
    """Reads one of the command's outputs, passes it on, keeps its beginning."""

    def __init__(self, target: IO[bytes], limit: int) -> None:
        self._target, self._limit = target, limit
        self._source, self.end = os.pipe()  # end: the command's
        self.kept = bytearray()
        self.tid = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def let_go(self) -> None:
        """Leave the writing end to the command alone."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    def finish(self, patience_s: float = 1.0) -> None:
        """Wait for the end of the output; a daemon left behind may keep it open for ever."""
        self._thread.join(patience_s)

    def _run(self) -> None:
        self.tid = threading.get_native_id()
        self._ready.set()
        listening = True
        while data := os.read(self._source, 1 << 16):
            if len(self.kept) < self._limit:
                self.kept += data[: self._limit - len(self.kept)]
            if listening:
                try:
                    self._target.write(data)
                    self._target.flush()
                except (OSError, ValueError):
                    listening = False


class Identity:
    """A user to run as."""

    def __init__(self, uid: int, gid: int, name: str, home: str) -> None:
        self.uid, self.gid = uid, gid
        self.groups = os.getgrouplist(name, gid)
        self.environment = os.environ | {"USER": name, "LOGNAME": name, "HOME": home}


def identity(user: str) -> Identity:
    """Return the identity of a user, by name or number.  Raises RecordError."""
    import pwd

    try:
        row = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise RecordError(f"record: --user {user[:40]}: no such user") from None
    return Identity(row.pw_uid, row.pw_gid, row.pw_name, row.pw_dir)


def check(argv: Sequence[str]) -> None:
    """Raise RecordError if the command cannot be found: before anything is changed."""
    if shutil.which(argv[0]) is None:
        raise RecordError(f"record: {argv[0]}: command not found, or not executable")


def wants_json(argv: Sequence[str]) -> bool:
    """Say whether a fio was asked for its JSON."""
    told = fio_command(argv)
    return told is not None and told.own.get("output-format", "").startswith("json")


def keep_words(command: Command, folder: Path) -> list[str]:
    """Write what the command said into a bundle; returns what should be known about it.

    Of fio its job files and its JSON, if it was asked for one: the command is run as it was given.
    """
    argv, notes = command.argv, []
    out, err = command.kept()
    told = fio_command(argv)
    if told is not None:
        for number, job in job_files(argv).items():
            (folder / job_name(number)).write_bytes(_file(job)[:MAX_KEPT])
        name = told.own.get("output", "")
        if wants_json(argv):
            data = _file(name) if name else out
            if (found := _json_in(data)) is not None:
                (folder / "fio.json").write_bytes(found)
                out = b"" if not name else out
        if not wants_json(argv):
            notes.append(
                "fio was not asked for its JSON: with --output-format=json+ its latencies would be in the bundle"
            )
        elif not (folder / "fio.json").exists():
            notes.append("fio gave no JSON that could be read: its latencies are not in the bundle")
    for label, text in (("stdout", out), ("stderr", err)):
        if text:
            (folder / label).write_bytes(text[:MAX_KEPT])
    return notes


def job_files(argv: Sequence[str]) -> dict[int, str]:
    """Return the job files a fio is given that can be read, by their place among all, the first 1."""
    told = fio_command(argv)
    files = enumerate(told.files if told is not None else (), start=1)
    return {number: name for number, name in files if Path(name).is_file() and b"[" in _file(name)[:MAX_KEPT]}


def job_name(number: int) -> str:
    """Return what a job file, counted from 1, is called in a bundle."""
    return "job.fio" if number == 1 else f"job-{number}.fio"


def _file(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_JSON)
    except OSError:
        return b""


def _json_in(data: bytes) -> bytes | None:
    """Return fio's JSON without what it said before it, as `terminating on signal 2`; None if there is none."""
    start = 0 if data.startswith(b"{") else data.find(b"\n{") + 1
    try:
        return data[start:] if isinstance(json.loads(data[start:]), dict) else None
    except ValueError:
        return None


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False
