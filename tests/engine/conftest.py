# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's parts one function at a time, interpreted."""

from pathlib import Path

import pytest

from pageout.jit import INTERPRETED

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if INTERPRETED:
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(
                pytest.mark.skip(reason="compiled functions cannot be called one by one: NUMBA_DISABLE_JIT=1")
            )
