# SPDX-License-Identifier: GPL-2.0-or-later
"""Several runs of one design, each from another seed: their middle, and how far apart they lie."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from pageout.report.figures import Document
from pageout.report.text import is_figure


def by_design(runs: Sequence[Document]) -> list[list[Document]]:
    """Return the runs of each design together, designs in the order in which they first came."""
    groups: dict[str, list[Document]] = {}
    for run in runs:
        groups.setdefault(str(run["design"]), []).append(run)
    return list(groups.values())


def values(group: Sequence[Document], name: str) -> list[float]:
    """Return a figure's known values over a design's runs, in order of size."""
    return sorted(value for run in group if is_figure(value := run["metrics"].get(name)))


def middle(group: Sequence[Document]) -> Document:
    """Return a document whose figures are the medians of a design's runs; the run itself if there is but one."""
    if len(group) == 1:
        return group[0]
    names = dict.fromkeys(name for run in group for name in run["metrics"])
    return {**group[0], "digest": "", "metrics": {name: _middle(values(group, name)) for name in names}}


def _middle(known: Sequence[float]) -> Any:
    if not known:
        return None
    found = median(known)
    return int(found) if found == int(found) and all(isinstance(value, int) for value in known) else found


def at_end(group: Sequence[Document], end: int) -> Document:
    """Return a document of the lowest (end 0) or highest (end -1) value of each figure."""
    names = dict.fromkeys(name for run in group for name in run["metrics"])
    found = {name: values(group, name) for name in names}
    return {**group[0], "digest": "", "metrics": {name: row[end] if row else None for name, row in found.items()}}


def apart(first: Sequence[Document], other: Sequence[Document], name: str) -> bool:
    """True if two designs' runs do not overlap in a figure: more than the seeds' noise. A single run has no noise."""
    one, two = values(first, name), values(other, name)
    if len(one) < 2 and len(two) < 2:
        return True
    return bool(one and two) and (one[-1] < two[0] or two[-1] < one[0])
