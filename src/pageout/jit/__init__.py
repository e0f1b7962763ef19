# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes plain functions over records into machine code, and what runs them without it.

Only this room imports numba.

With NUMBA_DISABLE_JIT=1 the same source runs as ordinary Python on `DebugTable`s, which read and write the same memory,
hand out Python integers, and refuse an index out of range or a value that does not fit its field.
"""

from __future__ import annotations

import os

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

# Page-level loops are chains of dependent loads: the vectorizers find nothing in them and take compile time.
os.environ.setdefault("NUMBA_LOOP_VECTORIZE", "0")
os.environ.setdefault("NUMBA_SLP_VECTORIZE", "0")

from pageout.jit.cache import compiling, loading_seconds  # noqa: E402

if INTERPRETED:
    from pageout.jit.interpreted import (
        bind_state,
        call_at,
        call_policy,
        compile_policy,
        kentry,
        kernel_view,
        kfn,
        kinline,
        lowest_bit,
        marked_bytes,
        word_at,
    )
else:
    from pageout.jit.compiled import bind_state, compile_policy, kentry, kfn, kinline
    from pageout.jit.pointers import call_at, call_policy, kernel_view, lowest_bit, marked_bytes, word_at

__all__ = [
    "INTERPRETED",
    "bind_state",
    "call_at",
    "call_policy",
    "compile_policy",
    "compiling",
    "kentry",
    "kernel_view",
    "kfn",
    "kinline",
    "loading_seconds",
    "lowest_bit",
    "marked_bytes",
    "word_at",
]
