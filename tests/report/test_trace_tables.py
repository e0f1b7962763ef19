# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of a trace: whole words at any width, and one meaning a figure."""

import re

import pytest
from rich.console import Console

from pageout.analysis.block import df_request_totals
from pageout.analysis.stalls import df_wait_totals
from pageout.readers.read import read_pieces
from pageout.report.trace_tables import trace_tables

PUT_BACK = (
    "    kworker/0:1H-37 [000] ..... 10.000000: block_rq_issue: 254,0 WS 4096 () 64 + 8 [kworker/0:1H]\n"
    "    kworker/0:1H-37 [000] ..... 10.019000: block_rq_issue: 254,0 WS 4096 () 64 + 8 [kworker/0:1H]\n"
    "          <idle>-0  [000] ..... 10.020000: block_rq_complete: 254,0 WS () 64 + 8 [0]\n"
)
LONG = "".join(
    f"  writer-of-{n:05}-{2000000 + n} [000] ..... {20 + n / 10:.6f}: block_rq_issue: 259,{n} WS 4096 () {n * 64} + 8 [writer-of-{n:05}]\n"
    f"  writer-of-{n:05}-{2000000 + n} [000] ..... {20.05 + n / 10:.6f}: block_rq_complete: 259,{n} WS () {n * 64} + 8 [0]\n"
    for n in range(4)
)


def printed(text: str, width: int) -> str:
    events = read_pieces("trace", [text.encode()]).events
    assert events is not None
    console = Console(width=width, file=None, record=True, quiet=False, force_terminal=False)
    with console.capture() as captured:
        for table in trace_tables(events, width):
            console.print(table)
    return captured.get()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_name_is_broken_and_no_line_is_too_long(width: int) -> None:
    text = printed(PUT_BACK + LONG, width)

    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for name in re.findall(r"writer-of\S*", text):
        assert re.fullmatch(r"writer-of-\d{5}(?:-\d{7})?", name) or name.endswith("..."), name
    assert "kworker/0:1H" in text
    for word in ("requests", "latency", "longest"):
        assert word in text.split()


def test_a_narrow_table_goes_on_below_with_its_names_again() -> None:
    wide, narrow = printed(PUT_BACK, 160), printed(PUT_BACK, 60)

    assert narrow.count("kworker/0:1H ") > wide.count("kworker/0:1H ")


def test_what_was_put_back_is_told_by_both_measures_and_waits_are_the_longer_one() -> None:
    events = read_pieces("trace", [PUT_BACK.encode()]).events
    assert events is not None
    (request,) = df_request_totals(events).iter_rows(named=True)
    (wait,) = df_wait_totals(events).iter_rows(named=True)

    assert (request["latency_max_ns"], request["whole_max_ns"]) == (1_000_000, 20_000_000)
    assert wait["longest_ns"] == request["whole_max_ns"]
    text = " ".join(printed(PUT_BACK, 100).split())
    assert "latency: from the last time a request was given to the device, whole: from the first" in text
    assert "at a device: from the first time it was given" in text
