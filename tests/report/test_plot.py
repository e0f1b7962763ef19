# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path
from typing import Any

import pytest

from pageout.report import charts
from pageout.report.charts import Drawn
from pageout.report.plot import checked_suffix, plot_bytes
from pageout.vocabulary.errors import UsageError
from tests.report.documents import document, histograms, series


def drawn(design: str = "linux-2.6.34", length: int = 5, **changed: Any) -> Drawn:
    return Drawn(document(design, **changed), series(length), histograms(), {"min": 100, "low": 125, "high": 150})


def test_one_run_is_drawn_over_time_with_who_wrote_who_waited_and_free_memory_by_itself() -> None:
    svg = plot_bytes([drawn()], ".svg").decode()
    assert svg.startswith("<svg")
    for text in ("linux-2.6.34", "dirty limit", "background limit", "free memory", "who wrote", "in direct reclaim"):
        assert text in svg, text


def test_several_designs_are_bars_with_their_numbers_and_the_finding_above() -> None:
    runs = [drawn(), drawn("flushers-only", alloc_stall_s=1.25, seek_count=1800)]
    svg = plot_bytes(runs, ".svg").decode()
    for text in ("flushers-only stalls least", "1.25 s against 5.40 s", ">1.25<", ">5.40<", "disk seeks", ">1,800<"):
        assert text in svg, text
    assert "write throughput" not in svg  # the same under both: nothing to see


def test_a_scale_is_logarithmic_only_where_one_design_dwarfs_the_rest() -> None:
    runs = [drawn(), drawn("a", alloc_stall_s=6.0), drawn("b", alloc_stall_s=900.0)]
    assert "log scale" in plot_bytes(runs, ".svg").decode()
    assert "log scale" not in plot_bytes(runs[:2], ".svg").decode()


def test_a_picture_is_a_png() -> None:
    assert plot_bytes([drawn()], ".png").startswith(b"\x89PNG")


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_run_too_short_for_a_sample_still_draws(length: int) -> None:
    assert plot_bytes([drawn(length=length)], ".svg").startswith(b"<svg")


def test_a_name_is_text_in_the_picture() -> None:
    svg = plot_bytes([drawn("</text><script>"), drawn("b", alloc_stall_s=1.0)], ".svg").decode()
    assert "<script>" not in svg
    html = plot_bytes([drawn("</script><script>alert(1)")], ".html").decode()
    assert "<script>alert" not in html


def test_other_kinds_of_picture_are_refused() -> None:
    assert checked_suffix(Path("a.SVG")) == ".svg"
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.html"):
        checked_suffix(Path("a.jpg"))


def test_thinning_keeps_peaks_and_dips_of_each_line() -> None:
    first, second = [5.0] * 100_000, [7.0] * 100_000
    first[33_333], second[66_666] = 99.0, -1.0
    kept = charts.kept_rows([first, second], 500)
    assert len(kept) <= 502
    assert {0, 33_333, 66_666, 99_999} <= set(kept)
    assert kept == sorted(kept)
    assert charts.kept_rows([[3.0, 4.0]], 500) == [0, 1]


@pytest.mark.parametrize("count", [2, 3, 399, 400, 1001, 8192])
def test_rates_add_up_to_what_the_totals_grew_by(count: int) -> None:
    times = [0.1 * step for step in range(count - 1)] + [0.1 * (count - 2) + 0.003]
    totals = [float(step * step) for step in range(count)]
    table = charts._rates(times, {"n": totals}, 400)
    ends = [*table["t"][1:], times[-1]]
    assert len(table["t"]) <= 401
    grown = sum(rate * (end - begin) for rate, begin, end in zip(table["n"], table["t"], ends, strict=True))
    assert grown == pytest.approx(totals[-1] - totals[0])
