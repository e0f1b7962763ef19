# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of known kernel faults as a page of the documentation."""

from pageout.diagnose.known_kernels import KNOWN, Known
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reference" / "known-kernels.md"

_HEAD = """# Known kernel faults

`pageout explain` compares what it read with these faults. A finding needs the symptom; the kernel's name makes it
surer or rules it out, and alone it is never a finding. Stable and vendor kernels take over fixes, and faults, without
changing the first numbers of their name: then the finding says so and is weaker. Written from
`diagnose/known_kernels.py`; a test compares the two.

Releases are mainline's: from the first with the fault up to, without, the first with the fix. Where a source names a
commit and no release, the commit's date places it. `?`: not found, or not fixed. The third column names stable
releases seen to have the fix (`y`: some release of that series); there may be more.
"""


def page() -> str:
    """Return the page."""
    head = ["| fault | releases | fixed also in | what happens |", "|---|---|---|---|"]
    rows = [f"| [{row.id}](#{row.id}) | {_span(row)} | {_stable(row)} | {row.title} |" for row in KNOWN]
    return "\n".join([_HEAD, *head, *rows, "", *(line for row in KNOWN for line in _section(row))])


def _span(row: Known) -> str:
    return f"{row.span.introduced or '?'} to {row.span.fixed or '?'}"


def _stable(row: Known) -> str:
    return ", ".join(map(str, row.span.backports)) or "-"


def _section(row: Known) -> list[str]:
    fix = f"`{row.commit}`" if row.commit else "not found"
    lines = [
        f"## {row.id}",
        "",
        f"{row.title[0].upper()}{row.title[1:]}.",
        "",
        f"- Looks like: {row.looks}.",
        *(f"- Do: {advice}." for advice in row.do),
        *(f"- Or it is: {other}." for other in row.or_else),
        f"- Fix: {fix}.",
        f"- Source: <{row.source}> (looked up {row.looked_up})"
        + (f"; reported on {', '.join(row.seen_on)}." if row.seen_on else "."),
    ]
    if row.span.also:
        lines.append(f"- Stable series that got the fault: {', '.join(map(str, row.span.also))}.")
    return [*lines, ""]


if __name__ == "__main__":
    PAGE.write_text(page())
