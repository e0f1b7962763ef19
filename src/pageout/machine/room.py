# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this computer has the memory for a machine's tables."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pageout.engine.state import LAYOUT
from pageout.vocabulary.errors import TooLargeError


def refuse_if_too_large(sizes: Mapping[str, int]) -> None:
    """Refuse tables of these many rows if they do not fit.  Raises TooLargeError."""
    need = sum(LAYOUT[name][0].itemsize * rows for name, rows in sizes.items())
    room = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > room:
        raise TooLargeError(
            f"this run needs {need / 2**30:.1f} GiB of memory and {room / 2**30:.1f} GiB are free here; "
            "make the machine's memory or the files smaller"
        )
