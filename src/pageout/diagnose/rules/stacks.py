# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel stacks that are nearly full, and what stands on them twice.

Source: Linux v2.6.34 arch/x86/include/asm/page_64_types.h (THREAD_ORDER), Documentation/trace/ftrace.txt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pageout.analysis.stack import LEAF_BYTES, Row, infer_size, table_document
from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.readers.facts import StackNote, StackTable

NEARLY = 1024  # bytes left: less than the functions the tracer does not see may take
TIGHT = 0.8  # of the stack


def tables(case: Case) -> Iterator[Finding]:
    """The deepest table of all, and whether it fits."""
    found = [(file, table) for file, table in case.facts(StackTable) if table.rows and not table.problem]
    if not found:
        yield from _notes(case)
        return
    file, table = max(found, key=lambda pair: pair[1].rows[0][0])
    notes = [note for _, note in case.facts(StackNote)]
    left = max((note.bytes_left for note in notes if note.bytes_left is not None), default=-1)
    kernel = next((name for name, _ in case.kernels), "")
    rows = [Row(depth, size, location) for depth, size, location, _ in table.rows]
    size = infer_size(rows, kernel, left, None)
    document = table_document(rows, size)
    yield _finding(file, table, document)


def _finding(file: str, table: StackTable, document: dict[str, Any]) -> Finding:
    depth, nbytes, margin = document["depth_bytes"], document["stack_bytes"], document["margin_bytes"]
    layers = document["layers"]
    most = max(layers, key=lambda layer: layers[layer])
    path = " > ".join(document["path"])
    twice = [item for item in document["recursion"] if item["what"].startswith("the ")]
    detail = f"Most goes to the {most} layer ({layers[most]:,} bytes). " + (
        f"Outermost first: {path}. " if path else ""
    )
    for item in twice:
        detail += f"{item['what'].capitalize()} is entered {item['times']} times, at {', '.join(f'{d:,}' for d in item['depths'])} bytes. "
    if margin < LEAF_BYTES[1]:
        detail += (
            f"The tracer does not see its own leaf functions ({LEAF_BYTES[0]} to {LEAF_BYTES[1]} bytes on machines measured "
            "in 2010): with them this stack overflows. "
        )
    reclaim_writes = "reclaim" in document["path"] and "writepage" in document["path"]
    if reclaim_writes:
        detail += "Reclaim entered the filesystem's writepage from whatever the task was doing: depth upon depth."
    risky = margin < LEAF_BYTES[1]
    tight = depth > TIGHT * nbytes
    severity = ERROR if risky else WARNING if tight else INFO
    left = document["bytes_left"]
    beside = f", {margin:,} above thread_info" if document["thread_info_bytes"] and left > 0 else ""
    title = f"a kernel stack used {depth:,} of {nbytes:,} bytes: " + (
        f"{left:,} left{beside}" if left >= 0 else f"{-left:,} beyond its end"
    )
    if not risky and not tight:
        title += "; that is healthy"
    return Finding(
        id="stack-overflow-near" if risky or tight else "stack-healthy",
        severity=severity,
        title=title,
        detail=detail.strip(),
        confidence=HIGH if "assumed" not in document["stack_bytes_from"] else MEDIUM,
        why=f"the tracer measured the depth; the stack's size is {document['stack_bytes_from']}",
        evidence=_lines(file, table, document, reclaim_writes),
        is_not=("an overflow: the deepest stack seen fits with room",) if severity == INFO else (),
        unknown=("whether a deeper stack occurred before or after the tracer ran",),
        capture=("stack",) if severity != INFO else (),
        advice=_advice(reclaim_writes, nbytes) if severity != INFO else (),
        weight=depth / nbytes,
    )


def _advice(reclaim_writes: bool, nbytes: int) -> tuple[str, ...]:
    said = []
    if reclaim_writes:
        said.append("a kernel whose reclaim does not call writepage for files (3.2 and later: direct reclaim does not)")
    if nbytes <= 8192:
        said.append(
            "a kernel with 16 KiB stacks (x86-64 since 3.15); the price is 8 KiB a task and order-2 allocations"
        )
    return tuple(said)


def _lines(file: str, table: StackTable, document: dict[str, Any], reclaim_writes: bool) -> tuple[Evidence, ...]:
    """Return the deepest row, and the rows where reclaim and writepage are entered or something is entered again."""
    wanted = [table.rows[0][3]]
    depths = {depth for item in document["recursion"] if item["what"].startswith("the ") for depth in item["depths"]}
    for depth, _, location, line in table.rows:
        name = location.partition("+")[0]
        entered = reclaim_writes and ("try_to_free" in name or "writepage" in name or name == "shrink_page_list")
        if depth in depths or entered:
            wanted.append(line)
    return tuple(Evidence(file, line) for line in dict.fromkeys([*wanted, table.rows[-1][3]]))


def _notes(case: Case) -> Iterator[Finding]:
    """Lines about stacks without a table."""
    notes = list(case.facts(StackNote))
    if not notes:
        return
    overrun = [(file, note) for file, note in notes if note.bytes_left is None]
    least = min(((note.bytes_left, file, note) for file, note in notes if note.bytes_left is not None), default=None)
    if overrun:
        file, note = overrun[0]
        yield Finding(
            id="stack-overflow",
            severity=ERROR,
            title="a kernel stack overflowed",
            detail="What lay beyond its end was overwritten or hit a guard page; whatever happened after may follow from it.",
            confidence=HIGH,
            why="the kernel says so",
            evidence=tuple(Evidence(name, one.line) for name, one in overrun[:5]),
            unknown=("which functions were on it",),
            capture=("stack",),
            weight=100,
        )
    elif least is not None and least[0] < NEARLY:
        left, file, note = least
        yield Finding(
            id="stack-overflow-near",
            severity=WARNING,
            title=f"a task once had {left:,} bytes of its kernel stack left",
            detail="Interrupts and deeper paths may take more than that.",
            confidence=LOW,
            why="the kernel reports the deepest use at a task's exit, not what was on the stack",
            evidence=(Evidence(file, note.line),),
            unknown=("which functions were on it",),
            capture=("stack",),
            weight=0.5,
        )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (tables,)
