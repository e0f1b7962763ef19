# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of the engine's ring: what a simulated machine hands over as its events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pageout.vocabulary.tracepoints import MAX_FIELDS

Array = NDArray[Any]

# `event` is the row in TRACEPOINTS, `a` its fields in order.
RECORD = np.dtype([("time_ns", "i8"), ("pid", "i4"), ("event", "i2"), ("cpu", "i2"), ("a", "i8", (MAX_FIELDS,))])
