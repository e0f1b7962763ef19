# SPDX-License-Identifier: GPL-2.0-or-later
"""Write docs/explanation/how-right.md: each recording's figures, predicted beside measured; chaotic ones as a range of
seeds; and each recording of a family predicted from every other.

    python -m bench.how_right BUNDLE... [--chaotic BUNDLE]... [--family BUNDLE,BUNDLE,...]... [--picture BUNDLE]...

--chaotic: simulate with 20 seeds. --family: recordings that differ in settings; from the black box of each, the others.
--picture: draw it over time, recorded and predicted, in docs/images/how-right.svg.
--keep writes all that was found to FILE; --again FILE makes the page of what was kept, and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pageout.twin.judge import counts

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURE = DOCS / "explanation" / "how-right.md", DOCS / "images" / "how-right.svg"
SEEDS = 20
WIDEST = 10
A_SECOND = "_per_s"
HEAD = """\
# How right is it?

Made by `python -m bench.how_right` from recordings of real kernels: 6.18 on ext4 over a loop device that
is throttled by cgroup v1, each case twice; 6.1 in a virtual machine that swaps nothing, with kswapd and direct
reclaim at work. Each was simulated from what it says of its workload and device (`pageout validate`). One set of
constants for all; a machine's copy speed is taken from its own calls, what the kernel believed of the device from
the first events.

A figure is **within** if it lies within its tolerance, or within the real machine's own spread, where twins tell
it: bandwidth 5 %; levels 10 %; throttle time, requests, kswapd 15 %; number of pauses and their distribution 25 %;
longest calls (p99) 30 % where they exceed 1 ms. The **baseline** is the one-line model: rate = the smaller of
demand and limit, nobody held, levels at the limit. Where nothing of a kind happened, neither recorded nor predicted,
nothing is proven: such figures are not counted.

"""
PICTURES = """\
## Over time

Dirty and writeback pages together, recorded and predicted from the recording's own workload (`validate --plot`):

![Recorded and predicted dirty + writeback of some recordings over time]({image})

"""

CHAOTIC = """\
## Chaotic runs: a distribution

Where reclaim works through dirty pages, a tick earlier or later makes another run. Then one run is one draw: what can
be asked is whether the range in which nine of ten simulated runs lie (5 to 95 % of {seeds} seeds, each shifting all
tasks against the device's clock) covers what was recorded, and is not so wide that it would cover anything (at most
ten times its lower end).

"""
FAMILY = """\
## What if: from one recording to another

`pageout validate --from A B`: the demand of A, told by its trace and samples alone (black box), under the sysctls and
device limits in which B differs, held against B. Of B nothing else is used but how much was written. Sums are
compared a second, since some recordings write more; half again the tolerance or the spread of B's twins is allowed.
*No change* is the prediction that B is as A was.

A miss marked † is one that the white box of B itself has too, with B's own workload and start: that is the engine's
error, not that of going from A to B.

"""
WHY = """\
## Where it is wrong, and why

- **Other tasks on the CPUs** (6.18: `loose`, `tight`, `two-writers`): how busy they were is told by how late held
  writers came back. One share and one mean stand for it; its longest waits, tens of milliseconds, come too seldom.
- **Requests of two writers**: what is written in calls of 4 KiB lies in single pages, which after days of running
  follow each other in memory by chance only, so a request ends after 128 of them. Here memory is as after boot.
- **From one recording to another**: what else the machine did meanwhile goes with the demand of A, its other writers
  and how busy its CPUs were (`seq-40M-loose.1`: a fifth of the time); B had others. A miss without † may come of
  that; it was not taken apart.
- **Memory nearly full of dirty pages, and a hog** (D4): chaotic; see the distribution above. The longest stalls are
  missing, and so is the short end of the pauses: buffer heads and nodes of the page cache's tree take memory there
  (1,360 pages at the most), the limit falls a little below what is dirty, and the writer is looked at every 8 pages.
  Here they take none. The limit of A and C is up to three hundredths too high for the same reason.
- **Huge pages on demand** (E): 31 are found here, 7 were recorded; machines made alike found 2 and 10. Compaction
  gives up here as there, the two searches marking blocks for each other; but reclaim alone frees whole blocks more
  often, and the small zone DMA, in pieces there, is whole here: a request goes round 16 times for it.
