# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference pages say what the code says.  `python tests/workload/test_reference.py` writes them anew."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from pageout.vocabulary.keys import Key, format_limit, keys_of
from pageout.vocabulary.machines import PRESETS
from pageout.vocabulary.scenario import Cgroup, Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.settings import CHOICES, DESIGNS, SYSCTLS, Sysctl
from pageout.vocabulary.units import MAX_VALUE
from pageout.workload.fio_options import ALIASES, HARMLESS, MODELLED, REFUSED, WARNED
from pageout.workload.program import TASK_EXTRAS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
TABLE = re.compile(r"<!-- table: (\w+) -->\n(?:.*?<!-- end -->\n)?", re.DOTALL)


def table(*rows: tuple[str, ...]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def default_of(key: Key) -> str:
    if key.default is None or key.default in ("", ()):
        return ""
    if key.type is bool:
        return str(key.default).lower()
    return format_limit(key, key.default) if key.unit and key.default else f"`{key.default}`"


def range_of(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.type in (bool, str):
        return "true, false" if key.type is bool else "text"
    kind = key.unit or ("number" if key.type is float else "whole number")
    if key.high == MAX_VALUE:
        return kind
    return f"{kind}, {format_limit(key, key.low)} to {format_limit(key, key.high)}"


def keys_table(keys: dict[str, Key]) -> str:
    rows = [
        (f"`{name}`", range_of(key), default_of(key), ", ".join(sorted(key.of)), key.doc) for name, key in keys.items()
    ]
    if any(row[3] for row in rows):
        return table(("key", "value", "default", "of kind", "what"), *rows)
    return table(("key", "value", "default", "what"), *[(*row[:3], row[4]) for row in rows])


def sysctl_row(name: str, sysctl: Sysctl) -> tuple[str, ...]:
    limits = f"{sysctl.low} to {sysctl.high}" + (", a size" if sysctl.is_size else "")
    return f"`{name}`", str(sysctl.default), limits, sysctl.doc


def code_list(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def tables() -> dict[str, str]:
    machine = keys_of(Machine)
    points = [name for name in CHOICES if name != "stack.bytes"]
    designs = [(f"`{name}`", *[str(choices[point]) for point in points]) for name, choices in DESIGNS.items()]
    choices = [(f"`{name}`", code_list(allowed) or "size", doc) for name, (allowed, doc) in CHOICES.items()]
    warned = [(f"`{name}`", code_list(sorted(off)), instead) for name, (off, instead) in WARNED.items()]
    return {
        "presets": table(("preset", "what"), *[(f"`{name}`", doc) for name, (doc, _) in PRESETS.items()]),
        "machine": keys_table({name: key for name, key in machine.items() if "." not in name}),
        "swap": keys_table({name[5:]: key for name, key in machine.items() if name.startswith("swap.")}),
        "disk": keys_table(keys_of(Disk)),
        "filesystem": keys_table(keys_of(Filesystem)),
        "settings": table(("sysctl", "default", "range", "what"), *[sysctl_row(*item) for item in SYSCTLS.items()]),
        "choices": table(("choice point", "values", "what"), *choices),
        "designs": table(("design", *[f"`{point}`" for point in points]), *designs),
        "run": keys_table(keys_of(Scenario)),
        "file": keys_table(keys_of(File)),
        "cgroup": keys_table(keys_of(Cgroup)),
        "task": keys_table(keys_of(Task) | TASK_EXTRAS),
        "modelled": table(("option", "how"), *[(f"`{name}`", doc) for name, doc in MODELLED.items()]),
        "warned": table(("option", "no warning at", "what is done instead"), *warned),
        "refused": table(("option", "why"), *[(f"`{name}`", why) for name, (_, why) in REFUSED.items()]),
        "harmless": code_list(sorted(HARMLESS)) + ".",
        "aliases": table(("written", "means"), *[(f"`{name}`", f"`{right}`") for name, right in ALIASES.items()]),
    }


def written_anew(page: str) -> str:
    made = tables()
    return TABLE.sub(lambda match: f"<!-- table: {match[1]} -->\n\n{made[match[1]]}\n\n<!-- end -->\n", page)


@pytest.mark.parametrize("name", ["scenario.md", "fio.md"])
def test_the_reference_page_says_what_the_code_says(name: str) -> None:
    page = (REFERENCE / name).read_text()
    assert page == written_anew(page), "run python tests/workload/test_reference.py"


def test_every_field_of_every_table_is_described() -> None:
    for struct in (Machine, Disk, Filesystem, File, Cgroup, Task):
        for key in keys_of(struct).values():
            assert len(key.doc) > 10, key.key


if __name__ == "__main__":
    for name in ("scenario.md", "fio.md"):
        (REFERENCE / name).write_text(written_anew((REFERENCE / name).read_text()))
