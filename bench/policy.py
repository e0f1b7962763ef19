# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's policy: CPU time to compile it, and what one call costs the engine."""

from __future__ import annotations

import statistics
import time
from typing import Any

from bench.common import Sheet, bench_main, in_turns
from pageout.engine.constants import PAGE_ACTIVATE, PAGE_RECLAIM
from pageout.engine.state import LAYOUT, kernel_at, new_state
from pageout.jit import bind_state, call_policy, kentry
from pageout.machine.policy import Policy

ROUNDS = 7
NR_PAGES = 1 << 12  # 128 KiB of page records: what is measured is the call, not the memory


def second_chance(page: Any, ctx: Any, priority: int) -> int:
    """Spare odd-numbered pages until reclaim is desperate."""
    ctx.acc0 += 1
    if page.index & 1 and priority > ctx.knob0:
        return PAGE_ACTIVATE
    return PAGE_RECLAIM


def other_chance(page: Any, ctx: Any, priority: int) -> int:
    """The same, for pages that were made dirty long ago."""
    ctx.acc0 += 1
    if page.dirtied_when < ctx.knob1 and priority > ctx.knob0:
        ctx.acc1 += 1
        return PAGE_ACTIVATE
    return PAGE_RECLAIM


@kentry
def calls_unit(address: Any, nr: int) -> int:
    """Ask the policy about one page after the other."""
    k = kernel_at(address)
    verdicts = 0
    for i in range(nr):
        verdicts += call_policy(k.param.policy_isolate, k.page[i & 4095], k.policy_ctx[0], 12)
    return verdicts


@kentry
def inline_unit(address: Any, nr: int) -> int:
    """The same judgement, compiled into the loop: what a built-in policy would cost."""
    k = kernel_at(address)
    verdicts = 0
    for i in range(nr):
        context = k.policy_ctx[0]
        context.acc0 += 1
        if k.page[i & 4095].index & 1 and context.knob0 < 12:
            verdicts += PAGE_ACTIVATE
        else:
            verdicts += PAGE_RECLAIM
    return verdicts


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    costs = []
    for function in (second_chance, second_chance, other_chance, other_chance):
        begun = time.process_time()
        Policy("isolate", function).compiled()
        costs.append(time.process_time() - begun)
    sheet.add("first policy of a process", costs[0], "s", note="numba's own start-up included")
    sheet.add("each further policy", statistics.median(costs[1:]), "s", "<= 0.2", "the engine is not recompiled")

    arrays = new_state({name: NR_PAGES if name == "page" else 1 for name in LAYOUT})
    arrays["page"]["index"] = range(NR_PAGES)
    arrays["policy_ctx"]["knob0"] = 6
    chosen = Policy("isolate", second_chance)
    arrays["param"]["policy_isolate"] = chosen.compiled()[1]
    keep, address = bind_state(arrays, LAYOUT)
    nr = 10_000_000 if sheet.quick else 100_000_000
    assert calls_unit(address, 1000) == inline_unit(address, 1000)

    def timed(unit: Any) -> float:
        begun = time.process_time()
        unit(address, nr)
        return (time.process_time() - begun) / nr * 1e9

    found = in_turns(ROUNDS, called=lambda: timed(calls_unit), inline=lambda: timed(inline_unit))
    sheet.add("one call", statistics.median(found["called"]), "ns", "", "through the hook's address")
    sheet.add("the same, built in", statistics.median(found["inline"]), "ns", note="inlined into the loop")
    del keep


if __name__ == "__main__":
    bench_main("policy", "A user's policy", measure)
