# SPDX-License-Identifier: GPL-2.0-or-later
"""From bytes to lines: encodings, line ends, mail and log prefixes taken off; numbers stay the file's own.

A plain line costs one search. What was taken off is named in `Line.prefix`, and so in the kind the user reads.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator

from pageout.readers import mail_text
from pageout.readers.lines import MAX_LINE, Line
from pageout.readers.prefixes import strip_prefixes
from pageout.readers.rejoin import rejoin

HEAD = 1 << 16  # bytes looked at to decide on encodings that no header names
MAX_JOINED = 64  # lines one soft line of a mail may take

_MAYBE = re.compile(
    rb"[ \t]*(?:[>|\[<]|\d{1,3},\d|\d{4}[ -]|\d{9,11}\.\d|[A-Z][a-z]{2} |Content-|From )"
)  # a line so begun may wear something
_ANSI = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\))")
_ENTITY = re.compile(r"&(lt|gt|amp|quot|apos|nbsp|#39|#x27|#34|#62|#60);")
_ENTITIES = {
    "lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " ", "#39": "'", "#x27": "'", "#34": '"',
    "#62": ">", "#60": "<",
}  # fmt: skip
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, ""),
)


# A line of the file as it stands there, without its end: its number, at most MAX_LINE bytes, whether more was there.
Physical = tuple[int, bytes, bool]
# Takes a text and a function that tells whether a plain line would now stay as it is; yields the lines not dealt with.
SplitLines = Callable[[Iterator[bytes], Callable[[], bool]], Iterator[Physical]]


def undress(pieces: Iterable[bytes], split: SplitLines | None = None) -> Iterator[Line]:
    """Yield the lines of a file, of any encoding and dress; their `nr_lines` add up to the file's.

    split: takes the text apart, and may keep lines for itself
    """
    head, rest = _head(iter(pieces))
    mac = b"\r" in head and b"\n" not in head
    text = _chain(head, rest)
    undresser = _Undresser(mail_text.looks_encoded(head[:HEAD]))
    if split is not None and not mac:
        physical = split(text, undresser.leaves_plain_lines)
    else:
        physical = split_lines(text, b"\r" if mac else b"\n")
    yield from rejoin(undresser.lines(physical))


def in_utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a text in UTF-8, whatever it was written in."""
    return _chain(*_head(iter(pieces)))


def _head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first HEAD bytes or more, and the rest, both in UTF-8."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            break
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            head = head[len(mark) :]
            return (head, pieces) if not encoding else _recode(encoding, head, pieces)
    guess = _without_mark(head)
    return _recode(guess, head, pieces) if guess else (head, pieces)


def _without_mark(head: bytes) -> str:
    """Return the encoding of UTF-16 without its mark: every other byte of a kernel's text is then zero."""
    sample = head[: 1 << 10]
    if len(sample) < 16 or len(sample) % 2:
        sample = sample[:-1]
    half = len(sample) // 2
    if half >= 8 and sample[1::2].count(0) > half * 9 // 10 and not sample[::2].count(0):
        return "utf-16-le"
    if half >= 8 and sample[::2].count(0) > half * 9 // 10 and not sample[1::2].count(0):
        return "utf-16-be"
    return ""