- What is not modelled: several hardware queues, inode metadata, groups below groups; see [what
  is modelled](../model-support.md).
"""

Found = Mapping[str, Any]


def share(value: float | None) -> str:
    """Return a relative error or spread as a percentage; `-` for none."""
    return "-" if value is None else f"{100 * value:+.1f} %"


def number(value: float | None) -> str:
    """Return a figure in four digits; `-` for none."""
    return "-" if value is None else f"{value:,.4g}"


def name_of(path: str) -> str:
    """Return the last two parts of a recording's path."""
    return "/".join(Path(path).parts[-2:])


def judged(bundle: Found) -> list[Found]:
    """Return the figures of a recording that are judged; where nothing happened in both nothing is shown."""
    return [row for row in bundle["figures"] if counts(row)]


def page(found: Found) -> str:
    """Return the page for what was found: `plain`, `chaotic`, `families`, as `pageout validate --json` said it."""
    text = HEAD + plain_text(found["plain"])
    if found.get("pictures"):
        text += PICTURES.format(image=f"../images/{PICTURE.name}")
    if found["chaotic"]:
        text += CHAOTIC.format(seeds=found["chaotic"][0]["seeds"]) + "\n".join(chaotic_lines(found["chaotic"])) + "\n\n"
    if found["families"]:
        text += FAMILY + "\n".join(family_lines(found["families"], found["plain"])) + "\n\n"
    return text + WHY


def plain_text(found: Found) -> str:
    """Return each recording by its own workload, by figure and by recording."""
    rows = [row for bundle in found["bundles"] for row in judged(bundle)]
    within = sum(row["within"] for row in rows)
    text = f"**{within} of {len(rows)} figures of {len(found['bundles'])} recordings are within.** "
    good, known = nearer(rows, "baseline")
    text += f"Nearer than the baseline are {good} of the {known} where the two differ.\n\n"
    text += "## By figure\n\n" + "\n".join(by_figure(rows)) + "\n\n"
    text += "## By recording\n\n| recording | design | within | not within: measured, predicted, error (spread) |\n"
    text += "|---|---|---|---|\n"
    for bundle in found["bundles"]:
        missed = [
            f"`{row['name']}` {number(row['measured'])}, {number(row['predicted'])}, {share(row['error'])}"
            + (f" ({share(row['spread'])[1:]})" if row["spread"] is not None else "")
            for row in judged(bundle)
            if not row["within"]
        ]
        every = len(judged(bundle))
        text += f"| {name_of(bundle['path'])} | {bundle['design']} | {every - len(missed)} of {every} | "
        text += f"{'; '.join(missed)} |\n"
    return text + "\n"


def nearer(rows: Sequence[Found], than: str) -> tuple[int, int]:
    """Return how many predictions are nearer than another guess, of how many that are not as near as it."""
    known = [row for row in rows if row[than] is not None and row["predicted"] is not None]
    off = [(abs(row["predicted"] - row["measured"]), abs(row[than] - row["measured"])) for row in known]
    return sum(ours < theirs for ours, theirs in off), sum(ours != theirs for ours, theirs in off)


def by_figure(rows: Sequence[Found]) -> Iterator[str]:
    """Yield a table of the errors of each figure."""
    yield "| figure | judged | median error | worst | not within |"
    yield "|---|---|---|---|---|"
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        errors = [abs(row["error"]) for row in mine if row["error"] is not None]
        told = f"{share(median(errors))[1:]} | {share(max(errors))[1:]}" if errors else "- | -"
        yield f"| `{name}` | {len(mine)} | {told} | {sum(not row['within'] for row in mine)} |"


def chaotic_lines(bundles: Sequence[Found]) -> Iterator[str]:
    """Yield a table of the range of each figure of each recording."""
    for bundle in bundles:
        rows = [row for row in judged(bundle) if row.get("covers") is not None]
        good = sum(row["covers"] and row["width"] is not None and row["width"] <= WIDEST for row in rows)
        yield f"**{name_of(bundle['path'])}: {good} of {len(rows)} figures are covered by a range no wider than that.**"
        yield ""
        yield "| figure | recorded | 5 % | 95 % | width | |"
        yield "|---|---|---|---|---|---|"
        for row in bundle["figures"]:
            if row.get("covers") is None:
                continue
            verdict = "covers" if row["covers"] else "does not cover"
            verdict += "" if row in rows else " (not judged)"
            wide = "-" if row["width"] is None else f"x{row['width']:.3g}"
            ends = " | ".join(number(row[name]) for name in ("measured", "low", "high"))
            yield f"| `{row['name']}` | {ends} | {wide} | {verdict} |"


