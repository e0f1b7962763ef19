# SPDX-License-Identifier: GPL-2.0-or-later
"""explain on what the shipped scenarios record: the first finding is what each was built to show.

Each is run as short as still shows it. Its trace is written to a file and read from there, as a kernel's would be.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from pageout.analysis.reclaim import df_direct_reclaim
from pageout.diagnose.explain import Answer, explain
from pageout.diagnose.findings import Finding
from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.readers.read import read_input
from pageout.report.stack import tracer_text
from pageout.workload import shipped
from pageout.workload.program import load_workload
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")


class Shown(NamedTuple):
    """What explain must say first: id, severity, words of title and detail, what stands in the lines that prove it.

    seconds: the run is cut there, 0: as long as it is; absent: ids that would be wrong here.
    """

    id: str
    severity: str
    words: tuple[str, ...]
    proof: tuple[str, ...]
    seconds: float = 0
    absent: tuple[str, ...] = ()


LIMITS = ("dirty-limit-throttling", "dirty-hard-limit", "slow-device-starves-others")
RECLAIM = ("direct-reclaim-writes", "direct-reclaim-lumpy", "reclaim-writes-file-pages", "reclaim-throttled")
BLOCKS = ("Lumpy reclaim empties whole blocks", "waiting for pages of the wanted blocks to be written")
SHOWN = {
    "build-and-huge-pages": Shown(
        "direct-reclaim-lumpy", "error", ("for pages of order 9", *BLOCKS), ("order=9", "writeback_congestion_wait|mm_vmscan_lru_shrink_inactive"),
        12, ("writeback-healthy", "oom-in-trace"),
    ),
    "deep-storage": Shown(
        "oom-in-trace", "error", ("killed hog", "MiB of memory dirty", r"reclaim scanned [\d,]+ pages and got"),
        ("mark_victim", "nr_reclaimed=0", "global_dirty_state"), 5, ("writeback-healthy",),
    ),
    "duplicate-writes": Shown(
        "writeback-healthy", "info", ("below the background threshold",), ("global_dirty_state",), 0, (*LIMITS, *RECLAIM),
    ),
    "fork-storm": Shown(
        "direct-reclaim-lumpy", "error", ("for pages of order 2", "kernel stacks are 16 KiB", "writing [0-9.]+ MiB of file pages themselves"),
        ("order=2",), 8, ("writeback-healthy",),
    ),
    "lumpy-storm": Shown(
        "direct-reclaim-lumpy", "error", ("for pages of order 9", "mostly waiting for writes", *BLOCKS, "of these dirty"), ("order=9",),
        20, ("writeback-healthy",),
    ),
    "mixed-disks": Shown(
        "dirty-limit-throttling", "warning", ("3 writers of 3 devices", "nobody is held back for another device's sake"),
        ("balance_dirty_wait: bdi 8:0", "balance_dirty_wait: bdi 8:16", "balance_dirty_wait: bdi 8:32"),
        5, ("slow-device-starves-others", *RECLAIM),
    ),
    "mmap-writer": Shown(
        "reclaim-writes-file-pages", "warning", ("kswapd wrote", "the flushers nothing, below the background threshold", "tasks that allocate 0 B"),
        ("kswapd0-32 .*mm_vmscan_writepage",), 9, ("writeback-healthy", "direct-reclaim-writes", *LIMITS),
    ),
    "reclaim-seeks": Shown(
        "direct-reclaim-writes", "warning", ("mostly writing file pages", "on the stack of whoever allocated"),
        ("mm_vmscan_direct_reclaim_begin", "mm_vmscan_writepage"), 9, ("writeback-healthy", *LIMITS),
    ),
    "reclaim-to-oom": Shown(
        "direct-reclaim-swap", "error", ("mostly writing to swap", "the queue of device 8,16 was full", "wrote [0-9]+ KiB of file pages themselves"),
        ("flags=RECLAIM_WB_ANON", "block_sleeprq: 8,16"), 0, ("writeback-healthy", "oom-in-trace"),
    ),
    "small-transactions": Shown(
        "device-small-writes", "warning", ("small synchronous writes", "% after a seek", "100% of them are synchronous"),
        ("block_rq_issue: 8,0 WS", "block_rq_complete: 8,0 WS"), 0, (*LIMITS, *RECLAIM),
    ),
    "small-zone": Shown(
        "zone-full-of-dirty-pages", "warning", ("the flushers nothing: zone 2 of node 0", "in the other zones 9[0-9.]+ %", "limits count all memory"),
        ("kswapd0-32 .*mm_vmscan_writepage", "global_dirty_state"), 6, ("writeback-healthy", *LIMITS),
    ),
    "storm": Shown(
        "direct-reclaim-writes", "warning", ("mostly writing file pages", "kswapd [0-9.]+ MiB more"),
        ("mm_vmscan_direct_reclaim_begin", "mm_vmscan_writepage"), 12, ("writeback-healthy", "oom-in-trace"),
    ),
    "streaming-copy": Shown(
        "dirty-limit-throttling", "warning", ("1 writer of device 8:0 was held back", "More is written than the device takes"),
        ("balance_dirty_wait: bdi 8:0",), 12, (*RECLAIM, "slow-device-starves-others"),
    ),
    "usb-stick": Shown(
        "direct-reclaim-lumpy", "warning", ("for pages of order 9", *BLOCKS, r"slowest device written to is 8,16 \(5\.\d+ MiB/s"),
        ("order=9",), 20, ("writeback-healthy",),
    ),
    "xfs-overflow": Shown(
        "direct-reclaim-writes", "warning", ("mostly writing file pages", "down through the filesystem on the stack of whoever allocated", "and [0-9]+ more"),
        ("mm_vmscan_direct_reclaim_begin", "mm_vmscan_writepage"), 18, ("writeback-healthy", *LIMITS),
    ),
}  # fmt: skip
NAMES = shipped.names()
Runs = Callable[..., tuple[Result, Path]]
Answers = Callable[[str], Answer]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Play a scenario, shortened, once a session; return its result and the file of its trace."""
    folder = tmp_path_factory.mktemp("scenarios")

    @cache
    def of(name: str, design: str | None = None) -> tuple[Result, Path]:
        scenario = load_workload(name, design=design)
        if SHOWN[name].seconds:
            scenario = msgspec.structs.replace(scenario, length_ns=int(SHOWN[name].seconds * 1e9))
        path = folder / f"{name}-{design}.txt"
        return simulate(scenario, trace=path), path

    return of


