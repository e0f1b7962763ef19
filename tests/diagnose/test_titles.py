# SPDX-License-Identifier: GPL-2.0-or-later
"""A title is one sentence that a terminal shows in a line or so."""

import pytest

from pageout.diagnose.known_kernels import KNOWN, Known
from pageout.diagnose.rules.regressions import known_faults
from tests.diagnose.build import findings, given
from tests.diagnose.known_cases import EXAMPLES, case_of, oom

LONGEST = 110
MIB = 1 << 20


@pytest.mark.parametrize("row", KNOWN, ids=[row.id for row in KNOWN])
@pytest.mark.parametrize("suffix", ["", "-arch1-1"])
def test_the_title_of_a_known_fault_fits(row: Known, suffix: str) -> None:
    case = case_of(EXAMPLES[row.id].shows, EXAMPLES[row.id].affected + suffix)

    for finding in known_faults(case):
        assert len(finding.title) <= LONGEST, finding.title


def test_a_long_cgroup_path_stands_in_the_detail_and_only_its_end_in_the_title() -> None:
    path = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-u640.service"

    found = findings(given(oom(32 * 1024, path, file=30 * MIB, file_dirty=26 * MIB, file_writeback=0, anon=MIB)))
    finding = found["memcg-oom-dirty"]

    assert finding.title.startswith("cgroup /.../run-u640.service was killed")
    assert len(finding.title) <= LONGEST
    assert path in finding.detail
