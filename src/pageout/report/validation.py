# SPDX-License-Identifier: GPL-2.0-or-later
"""Predicted beside measured, as tables; recorded and predicted levels, laid over each other as a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pageout.report import charts
from pageout.report.charts import BLUE, ORANGE, VEGALITE, Spec
from pageout.report.page import bare_page
from pageout.report.plot import INK, PAPER, WIDTH, lean
from pageout.report.text import counted, number_text, plain
from pageout.vocabulary.verdicts import counts, empty

Document = Mapping[str, Any]
RANGE = "range"  # the verdict on what only the range of the seeds makes right
LEGEND = (
    "error: predicted against measured. spread: of the real machine, by recordings of the same case.\n"
    "allowed: the tolerance or the spread, the larger. ok: within that. -: not judged, or not known."
)
LEGEND_BASELINE = "baseline: the rate is that of demand or device, whichever is less, levels at the limit, nobody held."
LEGEND_FROM = (
    "before: in the recording predicted from, as if nothing had changed. Half again the tolerance, or the\n"
    "spread, is allowed. _per_s: runs of different length are compared by the second."
)
LEGEND_NOTHING = "0 = 0: nothing of the kind happened, as predicted: right, but no proof; not counted."
LEGEND_RANGE = "range: beyond what is allowed, but within where nine of ten seeds lie."


def answer_text(document: Document) -> Text:
    """Return the answer: how many figures are within tolerance, and what misses most."""
    rows = [row for bundle in document["bundles"] for row in bundle["figures"] if counts(row)]
    good = sum(row["within"] for row in rows)
    nothing = sum(empty(row) for bundle in document["bundles"] for row in bundle["figures"])
    lines = [
        f"{good} of {counted(len(rows), 'figure')} within tolerance, {counted(len(document['bundles']), 'recording')}"
    ]
    misses = sorted(
        ((told["misses"], name) for name, told in document["summary"].items() if told["misses"]), reverse=True
    )
    if "from" in document:
        lines[0] += f", predicted from {plain(document['from'])}"
        told = [row for row in rows if row["before"] is not None and row["predicted"] is not None]
        off = [(abs(row["predicted"] - row["measured"]), abs(row["before"] - row["measured"])) for row in told]
        nearer, differ = sum(ours < theirs for ours, theirs in off), sum(ours != theirs for ours, theirs in off)
        lines.append(f"nearer than if nothing had changed: {nearer} of {differ}")
    if nothing:
        lines[0] += f"; {number_text(nothing)} more {'is' if nothing == 1 else 'are'} 0 in both"
    if misses:
        lines.append("beyond: " + ", ".join(f"{plain(name)} ({count})" for count, name in misses[:8]))
    lines += [_covered(bundle) for bundle in document["bundles"] if bundle["seeds"] > 1]
    return Text("\n".join(lines), style="bold")


def _covered(bundle: Document) -> str:
    """Return what so many seeds say of one recording."""
    rows = [row for row in bundle["figures"] if row.get("covers") is not None and counts(row)]
    good = sum(row["covers"] for row in rows)
    widest = max((row for row in rows if row["width"] is not None), key=lambda row: float(row["width"]), default=None)
    told = f"{plain(bundle['path'])}: the range of {bundle['seeds']} seeds (5 to 95 %) covers {good} of {len(rows)}"
    if widest is not None:
        told += f"; the widest is {_times(widest['width'])} ({plain(widest['name'])})"
    return told


def _times(width: float | None) -> str:
    return "-" if width is None else f"x{width:.3g}"


def validation_tables(document: Document) -> Group:
    """Return a table a recording, what was assumed below it."""
    parts = [part for bundle in document["bundles"] for part in _of_bundle(bundle)]
    return Group(*parts, *_assumed(document["bundles"]), Text(_legend(document)))


def _legend(document: Document) -> str:
    """Return what the columns and words mean that are there."""
    rows = [row for bundle in document["bundles"] for row in bundle["figures"]]
    lines = [LEGEND, LEGEND_FROM if "from" in document else LEGEND_BASELINE]
    if any(empty(row) for row in rows):
        lines.append(LEGEND_NOTHING)
    if any(_verdict(row) == RANGE for row in rows):
        lines.append(LEGEND_RANGE)
    return "\n".join(lines)


def _assumed(bundles: Sequence[Document]) -> list[Text]:
    """Return what was assumed: of all recordings first, then what is of one only."""
    common = [note for note in bundles[0]["notes"] if all(note in bundle["notes"] for bundle in bundles)]
    lines = ["assumed:", *(f"- {plain(note)}" for note in common)]
    for bundle in bundles:
        own = [f"- {plain(note)}" for note in bundle["notes"] if note not in common]
        lines += [plain(bundle["path"]), *own] if own else []
    return [Text("\n".join(lines)), Text("")] if len(lines) > 1 else []


def _of_bundle(bundle: Document) -> list[Any]:
    judged = [row for row in bundle["figures"] if counts(row)]
    good = sum(row["within"] for row in judged)
    head = f"{plain(bundle['path'])}  ({plain(bundle['design'])}, {bundle['box']} box)  {good} of {len(judged)}"
    parts: list[Any] = [Text(head, style="bold")]
    if "changes" in bundle:
        parts.append(Text("; ".join(map(plain, bundle["changes"])) or "nothing differs"))
    parts.append(_figures(bundle))
    if bundle["seeds"] > 1:
        parts += [Text(""), _ranges(bundle)]
    return [*parts, Text("")]


def _figures(bundle: Document) -> Table:
    other = "before" if "changes" in bundle else "baseline"
    table = _table("figure", "unit", "measured", "predicted", "error", "spread", "allowed", other, "")
    for row in bundle["figures"]:
        table.add_row(
            plain(row["name"])[:28], row["unit"], _number(row["measured"]), _number(row["predicted"]),
            _error(row["error"], row["measured"]), _error(row["spread"], row["measured"], sign=False),
            _error(row["allowed"], row["measured"], sign=False), _number(row[other]), _verdict(row),
        )  # fmt: skip
    return table


def _verdict(row: Document) -> str:
    if empty(row):
        return "0 = 0"
    error, limit = row["error"], row["allowed"]
    if row["within"] and error is not None and limit is not None and abs(error) > limit:
        return RANGE
    return {True: "ok", False: "MISS", None: "-"}[row["within"]]


def _ranges(bundle: Document) -> Table:
    """Return where nine of ten seeds lie, beside what was recorded."""
    table = _table(f"over {bundle['seeds']} seeds", "unit", "measured", "5 %", "95 %", "width", "")
    for row in bundle["figures"]:
        if "low" in row:
            covers = {True: "covers", False: "does not cover", None: "-"}[row["covers"]]
            ends = (_number(row[name]) for name in ("measured", "low", "high"))
            table.add_row(plain(row["name"])[:28], row["unit"], *ends, _times(row["width"]), covers)
    return table


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(names):
        is_text = number in (0, 1, len(names) - 1)
        table.add_column(name, justify="left" if is_text else "right", no_wrap=number > 0, overflow="fold")
    return table


def _number(value: Any) -> str:
    return "-" if value is None else number_text(value)


def _error(value: float | None, measured: Any, *, sign: bool = True) -> str:
    """Return a share in percent, or the difference where nothing was measured to take a share of."""
    if value is None:
        return "-"
    if not measured:
        return f"{value:+.4g}" if sign else f"{value:.4g}"
    return f"{value * 100:+.1f} %" if sign else f"{value * 100:.1f} %"


def levels_picture(
    pairs: Sequence[tuple[str, Mapping[str, Any] | None, Mapping[str, Any] | None]], suffix: str
) -> bytes:
    """Return a picture of dirty + writeback over time, a panel a recording: recorded, and predicted over it.

    pairs: title, recorded curve, predicted curve: t_s, dirty_mib, writeback_mib
    """
    spec: Spec = {
        "vconcat": [_panel(*pair) for pair in pairs],
        "resolve": {"scale": {"color": "independent"}},
        "config": charts.config(INK, PAPER),
        "padding": 12,
    }
    if suffix == ".html":
        return bare_page(spec)
    import vl_convert

    if suffix == ".png":
        return bytes(vl_convert.vegalite_to_png(spec, vl_version=VEGALITE, scale=2))
    return lean(str(vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE))).encode()


def _panel(title: str, recorded: Mapping[str, Any] | None, predicted: Mapping[str, Any] | None) -> Spec:
    names = ("recorded", "predicted")
    values = [
        {"t": round(t, 3), "mib": round(dirty + writeback, 3), "whose": name}
        for name, curve in zip(names, (recorded, predicted), strict=True)
        if curve is not None
        for t, dirty, writeback in zip(curve["t_s"], curve["dirty_mib"], curve["writeback_mib"], strict=True)
    ]
    colour = {"field": "whose", "type": "nominal", "scale": {"domain": names, "range": [ORANGE, BLUE]}, "title": None}
    return {
        "title": {"text": plain(title), "fontSize": 12},
        "width": WIDTH,
        "height": 160,
        "data": {"values": values},
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": {
            "x": {"field": "t", "type": "quantitative", "title": "s"},
            "y": {"field": "mib", "type": "quantitative", "title": "dirty + writeback, MiB"},
            "color": colour,
        },
    }
