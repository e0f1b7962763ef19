# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of any input whatever; both fuzzers ask this and nothing else."""

import contextlib
import io
import json
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pageout.cli.app import main
from pageout.diagnose.explain import explain
from pageout.readers.dress import HEAD, in_utf8
from pageout.readers.read import Input, read_pieces
from pageout.vocabulary.errors import TraceError

SEVERITIES = ("error", "warning", "info")
FORMATS = ("out.txt", "out.parquet", "out.pftrace")


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    """Yield an input in pieces of a size."""
    return (data[at : at + size] for at in range(0, len(data), size))


def nr_lines(data: bytes) -> int:
    """Count the lines of a file, the plain way."""
    text = b"".join(in_utf8(iter([data])))
    end = b"\r" if b"\r" in text[:HEAD] and b"\n" not in text[:HEAD] else b"\n"
    return text.count(end) + (not text.endswith(end)) if text else 0


def read(data: bytes, size: int = 0) -> Input | None:
    """Read an input and check its account; None if it was refused with one line that says why."""
    found: Input | None
    try:
        found = read_pieces("x", pieces_of(data, size or max(len(data), 1)))
    except TraceError as refused:
        said = str(refused)
        found = None
    if found is None:
        assert said.startswith("x:")
        assert "\n" not in said
        return None
    account = found.account
    assert account.lines == account.events + account.known_non_events + account.unread
    assert min(account.events, account.known_non_events, account.unread) >= 0
    assert account.lines == nr_lines(data) or found.unit != "line"
    assert all(0 < number <= account.lines for number, _ in account.unread_lines)
    assert all(first <= second for (first, _), (second, _) in pairwise(account.unread_lines))
    assert sum(account.kinds.values()) <= account.lines - account.unread or found.unit != "line"
    assert found.kind
    return found


def explained(found: Input) -> None:
    """Ask the rules what they say of it: they say something, and of lines that are there."""
    findings = explain([found]).findings
    assert findings
    for finding in findings:
        assert finding.severity in SEVERITIES
        assert finding.title
        for evidence in finding.evidence:
            assert evidence.file == "x"
            assert 0 < evidence.line <= max(found.account.lines, 1), (finding.id, evidence)


def ran(*tokens: str) -> tuple[int, str, str]:
    """Run a command line in this process; its exit status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(tokens)
    return status, out.getvalue(), err.getvalue()


def is_harmless(text: str) -> bool:
    """Tell whether nothing but printable characters and line ends is in a text: no terminal obeys it."""
    return all(letter == "\n" or not unicodedata.category(letter).startswith("C") for letter in text)


def strict_json(text: str) -> Any:
    """Return one JSON document; NaN and Infinity, which JSON has not, are refused."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def explains(path: Path, found: Input | None) -> dict[str, Any] | None:
    """Run the verb on a file in both of its dresses; the document of --json, None if nothing could be read."""
    status, text, err = ran("explain", str(path))
    assert is_harmless(text + err)
    again, printed, err = ran("explain", "--json", str(path))
    assert is_harmless(printed + err)
    document = strict_json(printed)
    assert isinstance(document, dict)
    assert status == again
    if found is None:
        assert (status, len(document["findings"])) == (2, 0)
        assert err.count("\n") == 1
        return None
    severities = [finding["severity"] for finding in document["findings"]]
    assert status == (1 if "error" in severities else 0)
    assert severities
    assert text.startswith(f"1. {severities[0].upper()}: ")
    return document


def converts(path: Path, found: Input | None, folder: Path) -> None:
    """Convert a file to every format: all of it, or one line that says why not, and no file."""
    has_events = found is not None and found.events is not None and found.account.events > 0
    for name in FORMATS:
        out = folder / name
        status, text, err = ran("convert", "--json", str(path), str(out))
        assert is_harmless(text + err)
        if not has_events or (status == 2 and name.endswith("pftrace") and "--to text" in err):
            assert (status, out.exists()) == (2, False), err
            continue
        assert status == 0, err
        assert found is not None
        assert found.events is not None
        assert strict_json(text)["output"]["events"] == len(found.events)
        assert out.exists()
