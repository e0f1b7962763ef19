# SPDX-License-Identifier: GPL-2.0-or-later
"""What people see: results on standard output; progress, hints and warnings on standard error."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pageout.report.text import plain

if TYPE_CHECKING:
    import rich.progress
    from rich.console import Console

WIDTH = 100
PATIENCE_S = 2.0  # a run that ends sooner shows no progress bar


def tidy_streams() -> None:
    """Let no character of a job's name stop the output, whatever the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def complain(text: str) -> None:
    """Write one line on standard error."""
    with suppress(OSError):  # a closed standard error: nobody can be told any more
        print(f"pageout: {plain(text)}", file=sys.stderr, flush=True)  # noqa: T201


def warn(warnings: Sequence[str]) -> None:
    """Write warnings on standard error, each one line, each once."""
    for text in dict.fromkeys(warnings):
        complain(f"warning: {text}")


def hint(text: str) -> None:
    """Write what to type next on standard error: a sentence wrapped, a command in one line, as it is pasted."""
    from textwrap import wrap

    told = f"next: {plain(text)}"
    is_command = text.startswith(("pageout ", "sudo "))
    lines = (
        [told]
        if is_command
        else wrap(told, WIDTH, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)
    )
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201


def console(stderr: bool = False) -> "Console":
    """Return a console of at most 100 columns; of exactly 100 where the output is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    found = Console(file=stream, highlight=False, soft_wrap=False)
    found.width = min(found.width, WIDTH) if found.is_terminal else WIDTH
    return found


def width() -> int:
    """Return how many columns results on standard output may take."""
    return console().width


def show(*blocks: Any) -> None:
    """Print results on standard output, a blank line between two."""
    out = console()
    with out.capture() as captured:
        for number, block in enumerate(block for block in blocks if block is not None):
            if number:
                out.print()
            out.print(block)
    text = captured.get()
    if not out.is_terminal:  # tables are padded to their full width: nobody wants that in a file or a mail
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    sys.stdout.write(text)


class Progress:
    """A progress bar on standard error for what takes over two seconds, and a word on what is being compiled.

    Call it with (fraction, text) as a run goes on, call `note` with the name of each unit that has to be compiled. A
    note shows at once: the first run compiles for a while, and people must see why. Without a terminal there is no bar,
    and only the first note is written.
    """

    def __init__(self, quiet: bool = False, per_second: float = 10) -> None:
        """Show nothing yet.  per_second: how often the bar is drawn; what is measured must not be disturbed by it."""
        self._quiet = quiet
        self._per_second = per_second
        self._terminal = not quiet and sys.stderr.isatty()
        self._begun = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._task: Any = None
        self._noted = False
        self._part, self._parts, self._title = 0, 1, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def part(self, number: int, parts: int, title: str) -> None:
        """Say that from here on the `number`-th (from 0) of so many equal parts is done, a design for instance."""
        self._part, self._parts, self._title = number, parts, plain(title)

    def __call__(self, fraction: float, text: str = "") -> None:
        if self._terminal and (self._bar is not None or time.monotonic() - self._begun >= PATIENCE_S):
            done = (self._part + min(max(fraction, 0.0), 1.0)) / self._parts
            self._update(" ".join(word for word in (self._title, plain(text)) if word), done)

    def note(self, unit: str) -> None:
        """Say what is being compiled."""
        if self._terminal:
            self._update(f"compiling {plain(unit)} (first run only)", None)
        elif not (self._noted or self._quiet):
            complain("compiling what was not used before; later runs take it from the cache")
        self._noted = True

    def _update(self, text: str, done: float | None) -> None:
        if self._bar is None:
            self._bar, self._task = _make_bar(self._per_second)
        self._bar.update(self._task, description=text, total=None if done is None else 1.0, completed=done or 0.0)


def _make_bar(per_second: float) -> "tuple[rich.progress.Progress, Any]":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console(stderr=True), transient=True, refresh_per_second=per_second)
    task = bar.add_task("", total=None)
    bar.start()
    return bar, task
