# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of recordings: a plot_ beside each df_ of the analysis that is better seen than read.

Each takes the frame of its df_ and returns a Vega-Lite specification with its data inside, or None of an empty frame.
Names from the recording go in as data, never as expressions. A picture shows about MAX_POINTS rows at most and says how
many there are: of more, those with the highest and lowest values of each stretch of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pageout.report import charts
from pageout.report.charts import BLUE, GREEN, GREY, MIB_PER_PAGE, ORANGE, PURPLE, YELLOW, Line, Spec, kept_rows
from pageout.report.plot import INK, PAPER, SUFFIXES, WIDTH, lean
from pageout.report.text import plain

if TYPE_CHECKING:
    import polars as pl

    from pageout.events.tables import Events

MAX_POINTS = 2000
MAX_NAMES = 8  # of tasks or operations told apart by colour
LEGEND_COLUMNS = 5
NS_PER_S, NS_PER_MS = 1e9, 1e6
GIB_PER_SECTOR = 512 / (1 << 30)
_COLOURS = (ORANGE, BLUE, GREEN, PURPLE, YELLOW, GREY)
_OTHERS = "others"


def plot_direct_reclaim(frame: pl.DataFrame) -> Spec | None:
    """Stalls of df_direct_reclaim: a mark each, as high as it was long, by task."""
    return _stalls(frame.filter(frame["stall_ns"].is_not_null()), "stall_ns", "in direct reclaim")


def plot_waits(frame: pl.DataFrame) -> Spec | None:
    """Waits of df_waits whose time is known: a mark each, by site."""
    return _stalls(frame.filter(frame["wait_ns"].is_not_null()), "wait_ns", "waits", "site")


def plot_dirty_throttle(frame: pl.DataFrame) -> Spec | None:
    """Sleeps of df_dirty_throttle at the limit: a mark each, as long as the kernel asked for, by task."""
    return _stalls(frame.filter((frame["asked_ns"] > 0).fill_null(False)), "asked_ns", "sleeps at the dirty limit")


def plot_requests(frame: pl.DataFrame) -> Spec | None:
    """Requests of df_requests: how long each was at the device, by operation."""
    done = frame.filter(frame["latency_ns"].is_not_null())
    return _stalls(done, "latency_ns", "requests", "op", logarithmic=True)


def plot_seeks(frame: pl.DataFrame) -> Spec | None:
    """Where each request of df_requests began on the device, by operation: sequential work is a line."""
    placed = frame.filter((frame["nr_sector"] > 0).fill_null(False))
    dev, mine = _commonest(placed, "dev")
    return _marks(mine, "sector", f"requests of {dev}, where they began", "op", "GiB", GIB_PER_SECTOR)


def plot_queueing(frame: pl.DataFrame) -> Spec | None:
    """How long I/O of df_queueing waited before the device: in the scheduler or for a request."""
    return _stalls(frame.filter(frame["wait_ns"].is_not_null()), "wait_ns", "waits before the device", "step")


def plot_kswapd(frame: pl.DataFrame) -> Spec | None:
    """How long each kswapd of df_kswapd was awake."""
    return _stalls(frame.filter(frame["awake_ns"].is_not_null()), "awake_ns", "kswapd awake")


def plot_throttled(frame: pl.DataFrame) -> Spec | None:
    """Sleeps of df_throttled, by reason."""
    return _stalls(frame.filter(frame["delayed_ns"].is_not_null()), "delayed_ns", "asleep in reclaim", "reason")


def plot_shrinker_calls(frame: pl.DataFrame) -> Spec | None:
    """Calls of df_shrinker_calls, by shrinker."""
    return _stalls(frame.filter(frame["took_ns"].is_not_null()), "took_ns", "shrinker calls", "shrinker")


def plot_compaction(frame: pl.DataFrame) -> Spec | None:
    """Runs of df_compaction, by task."""
    return _stalls(frame.filter(frame["took_ns"].is_not_null()), "took_ns", "compaction")


def plot_flusher_work(frame: pl.DataFrame) -> Spec | None:
    """Passes of df_flusher_work, by reason."""
    return _stalls(frame.filter(frame["took_ns"].is_not_null()), "took_ns", "passes of the flusher", "reason")


