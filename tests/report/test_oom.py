# SPDX-License-Identifier: GPL-2.0-or-later
"""The first OOM as `run` prints it: it fits, foreign names stay text, and what is not known is not said."""

import io
from typing import Any

from rich.console import Console

from pageout.report import table
from pageout.report.oom import first_oom

ZONE = {
    "name": "DMA32",
    "free_kib": 4000,
    "high_kib": 5000,
    "reserve_kib": 0,
    "reclaimable": dict.fromkeys(("pages", "dirty", "writeback", "locked", "young", "mapped", "idle"), 123_456_789),
    "pages_scanned": 987_654_321,
    "unreclaimable_since_s": 12345.678,
    "reason": "free 4000 KiB is not above the high mark, 5000 KiB; of 123456789 pages to reclaim 123456789 dirty",
}
EVENT: dict[str, Any] = {
    "time_s": 12.5,
    "victim": "big",
    "victim_pid": 1003,
    "victim_is_child": False,
    "score": 1 << 40,
    "invoked_by": "cp",
    "order": 2,
    "gfp": "0xd0",
    "panic": None,
    "zones": [ZONE, ZONE | {"name": "Normal", "unreclaimable_since_s": None}],
}


def printed(*events: dict[str, Any]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=table.WIDTH)
    for block in first_oom({"oom": list(events)}):
        console.print(block)
    return out.getvalue()


def test_the_first_kill_is_said_and_its_zones_fit_the_columns() -> None:
    text = printed(EVENT, EVENT, EVENT)
    assert "Out of memory at 12.50 s: cp asked, order 2, gfp 0xd0; big (1003) was killed" in text
    assert "2 kills followed" in text
    assert max(map(len, text.splitlines())) <= table.WIDTH
    rows = [line.split() for line in text.splitlines() if line.startswith(("DMA32 ", "Normal "))]
    assert [row[-1] for row in rows] == ["12345.678", "-"]
    assert all("123M" in row for row in rows)


def test_nothing_is_said_of_a_run_without_one() -> None:
    assert printed() == ""
    assert first_oom({}) == []


def test_what_the_log_had_no_room_for_is_left_out() -> None:
    text = printed(EVENT | {"zones": None, "order": None, "gfp": None})
    assert text.startswith("Out of memory at 12.50 s: cp asked; big (1003) was killed")
    assert "zone" not in text


def test_foreign_names_stay_text() -> None:
    text = printed(EVENT | {"victim": "[bold]\x1b[31mx", "invoked_by": "a\nb", "victim_is_child": True})
    assert "\x1b" not in text
    assert "a child of [bold]\\x1b[31mx (1003)" in text.replace("\n", " ")


def test_a_panic_is_told_in_the_kernels_words() -> None:
    text = printed(EVENT | {"victim": None, "panic": "out of memory. panic_on_oom is selected"})
    assert "panic: out of memory. panic_on_oom is selected" in text.replace("\n", " ").replace("  ", " ")
    assert "killed" not in text
