# SPDX-License-Identifier: GPL-2.0-or-later
"""Why reclaim wrote and why tasks reclaimed, as an answer, tables and examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from pageout.report import table as tables
from pageout.report.reading import percent
from pageout.report.text import counted, is_figure, literal, number_text, plain

Document = dict[str, Any]

WRITE_CAUSES = {
    "swap": "anonymous memory: only reclaim writes it, to swap",
    "redirtied": "had been written before and was dirtied again",
    "zone": "its zone holds far more than its share of the dirty pages",
    "file-order": "the flusher was in this very file, at younger pages elsewhere",
    "inode-age": "its inode was stamped anew, so that younger pages of others went first",
    "background": "the background threshold was not reached: nobody had been asked to write",
    "inode-queue": "its inode waited while the flusher wrote younger pages of others",
    "device": "the device was saturated: flushers were still at older pages",
    "unknown": "none of these",
    "clustered": "went along in the cluster of a page that reclaim wanted",
}
UNWANTED = ("swap", "clustered")  # of no file page that reclaim itself came upon
RECLAIM_CAUSES = {
    "fragmented": "enough memory was free, but in pieces too small for the order asked for",
    "exhausted": "nothing was left that could be reclaimed",
    "burst": "a burst crossed the gap between the marks before kswapd had freed anything to speak of",
    "kswapd-device": "kswapd slept on the device, in a page it wrote itself",
    "kswapd-waits": "kswapd waited, having met too many pages it could not free",
    "tail": "kswapd ran, but freed less than half of what it scanned",
    "outrun": "kswapd ran and freed, and tasks took memory faster",
}
FACTS = {
    "redirtied": "written before, dirtied again",
    "zone-over-share": "zone over its share",
    "below-background": "below the background threshold",
    "inode-restamped": "inode stamped anew since",
    "device-busy": "device saturated",
    "inode-being-written": "flusher in the same file",
    "inodes-ahead": "inode behind others",
    "flusher-idle": "flusher idle",
    "expired": "dirty for longer than dirty_expire",
    "under-1s": "dirty for less than a second",
    "younger-first": "flusher busy with younger pages",
}


class Ablated(NamedTuple):
    """The same workload with one suspected mechanism off, or all."""

    name: str
    instead: str
    document: Document


def file_writes(why: Document) -> int:
    """File pages written by reclaim; swap is left out, which nobody else writes."""
    return int(sum(row["count"] for row in why["writes"]["causes"] if row["cause"] != "swap"))


def _by_direct(document: Document) -> int:
    """Those of them that tasks wrote which needed memory."""
    written = document["metrics"].get("written_direct")
    rows: list[Document] = document["why"]["writes"]["causes"]
    if not is_figure(written):
        return int(sum(row["by_direct"] for row in rows if row["cause"] != "swap"))
    return int(written) - int(sum(row["by_direct"] for row in rows if row["cause"] == "swap"))


def _refused(why: Document) -> list[str]:
    if not why.get("refused"):
        return []
    return [f"It asked for {counted(why['refused'], 'page')} more, which the filesystem refused: they stayed dirty."]


def answer(document: Document) -> list[str]:
    """Return what was found, in a few sentences."""
    why, metrics = document["why"], document["metrics"]
    pages = file_writes(why)
    reclaims = why["direct_reclaims"]["total"]
    everybody = [metrics.get(f"written_{who}") for who in ("direct", "kswapd", "flusher", "writer")]
    sentences = []
    if pages:
        total = sum(value for value in everybody if is_figure(value))
        by_direct = _by_direct(document)
        share = f", {percent(pages, total)} of all that was written" if total else ""
        sentences.append(
            f"Reclaim wrote {counted(pages, 'file page')}{share}: {number_text(by_direct)} from tasks that needed "
            f"memory, {number_text(pages - by_direct)} from kswapd."
        )
        sentences += _main_cause(why["writes"], WRITE_CAUSES, _asked(why["writes"]))
    else:
        sentences.append(
            "Reclaim wrote no file page: flushers and writers cleaned everything before reclaim came to it."
        )
    sentences += _refused(why)
    if reclaims:
        stalled = metrics.get("alloc_stall_s")
        sentences.append(
            f"Tasks entered direct reclaim {counted(reclaims, 'time')}"
            + (f" and were held there for {number_text(stalled)} s in all." if is_figure(stalled) else ".")
        )
        sentences += _main_cause(why["direct_reclaims"], RECLAIM_CAUSES, "of the direct reclaims")
    else:
        sentences.append("No task had to reclaim for itself: kswapd was in time.")
    return sentences


def _asked(table: Document) -> str:
    """What a share of the causes is a share of: where neighbours went along, reclaim did not choose all it wrote."""
    if all(row["cause"] != "clustered" for row in table["causes"]):
        return "of what reclaim wrote"
    asked = sum(row["count"] for row in table["causes"] if row["cause"] not in UNWANTED)
    along = sum(row["count"] for row in table["causes"] if row["cause"] == "clustered")
    went = "1 went" if along == 1 else f"{number_text(along)} went"
    return f"of the {counted(asked, 'page')} that reclaim asked for ({went} along in their clusters)"


def _main_cause(table: Document, meanings: dict[str, str], of_what: str) -> list[str]:
    rows = [row for row in table["causes"] if row["cause"] not in UNWANTED]
    if not rows:
        return []
    first = rows[0]
    share = 100 * first["count"] / sum(row["count"] for row in rows)
    return [f"Main cause, {share:.0f} % {of_what}: {meanings[first['cause']]} ({first['cause']})."]


def ablation_reading(base: Document, runs: Sequence[Ablated]) -> list[str]:
    """Say which mechanism matters most here, and what is left without all of them."""
    whole = file_writes(base["why"])
    if not whole or not runs:
        return []
    left = {run.name: file_writes(run.document["why"]) for run in runs}
    single = {name: pages for name, pages in left.items() if name != ALL}
    sentences = []
    if single:
        best = min(single, key=lambda name: (single[name], name))
        gone = 100 * (whole - single[best]) / whole
        alike = sorted(name for name, pages in single.items() if pages == single[best])
        if gone >= 1:
            share = percent(whole - single[best], whole)
            sentences.append(f"Without {' or '.join(alike)} alone, {share} of reclaim's writing disappears.")
        else:
            sentences.append("No single mechanism of these, switched off, makes reclaim write 1 % less.")
    if ALL in left:
        gone = 100 * (whole - left[ALL]) / whole
        verb = "disappears" if gone >= 0 else "is added"
        sentences.append(f"Without all of them, {abs(gone):.0f} % {verb}.")
    return sentences


ALL = "all of these"


def writes_table(why: Document) -> Table | None:
    """Return the causes of reclaim's writing; None if it wrote nothing."""
    return _causes_table("pages written by reclaim", why["writes"], WRITE_CAUSES, dirty=True)


