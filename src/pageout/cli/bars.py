# SPDX-License-Identifier: GPL-2.0-or-later
"""One progress bar for each run that is under way, on standard error; see terminal.Progress for a single run."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pageout.cli.terminal import complain, console
from pageout.report.text import plain

if TYPE_CHECKING:
    import rich.progress

PATIENCE_S = 2.0  # runs that end sooner show no bars


class Bars:
    """A bar a running design with what it is at, and below how many are done. Without a terminal: no bars."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [plain(name) for name in names]
        self._terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._state: dict[int, tuple[float | None, str]] = {}
        self._ended = 0
        self._noted = False
        self._screen: rich.progress.Progress | None = None
        self._tasks: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen is not None:
            self._screen.stop()

    def started(self, number: int) -> None:
        self._set(number, None, "starting")

    def note(self, number: int, unit: str) -> None:
        """Say what is being compiled: at once, since the first run takes a while and people must see why."""
        if not (self._terminal or self._noted):
            complain("compiling what was not used before; later runs take it from the cache")
        self._noted = True
        self._set(number, None, f"compiling {plain(unit)} (first run only)", now=True)

    def progress(self, number: int, fraction: float, text: str) -> None:
        self._set(number, min(max(fraction, 0.0), 1.0), plain(text))

    def done(self, number: int) -> None:
        self._ended += 1
        self._state.pop(number, None)
        task = self._tasks.pop(number, None)
        if self._screen is not None:
            if task is not None:
                self._screen.remove_task(task)
            self._count()

    def _set(self, number: int, fraction: float | None, text: str, now: bool = False) -> None:
        self._state[number] = (fraction, text)
        if not self._terminal:
            return
        if self._screen is None:
            if not now and time.monotonic() - self._begun < PATIENCE_S:
                return
            self._open()
        for one in self._state:
            self._show(one)

    def _show(self, number: int) -> None:
        assert self._screen is not None
        fraction, text = self._state[number]
        if number not in self._tasks:
            self._tasks[number] = self._screen.add_task(self._names[number], total=None, what="")
        total = None if fraction is None else 1.0
        self._screen.update(self._tasks[number], total=total, completed=fraction or 0.0, what=text)

    def _open(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(max_width=26, no_wrap=True)),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[what]}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
        )
        self._screen = Progress(*columns, console=console(stderr=True), transient=True)
        self._all = self._screen.add_task("all runs", total=len(self._names), what="")
        self._screen.start()
        self._count()

    def _count(self) -> None:
        if self._screen is not None:
            what = f"{self._ended} of {len(self._names)} done"
            self._screen.update(self._all, completed=self._ended, what=what)
