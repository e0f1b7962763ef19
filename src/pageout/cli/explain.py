# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout explain FILE...: what went wrong on a real machine, with the lines that prove it."""

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pageout.cli.terminal import Progress, complain, hint, show, warn, width
from pageout.vocabulary.errors import TraceError, UsageError

if TYPE_CHECKING:
    from pageout.diagnose.against import Comparison
    from pageout.diagnose.explain import Answer
    from pageout.diagnose.findings import Finding
    from pageout.readers.read import Input

DONE, ANSWERED, UNREADABLE = 0, 1, 2
CAPTURES_SHOWN = 2
MAY_COMPILE_BYTES = 1 << 18  # a packed file of this size may be a text the compiled loop takes

Files = Annotated[
    list[str],
    Parameter(
        name="FILE",
        allow_leading_hyphen=True,
        help="Whatever there is: dmesg, trace, trace.dat, perf script, /proc files, iostat, sar, sysctl -a, a whole "
        "mail; .gz, .xz, .zst; - for standard input; a recorded bundle. Several files are taken to be of one machine.",
    ),
]


def explain(
    files: Files,
    /,
    *,
    against: Annotated[
        list[str] | None,
        Parameter(
            negative=(), metavar="FILE", help="A capture from before: say what changed since, instead of what is wrong."
        ),
    ] = None,
    mask: Annotated[
        bool, Parameter(negative="", help="Hide host names, task names and paths: the output can be posted.")
    ] = False,
    tables: Annotated[
        bool, Parameter(negative="", help="Print tables of each trace too: who waited for what, who worked at it.")
    ] = False,
    plot: Annotated[
        Path | None, Parameter(metavar="FILE", help="Draw the first trace over time: .svg, .png or .html.")
    ] = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON document and nothing else.")] = False,
) -> int:
    """Say what went wrong: the answer first, the lines that prove it, what it is not, what to capture next.

    Exit status 1: a finding of severity error. 2: no file could be read.
    """
    if not files:
        raise UsageError("explain: name a file, or - for standard input")
    if mask and (tables or plot is not None):
        raise UsageError("--mask does not reach tables and plots: leave one of them out")
    if against and (tables or plot is not None):
        raise UsageError("--against compares captures: --tables and --plot go with one")
    for name in (*files, *(against or [])):
        if name.startswith("-") and name != "-":
            raise UsageError(f"explain: {name}: no such option; a file of this name: ./{name}")
    suffix = _picture_kind(plot)
    inputs, errors = _read(files, mask)
    if against:
        return _compare(inputs, errors, against, mask, json)
    if not inputs:
        return _unreadable(errors, json)
    from pageout.diagnose.explain import explain as find

    answer = find(inputs)
    document = _document(answer, inputs, errors)
    if mask:
        from pageout.diagnose.masking import masked

        document = masked(document, inputs)
    if plot is not None:
        _draw(inputs, plot, suffix)
    _output(document, errors, json, None if mask else _one_bundle(files))
    if tables and not json:
        _tables(inputs)
    return ANSWERED if any(finding.severity == "error" for finding in answer.findings) else DONE


def _one_bundle(files: list[str]) -> str | None:
    """Return the bundle that was named, if it is one, and alone."""
    from pageout.bundle.files import is_bundle

    return files[0] if len(files) == 1 and files[0] != "-" and is_bundle(files[0]) else None


def _picture_kind(plot: Path | None) -> str:
    from pageout.report.plot import checked_suffix

    return checked_suffix(plot) if plot is not None else ""


def _draw(inputs: "list[Input]", plot: Path, suffix: str) -> None:
    """Draw the first trace over time; warn if there is nothing to draw."""
    from pageout.cli.output import replacing
    from pageout.report.trace_charts import picture_bytes, timeline, trace_picture

    for found in inputs:
        if found.events is None:
            continue
        panels = timeline(found.events)
        if any(panel is not None for panel in panels):
            with replacing(plot) as part:
                part.write_bytes(picture_bytes(trace_picture(panels, Path(found.file).name), suffix))
            return
    if all(found.events is None for found in inputs):
        warn([f"--plot {plot}: a picture is drawn of a trace, and none is here: nothing is written"])
    else:
        warn([f"--plot {plot}: no trace here has waits, levels, rates or requests to draw: nothing is written"])


def _tables(inputs: "list[Input]") -> None:
    from pageout.report.trace_tables import trace_tables

    for found in inputs:
        if found.events is not None:
            show("", *trace_tables(found.events, width()))


def _read(files: list[str], mask: bool) -> "tuple[list[Input], list[str]]":
    """Read what can be read; say of the rest why not, masked only that it was not."""
    from pageout.bundle.files import is_bundle
    from pageout.bundle.reading import inputs_of
    from pageout.diagnose.masking import UNSAID
    from pageout.readers.read import read_input

    inputs: list[Input] = []
    errors: list[str] = []
    names = list(dict.fromkeys(files))
    with Progress() as progress, _compile_notes(progress, names):
        for number, name in enumerate(names):
            progress.part(number, len(names), f"reading {name}")
            try:
                if name != "-" and is_bundle(name):
                    found, unread = inputs_of(name, progress)
                    inputs += found
                    errors += [UNSAID if mask else error for error in unread]
                else:
                    inputs.append(read_input(name, progress))
            except TraceError as error:
                errors.append(UNSAID if mask else str(error))
    return inputs, errors


