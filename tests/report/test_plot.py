# SPDX-License-Identifier: GPL-2.0-or-later
import re
from pathlib import Path

import pytest

from pageout.report.plot import checked_suffix, plot_bytes, thinned
from pageout.vocabulary.errors import UsageError
from tests.report.documents import series


def test_a_plot_has_a_panel_for_each_design() -> None:
    svg = plot_bytes([("linux-2.6.34", series()), ("flushers-only", series())], ".svg").decode()
    assert svg.startswith("<svg")
    assert "linux-2.6.34" in svg
    assert "flushers-only" in svg
    assert "written, MB/s" in svg


def test_a_page_needs_no_network() -> None:
    html = plot_bytes([("linux-2.6.34", series())], ".html").decode()
    assert not re.search(r"<(script|link)[^>]*(src|href)=", html)
    assert "vegaEmbed" in html


def test_a_picture_is_a_png() -> None:
    assert plot_bytes([("d", series())], ".png").startswith(b"\x89PNG")


def test_a_run_too_short_for_a_sample_still_draws() -> None:
    assert plot_bytes([("d", series(0))], ".svg").startswith(b"<svg")


def test_a_name_is_text_in_the_picture() -> None:
    svg = plot_bytes([("</text><script>", series())], ".svg").decode()
    assert "<script>" not in svg
    html = plot_bytes([("</script><script>alert(1)", series())], ".html").decode()
    assert "<script>alert" not in html


def test_other_kinds_of_picture_are_refused() -> None:
    assert checked_suffix(Path("a.SVG")) == ".svg"
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.html"):
        checked_suffix(Path("a.jpg"))


def test_thinning_keeps_peaks_and_dips() -> None:
    times, values = list(range(100_000)), [5.0] * 100_000
    values[33_333], values[66_666] = 99.0, -1.0
    kept = thinned(times, values, points=500)
    assert len(kept) <= 501
    assert (33_333, 99.0) in kept
    assert (66_666, -1.0) in kept
    assert kept == sorted(kept)
    assert thinned([1, 2], [3, 4]) == [(1, 3), (2, 4)]
