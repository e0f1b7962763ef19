# SPDX-License-Identifier: GPL-2.0-or-later
"""Predicted beside measured: what the table says, and what its legend explains."""

import io

import pytest
from rich.console import Console

from pageout.report.validation import answer_text, validation_tables


def row(name="throttle_s", measured=10.0, predicted=12.0, *, allowed=0.15, within=False, nothing=False, **more):
    error = (predicted - measured) / measured if measured else predicted - measured
    plain = {"name": name, "unit": "s", "measured": measured, "predicted": predicted, "baseline": 0, "error": error}
    return plain | {"spread": None, "allowed": allowed, "within": within, "nothing": nothing} | more


def document(*rows, **more):
    bundle = {"path": "b", "design": "linux-6.18", "box": "white", "seeds": 1, "notes": [], "figures": list(rows)}
    summary = {one["name"]: {"misses": int(one["within"] is False)} for one in rows}
    return {"bundles": [bundle | more], "summary": summary} | ({"from": "a"} if "changes" in more else {})


def printed(found):
    out = Console(file=io.StringIO(), width=100)
    out.print(answer_text(found))
    out.print(validation_tables(found))
    return out.file.getvalue()


EMPTY = row("scanned_kswapd", 0, 0, within=True, nothing=True)


def test_a_row_says_how_far_off_is_allowed():
    text = printed(document(row()))
    head, line = (next(one for one in text.splitlines() if one.startswith(name)) for name in ("figure ", "throttle_s"))

    assert line[: head.index("allowed") + len("allowed")].endswith("15.0 %")
    assert line.split()[-1] == "MISS"


def test_where_nothing_happened_it_is_said_and_not_counted():
    text = printed(document(row(within=True), EMPTY))

    assert text.startswith("1 of 1 figure within tolerance, 1 recording; 1 more is 0 in both")
    assert "0 = 0: nothing of the kind happened" in text
    assert next(one for one in text.splitlines() if one.startswith("scanned_kswapd")).endswith("0 = 0")
    assert "0 = 0" not in printed(document(row()))


@pytest.mark.parametrize(
    ("changes", "there", "absent"), [(None, "baseline", "before"), (["x 1 -> 2"], "before", "baseline")]
)
def test_the_legend_names_the_columns_that_are_there(changes, there, absent):
    more = {} if changes is None else {"changes": changes}
    text = printed(document(row(before=11.0), **more))

    assert f"{there}: " in text
    assert absent not in text


def test_what_only_the_range_of_the_seeds_makes_right_is_called_so():
    text = printed(document(row(within=True, covers=True, low=8.0, high=13.0, width=1.6), seeds=3))

    assert next(one for one in text.splitlines() if one.startswith("throttle_s")).endswith("range")
    assert "range: beyond what is allowed" in text


@pytest.mark.parametrize("name", ["reclaimed_direct_per_s", "write_mb_s." + "w" * 60])
def test_the_widest_row_fits_a_hundred_columns(name):
    wide = row(name, 1234.567, 12345678.9, unit="pages/s", spread=12.345, before=12345678.9, changes=["x"])
    lines = printed(document(wide, changes=["vm.x 1 -> 2"])).splitlines()

    assert max(map(len, lines)) <= 100
    assert any(line.rstrip().endswith("MISS") for line in lines)
    assert any("12,345,679" in line for line in lines)
