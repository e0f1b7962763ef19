# SPDX-License-Identifier: GPL-2.0-or-later
"""Levels of memory and throughput over time, one panel per design, as SVG, PNG or one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pageout.report.text import plain
from pageout.vocabulary.errors import UsageError
from pageout.vocabulary.units import MIB, PAGE_BYTES

Series = Mapping[str, Sequence[float]]  # t_s and one list per level, all of one length

SUFFIXES = (".svg", ".png", ".html")
MIB_PER_PAGE = PAGE_BYTES / MIB
POINTS = 1000  # per line: more than a panel has pixels
WIDTH, LEVELS_HEIGHT, RATE_HEIGHT = 760, 170, 70
LEVELS = (  # series, label, colour (Okabe and Ito: told apart by the colour-blind too)
    ("nr_dirty", "dirty", "#D55E00"),
    ("nr_writeback", "writeback", "#0072B2"),
    ("nr_free", "free", "#009E73"),
)
RATE, RATE_COLOUR = "written_mb_s", "#666666"
_INK, _GRID = "#222222", "#E6E6E6"


def checked_suffix(path: Path) -> str:
    """Return what kind of picture `path` asks for. Raises UsageError on any other ending."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {plain(path)}: no such kind of picture, end the name in {', '.join(SUFFIXES)}")
    return path.suffix.lower()


def plot_bytes(panels: Sequence[tuple[str, Series]], suffix: str) -> bytes:
    """Return the picture of (title, series) panels as the bytes of a file; needs neither browser nor network."""
    import altair as alt
    import vl_convert

    with alt.data_transformers.enable("default", max_rows=None):
        chart = time_chart(panels)
        if suffix == ".html":
            return str(chart.to_html(inline=True)).encode()
        spec = chart.to_dict()
    if suffix == ".png":
        return bytes(vl_convert.vegalite_to_png(spec, scale=2))
    return str(vl_convert.vegalite_to_svg(spec)).encode()


def time_chart(panels: Sequence[tuple[str, Series]]) -> Any:
    """Return the chart: for each panel memory levels above, rate of writing below; all panels to one scale."""
    import altair as alt

    end = max((series["t_s"][-1] for _, series in panels if len(series["t_s"])), default=1.0)
    top = _highest(panels, [name for name, _, _ in LEVELS]) * MIB_PER_PAGE
    fastest = _highest(panels, [RATE])
    charts = [
        alt.vconcat(
            _levels_chart(_title(title), series, end, top),
            _rate_chart(series, end, fastest),
            spacing=6,
        )
        for title, series in panels
    ]
    return (
        alt.vconcat(*charts, spacing=24)
        .configure(font="sans-serif", background="white")
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=_GRID,
            domainColor=_GRID,
            tickColor=_GRID,
            labelColor=_INK,
            titleColor=_INK,
            titleFontWeight="normal",
        )
        .configure_axisY(minExtent=40)
        .configure_title(anchor="start", fontSize=14, color=_INK)
        .configure_legend(orient="top", title=None, labelColor=_INK, symbolStrokeWidth=3)
    )


def _title(text: str) -> str:
    """Return a title that cannot end the script a page keeps it in: the plotting library does not escape it."""
    return plain(text).replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")


def _levels_chart(title: str, series: Series, end: float, top: float) -> Any:
    import altair as alt

    rows = [
        {"t": t, "MiB": pages * MIB_PER_PAGE, "level": label}
        for name, label, _ in LEVELS
        if name in series
        for t, pages in thinned(series["t_s"], series[name])
    ]
    labels, colours = [label for _, label, _ in LEVELS], [colour for _, _, colour in LEVELS]
    return (
        alt.Chart(_data(rows), title=title, width=WIDTH, height=LEVELS_HEIGHT)
        .mark_line(interpolate="step-after", strokeWidth=1.5)
        .encode(
            x=_time_axis(end, labels=False),
            y=alt.Y("MiB:Q", title="memory, MiB", scale=alt.Scale(domain=[0, top or 1])),
            color=alt.Color("level:N", scale=alt.Scale(domain=labels, range=colours)),
        )
    )


def _rate_chart(series: Series, end: float, fastest: float) -> Any:
    import altair as alt

    rows = [{"t": t, "rate": rate} for t, rate in thinned(series["t_s"], series.get(RATE, ()))]
    return (
        alt.Chart(_data(rows), width=WIDTH, height=RATE_HEIGHT)
        .mark_area(interpolate="step-after", color=RATE_COLOUR, opacity=0.6)
        .encode(
            x=_time_axis(end, labels=True),
            y=alt.Y(
                "rate:Q",
                title="written, MB/s",
                axis=alt.Axis(tickCount=3),
                scale=alt.Scale(domain=[0, fastest or 1]),
            ),
        )
    )


def _data(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    make: Any = alt.Data
    return make(values=rows)


def _time_axis(end: float, labels: bool) -> Any:
    import altair as alt

    title = "simulated time, s" if labels else None
    axis = alt.Axis(labels=labels, ticks=labels, title=title, grid=False, tickCount=10)
    return alt.X("t:Q", axis=axis, scale=alt.Scale(domain=[0, end or 1], nice=False))


def _highest(panels: Sequence[tuple[str, Series]], names: Sequence[str]) -> float:
    return max((max(series[name]) for _, series in panels for name in names if len(series.get(name, ()))), default=0.0)


def thinned(times: Sequence[float], values: Sequence[float], points: int = POINTS) -> list[tuple[float, float]]:
    """Return at most about `points` (time, value) pairs, keeping the lowest and the highest of each stretch.

    Peaks and dips are what a reader looks for: a plain every-n-th would lose them.
    """
    count = min(len(times), len(values))
    stretch = -(-2 * count // points) if count > points else 1
    if stretch <= 2:
        return list(zip(times[:count], values[:count], strict=True))
    kept = []
    for start in range(0, count, stretch):
        rows = range(start, min(start + stretch, count))
        low, high = min(rows, key=values.__getitem__), max(rows, key=values.__getitem__)
        kept += [(times[row], values[row]) for row in sorted({low, high})]
    return kept
