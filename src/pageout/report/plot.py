# SPDX-License-Identifier: GPL-2.0-or-later
"""`--plot`: one run over virtual time, or several designs' figures as bars; SVG, PNG or one self-contained page."""

import re
from collections.abc import Sequence
from pathlib import Path

from pageout.report import charts
from pageout.report.charts import VEGALITE, Drawn, Spec
from pageout.report.contrast import finding
from pageout.report.designs_chart import designs_chart
from pageout.report.page import bare_page
from pageout.report.text import plain
from pageout.vocabulary.errors import UsageError

SUFFIXES = (".svg", ".png", ".html")
INK, PAPER = "#222222", "#FFFFFF"  # a picture brings its own paper: a dark page must not swallow the ink
WIDTH = 760


def checked_suffix(path: Path) -> str:
    """Return what kind of picture `path` asks for. Raises UsageError on any other ending."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {plain(path)}: no such kind of picture, end the name in {', '.join(SUFFIXES)}")
    return path.suffix.lower()


def plot_bytes(runs: Sequence[Drawn], suffix: str) -> bytes:
    """Return the picture of one run over time, or of several beside each other, as the bytes of a file."""
    spec = picture(runs)
    if suffix == ".html":
        return bare_page(spec)
    import vl_convert

    if suffix == ".png":
        return bytes(vl_convert.vegalite_to_png(spec, vl_version=VEGALITE, scale=2))
    return lean(str(vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE))).encode()


def picture(runs: Sequence[Drawn]) -> Spec:
    """Return the whole specification of a picture."""
    documents = [run.document for run in runs]
    if len({document["design"] for document in documents}) > 1:
        seeds = len({document["seed"] for document in documents})
        what = f"{documents[0]['workload']} on {documents[0]['machine']}, {documents[0]['sim_seconds']:g} s simulated"
        what += f"; median of {seeds} seeds, line: lowest to highest" if seeds > 1 else ""
        spec = designs_chart(documents, plain(finding(documents)), plain(what), ink=INK)
    else:
        spec = time_picture(runs[0])
    return spec | {"config": charts.config(INK, PAPER), "padding": 12}


def time_picture(run: Drawn) -> Spec:
    """Return one run's panels over time, one under the other."""
    span = charts.Span.of([(run.series, run.watermarks)])
    if not run.series["t_s"]:
        return {"title": plain(run.document["design"]), "mark": "text", "data": {"values": []}}
    panels = [
        ("dirty and writeback", charts.levels_chart(run.series, span)),
        ("free memory", charts.free_chart(run.series, span, run.watermarks)),
        ("who wrote", charts.writers_chart(run.series, span)),
        ("waiting", charts.stalls_chart(run.series, span)),
    ]
    title = f"{plain(run.document['workload'])} under {plain(run.document['design'])}"
    return {
        "title": {"text": title, "offset": 12},
        "vconcat": [_still(spec, name) for name, spec in panels],
        "resolve": {"scale": {"color": "independent", "strokeDash": "independent"}},
    }


def _still(spec: Spec, title: str) -> Spec:
    """Return a chart for a picture: of a fixed width, with its title, without what follows a pointer."""
    layers = [layer for layer in spec["layer"] if "params" not in layer]
    return spec | {"width": WIDTH, "height": 110, "title": {"text": title, "fontSize": 12}, "layer": layers}


def lean(svg: str) -> str:
    """Return an SVG without what only a script needs, its numbers to a tenth of a pixel: a third of the size."""
    svg = re.sub(r' (?:aria-[a-z]+|role|class|pointer-events)="[^"]*"', "", svg)
    parts = re.split(r"(<text[^>]*>[^<]*</text>)", svg)
    return "".join(
        part if number % 2 else re.sub(r"(\d\.\d)\d+", r"\1", part) for number, part in enumerate(parts)
    ).replace("currentColor", INK)
