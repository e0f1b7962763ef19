# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts read as the command reads them, and asked for one kind of fact."""

from typing import TypeVar

from pageout.readers.facts import Snapshot, Sysctl, Table
from pageout.readers.read import Input, read_pieces

T = TypeVar("T")


def read(text: str) -> Input:
    return read_pieces("pasted.txt", [text.encode()])


def of(kind: type[T], text: str) -> list[T]:
    return [fact for fact in read(text).facts if isinstance(fact, kind)]


def snapshots(text: str, source: str) -> list[Snapshot]:
    return [snapshot for snapshot in of(Snapshot, text) if snapshot.source == source]


def values(snapshot: Snapshot) -> dict[str, float]:
    return {name: value.number for name, value in snapshot.values.items()}


def tables(text: str, source: str) -> list[Table]:
    return [table for table in of(Table, text) if table.source == source]


def settings(text: str) -> dict[str, str]:
    return {fact.name: fact.text for fact in of(Sysctl, text)}


def unread(text: str) -> list[str]:
    return [line for _, line in read(text).account.unread_lines]
