# SPDX-License-Identifier: GPL-2.0-or-later
"""Known kernel faults: each row of the table fires on what shows it, and on nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.diagnose.capture import RECIPES
from pageout.diagnose.case import Case
from pageout.diagnose.explain import rules
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Finding, ranked
from pageout.diagnose.known_kernels import KNOWN, Known
from pageout.diagnose.releases import IN, MAYBE, OPEN, OUT, UNSAID, Backport, Span, is_vendor
from pageout.diagnose.rules.regressions import known_faults
from pageout.readers.facts import KernelVersion
from pageout.readers.lines import Account
from pageout.readers.read import Input, read_input
from pageout.vocabulary.errors import TraceError
from tests.conftest import ROOT
from tests.diagnose.known_cases import EXAMPLES, case_of
from tests.diagnose.known_page import PAGE, page

REALDATA = ROOT.parent / "shared" / "realdata"
EACH = pytest.mark.parametrize("row", KNOWN, ids=[row.id for row in KNOWN])


def findings(case: Case) -> dict[str, Finding]:
    return {finding.id: finding for finding in known_faults(case)}


def of(row: Known, case: Case) -> Finding | None:
    return findings(case).get(f"known-{row.id}")


# --- every row ---


@EACH
def test_a_row_fires_on_a_case_that_shows_it_on_an_affected_kernel(row: Known) -> None:
    example = EXAMPLES[row.id]
    finding = of(row, case_of(example.shows, example.affected))
    assert finding is not None
    assert row.title in finding.title
    assert row.title not in finding.detail
    assert example.affected in finding.title or row.span.introduced is row.span.fixed is None
    assert finding.confidence == row.sure or row.span.holds(example.affected) == OPEN
    assert finding.evidence
    assert row.source in finding.why
    assert all(any(other in unknown for unknown in finding.unknown) for other in row.or_else)


@EACH
def test_a_row_is_silent_on_a_kernel_without_the_fault(row: Known) -> None:
    example = EXAMPLES[row.id]
    if example.cured is None:
        assert row.span == Span(None, None), "a row with a range names a kernel outside it"
    else:
        assert of(row, case_of(example.shows, example.cured)) is None


@EACH
def test_a_row_is_silent_when_only_the_kernel_fits(row: Known) -> None:
    assert findings(case_of([], EXAMPLES[row.id].affected)) == {}


@EACH
def test_a_row_is_silent_on_what_nearly_shows_it(row: Known) -> None:
    example = EXAMPLES[row.id]
    assert example.near
    for inputs in example.near:
        assert of(row, case_of(inputs, example.affected)) is None
        assert of(row, case_of(inputs)) is None


@EACH
def test_a_symptom_without_a_kernels_name_is_a_weak_finding_that_asks_for_it(row: Known) -> None:
    finding = of(row, case_of(EXAMPLES[row.id].shows))
    if row.told_by_name:
        assert finding is None
        return
    assert finding is not None
    assert finding.confidence == LOW
    assert finding.severity != ERROR
    assert "looks like" in finding.title
    assert any("uname -r" in unknown for unknown in finding.unknown)
    assert finding.capture[0] == "settings"


@EACH
def test_a_row_says_what_it_looks_like_what_to_do_and_who_says_so(row: Known) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", row.id)
    assert all((row.title, row.looks, row.do, row.or_else))
    assert row.source.startswith("https://")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", row.looked_up)
    assert row.sure in (HIGH, MEDIUM, LOW)
    assert row.severity in (ERROR, WARNING, INFO)
    assert set(row.capture) <= RECIPES.keys()
    assert row.commit is None or re.match(r"[0-9a-f]{12}\b", row.commit)


def test_no_two_rows_share_an_id_and_each_has_an_example() -> None:
    assert len({row.id for row in KNOWN}) == len(KNOWN)
    assert {row.id for row in KNOWN} == EXAMPLES.keys()


def test_the_page_says_what_the_table_says() -> None:
    assert PAGE.read_text() == page(), "write it again: python -m tests.diagnose.known_page"


# --- ranges ---


@pytest.mark.parametrize(
    ("name", "standing"),
    [
        ("6.0.9", OUT),
        ("6.1-rc1", IN), ("6.1", IN), ("6.12", IN), ("6.12.3", IN), ("6.12.103", IN), ("6.12.104", OUT),
        ("6.13-rc2", IN), ("6.13", OUT), ("6.18.1", OUT), ("5.14.2", OUT), ("5.15.3", OUT), ("5.15.20", MAYBE),
        ("5.15.0-46-generic", MAYBE), ("6.12.0-55.el10.x86_64", MAYBE), ("6.12.41-cloudflare-2025.8.2", IN),
        ("6.7.4-arch1-1", IN), ("6.6.30", MAYBE), ("no kernel at all", UNSAID), ("", UNSAID),
    ],
)  # fmt: skip
def test_a_kernels_name_is_in_a_range_or_out_of_it_or_does_not_tell(name: str, standing: str) -> None:
    span = Span("6.1", "6.13", (Backport("6.12", 104), Backport("6.6", None)), (Backport("5.15", 20),))
    expected = {"5.15.20": MAYBE, "5.15.3": OUT}.get(name, standing)
    assert span.holds(name) == expected


@pytest.mark.parametrize(
    ("span", "name", "standing"),
    [
        (Span(None, "6.14"), "6.13.9", OPEN), (Span(None, "6.14"), "6.14", OUT),
        (Span("6.13", None), "6.14", OPEN), (Span("6.13", None), "6.12", OUT),
        (Span(None, None), "6.12.13", OPEN), (Span("5.16-rc1", "5.16"), "5.16-rc1", IN),
        (Span("5.16-rc1", "5.16"), "5.15.9", OUT), (Span("5.16-rc1", "5.16"), "5.16.0", OUT),
    ],
)  # fmt: skip
def test_a_range_may_be_open_at_either_end(span: Span, name: str, standing: str) -> None:
    assert span.holds(name) == standing


@given(st.tuples(st.integers(3, 7), st.integers(0, 30), st.integers(1, 400)))
def test_no_release_outside_the_two_ends_is_in_range(numbers: tuple[int, int, int]) -> None:
    name = ".".join(map(str, numbers))
    inside = (5, 4, 0) <= numbers < (6, 13, 0)
    assert (Span("5.4", "6.13").holds(name) == IN) == inside


@given(st.text(max_size=40))
def test_any_text_stands_somehow_to_every_range(name: str) -> None:
    assert all(row.span.holds(name) in (IN, OPEN, MAYBE, OUT, UNSAID) for row in KNOWN)


@pytest.mark.parametrize(
    ("name", "vendor"),
    [
        ("6.12", False), ("6.12.3", False), ("5.16-rc1", False), ("4.18.0+", False), ("6.5.7-custom", True),
        ("4.18.0-372.el8.x86_64", True), ("6.12.41-cloudflare-2025.8.2", True), ("5.15.0-46-generic", True),
    ],
)  # fmt: skip
def test_a_name_with_more_than_numbers_is_somebodys_own_build(name: str, vendor: bool) -> None:
    assert is_vendor(name) == vendor


# --- how sure ---


def test_a_vendors_kernel_in_the_range_is_less_sure_and_says_why() -> None:
    shows = EXAMPLES["mglru-no-flusher"].shows
    plain = findings(case_of(shows, "6.7.4"))["known-mglru-no-flusher"]
    vendor = findings(case_of(shows, "6.7.4-arch1-1"))["known-mglru-no-flusher"]
    assert (plain.confidence, vendor.confidence) == (HIGH, MEDIUM)
    assert "vendor" in vendor.why
    assert "vendor" not in plain.why


def test_a_vendors_kernel_of_a_series_that_got_the_cause_or_the_fix_may_have_the_fault() -> None:
    finding = findings(case_of(EXAMPLES["ext4-scattered-writes"].shows, "5.15.0-46-generic"))[
        "known-ext4-scattered-writes"
    ]
    assert finding.confidence == LOW
    assert "does not tell" in finding.detail
    assert any("1940265ede66" in unknown for unknown in finding.unknown)


def test_files_that_speak_of_two_kernels_are_taken_to_name_none() -> None:
    case = case_of(EXAMPLES["mglru-no-flusher"].shows, "6.7.4")
    two = Case([*case.inputs, Input("old.txt", Account(), [KernelVersion(1, "6.13.1")])])
    assert findings(two)["known-mglru-no-flusher"].confidence == LOW


def test_a_kernel_with_the_first_fix_is_told_of_the_second_fault_only() -> None:
    shows = EXAMPLES["mglru-no-flusher"].shows
    assert findings(case_of(shows, "6.15.1")).keys() == {"known-mglru-late-flusher"}
    assert findings(case_of(shows, "6.7.4")).keys() == {"known-mglru-no-flusher"}
    assert findings(case_of(shows)).keys() == {"known-mglru-no-flusher"}


@EACH
def test_a_weak_finding_never_stands_before_what_the_lines_themselves_prove(row: Known) -> None:
    case = case_of(EXAMPLES[row.id].shows)
    answer = ranked([finding for rule in rules() for finding in rule(case)])
    ids = [finding.id for finding in answer]
    general = [finding for finding in answer if not finding.id.startswith("known-")]
    known = [finding for finding in answer if finding.id.startswith("known-")]
    for finding in known:
        for other in general:
            if other.severity == ERROR or (other.severity == WARNING and other.confidence != LOW):
                assert ids.index(other.id) < ids.index(finding.id)


# --- what people posted ---


def _posted(name: str) -> Case:
    path = REALDATA / name
    if not path.exists():
        pytest.skip(f"no {path}")
    try:
        found = read_input(str(path))
    except TraceError as error:
        pytest.skip(f"nothing reads it: {error}")
    if not found.facts and found.events is None:
        pytest.skip(f"only read as {found.kind}")
    return Case([found])


@pytest.mark.parametrize(
    ("name", "row", "confidence"),
    [
        ("ftrace-vmscan/avramov-throttled-writeback-2021.txt", "throttled-in-vain", LOW),
        ("ftrace-writeback/fuse-strictlimit-2024.txt", "strictlimit-zero", LOW),
        ("blkparse/kara-raid0-splits-2023.txt", "raid0-tails-backwards", LOW),
        ("vmstat/theys-sar-B-wrapped-2025.txt", "kswapd-scans-clean-cache", LOW),
        ("oom/chris-down-mglru-memcg-32m-2024.txt", "mglru-no-flusher", MEDIUM),
        ("hung-task/bugzilla-218011-ext4-nine-tasks-2023.txt", "commit-page-never-written", LOW),
        ("hung-task/cloudflare-612-wb-completion.txt", "dead-cgroup-waits", LOW),
    ],
)  # fmt: skip
def test_what_was_posted_of_a_known_fault_shows_that_fault_and_no_other(name: str, row: str, confidence: str) -> None:
    found = findings(_posted(name))
    assert found.keys() == {f"known-{row}"}
    assert found[f"known-{row}"].confidence == confidence


def test_the_posted_lazytime_trace_shows_an_inode_written_twice() -> None:
    found = findings(_posted("ftrace-writeback/biggers-lazytime-2020.txt"))
    assert found.keys() == {"known-lazytime-twice"}
    assert [evidence.line for evidence in found["known-lazytime-twice"].evidence] == [3, 4, 5]


@pytest.mark.parametrize(
    "name",
    [
        "ftrace-writeback/ext4-periodic-writeback-global-dirty-state.txt", "ftrace-writeback/wu-jbod-1mb-dd-2012.txt",
        "ftrace-writeback/wu-2011-old-fields.txt", "ftrace-vmscan/catapult-memreclaim.txt",
        "ftrace-vmscan/jaewon-order4-compaction-2023.txt", "ftrace-vmscan/rhel-4.18-memcg-reclaim-need-resched.txt",
        "hung-task/wahren-sdcard-sync.txt", "hung-task/ming-lei-unplugged-nvme-bdp-stack.txt",
        "hung-task/premont-over-high-stack.txt", "oom/sharbiani-memcg-hang-2019-quoted.txt",
        "meminfo/buczek-xfs-256g-2020.txt", "vmstat/priebe-proc-vmstat-2019.txt",
    ],
)  # fmt: skip
def test_what_was_posted_of_other_troubles_or_says_too_little_shows_no_known_fault(name: str) -> None:
    assert findings(_posted(name)) == {}