def family_lines(documents: Sequence[Found], plain: Found) -> Iterator[str]:
    """Yield how well each recording was predicted from every other that differs, together for twins."""
    own = {bundle["path"]: {row["name"]: row["within"] for row in bundle["figures"]} for bundle in plain["bundles"]}
    pairs: dict[tuple[str, str], list[Found]] = {}
    for document in documents:
        for bundle in document["bundles"]:
            if bundle["changes"]:
                pairs.setdefault((document["from_case"], bundle["case"]), []).append(bundle)
    rows = [row for bundles in pairs.values() for bundle in bundles for row in judged(bundle)]
    runs = sum(map(len, pairs.values()))
    good, known = nearer(rows, "before")
    within = sum(row["within"] for row in rows)
    yield f"**{within} of {len(rows)} figures of {runs} predictions are within.** Nearer than *no change* are {good} of"
    yield f"the {known} where the two differ."
    yield ""
    yield "| from | to | changed | within | not within: how often, median error |"
    yield "|---|---|---|---|---|"
    for (source, target), bundles in pairs.items():
        mine = [row for bundle in bundles for row in judged(bundle)]
        missed = "; ".join(_missed(bundles, own))
        changes = "; ".join(f"`{one}`" for one in bundles[0]["changes"])
        yield f"| {source} | {target} | {changes} | {sum(row['within'] for row in mine)} of {len(mine)} | {missed} |"
    yield ""
    yield from by_figure(rows)


def _missed(bundles: Sequence[Found], own: Mapping[str, Mapping[str, bool | None]]) -> Iterator[str]:
    names = dict.fromkeys(row["name"] for bundle in bundles for row in judged(bundle) if not row["within"])
    for name in names:
        rows = [(bundle, row) for bundle in bundles for row in judged(bundle) if row["name"] == name]
        off = [(bundle, row) for bundle, row in rows if not row["within"]]
        errors = [row["error"] for _, row in off if row["error"] is not None]
        too = sum(own.get(bundle["path"], {}).get(name.removesuffix(A_SECOND)) is False for bundle, _ in off)
        mark = "†" if too == len(off) else f"†{too}" if too else ""
        yield f"`{name}` {len(off)} of {len(rows)}, {_span(errors)}{mark}"


def _span(errors: Sequence[float]) -> str:
    """Return the median of errors of one sign, the ends of those of both."""
    if not errors:
        return "-"
    low, high = min(errors), max(errors)
    return share(median(errors)) if low * high > 0 else f"{share(low)} to {share(high)}"


def validated(*words: str) -> Any:
    """Return what `pageout validate --json` says.  Raises SystemExit if it cannot."""
    command = [sys.executable, "-m", "pageout", "validate", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode > 1:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def found_by(asked: argparse.Namespace) -> dict[str, Any]:
    """Run all that was asked for."""
    families = [family.split(",") for family in asked.family]
    if asked.picture:
        validated(*asked.picture, "--plot", str(PICTURE))
    return {
        "plain": validated(*asked.bundle),
        "pictures": len(asked.picture),
        "chaotic": [validated(path, "--seeds", str(SEEDS))["bundles"][0] for path in asked.chaotic],
        "families": [
            validated("--from", source, *(path for path in family if path != source))
            for family in families
            for source in family
        ],
    }


def main(words: Sequence[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.how_right")
    parser.add_argument("bundle", nargs="*")
    parser.add_argument("--chaotic", action="append", default=[])
    parser.add_argument("--family", action="append", default=[])
    parser.add_argument("--picture", action="append", default=[])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", type=Path)
    asked = parser.parse_args(words)
    found = json.loads(asked.again.read_text()) if asked.again is not None else found_by(asked)
    if asked.keep is not None:
        asked.keep.write_text(json.dumps(found, indent=1))
    PAGE.write_text(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
