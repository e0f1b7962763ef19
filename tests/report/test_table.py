# SPDX-License-Identifier: GPL-2.0-or-later
import io
import re

import pytest
from rich.console import Console

from pageout.report import table
from pageout.report.figures import BY_NAME, CAUSES, FIGURES
from tests.report.documents import METRICS, document


def rendered(*blocks: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=table.WIDTH)
    for block in blocks:
        console.print(block)
    return out.getvalue()


def test_every_figure_of_the_design_is_known_once() -> None:
    named_beside_them = {"read_p99_us", "fsync_p50_us", "fsync_p99_us"}
    assert [figure.name for figure in FIGURES if figure.name not in named_beside_them] == list(METRICS)
    assert len(BY_NAME) == len(FIGURES)
    assert all(name in BY_NAME for name, _ in CAUSES)


def test_a_run_prints_every_figure_with_its_unit_and_null_as_a_dash() -> None:
    text = rendered(table.metrics_table(document()))
    for name in METRICS:
        assert re.search(rf"^  {name} ", text, re.MULTILINE), name
    assert re.search(r"read_mb_s +- ", text)
    assert re.search(r"device_busy_share +97 +%", text)
    assert re.search(r"alloc_stall_s +5\.40 +s ", text)


def test_a_figure_nobody_has_described_is_still_printed() -> None:
    assert re.search(r"other +\n  made_up +3", rendered(table.metrics_table(document(made_up=3))))


def test_all_tables_fit_their_columns_however_large_the_figures() -> None:
    huge = dict.fromkeys(METRICS, 12_345_678_901)
    name = "job-" + "x" * 60
    run = document("d" * 40, **huge) | {"jobs": [{"name": name, **huge}] * 40}
    text = rendered(
        table.head_text(run), table.jobs_table(run), table.metrics_table(run), table.designs_table([run] * 6)
    )
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert "..." not in text
    assert "…" not in text
    assert "24 more" in text


@pytest.mark.parametrize("width", [100, 79, 60, 40])
def test_a_narrow_terminal_gets_more_tables_and_loses_no_figure(width: int) -> None:
    runs = [document(name, alloc_stall_s=12345.0 + n) for n, name in enumerate(("linux-2.6.34", "no-direct-writeback"))]
    out = io.StringIO()
    console = Console(file=out, width=width)
    for block in (
        table.storm_text(runs, width=width),
        table.designs_table(runs, width),
        table.jobs_table(runs[0], width),
    ):
        console.print(block)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "12.3k" in text
    for label in ("stalled", "kswapd", "seeks", "OOM", "o >= 1", "reclaims", "best value of the column"):
        assert label in text.replace("\n", " "), label


def test_several_seeds_of_a_design_give_its_median_lowest_and_highest() -> None:
    runs = [document("a", alloc_stall_s=s) for s in (1.0, 5.0, 3.0)] + [
        document("b", alloc_stall_s=s) for s in (4.0, 4.5)
    ]
    lines = rendered(table.designs_table(runs)).splitlines()
    rows = {line.split()[0]: line.split()[1] for line in reversed(lines) if line[:3] in ("a  ", "  l", "  h", "b  ")}
    assert rows == {"a": "3*", "lowest": "1", "highest": "5", "b": "4.25"}
    assert "median" in rendered(table.designs_table(runs))


def test_only_the_columns_that_apply_to_a_job_are_shown() -> None:
    text = rendered(table.jobs_table(document()))
    assert "throttled" in text
    assert "read" not in text
    assert table.jobs_table(document() | {"jobs": []}) is None


def test_the_best_value_of_each_column_is_marked() -> None:
    runs = [document(), document("flushers-only", alloc_stall_s=1.25, write_mb_s=79.0)]
    lines = rendered(table.designs_table(runs)).splitlines()
    linux, flushers = (next(line for line in lines if line.startswith(name)) for name in ("linux", "flushers"))
    assert "81.25*" in linux
    assert linux.count("*") == 1
    assert "1.25*" in flushers
    assert flushers.count("*") == 1


def test_names_cannot_command_the_terminal() -> None:
    evil = document("\x1b[31m[red]d") | {"jobs": [{"name": "[b]\x07j", "write_mb_s": 1.0}], "workload": "\x1bw"}
    text = rendered(
        table.head_text(evil), table.jobs_table(evil), table.designs_table([evil]), table.storm_text([evil])
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]d" in text
    assert "[b]\\x07j" in text


def test_the_reading_is_wrapped_under_its_own_dash() -> None:
    text = rendered(table.reading_text(["one " * 40, "no-direct-writeback"]))
    lines = text.splitlines()
    assert max(map(len, lines)) <= table.WIDTH
    assert lines[0] == "reading"
    assert lines[1].startswith("- one")
    assert lines[2].startswith("  one")
