# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads which kernel it is and how it was booted: /proc/version, `uname -a`, banners of sysstat, /proc/cmdline."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact, KernelCommandLine, KernelVersion
from pageout.readers.lines import Claim
from pageout.readers.proc.named import Named, Reader

MAX_FACTS = 100_000
_RELEASE = r"\d{1,2}\.\d{1,3}(?:\.\d{1,4})?[\w.+~-]{0,80}"
_VERSION = re.compile(rf"(?:/proc/version:)?Linux version ({_RELEASE}) \(.{{1,600}}")
_UNAME = re.compile(
    rf"Linux \S{{1,255}} ({_RELEASE}) (?:#\d{{1,6}}\S{{0,40}} .{{1,200}}|\S{{1,20}} GNU/Linux|SMP.{{0,100}})"
)
_UNAME_REST = re.compile(r"[\w:+. -]{1,120}GNU/Linux")
_BANNER = re.compile(
    rf"Linux ({_RELEASE}) \(([^()]{{0,255}})\)\s{{1,20}}\d[\d/.年月日-]{{3,20}}"
    rf"(?:\s{{1,12}}_\w{{1,20}}_)?(?:\s{{1,12}}\(\d{{1,5}} CPU\))?"
)
_BARE = re.compile(_RELEASE)
_DISTRIBUTION = re.compile(r"(?:2\.6|[3-9]\.\d{1,3})\.\d{1,4}-[\w.+~-]{1,80}")  # 6.1.0-13-amd64: what `uname -r` prints
_CMDLINE = re.compile(r"(?:/proc/cmdline:)?(BOOT_IMAGE=.{1,4000})")
_BOOTED = re.compile(
    r"(?=.*(?:^| )(?:root|console|rootflags|rootfstype|panic|resume"
    r"|crashkernel)=)[a-z][\w.-]{0,60}(?:=\S{0,400})?(?: \S{1,400}){2,200}"
)
_CMDLINE_FILE = re.compile(r"(?:.*/)?proc/cmdline")
_OPTIONS = re.compile(r"[\w.,:=/@*+\-\"'\[\]()$;<>%~ ]{1,4000}")


class KernelText(Reader):
    """`Linux host 6.1.0-13-amd64 #1 SMP ...`."""

    kind = "kernel version"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._facts: list[Fact] = []
        self._uname = -10  # the last line of uname's that does not end as these do

    def see(self, number: int, text: str) -> Claim | None:
        """Claim a line that is all about the kernel."""
        if len(self._facts) >= MAX_FACTS:
            return None
        found = _VERSION.fullmatch(text) or _UNAME.fullmatch(text) or _BANNER.fullmatch(text)
        release = found[1] if found else ""
        if not release and (
            _DISTRIBUTION.fullmatch(text) or (self.named.told(number, "uname") and _BARE.fullmatch(text))
        ):
            release = text
        if release:
            if found and found.re is _BANNER:
                self.named.touch(number)
                self.named.banner = number
            if found and found.re is _UNAME and not text.endswith("Linux"):
                self._uname = number
            self._facts.append(KernelVersion(number, release))
            return Claim.KNOWN
        if self._uname == number - 1 and _UNAME_REST.fullmatch(text):
            self.variants.add("wrapped")
            return Claim.KNOWN
        command = _CMDLINE.fullmatch(text) or (_BOOTED.fullmatch(text) and re.fullmatch("(.+)", text))
        if command is None and self.named.path(number, _CMDLINE_FILE) and self.named.said == number - 1:
            command = re.fullmatch(r"(.+)", text) if _OPTIONS.fullmatch(text) else None
        if command is None:
            return None
        self._facts.append(KernelCommandLine(number, command[1].strip()))
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return versions and command lines."""
        return self._facts
