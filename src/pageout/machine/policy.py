# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's own policy: a small Python function that the engine calls at native speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pageout import jit
from pageout.engine.state import LAYOUT
from pageout.vocabulary.errors import UsageError, did_you_mean

# hook -> the table whose records it is shown, in the order of kernel.policies' rows of policy_ctx
HOOK_RECORDS = {
    "isolate": "page",
    "dirty_page": "page",
    "next_inode": "inode",
    "throttle": "policy_view",
    "wake_flushers": "policy_view",
}
HOOKS = tuple(HOOK_RECORDS)


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
                self._compiled = jit.compile_policy(
                    self.function, LAYOUT[HOOK_RECORDS[self.hook]][0], LAYOUT["policy_ctx"][0]
                )
            except Exception as error:
                first = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                raise UsageError(f"policy {self.function.__name__}: does not compile: {first}") from error
        return self._compiled  # type: ignore[no-any-return]


def policy(hook: str) -> Callable[[Callable[[Any, Any, int], int]], Policy]:
    """Make a function into a policy for a hook.

    A policy is called with (record, ctx, number); `ctx` has three knobs and three accumulators of its own
    (knob0..knob2, acc0..acc2). All are integers, so is what it returns.

    isolate(page, ctx, priority): for each page that reclaim looks at and would judge. Returns PAGE_RECLAIM,
        PAGE_RECLAIM_CLEAN (not if dirty), PAGE_KEEP or PAGE_ACTIVATE of pageout.engine.constants.
    dirty_page(page, ctx, priority): for each dirty page that reclaim has come to. Not 0: write it from here.
    next_inode(inode, ctx, age_ms): for each inode waiting on the flusher's b_io, before each turn. Returns its value:
        the highest is served, among equals the one the kernel would have taken.
    throttle(view, ctx, nr_pauses): for each writer at balance_dirty_pages, again after each write-back or pause. Not 0:
        hold it. `view`: pages dirty, under writeback, free, and the limits (engine.state: policy_view).
    wake_flushers(view, ctx, priority): after each pass of direct reclaim that has not freed enough. Returns how many
        pages to ask every flusher for; 0: do not.
    """
    if hook not in HOOKS:
        raise UsageError(f"policy hook {hook!r}: no such hook{did_you_mean(hook, HOOKS)}")
    return lambda function: Policy(hook, function)
