# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from tests.cli.fakes import FakeEngine, installed


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    return installed(monkeypatch)
