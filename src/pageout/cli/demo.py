# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout demo: the article, played: every design on the same storm, one table."""

from typing import Annotated

from cyclopts import Parameter

from pageout.cli.options import Common, Many
from pageout.cli.terminal import hint

TODAY = ("linux-6.1", "linux-6.12", "linux-6.18")  # kernels that the article could not know


def demo(
    *,
    designs: Annotated[
        str | None,
        Parameter(
            metavar="D1,D2",
            help="Designs to play, separated by commas; `all`: all of them; unset: all but kernels since 6.1.",
        ),
    ] = None,
    many: Many = Many(),  # noqa: B008  frozen
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Play one storm on a 2 GB server under several designs, and print one table and what it says."""
    from pageout.cli.compare import play_designs
    from pageout.cli.load import all_designs, chosen_designs, load_workload
    from pageout.cli.play import seeded
    from pageout.workload.shipped import path_of

    storm = path_of("storm")
    names = chosen_designs(designs) if designs is not None else [name for name in all_designs() if name not in TODAY]
    play_designs(seeded(lambda options: load_workload(storm, options), common, many), names, common, many)
    if not common.json:
        hint("pageout run JOB.fio  (a fio job file of your own), or pageout demo --report demo.html")
    return 0