def reclaims_table(why: Document) -> Table | None:
    """Return the causes of direct reclaims; None if there was none."""
    return _causes_table("direct reclaims", why["direct_reclaims"], RECLAIM_CAUSES, dirty=False)


def _causes_table(title: str, table: Document, meanings: dict[str, str], dirty: bool) -> Table | None:
    if not table["total"]:
        return None
    shown = tables._table(title)
    shown.add_column("cause\n", no_wrap=True)
    shown.add_column("pages\n" if dirty else "times\n", justify="right", no_wrap=True)
    shown.add_column("share\n%", justify="right", no_wrap=True)
    shown.add_column("dirty for\ns, mean" if dirty else "kswapd up\ns, mean", justify="right", no_wrap=True)
    shown.add_column("what it means\n")
    found = {row["cause"]: row for row in table["causes"]}
    names = [row["cause"] for row in table["causes"]]
    names += [name for name in ("unknown",) if name in meanings and name not in found]
    for name in names:
        row = found.get(name, {"count": 0, "share": 0.0, "mean_ms": None})
        seconds = row["mean_ms"] / 1000 if row["mean_ms"] is not None else None
        shown.add_row(
            name, number_text(row["count"]), f"{100 * row['share']:.1f}", number_text(seconds), meanings[name]
        )
    return shown


def facts_table(why: Document) -> Table | None:
    """Return which facts held, however many at once; None if reclaim wrote no file page."""
    held = [(FACTS[name], share) for name, share in why["facts"].items() if share]
    if not held:
        return None
    table = tables._table("what held of those pages (several may)", show_header=False, gap=2)
    table.add_column("fact")
    table.add_column("share", justify="right")
    table.add_column("bar")
    for text, share in sorted(held, key=lambda row: -row[1]):
        table.add_row(text, f"{100 * share:.1f} %", "#" * max(1, round(40 * share)))
    return table


def examples_text(why: Document, per_cause: int = 2) -> Text | None:
    """Return examples of each cause, with page, inode and time."""
    lines = []
    for row in why["writes"]["causes"]:
        lines += [_write_line(row["cause"], example) for example in row["examples"][:per_cause]]
    for row in why["direct_reclaims"]["causes"]:
        lines += [_reclaim_line(row["cause"], example) for example in row["examples"][:per_cause]]
    if not lines:
        return None
    return Text.assemble(("examples (time in s, task, cause)\n", "bold"), "\n".join(lines), "\n")


def _write_line(cause: str, example: Document) -> str:
    ahead = example["inodes_ahead"]
    behind = f", {counted(ahead, 'inode')} ahead" if ahead else ""
    return (
        f"{example['time_s']:>10.6f} {_who(example)} {cause:<13} page {example['page']} (inode {example['inode']}, "
        f"index {example['index']}) dirty {example['dirty_ms'] / 1000:.2f} s{behind}"
    )


def _reclaim_line(cause: str, example: Document) -> str:
    return (
        f"{example['time_s']:>10.6f} {_who(example)} {cause:<13} order {example['order']}, "
        f"kswapd woken {example['kswapd_awake_ms'] / 1000:.2f} s before"
    )


def _who(example: Document) -> str:
    return f"{plain(example['task'])[:16]}-{example['pid']}".ljust(21)


def ablation_table(base: Document, runs: Sequence[Ablated]) -> Table | None:
    """Return what is left of reclaim's writing with each suspected mechanism off; None without any run."""
    if not runs:
        return None
    whole = file_writes(base["why"])
    table = tables._table("what if a suspected mechanism were off")
    table.add_column("off\n", no_wrap=True)
    for label in ("reclaim\nwrote", "change\n%", "direct\nreclaims", "stalled\ns", "MB/s\n"):
        table.add_column(label, justify="right", no_wrap=True)
    table.add_column("instead\n")
    table.add_row("(nothing)", *_ablated_cells(base, whole), "")
    for run in runs:
        table.add_row(literal(run.name), *_ablated_cells(run.document, whole), run.instead)
    return table


def _ablated_cells(document: Document, whole: int) -> list[str]:
    pages = file_writes(document["why"])
    metrics = document["metrics"]
    return [
        number_text(pages),
        f"{100 * (pages - whole) / whole:+.0f}" if whole else "-",
        number_text(document["why"]["direct_reclaims"]["total"]),
        number_text(metrics.get("alloc_stall_s")),
        number_text(metrics.get("write_mb_s")),
    ]
