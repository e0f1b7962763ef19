# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of figures that fit 100 columns, plain enough to paste into a mail."""

import re
from collections.abc import Sequence
from textwrap import TextWrapper, fill
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pageout.report.contrast import best
from pageout.report.figures import BY_NAME, FIGURES, GROUPS, Document
from pageout.report.spread import at_end, by_design, middle
from pageout.report.text import compact_text, counted, is_figure, literal, number_text, plain

WIDTH = 100
JOBS_SHOWN = 16
OTHER = "other"
_UNIT_GAP = re.compile(r"(?<=\d) (?=(?:%|s|ms|us|MB/s|KiB|MiB|GiB)(?!\w))")
_HARD_BLANK = "\N{NO-BREAK SPACE}"  # keeps a number and its unit on one line while wrapping

_JOB_COLUMNS = (
    ("read_mb_s", "read\nMB/s"),
    ("write_mb_s", "write\nMB/s"),
    ("write_p50_us", "median\nus"),
    ("write_p99_us", "99 %\nus"),
    ("write_max_us", "longest\nus"),
    ("throttle_s", "throttled\ns"),
    ("alloc_stall_count", "direct\nreclaims"),
    ("alloc_stall_s", "stalled\ns"),
    ("stack_max_bytes", "stack\nbytes"),
    ("highorder_failures", "order >= 1\nfailed"),
)
_DESIGN_COLUMNS = (
    ("alloc_stall_s", "stalled\ns"),
    ("written_direct", "direct\nwrote"),
    ("written_kswapd", "kswapd\nwrote"),
    ("written_flusher", "flusher\nwrote"),
    ("written_writer", "writer\nwrote"),
    ("seek_count", "seeks\n"),
    ("write_mb_s", "MB/s\n"),
    ("stack_max_bytes", "stack\nbytes"),
    ("highorder_failures", "failed\no >= 1"),
    ("oom_kills", "OOM\nkills"),
)
DESIGNS_CAPTION = (
    "stalled: in direct reclaim, sum over tasks; wrote: pages submitted; stack: deepest one; "
    "failed: allocations of order 1 and above; *: best value of the column"
)


def head_text(document: Document, machine: str = "", workload: str = "", width: int = WIDTH) -> Text:
    """Return the lines above a run's tables: what ran on what, under which design and seed, and how long it took."""
    seconds = f"{number_text(document['sim_seconds'])} s simulated in {number_text(document['wall_seconds'])} s"
    rows = (
        ("workload", workload or plain(document["workload"])),
        ("machine", machine or plain(document["machine"])),
        ("design", f"{plain(document['design'])} (kernel {plain(document['kernel'])}), seed {document['seed']}"),
        ("run", f"{seconds}, digest {plain(document['digest'])[:16]}"),
    )
    return _labelled(rows, width)


def _labelled(rows: Sequence[tuple[str, str]], width: int) -> Text:
    indent = " " * 9
    lines = [fill(plain(value), max(20, width - len(indent))).replace("\n", f"\n{indent}") for _, value in rows]
    return Text("\n").join(
        Text.assemble((f"{label:<9}", "bold"), line) for (label, _), line in zip(rows, lines, strict=True)
    )