def plot_fsync(frame: pl.DataFrame) -> Spec | None:
    """Calls of df_fsync, by task."""
    return _stalls(frame.filter(frame["took_ns"].is_not_null()), "took_ns", "fsync")


def plot_journal(frame: pl.DataFrame) -> Spec | None:
    """What each transaction of df_journal spent its time on."""
    lines = (Line("running", "running", GREY), Line("locked", "locked", ORANGE), Line("flushing", "flushing", BLUE),
             Line("logging", "logging", GREEN))  # fmt: skip
    return _levels(frame, lines, 1.0, "ms", "journal commits")


def plot_bdi_rates(frame: pl.DataFrame) -> Spec | None:
    """What df_bdi_rates says the kernel believes of the device it spoke of most."""
    bdi, mine = _commonest(frame, "bdi")
    lines = (
        Line("write_bw", "bandwidth of the last update", GREY),
        Line("awrite_bw", "bandwidth, smoothed", BLUE),
        Line("dirty_ratelimit", "rate of a task (dirty_ratelimit)", ORANGE),
        Line("dirty_rate", "dirtied", YELLOW),
    )
    return _levels(mine, lines, 1 / 1024, "MiB/s", f"what the kernel believes of {bdi}")


def plot_dirty_state(frame: pl.DataFrame) -> Spec | None:
    """Levels of df_dirty_state against the thresholds, over time."""
    return _levels(
        frame,
        (
            Line("held", "dirty and writeback", ORANGE),
            Line("writeback", "writeback", BLUE),
            Line("thresh", "dirty threshold", GREY, True),
            Line("bg_thresh", "background threshold", YELLOW, True),
        ),
        MIB_PER_PAGE,
        "MiB",
        "dirty pages against the limits",
    )


def plot_dirty_rates(frame: pl.DataFrame) -> Spec | None:
    """What df_dirty_rates says was dirtied and written a second."""
    lines = (Line("dirtied_kib_s", "dirtied", ORANGE), Line("written_kib_s", "written", BLUE))
    return _levels(frame, lines, 1 / 1024, "MiB/s", "dirtied and written")


def timeline(events: Events) -> list[Spec | None]:
    """Return panels of a recording, what is better seen than read: None of what is not in it."""
    from pageout.analysis.block import df_requests
    from pageout.analysis.reclaim import df_kswapd
    from pageout.analysis.stalls import df_waits
    from pageout.analysis.writeback import df_bdi_rates, df_dirty_state

    shown = ((df_waits, (plot_waits,)), (df_kswapd, (plot_kswapd,)), (df_dirty_state, (plot_dirty_state,)),
             (df_bdi_rates, (plot_bdi_rates,)), (df_requests, (plot_requests, plot_seeks)))  # fmt: skip
    frames = ((frame.or_none(events), plots) for frame, plots in shown)
    return [plot(frame) for frame, plots in frames if frame is not None for plot in plots]


def trace_picture(panels: list[Spec | None], title: str) -> Spec:
    """Return panels one under the other, all on one axis of time; those that are None are left out."""
    shown = [panel | {"width": WIDTH} for panel in panels if panel is not None]
    return {
        "title": {"text": plain(title), "offset": 12},
        "vconcat": shown,
        "resolve": {
            "scale": {"color": "independent", "strokeDash": "independent", "shape": "independent", "x": "shared"}
        },
        "config": charts.config(INK, PAPER),
        "padding": 12,
    }


def picture_bytes(spec: Spec, suffix: str) -> bytes:
    """Return a picture as the bytes of a file: .svg, .png or .html."""
    if suffix not in SUFFIXES:
        raise ValueError(suffix)
    if suffix == ".html":
        from pageout.report.page import bare_page

        return bare_page(spec)
    import vl_convert

    if suffix == ".png":
        return bytes(vl_convert.vegalite_to_png(spec, vl_version=charts.VEGALITE, scale=2))
    return lean(str(vl_convert.vegalite_to_svg(spec, vl_version=charts.VEGALITE))).encode()


