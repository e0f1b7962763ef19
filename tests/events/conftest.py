# SPDX-License-Identifier: GPL-2.0-or-later
"""The helper modules of these tests, as fixtures and under their own names."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _load(name):
    full = f"events_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


for _name in ("strategies", "naive_text", "postprocess"):
    _load(_name)


@pytest.fixture(scope="session")
def postprocess():
    """The kernel's own script and its totals from arrays, see postprocess.py."""
    return _load("postprocess")
