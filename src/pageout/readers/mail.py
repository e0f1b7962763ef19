# SPDX-License-Identifier: GPL-2.0-or-later
"""Knows what is of a mail and of no kernel: headers, MIME boundaries, signatures, who wrote, fences of code.

Prose is not known: it stays unread, so that a reader that overlooked something can be seen to have.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim, Line, Recogniser

_HEADER = re.compile(
    r"(?:From|To|Cc|CC|Bcc|Date|Subject|Message-I[Dd]|Message-id|In-Reply-To|References|Reply-To|Sender|Return-Path|Received"
    r"|Delivered-To|MIME-Version|Mime-Version|Content-[A-Z][A-Za-z-]{1,30}|DKIM-[\w-]{1,20}|ARC-[\w-]{1,40}|User-Agent"
    r"|Authentication-Results|List-[A-Z][A-Za-z-]{1,20}|Precedence|Organization|Archived-At|Lines|Newsgroups|Xref|Path"
    r"|Accept-Language|Thread-[A-Z][a-z]{1,10}|Importance|Mail-Followup-To|Received-SPF|Errors-To|Status|Autocrypt"
    r"|X-[\w-]{1,60}|Link|Cc-to)[ \t]{0,2}:(?:[ \t].*)?"
)
_OTHER_HEADER = re.compile(r"[A-Z][A-Za-z0-9-]{1,60}:[ \t].*")
_KNOWN = re.compile(
    r"--|-- ?|--[-=_\w.+]{8,100}(?:--)?|_{5,}|-{3,}(?: ?[\w ]{3,40} ?-{3,})?|={5,}|\*{3,}"
    r"|On .{6,200}(?:wrote|writes):|.{0,120}<[^\s<>]{1,80}@[^\s<>]{1,80}> (?:wrote|writes):|.{1,80} (?:wrote|writes):"
    r"|From \S{1,200} .{0,20}\d\d:\d\d.{0,30}|This is a multi-part message in MIME format\."
    r"|```[\w+-]{0,20}|~~~[\w+-]{0,20}|\{(?:code|noformat)(?::\w{1,20})?\}|\[/?(?:code|quote|pre)\]|</?(?:pre|code)>"
    r"|-----BEGIN PGP .{1,40}-----|-----END PGP .{1,40}-----|\[\.{2,3}\]"
    r"|[(<\[{][.…]{0,4} ?(?:snip(?:ped)?|cut|omitted|…) ?[.…]{0,4}[)>\]}]|\(\.{3}\)|\[?(?:snip|\.{3}|…)\]?"
    r"|8<-{2,}.{0,40}|-{2,}8<.{0,60}"
)


class Mail(Recogniser):
    """The mail around what it brings."""

    kind = "mail"
    broad = True
    alone = False

    def __init__(self) -> None:
        super().__init__()
        self._header_at = 0  # the last line that was a mail header

    def take(self, line: Line) -> Claim | None:
        """Claim headers and separators."""
        text = line.text
        inside = self._header_at and line.number == self._header_at + 1
        folded = inside and (text[:1] in (" ", "\t") or _OTHER_HEADER.fullmatch(text[:1000]) is not None)
        if text.strip() and (folded or _HEADER.fullmatch(text[:1000])):
            self._header_at = line.number
            return Claim.KNOWN
        return Claim.KNOWN if _KNOWN.fullmatch(text.strip()[:400]) else None