def _commonest(frame: pl.DataFrame, column: str) -> tuple[str, pl.DataFrame]:
    """Return the word most rows have in a column, the first of several, and those rows."""
    names = frame[column].to_list()
    counts = dict.fromkeys(names, 0)
    for name in names:
        counts[name] += 1
    most = max(counts, key=counts.__getitem__, default=None)
    return plain(str(most)), frame.filter([name == most for name in names])


def _seconds(frame: pl.DataFrame) -> list[float]:
    return [value / NS_PER_S for value in frame["time_ns"].to_list()]


def _names(frame: pl.DataFrame, column: str) -> list[str]:
    """Return what each row is coloured by: the commonest MAX_NAMES, the rest together."""
    texts = [plain(str(value)) if value is not None else "<...>" for value in frame[column].to_list()]
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    common = set(sorted(counts, key=lambda text: (-counts[text], text))[:MAX_NAMES])
    return [text if text in common else _OTHERS for text in texts]


def _stalls(frame: pl.DataFrame, value: str, title: str, by: str = "comm", *, logarithmic: bool = False) -> Spec | None:
    """Return a mark for each row, as high as its time is long."""
    return _marks(frame, value, title, by, "ms", 1 / NS_PER_MS, logarithmic=logarithmic)


def _marks(
    frame: pl.DataFrame, value: str, title: str, by: str, unit: str, scale_to: float, *, logarithmic: bool = False
) -> Spec | None:
    """Return a mark for each row, as high as its value is large."""
    if not len(frame):
        return None
    times, lengths = _seconds(frame), [length * scale_to for length in frame[value].to_list()]
    names = _names(frame, by)
    rows = kept_rows([lengths], MAX_POINTS)
    values: list[dict[str, Any]] = [{"t": times[n], unit: lengths[n], "name": names[n]} for n in rows]
    scale: Spec = {"type": "symlog", "constant": 0.1} if logarithmic else {"zero": True}
    shown = f", {len(rows):,} of them shown" if len(rows) < len(frame) else ""
    encoding: Spec = {
        "x": {"field": "t", "type": "quantitative", "scale": {"zero": False, "nice": False}, "axis": _time_axis()},
        "y": {"field": unit, "type": "quantitative", "title": unit, "scale": scale},
        "color": {
            "field": "name",
            "type": "nominal",
            "scale": {"range": list(_COLOURS)},
            "legend": {"columns": LEGEND_COLUMNS},
        },
        "shape": {"field": "name", "type": "nominal"},
        "tooltip": [{"field": "t", "title": "s"}, {"field": unit}, {"field": "name"}],
    }
    return {
        "title": {"text": f"{title}: {len(frame):,}{shown}", "fontSize": 12},
        "height": 130,
        "data": {"values": values},
        "mark": {"type": "point", "filled": False, "size": 18, "strokeWidth": 1},
        "encoding": encoding,
    }


def _levels(frame: pl.DataFrame, lines: tuple[Line, ...], scale: float, unit: str, title: str) -> Spec | None:
    """Return lines over time, broken where a segment ends."""
    if not len(frame):
        return None
    times, segments = _seconds(frame), frame["segment"].to_list()
    columns = {line.label: frame[line.series].to_list() for line in lines}
    numbers = [[value or 0.0 for value in column] for column in columns.values()]
    values = [
        {"t": times[n], "v": column[n] * scale, "s": label, "segment": segments[n]}
        for n in kept_rows(numbers, MAX_POINTS)
        for label, column in columns.items()
        if column[n] is not None
    ]
    labels = [line.label for line in lines]
    dashes = [[4, 3] if line.dashed else [1, 0] for line in lines]
    return {
        "title": {"text": title, "fontSize": 12},
        "height": 130,
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5},
        "encoding": {
            "x": {"field": "t", "type": "quantitative", "scale": {"zero": False, "nice": False}, "axis": _time_axis()},
            "y": {"field": "v", "type": "quantitative", "title": unit},
            "color": {"field": "s", "type": "nominal",
                      "scale": {"domain": labels, "range": [line.colour for line in lines]}},
            "strokeDash": {"field": "s", "type": "nominal", "scale": {"domain": labels, "range": dashes}},
            "detail": {"field": "segment", "type": "nominal"},
        },
    }  # fmt: skip


def _time_axis() -> Spec:
    return {"title": "time of the trace, s", "grid": False, "tickCount": 8}
