# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's own policy: a small Python function that the engine calls at native speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pageout import jit
from pageout.engine.state import LAYOUT
from pageout.vocabulary.errors import UsageError, did_you_mean

HOOKS = ("isolate",)


class Policy:
    """A compiled policy for one hook. `tuned(...)` returns the same policy with other knobs: nothing is recompiled."""

    def __init__(self, hook: str, function: Callable[[Any, Any, int], int], knobs: tuple[int, ...] = ()) -> None:
        self.hook, self.function, self.knobs = hook, function, knobs
        self._compiled: Any = None

    def tuned(self, *knobs: int) -> Policy:
        """Return this policy with up to three integer knobs: ctx.knob0, ctx.knob1, ctx.knob2."""
        if len(knobs) > 3 or not all(isinstance(knob, int) for knob in knobs):
            raise UsageError(f"{self.function.__name__}.tuned{knobs}: takes up to three integers")
        other = Policy(self.hook, self.function, knobs)
        other._compiled = self._compiled
        return other

    def compiled(self) -> tuple[Any, int]:
        """Return (what must stay alive, address), compiling at the first call."""
        if self._compiled is None:
            try:
                self._compiled = jit.compile_policy(self.function, LAYOUT["page"][0], LAYOUT["policy_ctx"][0])
            except Exception as error:
                first = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                raise UsageError(f"policy {self.function.__name__}: does not compile: {first}") from error
        return self._compiled  # type: ignore[no-any-return]


def policy(hook: str) -> Callable[[Callable[[Any, Any, int], int]], Policy]:
    """Make a function into a policy for a hook.

    isolate: called for each page that reclaim looks at and would judge, with (page, ctx, priority); `page` has the
    fields of a page record (index, mapping, pflags, dirtied_when, ...), `ctx` three knobs and three accumulators
    (knob0..knob2, acc0..acc2, all integers). It returns PAGE_RECLAIM, PAGE_RECLAIM_CLEAN (not if dirty), PAGE_KEEP or
    PAGE_ACTIVATE of pageout.engine.constants.
    """
    if hook not in HOOKS:
        raise UsageError(f"policy hook {hook!r}: no such hook{did_you_mean(hook, HOOKS)}")
    return lambda function: Policy(hook, function)
