# SPDX-License-Identifier: GPL-2.0-or-later
"""A reclaim policy of one's own beside the kernel's. Run it with the Python that has pageout: .venv/bin/python FILE."""

from pathlib import Path

import pageout
from pageout.engine.constants import PAGE_ACTIVATE, PAGE_RECLAIM
from pageout.workload.program import load_workload


@pageout.policy("isolate")
def second_chance(page, ctx, priority):
    """Spare odd-numbered pages of a file until reclaim is desperate. ctx.knob0: the priority at which mercy ends."""
    ctx.acc0 += 1
    if page.index & 1 and priority > ctx.knob0:
        ctx.acc1 += 1
        return PAGE_ACTIVATE
    return PAGE_RECLAIM


def main() -> None:
    """Run the same job under the kernel's judgement and under ours."""
    scenario = load_workload(Path(__file__).with_name("reader-and-writer.fio"))
    for name, policies in (("the kernel's", []), ("second chance", [second_chance.tuned(6)])):
        result = pageout.simulate(scenario, seed=7, policies=policies)
        ctx, figures = result.booted.arrays["policy_ctx"][0], result.metrics
        print(  # noqa: T201  an example prints
            f"{name}: kswapd scanned {figures['scanned_kswapd']:,} pages and freed {figures['reclaimed_kswapd']:,}; "
            f"the policy was asked about {ctx['acc0']:,} and spared {ctx['acc1']:,}"
        )


if __name__ == "__main__":
    main()
