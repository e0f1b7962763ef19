# SPDX-License-Identifier: GPL-2.0-or-later
"""`--report`: one self-contained page. Answers first, then the table, what was run, and charts over virtual time.

Everything foreign goes through `esc` or into JSON in which no `<` is left. The page's policy allows one script, named
by its hash, and nothing from anywhere: even a name that broke out could run and fetch nothing.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from pageout.report import charts
from pageout.report.charts import VEGALITE, Drawn, Spec
from pageout.report.contrast import best, finding
from pageout.report.designs_chart import designs_chart
from pageout.report.figures import BY_NAME, FIGURES, GROUPS, Document
from pageout.report.text import compact_text, is_figure, plain, prose_number, spare

COMPARED = (
    "alloc_stall_s", "alloc_stall_count", "throttle_slept_s", "written_direct", "written_kswapd", "written_flusher",
    "written_writer", "seek_count", "mean_write_kib", "write_mb_s", "data_at_risk_max_mib", "stack_max_bytes",
    "stack_overflows", "highorder_failures", "oom_kills",
)  # fmt: skip
JOB_FIGURES = (
    "write_mb_s", "read_mb_s", "write_p50_us", "write_p99_us", "write_max_us", "read_p99_us", "read_max_us",
    "throttle_slept_s", "alloc_stall_count", "alloc_stall_s", "stack_max_bytes", "highorder_failures",
)  # fmt: skip
JOBS_SHOWN = 200
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def esc(value: object) -> str:
    """Return foreign text as HTML text: no markup, no control or direction characters."""
    return html.escape(plain(value))


class _Charts:
    """The charts of a page, each drawn in the place it was given."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []

    def figure(self, spec: Spec, title: str, note: str = "", full: bool = False) -> str:
        self.specs.append(spec)
        caption = f"{esc(title)} <span>{esc(note)}</span>" if note else esc(title)
        kind = ' class="full"' if full else ""
        return (
            f'<figure{kind}><figcaption>{caption}</figcaption><div data-chart="{len(self.specs) - 1}"></div></figure>'
        )


def report_page(
    runs: Sequence[Drawn], what: Mapping[str, str], sentences: Sequence[str], stacks: Mapping[str, int]
) -> bytes:
    """Return the page of one or several runs.

    what: label and text of what was run; sentences: the reading; stacks: size of a kernel stack by design
    """
    documents = [run.document for run in runs]
    drawn = _Charts()
    several = len(runs) > 1
    title = finding(documents) if several else f"{documents[0]['workload']} under {documents[0]['design']}"
    body = [
        f"<h1>{esc(title)}</h1>",
        f'<p class="what">{esc(documents[0]["workload"])} on {esc(documents[0]["machine"])}</p>',
        _reading(sentences),
        _contents(runs) if several else "",
    ]
    if several:
        bars = designs_chart(documents, "", ink=charts.INK)
        body += ['<h2 id="designs">The designs</h2>', drawn.figure(bars, "Side by side", full=True)]
        body.append(_designs_table(documents))
    span = charts.Span.of([(run.series, run.watermarks) for run in runs])
    body += [_settings(what), *(_overview(run, runs, span, drawn, stacks) for run in runs)]
    return _page(title, body, drawn)


def bare_page(spec: Spec) -> bytes:
    """Return a page that holds one chart and nothing else."""
    drawn = _Charts()
    config = spec.get("config")
    figure = drawn.figure({key: value for key, value in spec.items() if key != "config"}, "")
    return _page("pageout", [figure], drawn, config)


