# SPDX-License-Identifier: GPL-2.0-or-later
"""Write docs/explanation/how-right.md: each recording's figures, predicted beside measured.

    python -m bench.how_right BUNDLE... [--json FILE]

--json takes what `pageout validate BUNDLE... --json` printed before; without it, that command is run here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "how-right.md"
HEAD = """\
# How right is it?

Made by `python -m bench.how_right BUNDLE...` from recordings of real kernels: 6.18 on ext4 over a loop device that
is throttled by cgroup v1, each case twice; 6.1 in a virtual machine that swaps nothing, with kswapd and direct
reclaim at work. Each was simulated from what it says of its workload and device (`pageout validate`). One set of
constants for all; a machine's copy speed is taken from its own calls, what the kernel believed of the device from
the first events.

A figure is **within** if it lies within its tolerance, or within the real machine's own spread, where twins tell
it: bandwidth 5 %; levels 10 %; throttle time, requests, kswapd 15 %; number of pauses and their distribution 25 %;
longest calls (p99) 30 % where they exceed 1 ms. The **baseline** is the one-line model: rate = the smaller of
demand and limit, nobody held, levels at the limit.

"""
WHY = """\
## Where it is wrong, and why

- **Levels of 6.18 under a throttle of its own**: recorded twins differ by up to 37 % in dirty + writeback. Ours
  lies above both where the flusher was late, or another device took part of the share for seconds: activity of
  other devices is only known as dirty pages at the start.
- **Number of pauses on 6.18**: a pause of two ticks more or less makes a fifth. The writer's own time between two
  checks is one figure (copy speed); the real one varies with caches and with what else runs on its CPU.
- **Memory nearly full of dirty pages, and a hog** (D4): chaotic; one seed is one draw of it.
- **Huge pages on demand** (E): compaction here moves pages one by one and knows no kcompactd; reclaim for order 9
  takes more.
- What is not modelled: MGLRU, `strictlimit`, several hardware queues, kcompactd, inode metadata; see [what
  is modelled](../model-support.md).
"""


def share(value: float | None) -> str:
    """Return a relative error or spread as a percentage; `-` for none."""
    return "-" if value is None else f"{100 * value:+.1f} %"


def number(value: float | None) -> str:
    """Return a figure in four digits; `-` for none."""
    return "-" if value is None else f"{value:,.4g}"


def page(found: dict[str, Any]) -> str:
    """Return the page for what `pageout validate --json` found."""
    judged = [f for bundle in found["bundles"] for f in bundle["figures"] if f["within"] is not None]
    within = sum(f["within"] for f in judged)
    known = [f for f in judged if f["baseline"] is not None and f["predicted"] is not None]
    nearer = sum(abs(f["predicted"] - f["measured"]) < abs(f["baseline"] - f["measured"]) for f in known)
    text = HEAD + f"**{within} of {len(judged)} figures of {len(found['bundles'])} recordings are within.** "
    text += f"Nearer than the baseline are {nearer} of the {len(known)} that it says anything of.\n\n"
    text += "## By figure\n\n| figure | recordings | median error | worst | not within |\n|---|---|---|---|---|\n"
    for name, row in found["summary"].items():
        if row["n"]:
            errors = f"{share(row['median'])[1:]} | {share(row['worst'])[1:]}"
            text += f"| `{name}` | {row['n']} | {errors} | {row['misses']} |\n"
    text += "\n## By recording\n\n| recording | design | within | not within: measured, predicted, error (spread) |\n"
    text += "|---|---|---|---|\n"
    for bundle in found["bundles"]:
        figures = [f for f in bundle["figures"] if f["within"] is not None]
        missed = [
            f"`{f['name']}` {number(f['measured'])}, {number(f['predicted'])}, {share(f['error'])}"
            + (f" ({share(f['spread'])[1:]})" if f["spread"] is not None else "")
            for f in figures
            if not f["within"]
        ]
        name = "/".join(Path(bundle["path"]).parts[-2:])
        text += (
            f"| {name} | {bundle['design']} | {len(figures) - len(missed)} of {len(figures)} | {'; '.join(missed)} |\n"
        )
    return text + "\n" + WHY


def main(words: Sequence[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.how_right")
    parser.add_argument("bundle", nargs="*")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(words)
    if asked.json is not None:
        text = asked.json.read_text()
    else:
        done = subprocess.run(
            [sys.executable, "-m", "pageout", "validate", *asked.bundle, "--json"], stdout=subprocess.PIPE, check=False
        )
        if done.returncode > 1:
            return done.returncode
        text = done.stdout.decode()
    PAGE.write_text(page(json.loads(text)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
