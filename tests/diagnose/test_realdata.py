# SPDX-License-Identifier: GPL-2.0-or-later
"""What people posted, and what a correct tool has to conclude of it."""

import json
from pathlib import Path

import pytest

from pageout.cli.app import main
from pageout.diagnose.explain import explain
from pageout.readers.read import read_input
from pageout.vocabulary.errors import TraceError
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "realdata"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/realdata here")

# file: the first finding's id, its severity, and words that must stand in its title, detail or what it is not
EXPECTED = {
    "blkparse/kara-raid0-splits-2023.txt": ("known-raid0-tails-backwards", "warning", "RAID0"),
    "blkparse/tso-btrace-touch-journal-2019.txt": ("requests-summary", "info", "commits every 5 s"),
    "cgroup/premont-memory-stat-fluent-2020.txt": ("memcg-healthy", "info", "nothing here is stuck"),
    "ftrace-vmscan/android-jit-thread-spaces.txt": ("direct-reclaim-short", "info", "882 us"),
    "ftrace-vmscan/avramov-throttled-writeback-2021.txt": ("reclaim-throttled", "error", "100 % of the sleeps ran"),
    "ftrace-vmscan/catapult-memreclaim.txt": ("direct-reclaim-stalls", "info", "surfaceflinger-1155 (3.19 ms)"),
    "ftrace-vmscan/jaewon-order4-compaction-2023.txt": ("direct-reclaim-compaction", "warning", "compaction took 12.6 ms"),
    "ftrace-vmscan/rhel-4.18-memcg-reclaim-need-resched.txt": ("memcg-reclaim-cpu-starved", "warning", "no disk"),
    "ftrace-writeback/biggers-lazytime-2020.txt": ("known-lazytime-twice", "warning", "lazytime"),
    "ftrace-writeback/ext4-periodic-writeback-global-dirty-state.txt": ("writeback-healthy", "info", "8 KiB"),
    "ftrace-writeback/fuse-strictlimit-2024.txt": ("device-dirty-limit", "warning", "not by the machine's"),
    "ftrace-writeback/wu-jbod-1mb-dd-2012.txt": ("dirty-limit-not-the-stall", "info", "elsewhere"),
    "hung-task/bugzilla-218011-ext4-nine-tasks-2023.txt": ("journal-page-deadlock", "error", "jbd2/nvme0n1p2"),
    "hung-task/cloudflare-612-wb-completion.txt": ("cgroup-teardown-writeback", "info", "holds up nobody else"),
    "hung-task/ming-lei-unplugged-nvme-bdp-stack.txt": ("dirty-limit-wait", "warning", "unplugged"),
    "hung-task/premont-over-high-stack.txt": ("memory-high-throttle", "warning", "memory.high"),
    "hung-task/wahren-sdcard-sync.txt": ("sync-waits-for-flusher", "warning", "small or scattered"),
    "meminfo/buczek-xfs-256g-2020.txt": ("slab-heavy", "warning", "dentries and inodes"),
    "meminfo/marod-nvme-stuck-2025.txt": ("writeback-pending", "warning", "one snapshot cannot say"),
    "oom/chris-down-mglru-memcg-32m-2024.txt": ("memcg-oom-dirty", "error", "nothing of it being written"),
    "oom/sharbiani-memcg-hang-2019-quoted.txt": ("memcg-oom", "error", "anonymous memory of tasks"),
    "stack/berthels-2010-47.txt": ("stack-overflow-near", "error", "624 left"),
    "stack/ppc64-2023-dummy-frame.txt": ("stack-healthy", "info", "healthy"),
    "sysctl/premont-dirty-sysctls.txt": ("sysctl-two-sets", "info", "256 MiB / 512 MiB"),
    "vmstat/priebe-proc-vmstat-2019.txt": ("direct-reclaim-dominates", "warning", "the dirty limits: dirty and under writeback"),
    "vmstat/theys-sar-B-wrapped-2025.txt": ("kswapd-scans-in-vain", "error", "kswapd scans"),
}  # fmt: skip
NOT_THE_LIMITS = [
    name for name in EXPECTED
    if name.split("/")[0] in ("hung-task", "meminfo", "vmstat") and "ming-lei" not in name
] + ["ftrace-writeback/wu-jbod-1mb-dd-2012.txt", "ftrace-writeback/ext4-periodic-writeback-global-dirty-state.txt"]  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_the_first_finding_is_what_a_correct_tool_concludes(name: str) -> None:
    wanted, severity, words = EXPECTED[name]

    first = explain([read_input(str(SHARED / name))]).findings[0]

    assert (first.id, first.severity) == (wanted, severity)
    assert words in " ".join((first.title, first.detail, *first.is_not))
    assert first.evidence
    assert all(one.text for one in first.evidence)


@pytest.mark.parametrize("name", NOT_THE_LIMITS)
def test_the_dirty_limits_are_cleared_with_a_line(name: str) -> None:
    findings = explain([read_input(str(SHARED / name))]).findings

    told = [text for finding in findings for text in finding.is_not if "dirty limits" in text]
    assert told
    assert f"{name}:" in told[0]


@pytest.mark.parametrize("path", sorted(SHARED.glob("*/*.txt")), ids=lambda path: path.name)
def test_whatever_people_post_every_line_is_accounted_for(path: Path) -> None:
    if path.name.startswith("function-graph"):
        with pytest.raises(TraceError, match="function_graph, not events"):
            read_input(str(path))
        return
    found = read_input(str(path))
    account = found.account
    assert account.lines == len(path.read_bytes().splitlines())
    assert account.lines == account.events + account.known_non_events + account.unread
    assert explain([found]).findings


def test_the_status_and_the_document_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["explain", str(SHARED / "oom" / "chris-down-mglru-memcg-32m-2024.txt"), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert status == 1
    assert document["findings"][0]["severity"] == "error"
    assert {"id", "severity", "title", "confidence", "evidence", "not", "unknown", "next"} <= document["findings"][
        0
    ].keys()
    assert {"file", "kind", "lines", "events", "known_non_events", "unread", "lost"} <= document["inputs"][0].keys()


def test_several_files_of_one_trouble_are_read_together() -> None:
    names = (
        "hung-task/premont-over-high-stack.txt",
        "sysctl/premont-dirty-sysctls.txt",
        "cgroup/premont-memory-stat-fluent-2020.txt",
    )

    found = [finding.id for finding in explain([read_input(str(SHARED / name)) for name in names]).findings]

    assert found[0] == "memory-high-throttle"
    assert "sysctl-two-sets" in found