def _page(title: str, body: Sequence[str], drawn: _Charts, config: Any = None) -> bytes:
    folder = resources.files("pageout.report")
    script = interactive_script(folder.joinpath("page.js").read_text())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"{POLICY}; script-src 'sha256-{digest}'"
    data = json.dumps(
        {"config": config or charts.config(), "charts": [_packed(spec) for spec in drawn.specs]}, allow_nan=False
    )
    from pageout import __version__

    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{esc(title)}</title>",
        f"<style>{folder.joinpath('page.css').read_text()}</style></head><body>",
        *body,
        "<noscript><p>The charts need JavaScript; nothing is fetched. The tables are complete without.</p></noscript>",
        f"<footer>pageout {esc(__version__)}</footer>",
        f'<script type="application/json" id="charts">{_safe_json(data)}</script>',
        f"<script>{script}</script>",
        "</body></html>\n",
    ]
    return "\n".join(parts).encode()


def interactive_script(snippet: str) -> str:
    """Return Vega with all it needs and a snippet of ours, as one script for a page without a network."""
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle(snippet=snippet, vl_version=VEGALITE)
    return re.sub(r"</(?=script)", r"<\\/", str(bundle), flags=re.IGNORECASE)


def _packed(spec: Any) -> Any:
    """Return a chart with its rows of data as columns: their names once, not in every row. The script unpacks them."""
    if isinstance(spec, list):
        return [_packed(one) for one in spec]
    if not isinstance(spec, dict):
        return spec
    rows = spec.get("values")
    if (
        isinstance(rows, list)
        and len(rows) > 1
        and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows)
    ):
        return {"columns": {name: [row[name] for row in rows] for name in rows[0]}}
    return {name: _packed(value) for name, value in spec.items()}


def _safe_json(text: str) -> str:
    """Return JSON that cannot end the element it stands in. json.dumps has escaped all but ASCII."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _reading(sentences: Sequence[str]) -> str:
    return f'<ul class="reading">{"".join(f"<li>{esc(text)}</li>" for text in sentences)}</ul>'


def _contents(runs: Sequence[Drawn]) -> str:
    links = (f'<a href="#run-{n}">{esc(name_of(run.document, runs))}</a>' for n, run in enumerate(runs))
    return f"<nav>{''.join(links)}</nav>"


def name_of(document: Document, runs: Sequence[Drawn]) -> str:
    """Return a run's design, with its seed where the design ran with several."""
    seeds = {run.document["seed"] for run in runs if run.document["design"] == document["design"]}
    return f"{document['design']}, seed {document['seed']}" if len(seeds) > 1 else str(document["design"])


