# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernel it is, from a line alone."""

import pytest

from pageout.readers.facts import KernelVersion
from pageout.readers.read import read_pieces


@pytest.mark.parametrize("release", ["6.1.0-13-amd64", "5.15.0-46-generic", "6.7.4-arch1-1", "4.18.0-372.el8.x86_64"])
def test_a_line_of_uname_r_behind_settings_is_the_kernel(release: str) -> None:
    found = read_pieces("s.txt", [f"vm.dirty_ratio = 20\nvm.swappiness = 60\n{release}\n".encode()])

    assert [fact.release for fact in found.facts if isinstance(fact, KernelVersion)] == [release]
    assert not found.account.unread


@pytest.mark.parametrize("text", ["1.2.3-4ubuntu1", "2.0.1-5", "6.1", "10.11.12-13"])
def test_a_version_of_something_else_is_not(text: str) -> None:
    found = read_pieces("s.txt", [f"vm.dirty_ratio = 20\nvm.swappiness = 60\n{text}\n".encode()])

    assert not [fact for fact in found.facts if isinstance(fact, KernelVersion)]
