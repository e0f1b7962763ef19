# SPDX-License-Identifier: GPL-2.0-or-later
"""Two captures side by side, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pageout.report.text import literal, number_text, plain

SHOWN = 30  # rows; --json has all
_STYLES = {"better": "green", "worse": "red", "different": "yellow", "same": ""}


def differences_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    """Return the figures both captures have, those that changed first; None without any."""
    if not rows:
        return None
    table = Table(box=None, pad_edge=False, title="before and after", title_justify="left", header_style="bold")
    table.add_column("figure")
    for name in ("before", "after", "times"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    table.add_column("reading")
    order = ("worse", "better", "different", "same")
    for row in sorted(rows, key=lambda one: order.index(one["verdict"]))[:SHOWN]:
        times = "-" if row["ratio"] is None else number_text(round(row["ratio"], 3))
        table.add_row(
            literal(row["name"]), number_text(row["before"]), number_text(row["after"]), times, row["unit"],
            Text(row["verdict"], _STYLES[row["verdict"]]),
        )  # fmt: skip
    return table


def settings_text(rows: Sequence[Mapping[str, str]]) -> RenderableType | None:
    """Return the settings that differ; None without any."""
    if not rows:
        return None
    return Group(*(Text(f"{plain(row['name'])}: {plain(row['before'])} -> {plain(row['after'])}") for row in rows))
