# SPDX-License-Identifier: GPL-2.0-or-later
"""Knows the output of the function_graph tracer, to say what to record instead.

Source: Linux v6.1 kernel/trace/trace_functions_graph.c:print_graph_prologue, print_graph_duration.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim, Line, Recogniser
from pageout.vocabulary.errors import TraceError

_CALL = re.compile(
    r"(?:[\d.]{1,24} +\| +)?(?:\d{1,4}\) +)?(?:\S[^|]{0,40}-\d{1,10} +\| +)?(?:[\w.+*#@!$ ]{0,8}\| +)?"
    r"(?:(?:[$@*#!+] ?)?\d{1,12}(?:\.\d{1,3})? us|) *\|  ?(?: *(?:\S.{0,200}\(.{0,120}\);?(?: \{)?|\}.*|/\*.*\*/))"
)
_SWITCH = re.compile(r"(?:\d{1,4}\)) +\S.{0,40}-\d{1,10} +=> +\S.{0,40}-\d{1,10}")
_RULER = re.compile(r"-{20,}")


class FunctionGraph(Recogniser):
    """Calls and times of functions: no events."""

    kind = "function_graph"

    def __init__(self) -> None:
        super().__init__()
        self._first = 0
        self._text = ""

    def take(self, line: Line) -> Claim | None:
        """Claim calls, returns, and the rulers where a CPU switched tasks."""
        text = line.text.strip()[:400]
        if _CALL.fullmatch(text) or _SWITCH.fullmatch(text):
            if not self._first:
                self._first, self._text = line.number, text
            return Claim.KNOWN
        return Claim.KNOWN if self._first and _RULER.fullmatch(text) else None

    def refuse(self, file: str) -> None:
        """Raise TraceError: nothing but calls and their times."""
        if self._first:
            raise TraceError(
                f"{file}:{self._first}: function_graph, not events: {self._text[:60]!r}: "
                "use `echo nop > current_tracer` and switch on events (vmscan, writeback, block), then record again"
            )
