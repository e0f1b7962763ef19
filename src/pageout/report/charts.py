# SPDX-License-Identifier: GPL-2.0-or-later
"""Charts as Vega-Lite specifications: of one run over virtual time, its requests and its deepest stack.

Each returns a plain dict with its data inside. Names that are not ours go in as data or titles, never as expressions.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pageout.report.figures import Document
from pageout.report.text import plain
from pageout.vocabulary.units import MIB, PAGE_BYTES

Series = Mapping[str, Sequence[float]]  # t_s and one list per level, all of one length
Spec = dict[str, Any]

MIB_PER_PAGE = PAGE_BYTES / MIB
NS_PER_S = 1e9
VEGALITE = "6.4"  # the version of the specifications; the library brings several
HEIGHT = 170
# Okabe and Ito, two of them lighter: told apart by the colour-blind, readable on white and on black.
ORANGE, BLUE, GREEN, PURPLE, YELLOW, GREY = "#D55E00", "#2F8FD0", "#009E73", "#C070A8", "#D99400", "#8A8A8A"
INK = "currentColor"  # a page's own text colour, dark or light


class Drawn(NamedTuple):
    """What is drawn of one run."""

    document: Document
    series: Series
    histograms: Mapping[str, Mapping[str, Sequence[tuple[int, int]]]]
    watermarks: Mapping[str, int]


class Line(NamedTuple):
    """One line or area of a chart over time: series, label, colour, dashed."""

    series: str
    label: str
    colour: str
    dashed: bool = False


LEVELS = (
    Line("nr_dirty", "dirty", ORANGE),
    Line("nr_writeback", "writeback", BLUE),
    Line("dirty_limit", "dirty limit", GREY, True),
    Line("background_limit", "background limit", YELLOW, True),
)
FREE = (Line("nr_free", "free", GREEN),)
WRITERS = (
    Line("written_flusher", "flusher", BLUE),
    Line("written_writer", "writing tasks", GREEN),
    Line("written_kswapd", "kswapd", YELLOW),
    Line("written_direct", "direct reclaim", ORANGE),
)
STALLS = (
    Line("alloc_stall_ns", "in direct reclaim", ORANGE),
    Line("throttle_slept_ns", "throttled", BLUE),
)


def config(ink: str = INK, background: str | None = None) -> Spec:
    """Return the look of all charts; on a page everything but the data takes the page's own text colour."""
    axis = {
        "gridColor": ink, "gridOpacity": 0.13, "domainColor": ink, "domainOpacity": 0.35, "tickColor": ink,
        "tickOpacity": 0.35, "labelColor": ink, "titleColor": ink, "titleFontWeight": "normal", "labelFontSize": 11,
        "titleFontSize": 11,
    }  # fmt: skip
    return {
        "background": background,
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "axisX": {"labelFlush": True, "labelOverlap": True},
        "axisQuantitative": {"tickCount": 6},
        "axisY": {"minExtent": 44},
        "title": {"anchor": "start", "fontSize": 13, "color": ink, "subtitleColor": ink, "subtitleFontSize": 11},
        "legend": {"orient": "top", "title": None, "labelColor": ink, "symbolStrokeWidth": 3, "labelFontSize": 11},
        "text": {"color": ink},
    }


# Over time


def levels_chart(series: Series, span: "Span") -> Spec:
    """Dirty and writeback pages beside the limits that hold them."""
    return _lines(_in_mib(series, LEVELS), LEVELS, "MiB", span, span.levels)


def free_chart(series: Series, span: "Span", watermarks: Mapping[str, int]) -> Spec:
    """Free memory by itself, on a scale of its own, above the zones' watermarks together."""
    spec = _lines(_in_mib(series, FREE), FREE, "MiB", span, span.free)
    marks = [{"y": round(pages * MIB_PER_PAGE, 3), "mark": name} for name, pages in watermarks.items()]
    y = {"field": "y", "type": "quantitative"}
    spec["layer"] += [
        {
            "data": {"values": marks},
            "mark": {"type": "rule", "strokeDash": [3, 3], "color": GREY},
            "encoding": {"y": y, "tooltip": [{"field": "mark", "title": "watermark"}, {"field": "y", "title": "MiB"}]},
        },
        {
            "data": {"values": marks[-1:]},
            "mark": {"type": "text", "align": "right", "baseline": "bottom", "dy": -2, "fontSize": 10},
            "encoding": {"y": y, "x": {"value": "width"}, "text": {"value": "watermarks: min, low, high"}},
        },
    ]
    return spec


def writers_chart(series: Series, span: "Span") -> Spec:
    """Who submitted pages for writing, MiB a second, one upon another."""
    scaled = {line.series: [v * MIB_PER_PAGE for v in series.get(line.series, ())] for line in WRITERS}
    return _lines(_rates(series["t_s"], scaled, span.points), WRITERS, "MiB/s", span, span.written, stacked=True)


