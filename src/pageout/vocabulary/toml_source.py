# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the keys of a TOML text stand, so that an error can name its line."""

from __future__ import annotations

import re

from pageout.vocabulary.errors import ScenarioError
from pageout.vocabulary.keys import FieldError, nth

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_.\- \t])+?)\s*=""")


class Source:
    """A TOML text and where its keys stand, for errors with a line number."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = {"": 1}
        section, seen = "", dict[str, int]()
        for number, long_line in enumerate(text.split("\n"), start=1):
            line = long_line[:300]
            if header := _HEADER.match(line):
                name = _bare(header[2])
                seen[name] = seen.get(name, -1) + 1
                section = nth(name, seen[name])
                self.lines.setdefault(section, number)
            elif assignment := _ASSIGNMENT.match(line):
                self.lines.setdefault(f"{section}.{_bare(assignment[1])}".lstrip("."), number)

    def error(self, problem: FieldError) -> ScenarioError:
        """Return the error of a problem, at its own line or at that of the nearest table around it."""
        where = problem.where
        while where not in self.lines:
            where = where.rpartition("#" if "#" in where.rpartition(".")[2] else ".")[0]
        table, _, key = problem.where.partition(".")
        place = f"[{table.partition('#')[0]}] {key}".rstrip() + ": " if table else ""
        return ScenarioError(f"{self.path}:{self.lines[where]}: {place}{problem}")


def _bare(dotted: str) -> str:
    return re.sub(r"[\"' \t]", "", dotted)
