# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison table as a picture: for each design its figures as bars with their numbers at the end."""

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from pageout.report.charts import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW, Spec
from pageout.report.figures import Document
from pageout.report.text import compact_text, is_figure, plain
from pageout.vocabulary.units import MIB, PAGE_BYTES

LOG_FROM = 40.0  # a panel whose largest value is so many times the median gets a logarithmic scale
BAR, PANEL = 17, 116


class Panel(NamedTuple):
    """One column of bars: figure, title, unit, colour, what a value is divided by."""

    figure: str
    title: str
    unit: str
    colour: str
    per: float = 1.0


PANELS = (
    Panel("alloc_stall_s", "stalled in reclaim", "s, sum over tasks", ORANGE),
    Panel("written_by_reclaim", "written by reclaim", "MiB", YELLOW, MIB / PAGE_BYTES),
    Panel("seek_count", "disk seeks", "", GREY),
    Panel("write_mb_s", "write throughput", "MB/s", GREEN),
    Panel("throttle_slept_s", "writers throttled", "s, sum over tasks", BLUE),
    Panel("stack_max_bytes", "deepest stack", "bytes", PURPLE),
    Panel("oom_kills", "OOM kills", "tasks", ORANGE),
)


def designs_chart(runs: Sequence[Document], title: str, subtitle: str = "", *, ink: str, width: int = PANEL) -> Spec:
    """Return bars of all designs; several runs of a design are its median, with a line from lowest to highest."""
    names = list(dict.fromkeys(str(run["design"]) for run in runs))
    by_name = {name: [run["metrics"] for run in runs if run["design"] == name] for name in names}
    shown = [panel for panel in PANELS if _told_apart(panel, by_name)] or list(PANELS[:1])
    parts = [_panel(panel, by_name, number == 0, ink, width) for number, panel in enumerate(shown)]
    spec: Spec = {"hconcat": parts, "spacing": 18}
    if title:
        spec["title"] = {"text": title, "subtitle": subtitle, "offset": 14}
    return spec


def value_of(metrics: dict[str, Any], panel: Panel) -> float | None:
    """Return a panel's figure of one run; None if it does not apply."""
    if panel.figure == "written_by_reclaim":
        parts = [metrics.get(name) for name in ("written_direct", "written_kswapd")]
        value: Any = sum(part for part in parts if is_figure(part)) if any(map(is_figure, parts)) else None
    else:
        value = metrics.get(panel.figure)
    return float(value) / panel.per if is_figure(value) else None


def _told_apart(panel: Panel, by_name: dict[str, list[dict[str, Any]]]) -> bool:
    values = {value_of(metrics, panel) for rows in by_name.values() for metrics in rows} - {None}
    return len(values) > 1


def _panel(panel: Panel, by_name: dict[str, list[dict[str, Any]]], first: bool, ink: str, width: int) -> Spec:
    rows = []
    for name, runs in by_name.items():
        values = [value for metrics in runs if (value := value_of(metrics, panel)) is not None]
        row: dict[str, Any] = {"design": plain(name), "v": None, "label": "not recorded"}
        if values:
            row |= {"v": median(values), "low": min(values), "high": max(values), "label": _label(median(values))}
        rows.append(row)
    known = sorted(row["v"] for row in rows if row["v"] is not None)
    top, middle = (known[-1], median(known)) if known else (1.0, 1.0)
    smallest = next((value for value in known if value > 0), 1.0)
    scale: Spec = {"domain": [0, (top or 1) * 1.02]}
    notes = [panel.unit] if panel.unit else []
    if middle and top / middle >= LOG_FROM:
        scale |= {"type": "symlog", "constant": smallest}
        notes.append("log scale")
    x = {"field": "v", "type": "quantitative", "axis": None, "scale": scale}
    y = {
        "field": "design", "type": "nominal", "sort": None,
        "axis": {"title": None, "ticks": False, "domain": False, "labelFontSize": 12, "labelPadding": 8,
                 "labelLimit": 240} if first else None,
    }  # fmt: skip
    layers: list[Spec] = [
        {"mark": {"type": "bar", "color": panel.colour, "height": BAR - 5}, "encoding": {"x": x}},
        {
            "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "color": ink},
            "encoding": {"x": x, "text": {"field": "label"}},
        },
    ]
    if any(len(runs) > 1 for runs in by_name.values()):
        ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
        layers.insert(1, {"mark": {"type": "rule", "color": ink, "strokeWidth": 1.5}, "encoding": ends})
    return {
        "title": {"text": panel.title, "subtitle": ", ".join(notes) or " ", "fontSize": 12, "fontWeight": "bold"},
        "width": width,
        "height": {"step": BAR},
        "data": {"values": rows},
        "encoding": {"y": y},
        "layer": layers,
    }


def _label(value: float) -> str:
    return compact_text(int(value) if value == int(value) else round(value, 2 if value < 100 else 0))
