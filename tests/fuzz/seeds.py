# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts to begin from: whatever the tests of the readers and of the diagnosis read, so that each new format is here too."""

import ast
from functools import cache
from pathlib import Path

from bench.recording_dat import recording

from tests.conftest import ROOT

FOLDERS = ("readers", "diagnose")
SHORTEST, LONGEST = 24, 1 << 14  # characters of a literal that is taken for an input
ALL_ROWS = 40  # rows of a list joined to one text


@cache
def seeds() -> tuple[bytes, ...]:
    """Return every text in the tests of the readers, each once, in a fixed order."""
    texts: dict[str, None] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / "tests" / folder).glob("*.py")):
            texts.update(dict.fromkeys(_literals(path)))
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


def _literals(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            found.append(_text(node.value))
        elif isinstance(node, ast.JoinedStr):
            found.append(_filled(node))
        elif isinstance(node, ast.List | ast.Tuple):
            rows = [one.value for one in node.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if len(rows) > 1:
                found.append("\n".join(rows[:ALL_ROWS]) + "\n")
    return [text for text in found if SHORTEST <= len(text) <= LONGEST and _is_input(text)]


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _filled(node: ast.JoinedStr) -> str:
    """Return an f-string with a number in every place."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)


def _is_input(text: str) -> bool:
    """Tell whether this may be of a machine, not a docstring."""
    return any(letter.isdigit() for letter in text) or "=" in text or ":" in text


@cache
def recordings() -> tuple[bytes, ...]:
    """Return some small files of trace-cmd."""
    return tuple(
        recording(20, 2, version=version, packing=packing).to_bytes()
        for version, packing in ((6, "none"), (7, "none"), (7, "zlib"), (7, "zstd"))
    )