def _compile_notes(progress: Progress, names: list[str]) -> AbstractContextManager[None]:
    """Say what is compiled while files are read; small ones need nothing of the kind."""
    if all(name != "-" and _size(name) < MAY_COMPILE_BYTES for name in names):
        return nullcontext()
    from pageout import jit

    return jit.compiling(progress.note)


def _size(name: str) -> int:
    try:
        place = Path(name)
        return MAY_COMPILE_BYTES if place.is_dir() else place.stat().st_size
    except OSError:
        return 0


def _unreadable(errors: list[str], json: bool) -> int:
    if json:
        from pageout.cli.output import print_json

        print_json({"findings": [], "inputs": [{"error": error} for error in errors]})
    for error in errors:
        complain(error)
    return UNREADABLE


def _document(answer: "Answer", inputs: "list[Input]", errors: list[str]) -> dict[str, Any]:
    import pageout

    return {
        "pageout": pageout.__version__,
        "findings": [_finding(finding) for finding in answer.findings],
        "inputs": [_input(found) for found in inputs] + [{"error": error} for error in errors],
    }


def _finding(finding: "Finding") -> dict[str, Any]:
    from pageout.diagnose.capture import RECIPES

    captures = [RECIPES[name]._asdict() for name in finding.capture]
    return {
        "id": finding.id,
        "severity": finding.severity,
        "title": finding.title,
        "detail": finding.detail,
        "confidence": finding.confidence,
        "why": finding.why,
        "evidence": [evidence._asdict() for evidence in finding.evidence],
        "not": list(finding.is_not),
        "unknown": list(finding.unknown),
        "advice": list(finding.advice),
        "next": captures[0]["command"] if captures else None,
        "captures": captures,
    }


def _input(found: "Input") -> dict[str, Any]:
    account = found.account
    return {
        "file": found.file,
        "kind": found.kind,
        "unit": found.unit,
        "lines": account.lines,
        "events": account.events,
        "known_non_events": account.known_non_events,
        "unread": account.unread,
        "lost": found.lost,
        "unread_lines": [{"line": line, "text": text} for line, text in account.unread_lines[:20]],
        "other_events": found.events.other_names() if found.events is not None else {},
    }


def _output(document: dict[str, Any], errors: list[str], json: bool, bundle: str | None = None) -> None:
    if json:
        from pageout.cli.output import print_json

        print_json(document)
        for error in errors:
            complain(error)
        return
    from pageout.report.findings import capture_text, findings_text, inputs_text

    findings = document["findings"]
    captures = {recipe["title"]: recipe for finding in findings for recipe in finding["captures"]}
    recipes = list(captures.values())[:CAPTURES_SHOWN]
    show(findings_text(findings), inputs_text(document["inputs"]), capture_text(recipes))
    if recipes:
        files = " ".join(
            dict.fromkeys(name for recipe in recipes for name in re.findall(r"/tmp/[\w.]+", recipe["command"]))
        )
        hint(f"capture what is named above, then: pageout explain {files} together with these files")
    elif bundle is not None:
        import shlex

        hint(f"pageout validate {shlex.quote(bundle)}")


def _compare(inputs: "list[Input]", errors: list[str], against: list[str], mask: bool, json: bool) -> int:
    """Explain both captures, then say what changed from AGAINST to FILE."""
    former, more = _read(against, mask)
    errors = errors + more
    if not inputs or not former:
        return _unreadable(errors, json)
    import pageout
    from pageout.diagnose.against import compare
    from pageout.diagnose.explain import explain as find
    from pageout.diagnose.explain import with_texts

    before, after = find(former), find(inputs)
    comparison = compare(before, after)
    (summary,) = with_texts([comparison.summary], former + inputs)
    document: dict[str, Any] = {
        "pageout": pageout.__version__,
        "findings": [_finding(summary), *(_finding(finding) for finding in after.findings)],
        "against": _comparison(comparison),
        "inputs": [_input(found) for found in inputs] + [{"error": error} for error in errors],
        "before": [_input(found) for found in former],
    }
    if mask:
        from pageout.diagnose.masking import masked

        document = masked(document, former + inputs)
    _output_comparison(document, errors, json)
    return ANSWERED if any(finding["severity"] == "error" for finding in document["findings"]) else DONE


def _comparison(comparison: "Comparison") -> dict[str, Any]:
    return {
        "figures": [
            one._asdict() | {"evidence": [line._asdict() for line in one.evidence]} for one in comparison.differences
        ],
        "only_before": list(comparison.only_before),
        "only_after": list(comparison.only_after),
        "settings": [{"name": name, "before": old, "after": new} for name, old, new in comparison.settings],
        "gone": [finding.id for finding in comparison.gone],
        "new": [finding.id for finding in comparison.new],
        "stayed": [finding.id for finding in comparison.stayed],
    }


def _output_comparison(document: dict[str, Any], errors: list[str], json: bool) -> None:
    if json:
        from pageout.cli.output import print_json

        print_json(document)
    else:
        from pageout.report.against import differences_table, settings_text
        from pageout.report.findings import findings_text, inputs_text

        told = document["against"]
        show(
            findings_text(document["findings"][:1]),
            settings_text(told["settings"]),
            differences_table(told["figures"]),
            inputs_text([*document["before"], *document["inputs"]]),
        )
        hint("pageout explain FILE says what is wrong in each by itself")
    for error in errors:
        complain(error)
