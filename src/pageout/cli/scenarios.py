# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout scenarios: the scenarios that come with it, or the text of one."""

import sys
from typing import Annotated

from cyclopts import Parameter

from pageout.cli.terminal import hint, show
from pageout.report.text import plain
from pageout.vocabulary.errors import UsageError


def scenarios(
    name: Annotated[
        str | None, Parameter(name="NAME", help="Print the TOML of this one, to be changed and run; unset: list all.")
    ] = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document instead.")] = False,
) -> int:
    """List the scenarios that come with pageout: what each shows, which claim of the article, how long it takes."""
    from pageout.workload import shipped

    if name is not None and name not in shipped.names():
        raise UsageError(f"{plain(name)}: {shipped.not_found(name)}")
    chosen = [shipped.about(one) for one in (shipped.names() if name is None else (name,))]
    if json:
        import msgspec

        from pageout.cli.output import print_json

        print_json({"scenarios": [msgspec.to_builtins(one) for one in chosen]})
    elif name is not None:
        sys.stdout.write(shipped.text_of(name))
    else:
        from pageout.report.table import scenarios_table

        show(scenarios_table([(one.name, one.shows, ", ".join(one.claims), one.seconds) for one in chosen]))
        hint(chosen[0].commands[0])
    return 0
