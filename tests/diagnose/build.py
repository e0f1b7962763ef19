# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs made of facts, without a file to read."""

from collections.abc import Iterable, Sequence

from pageout.diagnose.case import Case
from pageout.diagnose.explain import explain
from pageout.diagnose.findings import Finding
from pageout.readers.facts import Fact, Frame, Snapshot, Sysctl, Table, TableRow, TaskStack, Value
from pageout.readers.lines import Account
from pageout.readers.read import Input


def given(*facts: Fact, file: str = "a.txt") -> Input:
    """An input that says these facts."""
    lines = max((fact.line for fact in facts), default=0) + 50
    texts = {number: f"line {number}" for number in range(1, lines)}
    return Input(file, Account(lines=lines, known_non_events=lines), list(facts), kind="made up", texts=texts)


def findings(*inputs: Input) -> dict[str, Finding]:
    """Findings by id."""
    return {finding.id: finding for finding in explain(list(inputs)).findings}


def case(*facts: Fact) -> Case:
    return Case([given(*facts)])


def frames(functions: str, line: int = 10) -> tuple[Frame, ...]:
    """Frames from `f1 ?f2 f3`, innermost first; `?` marks a guess."""
    return tuple(
        Frame(name.removeprefix("?"), name.startswith("?"), "", line + n) for n, name in enumerate(functions.split())
    )


def task(functions: str, comm: str = "dd", pid: int = 100, **more: object) -> TaskStack:
    """A hung task with this stack."""
    told: dict[str, object] = {
        "line": 1 + 100 * (pid % 50), "source": "hung task", "comm": comm, "pid": pid, "state": "D", "blocked_s": 122,
        "workqueue": None, "frames": frames(functions, 2 + 100 * (pid % 50)), "kernel": None, "stamp_s": None,
    }  # fmt: skip
    return TaskStack(**(told | more))  # type: ignore[arg-type]


def snapshot(source: str, values: dict[str, float], line: int = 1, part: str = "", **more: object) -> Snapshot:
    """A snapshot whose values stand on lines of their own."""
    numbered = {name: Value(number, line + n) for n, (name, number) in enumerate(values.items())}
    return Snapshot(line, source, part, numbered, **more)  # type: ignore[arg-type]


def sysctls(settings: Iterable[tuple[str, float]], line: int = 1) -> list[Sysctl]:
    return [Sysctl(line + n, name, f"{number:g}", number) for n, (name, number) in enumerate(settings)]


def table(source: str, columns: Sequence[str], rows: Iterable[Sequence[float]], line: int = 1, **words: str) -> Table:
    """A tool's table; `words` stand in every row."""
    made = [TableRow(line + 1 + n, dict(zip(columns, row, strict=True)), dict(words)) for n, row in enumerate(rows)]
    return Table(line, source, tuple(made))
