# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes the trace out of systrace's HTML: a string of JavaScript in old ones, a script element in newer ones.

A filter before the recognisers: lines of the page get the prefix HTML, those of the trace lose their `\\n\\` and stand
as the kernel printed them. Numbers stay those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pageout.readers.lines import Claim, Line, Recogniser
from pageout.vocabulary.errors import TraceError

HTML = "html"
LOOKED_AT = 8  # first lines with text, in which a page says that it is one
_PAGE = re.compile(r"\s{0,64}(?:<!doctype html|<html[\s>])", re.IGNORECASE)
_OLD = re.compile(r"""(.{0,200}?\b(?:var|let|const)\s{1,8}linuxPerfData\s{0,8}=\s{0,8}["'])(.*)""", re.DOTALL)
_NEW = re.compile(
    r"""(\s{0,200}<script[^>]{0,200}\bclass=["']?trace-data["']?[^>]{0,200}>)(.*)""", re.DOTALL | re.IGNORECASE
)
_PACKED = re.compile(
    r"""\s{0,64}<script[^>]{0,200}\bid=["']?viewer-data|TRACE:\s{0,8}\S*[^\x09\x20-\x7e]|[A-Za-z0-9+/]{200,}={0,2}\s*""",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"""\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)""")
_LETTERS = {"n": "\n", "t": "\t", "r": "", "b": "", "f": "", "v": "", "0": ""}


def unwrap(lines: Iterable[Line], file: str) -> Iterator[Line]:
    """Yield the lines of a file, those of a systrace page unwrapped.  Raises TraceError: the trace in it is packed.

    After LOOKED_AT lines with text, of which none begins a page, all lines are as they are.
    """
    looked = 0
    source = iter(lines)
    for line in source:
        if looked < LOOKED_AT and line.text.strip():
            looked += 1
            if _PAGE.match(line.text):
                yield from _page(line, source, file)
                return
        yield line


def _page(first: Line, lines: Iterator[Line], file: str) -> Iterator[Line]:
    yield first._replace(prefix=HTML)
    place = ""  # in the trace: "old" or "new"
    for line in lines:
        if not place:
            old, new = _OLD.fullmatch(line.text), _NEW.fullmatch(line.text)
            found = old or new
            if _PACKED.match(line.text) or (found and _PACKED.match(found[2])):
                raise TraceError(
                    f"{file}:{line.number}: the trace in this page is packed: open it in a browser with "
                    "Perfetto's legacy viewer and save it as text, or record with `atrace` without -z"
                )
            if found is None:
                yield line._replace(prefix=HTML)
                continue
            place = "old" if old else "new"
            text = found[2]
            yield line._replace(text="", prefix=HTML) if text in ("", "\\") else _inner(line, text, place)
            continue
        if _ends(line.text, place):
            place = ""
            yield line._replace(prefix=HTML)
            continue
        yield _inner(line, line.text, place)
        if place == "old" and line.text.endswith(('";', "';")):
            place = ""


def _ends(text: str, place: str) -> bool:
    body = text.strip()
    return body.lower().startswith("</script>") or (place == "old" and body in ('";', "';", '"', "'"))


def _inner(line: Line, text: str, place: str) -> Line:
    """Return a line of the trace as the kernel printed it."""
    if place == "old":
        text = text.removesuffix('";').removesuffix("';").removesuffix("\\").removesuffix("\\n")
        if "\\" in text:
            text = _ESCAPE.sub(_unescaped, text)
    return line._replace(text=text.rstrip())


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        letter = chr(int(code[1:], 16))
        return letter if letter.isprintable() else "\ufffd"
    return _LETTERS.get(code, code)


class SystraceHtml(Recogniser):
    """The page around the trace."""

    kind = "systrace HTML"

    def __init__(self) -> None:
        super().__init__()
        self._first = 0

    def take(self, line: Line) -> Claim | None:
        """Claim what is page, not trace."""
        if line.prefix != HTML:
            return None
        self._first = self._first or line.number
        return Claim.KNOWN

    def refuse(self, file: str) -> None:
        """Raise TraceError: a page and nothing else."""
        if self._first:
            raise TraceError(f"{file}:{self._first}: a web page with no trace in it: give the trace's own text")
