# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout stack FILE|WORKLOAD: the deepest kernel stack, by layer, with what is left of it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import Common
from pageout.cli.terminal import hint, show, warn
from pageout.report.text import counted, plain
from pageout.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from pageout.readers.stack_tables import Found, Table

Source = Annotated[
    Path,
    Parameter(
        name="FILE|WORKLOAD",
        help="Any text with stack tracer tables (stack_trace, dmesg, a mail; .gz too), "
        "or a workload to simulate: .fio, .toml, or the name of a shipped scenario.",
    ),
]


def stack(
    source: Source,
    /,
    *,
    stack: Annotated[
        str | None, Parameter(metavar="SIZE", help="Size of the stacks in a FILE, such as 16K; unset: inferred.")
    ] = None,
    design: Annotated[
        str | None, Parameter(metavar="DESIGN", help="Of a WORKLOAD: the kernel's design; unset: as in run.")
    ] = None,
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Show the deepest kernel stack of a recording or of a simulated run: bytes by layer, margin, recursion."""
    from pageout.workload.shipped import is_shipped, near, not_found

    if source.suffix.lower() in (".fio", ".toml") or is_shipped(source):
        if stack is not None:
            raise UsageError("--stack is for a recorded FILE; a workload's stacks are set by --set stack.bytes=16K")
        return _simulated(source, design, common)
    if design is not None:
        raise UsageError("--design goes with a workload (.fio, .toml, a shipped name), not with a recorded file")
    if not source.exists() and near(str(source)):
        raise UsageError(f"{plain(source)}: {not_found(str(source))}")
    return _recorded(source, _size(stack), common)


def _size(text: str | None) -> int | None:
    from pageout.vocabulary.units import parse_size

    if text is None:
        return None
    try:
        nbytes = parse_size(text)
    except ValueError as error:
        raise UsageError(f"--stack {plain(text)}: {error}") from None
    if not 4096 <= nbytes <= 1 << 20 or nbytes & (nbytes - 1):
        raise UsageError(f"--stack {plain(text)}: must be a power of two from 4K to 1M")
    return nbytes


# --- recorded ---


def _recorded(path: Path, given: int | None, common: Common) -> int:
    from pageout.cli.output import print_json
    from pageout.readers.stack_tables import read_stacks

    found = read_stacks(path)
    sound = [table for table in found.tables if not table.problem]
    warn([f"{path}:{table.problem}" for table in found.tables if table.problem])
    tables = [_document(table, found, given) for table in sound]
    deepest = max(range(len(tables)), key=lambda n: (tables[n]["depth_bytes"], -n), default=None)
    if common.json:
        print_json(_json(path, found, tables, deepest))
        return 0
    _print(path, found, tables, deepest)
    if deepest is not None and given is None:
        size = tables[deepest]["stack_bytes"]
        place = str(path) if not str(path).startswith("-") else f"./{path}"
        hint(
            shlex.join(["pageout", "stack", place, "--stack", f"{(2 * size if size < 16384 else size // 2) // 1024}K"])
        )
    else:
        hint("pageout stack --help")
    return 0


def _document(table: "Table", found: "Found", given: int | None) -> dict[str, Any]:
    from pageout.analysis.stack import Row, infer_size, table_document

    rows = [Row(entry.depth, entry.size, entry.location) for entry in table.entries]
    left = max((note.left for note in found.notes), default=-1)
    size = infer_size(rows, found.kernel, left, given)
    return {"line": table.line, "announced_entries": table.announced or None} | table_document(rows, size)


def _json(path: Path, found: "Found", tables: list[dict[str, Any]], deepest: int | None) -> dict[str, Any]:
    import pageout

    return {
        "pageout": pageout.__version__,
        "source": str(path).encode("utf-8", "backslashreplace").decode(),
        "kernel": found.kernel or None,
        "deepest": deepest,
        "tables": tables,
        "notes": [
            {"line": note.line, "bytes_left": note.left if note.left >= 0 else None, "text": note.text}
            for note in found.notes
        ],
        "refused": [table.problem for table in found.tables if table.problem],
    }


def _print(path: Path, found: "Found", tables: list[dict[str, Any]], deepest: int | None) -> None:
    from pageout.report import stack as report
    from pageout.report.table import reading_text

    said = [f"{plain(path)}:{note.line}: {plain(note.text)}" for note in found.notes[:20]]
    said += [f"and {counted(len(found.notes) - 20, 'more line')} of this kind"] if len(found.notes) > 20 else []
    said += [f"{found.nr_dropped:,} more tables were not kept"] if found.nr_dropped else []
    if deepest is None:
        show(reading_text([*said, "no table of the stack: who used it is not recorded here"]))
        return
    table = tables[deepest]
    missing = (table["announced_entries"] or 0) - len(table["entries"])
    said += [f"the table announces {counted(missing, 'row')} more than it holds"] if missing > 0 else []
    show(
        report.answer_text(table, True, said),
        report.layers_text(table),
        *((report.list_text(tables),) if len(tables) > 1 else ()),
        report.table_text(table, f"the deepest stack, {path}:{table['line']}"),
    )


# --- simulated ---


def _simulated(path: Path, design: str | None, common: Common) -> int:
    from pageout.analysis.stack import table_document
    from pageout.cli.load import load_workload
    from pageout.cli.nextstep import command
    from pageout.cli.output import print_json
    from pageout.cli.play import play
    from pageout.report import stack as report

    scenario = load_workload(path, common, design)
    (result,) = play([scenario], common, path)
    document = result.document()
    tables = [
        {"of": what} | table_document(_rows(rows), _size_of(document["stack"]))
        for what, rows in (
            ("the deepest stack", document["deepest_stack"]),
            ("the first overflow", document["first_overflow"]),
        )
        if rows
    ]
    if common.json:
        names = ("pageout", "workload", "machine", "design", "kernel", "choices", "seed", "digest", "ending")
        print_json({name: document[name] for name in names} | {"deepest": 0, "tables": tables, "notes": []})
        return 0
    nr = document["metrics"]["stack_overflows"]
    said = [f"task: {plain(document['stack']['deepest_task'])}"]
    said += [f"{counted(nr, 'overflow')} in the run, which ended: {plain(document['ending'])}"] if nr else []
    head = f"{plain(scenario.name)} under {plain(scenario.design)}, seed {scenario.seed}"
    show(
        report.answer_text(tables[0], False, said),
        report.layers_text(tables[0]),
        report.table_text(tables[0], f"the deepest stack: {head}"),
        *(report.table_text(table, table["of"]) for table in tables[1:] if table["entries"] != tables[0]["entries"]),
    )
    other = "no-direct-writeback" if scenario.design == "linux-2.6.34" else "linux-2.6.34"
    hint(command("stack", path, common, design=other))
    return 0


def _rows(entries: list[dict[str, Any]]) -> list[Any]:
    from pageout.analysis.stack import Row

    return [Row(e["depth"], e["size"], e["location"], bool(e.get("assumed"))) for e in entries]


def _size_of(stack_document: dict[str, Any]) -> Any:
    from pageout.analysis.stack import StackSize

    return StackSize(stack_document["bytes"], stack_document["thread_info_bytes"], stack_document["build"])
