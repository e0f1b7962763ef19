# SPDX-License-Identifier: GPL-2.0-or-later
"""Which design stands for a kernel release: the newest whose behaviour the release has."""

from __future__ import annotations

import re

from pageout.vocabulary.settings import DESIGNS

# Since which release the kernel does as a design does -> the design, and what it is known by.
BEHAVIOUR = (
    ((6, 14), "linux-6.18", "the floor of a quiet device lies in its share; ext4 writes large folios since 6.16"),
    ((6, 7), "linux-6.12", "a flusher writes a folio at a time through iomap"),
    ((3, 2), "linux-6.1", "writers held by pauses, flushers write half a second at a turn"),
    ((3, 2), "ioless-throttle", "writers held by pauses"),
    ((0, 0), "linux-2.6.34", "writers held by writing themselves"),
)
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,3})")


def design_for(release: str | None) -> str:
    """Return the design of a release as uname -r says it; of none, the newest."""
    found = _RELEASE.match(release or "")
    version = (int(found[1]), int(found[2])) if found else (999, 0)
    return next(design for since, design, _ in BEHAVIOUR if version >= since and design in DESIGNS)