def storm_text(
    runs: Sequence[Document], machine: str = "", workload: str = "", width: int = WIDTH, elapsed: float | None = None
) -> Text:
    """Return the lines above a comparison: what ran on what with which seeds, and how long all took."""
    first = runs[0]
    simulated, took = (sum(run[name] for run in runs) for name in ("sim_seconds", "wall_seconds"))
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    designs = f"{counted(len(by_design(runs)), 'design')} on the same workload and {_seeds(seeds)}"
    rows = (
        ("workload", workload or plain(first["workload"])),
        ("machine", machine or plain(first["machine"])),
        ("runs", f"{designs}; {number_text(simulated)} s simulated in {number_text(round(elapsed or took, 2))} s"),
    )
    return _labelled(rows, width)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed, {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"


def jobs_table(document: Document, width: int = WIDTH) -> Group | None:
    """Return one row per job with the figures that apply to any of them; None if there is no job to show."""
    jobs: list[dict[str, Any]] = document["jobs"]
    columns = [(name, label) for name, label in _JOB_COLUMNS if any(is_figure(job.get(name)) for job in jobs)]
    if not jobs or not columns:
        return None
    shown = jobs[:JOBS_SHOWN]
    cells = [[Text(compact_text(job.get(name))) for job in shown] for name, _ in columns]
    names = [literal(job.get("name", "")) for job in shown]
    found: list[Any] = _folded("jobs", ("job\n", names, 20), [label for _, label in columns], cells, width, 1)
    if len(jobs) > JOBS_SHOWN:
        found.append(Text(f"and {len(jobs) - JOBS_SHOWN:,} more: --json has them all", style="italic"))
    return Group(*found)


def _folded(
    title: str, first: tuple[str, list[Text], int], labels: list[str], cells: list[list[Text]], width: int, gap: int
) -> list[Table]:
    """Return the columns in as many tables as fit the width, each beginning with the names of the rows."""
    head, names, most = first
    most = min(most, max(8, width // 3))
    named = min(most, max(len(line) for line in (*head.split("\n"), *(name.plain for name in names))))
    sizes = [max(len(line) for line in (*label.split("\n"), *map(str, column))) + gap
             for label, column in zip(labels, cells, strict=True)]  # fmt: skip
    parts: list[list[int]] = [[]]
    used = named + 1
    for number, size in enumerate(sizes):
        if parts[-1] and used + size > width:
            parts.append([])
            used = named + 1
        parts[-1].append(number)
        used += size
    tables = []
    for turn, part in enumerate(parts):
        table = _table(title if not turn else f"{title}, more", gap=gap)
        table.add_column(head, overflow="fold", max_width=most)
        for number in part:
            table.add_column(labels[number], justify="right", no_wrap=True)
        for row, name in enumerate(names):
            table.add_row(name, *(cells[number][row] for number in part))
        tables.append(table)
    return tables


def metrics_table(document: Document) -> Table:
    """Return every figure of a run in groups: name as in --json, value, unit, meaning; null as '-'."""
    metrics = document["metrics"]
    table = _table("figures", show_header=False, gap=2)
    table.add_column("name", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("meaning", style="dim")
    for group in GROUPS:
        table.add_row(Text(group, style="bold"))
        for figure in FIGURES:
            if figure.group == group:
                table.add_row(f"  {figure.name}", *_value(metrics.get(figure.name), figure.unit), figure.meaning)
    unlisted = [name for name, value in metrics.items() if name not in BY_NAME and (value is None or is_figure(value))]
    if unlisted:
        table.add_row(Text(OTHER, style="bold"))
        for name in unlisted:
            table.add_row(literal(f"  {name}"), number_text(metrics[name]), "", "")
    return table


def _value(value: Any, unit: str) -> tuple[str, str]:
    if not is_figure(value):
        return number_text(value), ""
    return number_text(100 * value if unit == "%" else value), unit


def designs_table(runs: Sequence[Document], width: int = WIDTH) -> Group:
    """Return one row per design with the figures the designs are weighed by; the best value of each column is marked.

    Several runs of a design give three rows: the median, the lowest and the highest of each figure.
    """
    groups = by_design(runs)
    middles = [middle(group) for group in groups]
    winners = {name: best(middles, name) for name, _ in _DESIGN_COLUMNS}
    names: list[Text] = []
    cells: list[list[Text]] = [[] for _ in _DESIGN_COLUMNS]
    for number, group in enumerate(groups):
        rows = [(literal(group[0]["design"]), middles[number], True)]
        if len(group) > 1:
            rows += [
                (Text("  lowest", "dim"), at_end(group, 0), False),
                (Text("  highest", "dim"), at_end(group, -1), False),
            ]
        for name, document, marked in rows:
            names.append(name)
            for column, (key, _) in zip(cells, _DESIGN_COLUMNS, strict=True):
                column.append(_cell(document["metrics"].get(key), marked and number in winners[key]))
    labels = [label for _, label in _DESIGN_COLUMNS]
    tables = _folded("designs", ("design\n", names, 24), labels, cells, width, 0)
    caption = DESIGNS_CAPTION + ("; medians of the seeds" if any(len(group) > 1 for group in groups) else "")
    return Group(*tables, Text(fill(caption, width), style="italic"))


def _cell(value: Any, is_best: bool) -> Text:
    return Text(f"{compact_text(value)}*", style="bold green") if is_best else Text(f"{compact_text(value)} ")


def _table(title: str, show_header: bool = True, gap: int = 1) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=SIMPLE_HEAD if show_header else None,
        show_header=show_header,
        show_edge=False,
        padding=(0, gap, 0, 0),
        pad_edge=False,
        header_style="bold",
    )


def stack_text(document: Document) -> Text | None:
    """Return the first kernel stack that overflowed as the kernel's stack tracer prints one; None if none did."""
    rows = document.get("first_overflow") or document.get("deepest_stack") or []
    if not rows or not document["metrics"].get("stack_overflows"):
        return None
    lines = [f"        Depth    Size   Location    ({len(rows)} entries)", "        -----    ----   --------"]
    lines += [f"{n:>3}) {row['depth']:>8} {row['size']:>7}   {plain(row['location'])}" for n, row in enumerate(rows)]
    return Text.assemble(("the first stack that overflowed\n", "bold"), "\n".join(lines), "\n")


def reading_text(sentences: Sequence[str], width: int = WIDTH) -> Text:
    """Return the reading as a list of sentences under its title, wrapped with a hanging indent."""
    wrapper = TextWrapper(width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
    lines = [wrapper.fill(_UNIT_GAP.sub(_HARD_BLANK, sentence)).replace(_HARD_BLANK, " ") for sentence in sentences]
    return Text.assemble(("reading\n", "bold"), "\n".join(lines))


def scenarios_table(rows: Sequence[tuple[str, str, str, int]]) -> Table:
    """Return shipped scenarios: name, what it shows, claims of the article, seconds of wall time."""
    table = _table("scenarios", gap=2)
    table.add_column("name", no_wrap=True)
    table.add_column("what it shows")
    table.add_column("claims", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    for name, shows, claims, seconds in rows:
        table.add_row(literal(name), literal(shows), literal(claims), number_text(seconds))
    return table
