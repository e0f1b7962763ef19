# SPDX-License-Identifier: GPL-2.0-or-later
"""Hides who and where: host names, task names, paths. What is hidden keeps one pseudonym throughout the document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pageout.readers.facts import OomReport, TaskStack
from pageout.readers.read import Input

# Names of the kernel's own threads and states say nothing about anybody.
_KERNEL = re.compile(
    r"(?:kworker|kswapd|kcompactd|ksoftirqd|migration|jbd2|flush|pdflush|kthreadd|rcu\w*|watchdog|khugepaged|md\d|loop|"
    r"xfs\w*|btrfs\w*|swapper|scsi_eh|nvme|dmcrypt|usb-storage|writeback|events|khungtaskd|oom_reaper|<idle>)[\w/:.+-]*"
)
_PATH = re.compile(r"(?<![\w/])/(?!proc/|sys/|dev/)(?:[\w.@+-]+/)+[\w.@+-]*")
_HOST = re.compile(r"(?<=\d\d:\d\d )\S+(?= (?:kernel|systemd)\b)|(?<=[+-]\d\d:\d\d )\S+(?= (?:kernel|systemd|\[))")
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,255}")
_HARDWARE = re.compile(r"(?<=Hardware name: ).*")
HIDDEN = "(hidden)"
UNSAID = "not read; without --mask the reason is said, which may quote the file"
SHORTEST = 3  # letters of a task name that is hidden wherever it stands in a line


def masked(document: dict[str, Any], inputs: Iterable[Input]) -> dict[str, Any]:
    """Return the document of `explain` with names hidden.

    Where nobody understood a line, nobody knows the names in it: of unread lines the numbers stay, of unread files
    not even the reason.
    """
    hider = _Hider(_comms(inputs), [found.file for found in inputs])
    hidden = hider.every(document)
    assert isinstance(hidden, dict)
    return hidden


def _comms(inputs: Iterable[Input]) -> set[str]:
    names: set[str] = set()
    for found in inputs:
        for fact in found.facts:
            if isinstance(fact, TaskStack) and fact.comm:
                names.add(fact.comm)
            elif isinstance(fact, OomReport):
                names.update(name for _, name, _ in fact.killed)
                names.update([fact.invoker] if fact.invoker else [])
        if found.events is not None:
            for frame in (*found.events.frames.values(), found.events.other):
                names.update(str(name) for name in frame["comm"].drop_nulls().unique().to_list())
    return {name for name in names if len(name) >= SHORTEST and not _KERNEL.fullmatch(name)}


class _Hider:
    def __init__(self, comms: set[str], files: list[str]) -> None:
        self._files = {file: f"file-{n}{''.join(_suffixes(file))}" for n, file in enumerate(files, start=1)}
        self._names: dict[str, str] = {}
        longest_first = sorted(comms, key=len, reverse=True)
        self._comms = (
            re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w/])") if comms else None
        )

    def _name(self, kind: str, text: str) -> str:
        if text not in self._names:
            number = 1 + sum(name.startswith(f"{kind}-") for name in self._names.values())
            self._names[text] = f"{kind}-{number}"
        return self._names[text]

    def text(self, text: str) -> str:
        """Hide every name in a text."""
        if text in self._files:
            return self._files[text]
        for file in sorted(self._files, key=len, reverse=True):
            text = text.replace(file, self._files[file])
        text = _MAIL.sub(lambda found: self._name("mail", found[0]), text)
        text = _HOST.sub(lambda found: self._name("host", found[0]), text)
        text = _HARDWARE.sub(HIDDEN, text)
        text = _PATH.sub(lambda found: "/" + self._name("path", found[0]), text)
        if self._comms is not None:
            text = self._comms.sub(lambda found: self._name("task", found[0]), text)
        return text

    def every(self, value: Any, key: str = "") -> Any:
        """Hide names in every text of a document, but not in ids, commands of ours, or numbers."""
        if isinstance(value, str):
            if key == "error":
                return UNSAID
            fixed = key in ("id", "severity", "confidence", "command", "next", "cost", "undo", "pageout", "unit")
            return value if fixed else self.text(value)
        if key == "unread_lines":
            return [{**one, "text": HIDDEN} for one in value]
        if isinstance(value, list):
            return [self.every(one, key) for one in value]
        if isinstance(value, dict):
            return {name: self.every(one, name) for name, one in value.items()}
        return value


def _suffixes(file: str) -> list[str]:
    parts = file.rpartition("/")[2].split(".")[1:]
    return [f".{part}" for part in parts if part.isalnum() and len(part) <= 4]