def _recode(encoding: str, head: bytes, rest: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")

    def recoded() -> Iterator[bytes]:
        for piece in rest:
            yield decoder.decode(piece).encode("utf-8", "replace")
        yield decoder.decode(b"", True).encode("utf-8", "replace")

    return decoder.decode(head).encode("utf-8", "replace"), recoded()


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def split_lines(pieces: Iterable[bytes], end: bytes = b"\n") -> Iterator[Physical]:
    """Yield each line of the file."""
    rest, dropping, number = b"", False, 0
    for piece in pieces:
        *lines, tail = piece.split(end)
        for raw in lines:
            whole = rest + raw if rest else raw
            cut = dropping or len(whole) > MAX_LINE
            number += 1
            yield number, whole[:MAX_LINE] if cut else whole, cut
            rest, dropping = b"", False
        if len(rest) + len(tail) > MAX_LINE:
            dropping = True
            rest = (rest + tail[:MAX_LINE])[:MAX_LINE]
        elif tail:
            rest += tail
    if rest:
        yield number + 1, rest, dropping


class _Undresser:
    """Holds the mail part the lines are in, and a soft line until it is whole."""

    def __init__(self, encoded: bool) -> None:
        self.encoded = encoded  # quoted-printable by evidence
        self.part = mail_text.Part()
        self.soft = b""
        self.first, self.joined = 0, 0
        self.bits = b""  # of a base64 part: its last line, not yet whole
        self.bits_from = 0

    def leaves_plain_lines(self) -> bool:
        """Tell whether a line with nothing to take off is now passed on as it is."""
        return not self.encoded and not self.part.encoding

    def lines(self, physical: Iterable[Physical]) -> Iterator[Line]:
        number = 0
        for number, raw, cut in physical:
            if not self.encoded and not self.part.encoding and _is_plain(raw):
                if not raw:
                    self.part.see(raw)
                text = raw.decode("ascii", "replace")
                yield Line(number, text.rstrip(), cut=cut, width=len(text))
                continue
            yield from self._line(number, raw, cut)
        yield from self._end(number)

    def _line(self, number: int, raw: bytes, cut: bool) -> Iterator[Line]:
        body = raw.rstrip(b"\r").removesuffix(b"^M")
        self.part.see(body)
        said = self.part.encoding
        if said == mail_text.BASE64 or self.bits_from:
            decoded = mail_text.decode_base64(body)
            if decoded is not None:
                yield from self._of_base64(number, decoded)
                return
            yield from self._end_base64(number - 1)
        if self.soft or said == mail_text.QP or (self.encoded and said in ("", "7bit", "8bit")):
            yield from self._of_qp(number, body, said == mail_text.QP, cut)
            return
        yield _dressed_line(number, body, "", cut, 1)

    def _of_qp(self, number: int, body: bytes, said: bool, cut: bool) -> Iterator[Line]:
        """Decode a quoted-printable line; hold it if it goes on in the next."""
        if not said and not mail_text.is_encoded(body) and not self.soft:
            yield _dressed_line(number, body, "", cut, 1)
            return
        if self.soft:
            begun = self.soft.decode("latin-1")
            marks = begun[: len(begun) - len(mail_text.unquote(begun)[0])].encode("latin-1")
            if b">" in marks:  # quoted by somebody who saw the codes
                body = body.removeprefix(marks)
        self.first = self.first or number
        self.joined += 1
        if mail_text.is_soft(body, said) and self.joined < MAX_JOINED and len(self.soft) < MAX_LINE:
            self.soft += body[:-1]
            return
        whole, first, joined = self.soft + body, self.first, self.joined
        self.soft, self.first, self.joined = b"", 0, 0
        name = mail_text.QP if b"=" in whole or joined > 1 else ""
        for n, text in enumerate(mail_text.decode_qp(whole).split(b"\n")):
            yield _dressed_line(first, text, name, cut, 0 if n else joined)

    def _of_base64(self, number: int, decoded: bytes) -> Iterator[Line]:
        self.bits_from = self.bits_from or number
        if len(self.bits) >= MAX_LINE and b"\n" not in decoded:
            return
        *lines, self.bits = (self.bits + decoded).split(b"\n")
        for raw in lines:
            yield _dressed_line(self.bits_from, raw, mail_text.BASE64, False, max(number - self.bits_from, 0))
            self.bits_from = number
        if len(self.bits) > MAX_LINE:
            self.bits = self.bits[:MAX_LINE]

    def _end_base64(self, number: int) -> Iterator[Line]:
        if self.bits_from:
            yield _dressed_line(self.bits_from, self.bits, mail_text.BASE64, False, number - self.bits_from + 1)
            self.bits, self.bits_from = b"", 0

    def _end(self, number: int) -> Iterator[Line]:
        yield from self._end_base64(number)
        if self.joined:
            yield _dressed_line(self.first, mail_text.decode_qp(self.soft), mail_text.QP, False, self.joined)


def _is_plain(raw: bytes) -> bool:
    """Tell, fast, whether a line wears nothing."""
    return (
        raw.isascii()
        and _MAYBE.match(raw) is None
        and not (b"\r" in raw or b"\x00" in raw or b"\x1b" in raw or b"&" in raw or b"kernel: [" in raw)
        and b"boundary=" not in raw
        and not raw.endswith(b"^M")
    )


def _dressed_line(number: int, raw: bytes, encoding: str, cut: bool, nr_lines: int) -> Line:
    """Take everything off one line."""
    text = raw.decode("utf-8", "replace")
    names = [encoding] if encoding else []
    if "\x1b" in text:
        text = _ANSI.sub("", text)
        names.append("terminal colours")
    if "&" in text and _ENTITY.search(text):
        text = _ENTITY.sub(lambda match: _ENTITIES[match[1]], text)
        names.append("HTML entities")
    text = text.replace("\x00", "").replace("\r", " ").replace("\xa0", " ").replace("\u200b", "")
    text, depth = mail_text.unquote(text)
    if depth:
        names.append("quoted")
    width = len(text)
    text, stamp, logs = strip_prefixes(text)
    names += logs
    return Line(
        number,
        text.rstrip(),
        stamp,
        ", ".join(names),
        cut,
        nr_lines,
        width=width,
        depth=depth,
        logged=bool(logs),
    )
