# SPDX-License-Identifier: GPL-2.0-or-later
"""What if, as a table: recorded, expected after the change, the difference, and how far to trust it."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pageout.report.text import number_text, plain

Document = Mapping[str, Any]
LEGEND = (
    "before: recorded. replayed: the same, simulated unchanged. after: the recorded value, moved as the\n"
    "simulated one moved. +/-: how far off the unchanged replay was. NO: too far, do not trust this.\n"
    "-: not judged, or nothing of the kind in recording and replay: nothing says how far to trust it."
)


def replay_answer(document: Document) -> Text:
    """Return what changed, and how far the replay can be trusted."""
    changes = [plain(one) for one in document["set"]]
    if document["design"] != document["recorded_design"]:
        changes.append(f"design {plain(document['design'])}")
    what = ", ".join(changes) or "nothing changed"
    told = f"{document['trusted']} of {document['judged']} figures of the unchanged replay are near the recording"
    if document["trusted"] * 2 < document["judged"]:
        told += ": do not trust this"
    if document["design"] != document["recorded_design"]:
        told += "; how near the other design is, this recording cannot tell"
    return Text(f"{what}: {told}", style="bold")


def replay_table(document: Document) -> Group:
    """Return a row a figure."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(("figure", "unit", "before", "replayed", "after", "difference", "+/-", "trust")):
        table.add_column(name, justify="left" if number in (0, 1, 7) else "right", no_wrap=True)
    for row in document["figures"]:
        cells = [number_text(row[name]) for name in ("before", "unchanged", "after", "difference", "error_bar")]
        trust = {True: "yes", False: "NO", None: "-"}[row["trust"]]
        table.add_row(plain(row["name"])[:28], row["unit"], *cells, trust)
    notes = [Text(f"- {plain(note)}") for note in document["notes"]]
    return Group(table, *notes, Text(""), Text(LEGEND))
