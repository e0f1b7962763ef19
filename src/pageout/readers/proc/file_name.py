# SPDX-License-Identifier: GPL-2.0-or-later
"""What a file's own name says of its lines: a copy of /proc/pressure/io or of vm/dirty_ratio does not name itself."""

from __future__ import annotations

import re

from pageout.readers.sysctl import VM

_SUFFIX = re.compile(r"(?:\.(?:txt|log|out|gz|xz|zst|bz2|before|after|old|new|\d{1,3})){1,3}$", re.IGNORECASE)
_TREE = re.compile(r"(?:.*/)?((?:proc/(?:sys|pressure)|sys/(?:block|fs/cgroup|kernel/mm|class/bdi))/.+)")
_CGROUP = re.compile(r"memory\.[a-z_.]{3,40}|io\.(?:stat|max|pressure)|cpu\.pressure|pids\.(?:current|max|peak)")
_WORD = re.compile(r"[a-z]{2,10}")
_RESOURCES = "cpu", "io", "irq", "memory"


def path_of(name: str) -> str:
    """Return the path a file's lines come from, as far as its name says: "" if it says nothing.

    `copy/proc/sys/vm/swappiness`, `vm.swappiness.txt` and `swappiness` are /proc/sys/vm/swappiness; `psi-io.log` and
    `io` are /proc/pressure/io; `memory.max` is a file of some cgroup.
    """
    name = name.replace("\\", "/")
    tree = _TREE.fullmatch(_SUFFIX.sub("", name))
    if tree is not None:
        return "/" + tree[1]
    base = _SUFFIX.sub("", name.rpartition("/")[2])
    if _CGROUP.fullmatch(base):
        return base
    setting = re.sub(r"^(?:proc[._-])?(?:sys[._-])?(?:vm[._-])?", "", base)
    if setting in VM:
        return f"/proc/sys/vm/{setting}"
    words = _WORD.findall(base.lower().replace("mem", "memory").replace("memoryory", "memory"))
    said = [word for word in words if word in _RESOURCES]
    if len(said) == 1 and (len(words) == 1 or {"pressure", "psi"} & set(words)):
        return f"/proc/pressure/{said[0]}"
    return ""
