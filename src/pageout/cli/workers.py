# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs side by side: one process a core, each simulating one scenario after another.

A worker is a fresh process (spawned, not forked), so it shares nothing with the others and a run gives the same bytes
as it does alone. It never sees Ctrl-C: the parent does, and ends all workers at once.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pageout.report.text import plain
from pageout.vocabulary.errors import PageoutError, WorkerError

if TYPE_CHECKING:
    from pageout.vocabulary.scenario import Scenario

NOTE, PROGRESS, DONE, FAILED = range(4)
PROGRESS_EVERY_S = 0.1


class Watcher(Protocol):
    """Who is told how the runs go on, each by its number."""

    def started(self, number: int) -> None: ...
    def note(self, number: int, unit: str) -> None: ...
    def progress(self, number: int, fraction: float, text: str) -> None: ...
    def done(self, number: int) -> None: ...


@dataclass(frozen=True)
class Played:
    """What of a result is handed on between processes: figures and series, not the machine's tables."""

    figures: dict[str, Any]
    series: dict[str, list[float]]
    histograms: dict[str, dict[str, list[tuple[int, int]]]]
    watermarks: dict[str, int]

    @classmethod
    def of(cls, result: Any) -> "Played":
        return cls(result.document(), result.series, result.histograms, result.watermarks)

    def document(self) -> dict[str, Any]:
        """The run as `run --json` prints it."""
        return self.figures


@dataclass(frozen=True)
class Order:
    """One run: its scenario, what it is called in messages, where its trace goes, `simulate`'s other options."""

    scenario: "Scenario"
    name: str
    trace: Path | None
    options: dict[str, Any]


def cores() -> int:
    """Return how many processes can run at once on this computer."""
    return len(os.sched_getaffinity(0))


def simulate_all(orders: Sequence[Order], jobs: int, watcher: Watcher) -> list[Played]:
    """Simulate each order, `jobs` at a time; returns what they left, in their order.

    Raises what a run raised, its name in front; WorkerError if a process died.
    """
    crew = [_Worker() for _ in range(min(jobs, len(orders)))]
    try:
        return _drive(crew, orders, watcher)
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, far_end = context.Pipe()
        self.number = -1
        # What is blocked here stays blocked in the new process: Ctrl-C can never surprise it, not even as it starts.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = context.Process(target=_work, args=(far_end,), daemon=True)
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        far_end.close()

    def give(self, number: int, order: Order) -> None:
        self.number = number
        with suppress(OSError):  # it has died: reading from it will say so
            self.pipe.send((order.scenario, order.trace, order.options))

    def end(self) -> None:
        self.process.kill()
        self.process.join(1.0)
        self.pipe.close()


def _drive(crew: list[_Worker], orders: Sequence[Order], watcher: Watcher) -> list[Played]:
    left = deque(enumerate(orders))
    played: dict[int, Played] = {}
    by_pipe = {worker.pipe: worker for worker in crew}

    def next_one(worker: _Worker) -> None:
        if left:
            worker.give(*left.popleft())
            watcher.started(worker.number)

    for worker in crew:
        next_one(worker)
    while len(played) < len(orders):
        for pipe in connection.wait(list(by_pipe)):
            worker = by_pipe[pipe]  # type: ignore[index]
            order = orders[worker.number]
            kind, content = _received(worker, order)
            if kind == NOTE:
                watcher.note(worker.number, content)
            elif kind == PROGRESS:
                watcher.progress(worker.number, *content)
            elif kind == FAILED:
                raise _named(content, order)
            else:
                played[worker.number] = content
                watcher.done(worker.number)
                next_one(worker)
    return [played[number] for number in range(len(orders))]


def _received(worker: _Worker, order: Order) -> tuple[int, Any]:
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(1.0)
        raise WorkerError(f"{plain(order.name)}: {_how_it_died(worker.process.exitcode)}") from None
    return kind, content


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        why = "; if memory was short, --jobs 1 needs least" if -code == signal.SIGKILL else ""
        return f"its process was killed by {name}{why}"
    return f"its process ended with status {code} before the run was over"


def _named(error: BaseException, order: Order) -> BaseException:
    """Return a run's error with the run's name in front."""
    if isinstance(error, PageoutError) and not str(error).startswith(f"{order.name}:"):
        named = type(error)(f"{order.name}: {error}")
        named.__notes__ = getattr(error, "__notes__", [])
        return named
    return error


# In the worker


def _work(pipe: "connection.Connection[Any, Any]") -> None:
    """Simulate what comes through the pipe until nobody is there any more."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    with suppress(EOFError, OSError):
        while True:
            scenario, trace, options = pipe.recv()
            pipe.send(_result(pipe, scenario, trace, options))


def _result(
    pipe: "connection.Connection[Any, Any]", scenario: "Scenario", trace: Path | None, options: dict[str, Any]
) -> tuple[int, Any]:
    try:
        from pageout import jit
        from pageout.machine.simulate import simulate

        with jit.compiling(lambda unit: pipe.send((NOTE, unit))):
            return DONE, Played.of(simulate(scenario, trace=trace, progress=_reporter(pipe), **options))
    except (PageoutError, OSError, MemoryError) as error:
        return FAILED, error
    except Exception as error:  # noqa: BLE001  the parent says it
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = WorkerError(f"{type(error).__name__}: {error} at {Path(last.filename).name}:{last.lineno}")
        fault.add_note("".join(traceback.format_exception(error)))
        return FAILED, fault


def _reporter(pipe: "connection.Connection[Any, Any]") -> Any:
    last = 0.0

    def report(fraction: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_EVERY_S:
            last = now
            pipe.send((PROGRESS, (fraction, text.rpartition(": ")[2])))

    return report
