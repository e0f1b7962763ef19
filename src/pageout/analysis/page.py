# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of docs/reference/frames.md: `python -m pageout.analysis.page > docs/reference/frames.md`."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from pageout.analysis import (
    block,
    compaction,
    journal,
    oom,
    postprocess,
    reclaim,
    reclaim_steps,
    slab,
    stalls,
    writeback,
)
from pageout.analysis.needs import Needing

_MODULES = (stalls, reclaim, reclaim_steps, slab, writeback, block, compaction, oom, journal, postprocess)
_HEAD = """\
# Frames of the analysis

Functions of `pageout.analysis`: each takes the events of a recording, real or simulated, and returns a polars frame.
Each names the tracepoints it needs and raises `MissingEventError` without them: what was not recorded is null or an
error, never 0. Times are nanoseconds of the trace's clock, `line` is that of the file. Nothing is concluded across a
hole: where events were lost a new `segment` begins. The events themselves are in [events.md](events.md).

```python
from pageout.analysis.stalls import df_wait_totals
from pageout.readers.read import read_input

print(df_wait_totals(read_input("trace.txt").events))
```
"""


def reference() -> str:
    """Return the page."""
    parts = [_HEAD]
    for module in _MODULES:
        parts.append(f"\n## {module.__name__.removeprefix('pageout.')}\n\n{_flowing(module)}\n")
        parts += [
            f"\n### {function.__name__}\n\nNeeds {_needs(function)}.\n\n{_flowing(function)}\n"
            for function in vars(module).values()
            if isinstance(function, Needing) and function.__module__ == module.__name__
        ]
    return "".join(parts)


def _needs(function: Needing[Any, Any]) -> str:
    return ", and ".join(" or ".join(f"`{name}`" for name in need.split("|")) for need in function.events)


def _flowing(documented: object) -> str:
    return inspect.cleandoc(str(documented.__doc__)).strip()


if __name__ == "__main__":
    sys.stdout.write(reference())