def _settings(what: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{esc(label)}</dt><dd>{esc(text)}</dd>" for label, text in what.items())
    return f'<h2 id="what">What was run</h2><dl>{rows}</dl>'


def _designs_table(documents: Sequence[Document]) -> str:
    columns = [name for name in COMPARED if len({run["metrics"].get(name) for run in documents}) > 1]
    if not columns:
        return '<p class="what">No figure differs between the designs.</p>'
    winners = {name: best(documents, name) for name in columns}
    seeds = len({run["seed"] for run in documents}) > 1
    head = "".join(
        f'<th title="{esc(BY_NAME[name].meaning)}">{_breakable(name)}<br>{esc(_unit(BY_NAME[name].unit))}</th>'
        for name in columns
    )
    rows = []
    for number, run in enumerate(documents):
        name = f"{run['design']}, seed {run['seed']}" if seeds else run["design"]
        cells = "".join(_cell(run["metrics"].get(key), number in winners[key]) for key in columns)
        rows.append(f"<tr><td>{esc(name)}</td>{cells}</tr>")
    text = (
        "Green: best of its column. Figures that are the same in all runs are left out; each run has all its own below."
    )
    note = f'<p class="what">{text}</p>'
    return _table(f"<th>design</th>{head}", rows) + note


def _breakable(name: str) -> str:
    """Return a figure's name that may be broken at its underscores, nowhere else."""
    return esc(name).replace("_", "_<wbr>")


def _unit(unit: str) -> str:
    return f"({unit})" if unit else ""


def _cell(value: Any, is_best: bool = False) -> str:
    title = f' title="{esc(value)}"' if is_figure(value) else ""
    return f"<td{' class=best' if is_best else ''}{title}>{esc(spare(compact_text(value)))}</td>"


def _overview(run: Drawn, runs: Sequence[Drawn], span: charts.Span, drawn: _Charts, stacks: Mapping[str, int]) -> str:
    """Return one run's section: charts over time on scales that all runs share, then its figures and jobs."""
    document = run.document
    number = next(n for n, other in enumerate(runs) if other is run)
    heading = name_of(document, runs) if len(runs) > 1 else "Over virtual time"
    parts = [f'<h2 id="run-{number}">{esc(heading)}</h2>', '<div class="charts">']
    parts += _over_time(run, span, drawn, stacks)
    for device, kinds in run.histograms.items():
        if sizes := kinds.get("write_kib"):
            chart = charts.octaves_chart(sizes, "KiB, from", charts.BLUE)
            parts.append(drawn.figure(chart, f"Write requests of {plain(device)} by size", "after merging"))
        if seeks := kinds.get("seek_kib"):
            chart = charts.octaves_chart(seeks, "bytes of the disk passed over, from", charts.GREY)
            parts.append(drawn.figure(chart, f"Seeks of {plain(device)} by distance", "reads too"))
    if rows := document.get("deepest_stack"):
        note = f"{sum(row['size'] for row in rows):,} bytes, outermost function first"
        parts.append(drawn.figure(charts.functions_chart(rows), "Deepest kernel stack", note, full=True))
    parts.append("</div>")
    tables = _figures_table(document) + _jobs_table(document)
    parts.append(
        f"<details{'' if len(runs) > 1 else ' open'}><summary>All figures and jobs</summary>{tables}</details>"
    )
    return "".join(parts)


def _over_time(run: Drawn, span: charts.Span, drawn: _Charts, stacks: Mapping[str, int]) -> list[str]:
    series = run.series
    if not len(series["t_s"]):
        return ["<p>The run ended before its first sample.</p>"]
    stack = stacks.get(str(run.document["design"]))
    size = f"dashed: a stack's size, {stack:,} bytes" if stack else ""
    return [
        drawn.figure(charts.levels_chart(series, span), "Dirty and under writeback", "beside the limits in force"),
        drawn.figure(charts.free_chart(series, span, run.watermarks), "Free memory", "on its own scale"),
        drawn.figure(charts.writers_chart(series, span), "Who wrote", "pages submitted, stacked"),
        drawn.figure(charts.stalls_chart(series, span), "Who waited", "seconds waited in each second, over all tasks"),
        drawn.figure(charts.depth_chart(series, span, stack), "Deepest kernel stack so far", size, full=True),
    ]


def _table(head: str, rows: Sequence[str]) -> str:
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _figures_table(document: Document) -> str:
    rows = []
    for group in GROUPS:
        rows.append(f'<tr class="group"><th colspan="4">{esc(group)}</th></tr>')
        for figure in (one for one in FIGURES if one.group == group):
            value = document["metrics"].get(figure.name)
            shown = value * 100 if figure.unit == "%" and is_figure(value) else value
            unit = figure.unit if is_figure(value) else ""
            rows.append(
                f"<tr><td>{esc(figure.name)}</td><td>{esc(prose_number(shown))}</td>"
                f'<td class="text">{esc(unit)}</td><td class="text">{esc(figure.meaning)}</td></tr>'
            )
    return _table("", rows)


def _jobs_table(document: Document) -> str:
    jobs = document.get("jobs") or []
    columns = [name for name in JOB_FIGURES if any(is_figure(job.get(name)) for job in jobs)]
    if not jobs or not columns:
        return ""
    head = "".join(f"<th>{_breakable(name)}</th>" for name in columns)
    rows = []
    for job in jobs[:JOBS_SHOWN]:
        cells = "".join(_cell(job.get(name)) for name in columns)
        rows.append(f"<tr><td>{esc(job.get('name', ''))}</td>{cells}</tr>")
    more = f'<p class="what">and {len(jobs) - JOBS_SHOWN:,} more</p>' if len(jobs) > JOBS_SHOWN else ""
    return _table(f"<th>job</th>{head}", rows) + more
