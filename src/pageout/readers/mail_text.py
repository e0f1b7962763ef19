# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mail does to a text: quoted-printable and base64 parts, quote marks.

Decided part by part from the header, or, where a body was pasted without one, line by line from evidence: an encoder
writes `=` only as `=3D`, a blank as `=20` only at a line's end, and breaks lines softly near column 76 (RFC 2045, 6.7).
"""

from __future__ import annotations

import base64
import binascii
import re

QP, BASE64 = "quoted-printable", "base64"
SOFT_MIN = 60  # bytes: no encoder breaks a line softly before this without need

_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_TOKEN = re.compile(rb"=(?:3D|20(?=$|=$)|0[9AD]|(?:[89A-F][0-9A-F]))|^=(?:2E|46)")
_QUOTE = re.compile(r"[ \t]{0,3}(?:>[ ]?(?!=)|\|[ ]?){1,20}")
_HEADER = re.compile(rb"Content-Transfer-Encoding:\s*([\w-]{1,40})\s*$", re.I)
_BOUNDARY = re.compile(rb"boundary=\"?([^\"\s;]{1,100})\"?", re.I)
_TYPE = re.compile(rb"Content-Type:\s*([\w.-]{1,40})/", re.I)
_MBOX = re.compile(rb"From \S{1,200} .{0,20}\d\d:\d\d")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{1,100}={0,2}")


class Part:
    """The part of a mail the lines are in, and how it is encoded."""

    def __init__(self) -> None:
        self.encoding = ""  # as the header says; empty: not said
        self._next = ""
        self._in_header = False
        self._is_text = True
        self._boundaries: set[bytes] = set()

    def see(self, raw: bytes) -> None:
        """Look at a line for what changes the encoding."""
        if raw.startswith(b"--") and raw[2:].removesuffix(b"--") in self._boundaries:
            self.encoding = self._next = ""
        elif match := _HEADER.match(raw):
            self._next, self._in_header = match[1].decode("ascii", "replace").lower(), True
        elif match := _TYPE.match(raw):
            self._is_text = match[1].lower() in (b"text", b"message")
        elif not raw:
            if self._in_header:
                self.encoding = self._next if self._is_text else ""
            self._in_header, self._is_text = False, True
        elif _MBOX.match(raw):
            self.encoding = self._next = ""
        if len(self._boundaries) < 100 and (match := _BOUNDARY.search(raw[:1000])):
            self._boundaries.add(match[1])


def looks_encoded(head: bytes) -> bool:
    """Tell whether in the beginning of a text something was pasted from a quoted-printable body.

    So if there are lines whose every `=` is an encoder's, and hardly a line where a `=3D` stands beside a plain `=`.
    """
    if re.search(rb"(?im)^[> |]{0,20}content-transfer-encoding:", head):
        return False  # the headers decide
    good = mixed = soft = plain = 0
    for raw in head.split(b"\n"):
        line = raw.rstrip(b"\r")
        if b"=" not in line:
            continue
        if not is_encoded(line):
            plain += 1
            mixed += b"=3D" in line
            continue
        good += line.count(b"=3D")
        soft += is_soft(line, said=False)
    return mixed * 4 <= good and (good >= 2 or (good >= 1 and soft >= 1) or (soft >= 2 and not plain))


def is_encoded(raw: bytes) -> bool:
    """Tell whether every `=` of a line is an encoder's."""
    body = raw[:-1] if raw.endswith(b"=") else raw
    return body.count(b"=") == len(_TOKEN.findall(body))


def is_soft(raw: bytes, said: bool) -> bool:
    """Tell whether a line goes on in the next one; `said`: the header says quoted-printable."""
    return raw.endswith(b"=") and (said or len(raw) >= SOFT_MIN)


def decode_qp(raw: bytes) -> bytes:
    """Undo quoted-printable; what is no code stays."""
    return _HEX.sub(lambda match: bytes((int(match[1], 16),)), raw)


def decode_base64(raw: bytes) -> bytes | None:
    """Decode one line of a base64 part, None if it is none."""
    if not raw or len(raw) % 4 or not _BASE64.fullmatch(raw):
        return None
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        return None


def unquote(text: str) -> tuple[str, int]:
    """Take off quote marks; the text and how many there were. A table drawn with bars has none."""
    match = _QUOTE.match(text)
    if match is None:
        return text, 0
    marks = match[0]
    if ">" not in marks and ((text.rstrip().endswith("|") and text.strip() != "|") or " | " in text[match.end() :]):
        return text, 0
    return text[match.end() :], marks.count(">") + marks.count("|")
