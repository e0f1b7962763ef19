# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rows of a validation are judged, and which of those tell something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counts(row: Mapping[str, Any]) -> bool:
    """Say whether a row is judged and tells something."""
    return row["within"] is not None and not row.get("nothing", False)


def empty(row: Mapping[str, Any]) -> bool:
    """Say whether a row is judged and tells nothing: nothing happened, neither measured nor predicted."""
    return row["within"] is not None and bool(row.get("nothing", False))
