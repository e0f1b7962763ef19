# SPDX-License-Identifier: GPL-2.0-or-later
"""What is mounted on a device: by its number, else by its name, as /proc/self/mounts tells it.

A bundle made by hand has no numbers beside its mounts, and a partition has another number than the disk that counts
what is dirty: there the name decides, `vda1` on `vda`, `nvme0n1p2` on `nvme0n1`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pageout.bundle.meta import Meta, MountNote

if TYPE_CHECKING:
    from pageout.bundle.files import Files

MOUNTS, DISKS = "mounts", "diskstats.before"
MOST_ROWS = 10_000
_ESCAPE = re.compile(r"\\([0-7]{3})")


def kind_on(device: str, meta: Meta, files: Files) -> str | None:
    """Return the kind of the filesystem on a device, `7:0`; None where nothing says, or several kinds are."""
    mounts = [*meta.mounts, *_of_file(files)]
    numbered = {one.type for one in mounts if one.dev == device and one.type}
    if numbered:
        return _only(numbered)
    name = _name_of(device, meta, files)
    if name is None:
        return None
    sources = ((one.source or "", one.type) for one in mounts)
    return _only({kind for source, kind in sources if kind and _is_on(source, name)})


def _only(kinds: set[str]) -> str | None:
    return next(iter(kinds)) if len(kinds) == 1 else None


def _is_on(source: str, disk: str) -> bool:
    """Say whether a mount's source is a disk or one of its partitions."""
    if not source.startswith("/dev/"):
        return False
    rest = source.rpartition("/")[2]
    if not rest.startswith(disk):
        return False
    return (
        re.fullmatch(r"p\d{1,4}" if disk[-1:].isdigit() else r"\d{1,4}", rest[len(disk) :]) is not None or rest == disk
    )


def _name_of(device: str, meta: Meta, files: Files) -> str | None:
    """Return what a device is called: as sysfs said, else by /proc/diskstats."""
    known = meta.devices.get(device)
    if known is not None and known.name:
        return known.name
    if DISKS not in files.names:
        return None
    rows = (line.split(None, 3)[:3] for line in files.text(DISKS).splitlines()[:MOST_ROWS])
    return next((row[2] for row in rows if len(row) == 3 and ":".join(row[:2]) == device), None)


def _of_file(files: Files) -> list[MountNote]:
    """Return the rows of the file `mounts`: source, target, kind, options and two numbers."""
    if MOUNTS not in files.names:
        return []
    rows = (line.split() for line in files.text(MOUNTS).splitlines()[:MOST_ROWS])
    return [
        MountNote(source=_plain(row[0]), target=_plain(row[1]), type=row[2][:40], options=row[3])
        for row in rows if len(row) >= 4
    ]  # fmt: skip


def _plain(text: str) -> str:
    """Return a name as it is: blanks and the like are printed in octal."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
