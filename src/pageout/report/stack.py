# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel stack as people read it: sentences, sums by layer as bars, the table the stack tracer prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from pageout.analysis.stack import LEAF_BYTES
from pageout.report.table import WIDTH, reading_text
from pageout.report.text import counted, joined, plain

NOT_SHOWN = "not shown"
BAR = 40
_NUMBERS = {2: "twice", 3: "three times", 4: "four times"}


def sentences(document: dict[str, Any], recorded: bool) -> list[str]:
    """Return the answer in words: depth, margin, the greediest layer, recursion, what cannot be seen."""
    depth, size = document["depth_bytes"], document["stack_bytes"]
    left, margin = document["bytes_left"], document["margin_bytes"]
    said = [_depth_sentence(document)]
    layers = document["layers"]
    most = max(layers, key=lambda layer: layers[layer])
    said.append(f"most goes to the {_layer_words(most)}: {layers[most]:,} bytes, {100 * layers[most] // depth} %")
    if len(document["path"]) > 1:
        said.append("on the stack, outermost first: " + " > ".join(map(plain, document["path"])))
    said += _recursion_sentences(document)
    if document["not_shown_bytes"]:
        said.append(f"{document['not_shown_bytes']:,} bytes belong to outer functions that the table does not show")
    if recorded:
        low, high = (depth + more for more in LEAF_BYTES)
        fits = "that would fit" if high <= size - document["thread_info_bytes"] else "that would not fit"
        said.append(
            f"the tracer misses untraced leaf functions, {LEAF_BYTES[0]} to {LEAF_BYTES[1]} bytes on the machines of "
            f"2010: really up to {low:,} to {high:,} bytes; {fits}" * (left >= 0 or margin < 0)
        )
    assumed = sum(entry["size"] for entry in document["entries"] if entry.get("assumed"))
    if assumed:
        said.append(f"{assumed:,} bytes of it are sizes we assumed, marked ~; the others are from recorded traces")
    said.append(f"stack of {size:,} bytes: {plain(document['stack_bytes_from'])}")
    return [sentence for sentence in said if sentence]


def _layer_words(layer: str) -> str:
    return "functions no layer is known for" if layer == "other" else f"{layer} layer" if layer != "VM" else "VM"


def _depth_sentence(document: dict[str, Any]) -> str:
    depth, size, left, info = (
        document[name] for name in ("depth_bytes", "stack_bytes", "bytes_left", "thread_info_bytes")
    )
    text = f"deepest {depth:,} of {size:,} bytes: "
    if left < 0:
        return text + f"OVERFLOW, {-left:,} bytes beyond the end of the stack"
    if left < info:
        return text + f"OVERFLOW, {info - left:,} bytes into thread_info at its low end (about {info} bytes)"
    beside = f", {left - info:,} above thread_info" if info else ""
    return text + f"{left:,} left{beside}"


def _recursion_sentences(document: dict[str, Any]) -> list[str]:
    said, path = [], [phase for phase in document["path"] if phase != "the page allocator"]
    named = [item for item in document["recursion"] if item["what"].startswith("the ")]
    for item in named:
        where = joined([f"{depth:,}" for depth in item["depths"]])
        times = _NUMBERS.get(item["times"], f"{item['times']} times")
        text = f"{item['what']} is entered {times}, at {where} bytes"
        if item["what"] == "the page allocator" and "reclaim" in path:
            around = [phase for phase in path[: len(path) - 1 - path[::-1].index("reclaim")] if phase != "reclaim"]
            if around:
                text += ": reclaim runs inside " + " inside ".join(map(plain, around[::-1][:4]))
        said.append(text)
    again = [item for item in document["recursion"] if item not in named]
    if again:
        shown = [f"{plain(item['what'])} ({item['times']})" for item in again[:6]]
        more = f" and {counted(len(again) - 6, 'more')}" if len(again) > 6 else ""
        said.append(f"functions on it more than once: {', '.join(shown)}{more}")
    return said


def layers_text(document: dict[str, Any]) -> Text:
    """Return the sums by layer as bars."""
    layers = dict(document["layers"])
    if document["not_shown_bytes"]:
        layers[NOT_SHOWN] = document["not_shown_bytes"]
    total, most = sum(layers.values()), max(layers.values())
    lines = [
        f"{layer:<12} {nbytes:>7,} {100 * nbytes / total:>5.1f} %  {'#' * max(1, BAR * nbytes // most)}"
        for layer, nbytes in layers.items()
    ]
    return Text.assemble(("bytes by layer\n", "bold"), "\n".join(lines))


def table_text(document: dict[str, Any], title: str) -> Text:
    """Return the table as the stack tracer prints it, with a column for the layer."""
    entries = document["entries"]
    lines = [
        f"        Depth    Size   Layer         Location    ({len(entries)} entries)",
        "        -----    ----   -----         --------",
    ]
    for n, entry in enumerate(entries):
        mark = "~" if entry.get("assumed") else " "
        head = f"{n:>3}) {entry['depth']:>8} {entry['size']:>7}{mark}  {entry['layer']:<13} "
        lines.append(head + _cut(plain(entry["location"]), WIDTH - len(head)))
    return Text.assemble((f"{plain(title)}\n", "bold"), "\n".join(lines))


def tracer_text(rows: Sequence[tuple[int, int, str]]) -> str:
    """Return (depth, size, location) of a stack, innermost first, as the kernel's stack_trace file has them.

    Source: Linux v2.6.34 kernel/trace/trace_stack.c:t_show.
    """
    head = [f"        Depth    Size   Location    ({len(rows)} entries)", "        -----    ----   --------"]
    return (
        "\n".join([*head, *(f"{n:3}) {depth:8}   {size:5}   {where}" for n, (depth, size, where) in enumerate(rows))])
        + "\n"
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def list_text(tables: Sequence[dict[str, Any]]) -> Text:
    """Return one line a table, for a file that holds several."""
    lines = [
        f"line {table['line']:>7,} {table['depth_bytes']:>7,} bytes {len(table['entries']):>4} entries  "
        + _cut(plain(table["entries"][0]["location"]), WIDTH - 44)
        for table in tables
    ]
    shown = lines[:40] + ([f"and {len(lines) - 40:,} more: --json has them"] if len(lines) > 40 else [])
    return Text.assemble((f"{len(lines)} tables, in order\n", "bold"), "\n".join(shown))


def answer_text(document: dict[str, Any], recorded: bool, more: Sequence[str] = ()) -> Text:
    """Return the answer as a list of sentences."""
    return reading_text([*sentences(document, recorded), *more])