def stalls_chart(series: Series, span: "Span") -> Spec:
    """Seconds that tasks waited in each second: how many waited on average."""
    scaled = {line.series: [v / NS_PER_S for v in series.get(line.series, ())] for line in STALLS}
    return _lines(_rates(series["t_s"], scaled, span.points), STALLS, "tasks waiting", span, span.stalled)


def depth_chart(series: Series, span: "Span", stack_bytes: int | None) -> Spec:
    """The deepest kernel stack met so far, beside the size of a stack."""
    line = Line("stack_max_bytes", "deepest so far", PURPLE)
    table = {"t": list(series["t_s"]), line.series: list(series.get(line.series, ()))}
    top = max([stack_bytes or 0, *table[line.series]], default=0) * 1.05
    spec = _lines(table, (line,), "bytes", span, top)
    if stack_bytes:
        spec["layer"].append(
            {
                "data": {"values": [{"y": stack_bytes}]},
                "mark": {"type": "rule", "strokeDash": [5, 3], "color": ORANGE},
                "encoding": {"y": {"field": "y", "type": "quantitative"}},
            }
        )
    return spec


class Span(NamedTuple):
    """The scales that the panels of several runs share, so that they can be compared by eye."""

    end: float
    levels: float
    free: float
    written: float
    stalled: float
    points: int

    @classmethod
    def of(cls, runs: Sequence[tuple[Series, Mapping[str, int]]]) -> "Span":
        points = min(400, max(100, 1500 // max(1, len(runs))))

        def top(lines: Sequence[Line], of: str) -> float:
            return max(
                (max(s[line.series]) for s, _ in runs for line in lines if len(s.get(line.series, ()))), default=0
            )

        def fastest(lines: Sequence[Line], scale: float, stacked: bool) -> float:
            highest = 0.0
            for s, _ in runs:
                rates = _rates(s["t_s"], {n.series: [v * scale for v in s.get(n.series, ())] for n in lines}, points)
                columns = [rates[line.series] for line in lines if rates[line.series]]
                rows = zip(*columns, strict=True)
                highest = max([highest, *(sum(row) if stacked else max(row) for row in rows)])
            return highest

        marks = max((pages for _, w in runs for pages in w.values()), default=0)
        return cls(
            end=max((s["t_s"][-1] for s, _ in runs if len(s["t_s"])), default=1.0) or 1.0,
            levels=top(LEVELS, "levels") * MIB_PER_PAGE,
            free=max(top(FREE, "free"), marks) * MIB_PER_PAGE,
            written=fastest(WRITERS, MIB_PER_PAGE, True),
            stalled=fastest(STALLS, 1 / NS_PER_S, False),
            points=points,
        )


def _in_mib(series: Series, lines: Sequence[Line]) -> dict[str, list[float]]:
    table = {line.series: [v * MIB_PER_PAGE for v in series.get(line.series, ())] for line in lines}
    return {"t": list(series["t_s"])} | table


def _rates(times: Sequence[float], totals: Mapping[str, Sequence[float]], points: int) -> dict[str, list[float]]:
    """Return what running totals grew by, a second, over at most `points` stretches of time, each at its start.

    Stretches of about equal length: the odd sample at a run's very end joins the one before it.
    """
    count = len(times)
    step = max(1, -(-count // points))
    rows = [*range(0, max(count - step // 2 - 1, 0), step), count - 1] if count > 1 else []
    if len(rows) > 2 and times[rows[-1]] - times[rows[-2]] < 0.5 * (times[rows[1]] - times[rows[0]]):
        del rows[-2]
    pairs = list(itertools.pairwise(rows))
    table = {
        name: [(values[b] - values[a]) / (times[b] - times[a]) for a, b in pairs] if len(values) == count else []
        for name, values in totals.items()
    }
    return {"t": [times[a] for a, _ in pairs]} | table


def kept_rows(columns: Sequence[Sequence[float]], points: int) -> list[int]:
    """Return at most about `points` rows, keeping each column's lowest and highest of each stretch.

    Peaks and dips are what a reader looks for: a plain every-n-th would lose them.
    """
    count = min(map(len, columns), default=0)
    if count <= points:
        return list(range(count))
    stretch = -(-count * 2 * len(columns) // points)
    kept: set[int] = {0, count - 1}
    for start in range(0, count, stretch):
        rows = range(start, min(start + stretch, count))
        for column in columns:
            kept |= {min(rows, key=column.__getitem__), max(rows, key=column.__getitem__)}
    return sorted(kept)


def _lines(
    table: Mapping[str, Sequence[float]],
    lines: Sequence[Line],
    unit: str,
    span: Span,
    top: float,
    stacked: bool = False,
) -> Spec:
    """Return lines (or stacked areas) over time with a rule under the pointer that tells all values there."""
    shown = [line for line in lines if len(table.get(line.series, ()))]
    labels, colours = [line.label for line in shown], [line.colour for line in shown]
    rows = kept_rows([table[line.series] for line in shown], span.points)
    x = {
        "field": "t", "type": "quantitative", "scale": {"domain": [0, span.end], "nice": False},
        "axis": {"title": "simulated time, s", "grid": False, "tickCount": 8},
    }  # fmt: skip
    y = {
        "field": "v", "type": "quantitative", "title": unit,
        "scale": {"domain": [0, top or 1], "nice": True, "clamp": True},
    }  # fmt: skip
    colour = {"field": "s", "type": "nominal", "scale": {"domain": labels, "range": colours}}
    if stacked:
        mark: Spec = {"type": "area", "interpolate": "step-after", "opacity": 0.85}
        order = {"field": "rank", "type": "ordinal"}
        encoding: Spec = {"x": x, "y": y | {"stack": "zero"}, "color": colour, "order": order}
    else:
        mark = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5}
        encoding = {"x": x, "y": y, "color": colour}
        if any(line.dashed for line in shown):
            dashes = [[4, 3] if line.dashed else [1, 0] for line in shown]
            encoding["strokeDash"] = {"field": "s", "type": "nominal", "scale": {"domain": labels, "range": dashes}}
    ranks = " : ".join([*(f"datum.s === '{label}' ? {rank}" for rank, label in enumerate(labels)), "0"])
    hover: Spec = {
        "params": [
            {"name": "at", "select": {"type": "point", "fields": ["t"], "nearest": True, "on": "pointermove",
                                      "clear": "pointerout"}}
        ],
        "mark": {"type": "rule", "color": INK},
        "encoding": {
            "x": x,
            "opacity": {"condition": {"param": "at", "empty": False, "value": 0.4}, "value": 0},
            "tooltip": [
                {"field": "t", "type": "quantitative", "title": "s"},
                *({"field": label, "type": "quantitative", "format": ",.4~r"} for label in labels),
            ],
        },
    }  # fmt: skip
    fold: list[Spec] = [{"fold": labels, "as": ["s", "v"]}]
    if stacked:
        fold.append({"calculate": ranks, "as": "rank"})
    return {
        "width": "container",
        "height": HEIGHT,
        "data": _rows(["t", *labels], [table["t"], *(table[line.series] for line in shown)], rows),
        "layer": [{"transform": fold, "mark": mark, "encoding": encoding}, hover],
    }


def _rows(names: Sequence[str], columns: Sequence[Sequence[float]], rows: Sequence[int]) -> Spec:
    """Return columns of numbers as Vega data, to six digits: more than a chart shows."""
    return {"values": [{n: float(f"{c[row]:.6g}") for n, c in zip(names, columns, strict=True)} for row in rows]}


# Requests and stacks


def bounds_text(kib: int) -> str:
    """Return a lower bound in KiB as people read it: 4K, 2M, 1G."""
    for letter, size in (("G", 1 << 20), ("M", 1 << 10)):
        if kib >= size:
            return f"{kib // size}{letter}"
    return f"{kib}K"


def octaves_chart(rows: Sequence[tuple[int, int]], title: str, colour: str) -> Spec:
    """A histogram by powers of two: the label is the lower bound."""
    values = [{"from": bounds_text(bound), "n": count} for bound, count in rows]
    return {
        "width": "container",
        "height": HEIGHT,
        "data": {"values": values},
        "mark": {"type": "bar", "color": colour},
        "encoding": {
            "x": {
                "field": "from",
                "type": "ordinal",
                "sort": None,
                "axis": {"title": title, "labelAngle": 0, "labelFlush": False},
            },
            "y": {"field": "n", "type": "quantitative", "title": "requests"},
            "tooltip": [{"field": "from", "title": "from"}, {"field": "n", "title": "requests", "format": ","}],
        },
    }


def functions_chart(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """The deepest stack: bytes of each function, outermost first, as the chain was entered."""
    values = [
        {"n": n, "name": f"{plain(row['location'])}", "size": row["size"], "depth": row["depth"]}
        for n, row in enumerate(reversed(rows))
    ]
    names = {str(row["n"]): row["name"] for row in values}
    return {
        "width": "container",
        "height": 15 * max(2, len(values)),
        "data": {"values": [row | {"place": f"{row['n']:03d} {names[str(row['n'])]}"} for row in values]},
        "encoding": {
            "y": {
                "field": "place", "type": "ordinal", "sort": None,
                "axis": {"title": None, "labelExpr": "substring(datum.label, 4)", "labelLimit": 260},
            },
            "tooltip": [
                {"field": "name", "title": "function"},
                {"field": "size", "title": "bytes"},
                {"field": "depth", "title": "depth"},
            ],
        },
        "layer": [
            {
                "mark": {"type": "bar", "color": PURPLE},
                "encoding": {"x": {"field": "size", "type": "quantitative", "title": "bytes of stack"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 10},
                "encoding": {"x": {"field": "size", "type": "quantitative"}, "text": {"field": "size"}},
            },
        ],
    }  # fmt: skip
