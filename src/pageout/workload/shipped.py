# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios that come with pageout: TOML files in the package, each with a head of comments that says what for.

The head: a title in its first line, then paragraphs, then lines `# Claims: S3, S4`, `# Takes: 12 s`, `# Source: ...`,
`# Look at: ...`, `# Run: ...`.  What follows a label goes on in lines that begin with `#   `.
"""

from __future__ import annotations

import difflib
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

LABELS = ("Claims", "Takes", "Source", "Look at", "Run")
HOW_TO_SEE_ALL = "`pageout scenarios` lists all"


class Shipped(msgspec.Struct, frozen=True):
    """One shipped scenario, as its head describes it."""

    name: str
    shows: str
    claims: tuple[str, ...]  # of the article, S1 to S14
    seconds: int  # wall time of one run, engine compiled, measured on one core of an EPYC
    source: str
    look_at: str
    commands: tuple[str, ...]


def names() -> tuple[str, ...]:
    """Return the names of all shipped scenarios, in alphabetical order."""
    found = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def is_shipped(workload: str | Path) -> bool:
    """Say whether a word names a shipped scenario: a file of that name is nearer, and wins."""
    return str(workload) in names() and not Path(workload).is_file()


def text_of(name: str) -> str:
    """Return the TOML of a shipped scenario."""
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def path_of(name: str) -> Path:
    """Return where the TOML of a shipped scenario lies: a file called as the scenario is does not come before it."""
    return Path(str(_folder().joinpath(f"{name}.toml")))


def near(word: str) -> tuple[str, ...]:
    """Return up to three names of shipped scenarios that a word may have meant, the nearest first."""
    there, stem = names(), word[:60].lower().removesuffix(".toml")
    close = difflib.get_close_matches(stem, there, n=3, cutoff=0.5)
    within = [name for name in there if len(stem) > 2 and stem in name and name not in close]
    return tuple([*close, *within][:3])


def not_found(word: str) -> str:
    """Return the end of a message about a workload that is no file: what else it may have meant."""
    meant = near(word)
    guess = f", did you mean {' or '.join(meant)}?" if meant else ";"
    return f"no such file or shipped scenario{guess} {HOW_TO_SEE_ALL}"


def about(name: str) -> Shipped:
    """Return what the head of a shipped scenario says."""
    head = _head(text_of(name))
    return Shipped(
        name=name,
        shows=head["title"],
        claims=tuple(re.findall(r"S\d+", head["Claims"])),
        seconds=int(head["Takes"].split()[0]),
        source=head["Source"],
        look_at=head["Look at"],
        commands=tuple(part.strip() for part in head["Run"].split(";")),
    )


def _folder() -> Traversable:
    return resources.files("pageout") / "scenarios"


def _head(text: str) -> dict[str, str]:
    """Return the labelled lines of a head, each with its continuations, and its first line as `title`."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].rstrip())
    lines = [line for line in lines if "SPDX" not in line]
    head = {"title": lines[0].strip()}
    label = ""
    for line in lines[1:]:
        found = re.match(rf" ({'|'.join(LABELS)}): (.*)", line)
        if found:
            label = found[1]
            head[label] = found[2]
        elif label and line.startswith("   "):
            head[label] += " " + line.strip()
        else:
            label = ""
    return head
