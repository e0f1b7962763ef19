# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings as people read them: the answer first, the lines that prove it under it, the next command last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pageout.report.table import WIDTH
from pageout.report.text import counted, literal, plain

SHOWN = 3  # findings shown in full: a reader can hold three in his head
EVIDENCE_SHOWN = 6  # lines of evidence of one finding; --json has all
_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold"}
LINE_SHOWN = 200  # characters of a line of evidence

Finding = Mapping[str, Any]


def findings_text(findings: Sequence[Finding]) -> RenderableType:
    """Return the first findings in full, the rest by title.

    A finding is the JSON document's: id, severity, title, detail, confidence, why, evidence, not, unknown, advice.
    """
    blocks: list[RenderableType] = []
    for number, finding in enumerate(findings[:SHOWN], start=1):
        blocks += [_finding(number, finding), Text("")]
    rest = findings[SHOWN:]
    if rest:
        blocks.append(Text("Also, less weighty:"))
        blocks += [Padding(literal(f"{finding['severity']}: {finding['title']}"), (0, 0, 0, 2)) for finding in rest]
    elif blocks:
        blocks.pop()
    return Group(*blocks)


def _finding(number: int, finding: Finding) -> RenderableType:
    head = Text(f"{number}. ")
    head.append(f"{finding['severity'].upper()}: ", _STYLES.get(finding["severity"], ""))
    head.append(plain(finding["title"]), "bold")
    because = f": {plain(finding['why'])}" if finding["why"] else ""
    body: list[RenderableType] = [Text(plain(finding["detail"]))] if finding["detail"] else []
    body.append(Text(f"Confidence: {finding['confidence']}{because}.".replace("..", ".")))
    body += _section("Because of these lines:", [_line(one) for one in finding["evidence"][:EVIDENCE_SHOWN]])
    hidden = len(finding["evidence"]) - EVIDENCE_SHOWN
    if hidden > 0:
        body.append(Padding(Text(f"and {counted(hidden, 'more line')} (--json has all)"), (0, 0, 0, 2)))
    body += _section("What it is not:", [literal(one) for one in finding["not"]])
    body += _section("What to do:", [literal(one) for one in finding["advice"]])
    body += _section("What these files cannot say:", [literal(one) for one in finding["unknown"]])
    return Group(head, Padding(Group(*body), (0, 0, 0, 3)))


def _section(title: str, lines: Sequence[Text]) -> list[RenderableType]:
    if not lines:
        return []
    return [Text(title), *(Padding(line, (0, 0, 0, 2)) for line in lines)]


def _line(evidence: Mapping[str, Any]) -> Text:
    text = plain(" ".join(str(evidence["text"]).split()))
    shown = text if len(text) <= LINE_SHOWN else text[: LINE_SHOWN - 3] + "..."
    return Text.assemble((f"{plain(evidence['file'])}:{evidence['line']}: ", "cyan"), shown)


def inputs_text(inputs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return one line an input: what it is, and where its lines went."""
    return Group(*(Text(_input(one)) for one in inputs))


def _input(one: Mapping[str, Any]) -> str:
    if one.get("error"):
        return f"Not read: {plain(one['error'])}"
    lost = "an unknown number of events lost" if one["lost"] is None else f"{counted(one['lost'], 'event')} lost"
    unread = f"{counted(one['unread'], 'line')} unread" if one["unread"] else "nothing unread"
    first = f" (the first: line {one['unread_lines'][0]['line']})" if one["unread"] and one["unread_lines"] else ""
    counts = f"{counted(one['lines'], one['unit'])}, {counted(one['events'], 'event')}, {unread}{first}"
    return f"Read {plain(one['file'])}: {plain(one['kind'])}; {counts}" + ("" if one["lost"] == 0 else f"; {lost}")


def pasteable(command: str, width: int) -> str:
    """Return a command over several lines that a shell takes as one: broken at blanks with `\\`."""
    return " \\\n".join(wrap(command, width, break_long_words=False, break_on_hyphens=False))


def capture_text(recipes: Sequence[Mapping[str, str]]) -> RenderableType | None:
    """Return the commands that would say more, each with its cost and how to undo it; None without any."""
    if not recipes:
        return None
    blocks: list[RenderableType] = [Text("To know more, capture:")]
    for recipe in recipes:
        undo = f"; undo: {recipe['undo']}" if recipe["undo"] else "; nothing to undo"
        blocks.append(Padding(Text(f"{recipe['title']} ({recipe['cost']}{undo})"), (0, 0, 0, 2)))
        blocks.append(Padding(Text(pasteable(recipe["command"], WIDTH - 6)), (0, 0, 0, 4)))
    return Group(*blocks)