@pytest.fixture(scope="session")
def answer(run: Runs) -> Answers:
    """Explain the trace of a scenario, read from its file."""

    @cache
    def of(name: str) -> Answer:
        return explain([read_input(str(run(name)[1]))])

    return of


def told(finding: Finding) -> str:
    return f"{finding.title}\n{finding.detail}"


def test_every_shipped_scenario_has_its_answer() -> None:
    assert sorted(SHOWN) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_finding_is_what_the_scenario_was_built_to_show(name: str, answer: Answers) -> None:
    shown, found = SHOWN[name], answer(name).findings

    assert (found[0].id, found[0].severity) == (shown.id, shown.severity)
    for words in shown.words:
        assert re.search(words, told(found[0])), words
    assert not {finding.id for finding in found} & set(shown.absent)


@pytest.mark.parametrize("name", NAMES)
def test_the_lines_that_prove_it_are_in_the_file_and_say_so(name: str, answer: Answers, run: Runs) -> None:
    lines = run(name)[1].read_text().splitlines()
    first = answer(name).findings[0]

    assert all(lines[evidence.line - 1].strip() == evidence.text.strip() for evidence in first.evidence)
    for proof in SHOWN[name].proof:
        assert any(re.search(proof, evidence.text) for evidence in first.evidence), proof


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_the_trace_is_read_and_titles_are_one_sentence(name: str, answer: Answers) -> None:
    (found,) = answer(name).case.inputs

    assert found.account.unread == 0
    assert found.account.lines == found.account.events + found.account.known_non_events
    for finding in answer(name).findings:
        assert len(finding.title) <= 115, finding.title
        assert "  " not in told(finding)
        assert not re.search(r"\b1 (times|tasks|writers|devices|sleeps)\b", told(finding))


@pytest.mark.parametrize("name", ["reclaim-seeks", "fork-storm", "usb-stick"])
def test_stall_times_are_those_the_simulator_counted(name: str, answer: Answers, run: Runs) -> None:
    (_, events), *_ = answer(name).case.traces()
    stalls = df_direct_reclaim(events)
    jobs = run(name)[0].document()["jobs"]

    assert stalls["stall_ns"].sum() / 1e9 == pytest.approx(sum(job["alloc_stall_s"] or 0 for job in jobs), rel=0.2)


def test_without_the_right_to_write_reclaim_ends_in_the_oom_killer_with_memory_dirty(run: Runs) -> None:
    result, path = run("reclaim-to-oom", "no-direct-writeback")
    first = explain([read_input(str(path))]).findings[0]

    assert result.metrics["oom_kills"] > 0
    assert first.id == "oom-in-trace"
    assert "MiB of memory dirty or under writeback" in first.title
    assert first.confidence == "high"


@pytest.mark.parametrize(("name", "design"), [("reclaim-to-oom", "no-direct-writeback"), ("deep-storage", None)])
def test_beside_the_log_the_oom_report_tells_and_the_trace_does_not_repeat_it(
    name: str, design: str | None, run: Runs, tmp_path: Path
) -> None:
    result, path = run(name, design)
    (log := tmp_path / "dmesg.txt").write_text(result.dmesg)
    found = explain([read_input(str(path)), read_input(str(log))]).findings

    assert found[0].id == "oom"
    assert "of file pages dirty or under writeback" in found[0].title
    assert "oom-in-trace" not in [finding.id for finding in found]


def test_deep_storage_needs_memory_to_send_what_is_to_free_memory(run: Runs, tmp_path: Path) -> None:
    (log := tmp_path / "dmesg.txt").write_text(run("deep-storage")[0].dmesg)
    found = {finding.id: finding for finding in explain([read_input(str(log))]).findings}

    assert "iscsi" in found["io-path-out-of-memory"].title
    assert any("page allocation failure" in evidence.text for evidence in found["io-path-out-of-memory"].evidence)


def test_the_deepest_stack_of_xfs_overflow_is_reclaim_entering_the_filesystem_and_nearly_full(
    run: Runs, tmp_path: Path
) -> None:
    (file := tmp_path / "stack_trace").write_text(tracer_text(run("xfs-overflow")[0].deepest_stack))
    found = explain([read_input(str(run("xfs-overflow")[1])), read_input(str(file))]).findings

    assert found[0].id == "stack-overflow-near"
    assert "reclaim" in found[0].detail.lower()
    assert "direct-reclaim-writes" in [finding.id for finding in found]


def test_no_rule_asks_whether_a_trace_is_simulated_or_which_scenario_it_is() -> None:
    for room in ("diagnose", "analysis", "readers"):
        for module in sorted((ROOT / "src" / "pageout" / room).rglob("*.py")):
            source = module.read_text()
            named = [name for name in NAMES if f'"{name}"' in source or f"'{name}'" in source]
            assert not named, f"{module}: {named}"
            assert not re.search(r"if .*simulat", source), module
