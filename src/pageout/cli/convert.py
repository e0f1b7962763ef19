# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout convert IN OUT: a recording in another program's format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from pageout.cli.terminal import PATIENCE_S, Progress, show, warn
from pageout.report.text import counted, literal, plain
from pageout.vocabulary.errors import TraceError, UsageError

if TYPE_CHECKING:
    from polars import DataFrame

    from pageout.events.tables import Events
    from pageout.readers.read import Input

Format = Literal["parquet", "text", "perfetto"]
ENDINGS: dict[str, Format] = {
    ".parquet": "parquet", ".txt": "text", ".txt.gz": "text", ".pftrace": "perfetto", ".perfetto-trace": "perfetto",
}  # fmt: skip
STDIN, STDOUT = "-", "-"
NAMED = 5  # names of events or fields in a warning


@dataclass
class Recording:
    """What was read: the events, where they come from, and what must be said of them."""

    events: Events
    about: dict[str, Any]  # as in the findings of explain: file, kind, lines, events, ...
    kernel: str | None
    warnings: list[str] = field(default_factory=list)


def convert(
    source: Annotated[
        str,
        Parameter(
            name="IN",
            allow_leading_hyphen=True,
            help="A trace in any format pageout reads, - for standard input, a bundle, or tables it wrote.",
        ),
    ],
    out: Annotated[
        str,
        Parameter(
            name="OUT",
            allow_leading_hyphen=True,
            help="OUT.parquet or OUT/: a folder of tables; .txt, .txt.gz: ftrace text; .pftrace, .perfetto-trace.",
        ),
    ],
    /,
    *,
    to: Annotated[Format | None, Parameter(metavar="FORMAT", help="The format, whatever OUT is called.")] = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document instead.")] = False,
) -> int:
    """Convert a trace to Parquet tables, ftrace text, or a trace that ui.perfetto.dev shows."""
    from pageout.cli.output import print_json

    for name in (source, out):
        if name.startswith("-") and name != STDIN:
            raise UsageError(f"{plain(name)}: no such option (a file of that name is ./{plain(name)})")
    source = _trace_of(source)
    form = format_of(out, to)
    path = Path("/dev/stdout" if out == STDOUT else out)
    _distinct(source, path)
    to_stdout = str(path) in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
    if to_stdout and json:
        raise UsageError("--json: OUT is standard output already: name a file")
    with Progress() as progress, _place(path, form) as part:
        if form == "parquet" and not _is_folder(source):
            recording, output = _stream_tables(source, part, progress)
        else:
            with _patience(progress, f"reading {source}"):
                recording = load(source)
            output = _write(recording, part, form, lambda done: progress(done, f"writing {out}"), str(path))
        document = _document(recording, part, {"path": str(path), "format": form, **output})
    warn(recording.warnings)
    if json:
        print_json(document)
    elif not to_stdout:
        show(literal(_sentence(document, out)))
    return 0


def _trace_of(source: str) -> str:
    """Return the trace of a bundle, anything else as it is.  Raises TraceError if the bundle has no trace."""
    from pageout.bundle.files import is_bundle
    from pageout.bundle.reading import trace_of

    if source == STDIN or not is_bundle(source):
        return source
    trace = trace_of(source)
    if trace is None:
        raise TraceError(f"{plain(source)}: a bundle without a trace: nothing to convert")
    return trace


def format_of(out: str, to: Format | None) -> Format:
    """Return the format of an output by its name.  Raises UsageError if that does not tell."""
    if to is not None:
        return to
    if out == STDOUT:
        return "text"
    if out.endswith("/"):
        return "parquet"
    for ending, form in ENDINGS.items():
        if out.lower().endswith(ending):
            return form
    raise UsageError(f"{plain(out)}: which format? name it {', '.join(ENDINGS)} or NAME/, or say --to FORMAT")


def load(source: str) -> Recording:
    """Read a trace, or tables that convert wrote.  Raises TraceError: it cannot be read, or has no event."""
    if _is_folder(source):
        return _load_tables(source)
    from pageout.readers.read import read_input

    return _recording(source, read_input(source))


def _is_folder(source: str) -> bool:
    return source != STDIN and Path(source).is_dir()


def _recording(source: str, found: Input) -> Recording:
    """Return what was read with what must be said of it.  Raises TraceError if that is no event."""
    from pageout.readers.facts import KernelVersion

    if found.events is None or not found.account.events:
        raise TraceError(f"{source}: {found.kind}, and no event in it: name a trace")
    kernels = [fact.release for fact in found.facts if isinstance(fact, KernelVersion)]
    account = found.account
    about = {
        "file": source, "kind": found.kind, "lines": account.lines, "events": account.events,
        "known_non_events": account.known_non_events, "unread": account.unread, "lost": found.lost,
    }  # fmt: skip
    recording = Recording(found.events, about, kernels[0] if kernels else None)
    if account.unread:
        line = account.unread_lines[0][0] if account.unread_lines else 1
        recording.warnings.append(f"{source}:{line}: the first of {counted(account.unread, 'line')} nobody could read")
    if others := sum(not isinstance(fact, KernelVersion) for fact in found.facts):
        recording.warnings.append(f"{source}: {counted(others, 'fact')} of snapshots and reports in it: not converted")
    _warn_of_events(recording, source)
    return recording


def _load_tables(source: str) -> Recording:
    from pageout.export.parquet import read_tables

    events, meta = read_tables(Path(source))
    if not len(events):
        raise TraceError(f"{source}: no event in it: convert a trace that has some")
    recording = Recording(events, meta.input, meta.kernel)
    _warn_of_events(recording, source)
    return recording


def _warn_of_events(recording: Recording, source: str) -> None:
    events = recording.events
    if events.holes:
        lost = "an unknown number of" if events.lost is None else f"{events.lost:,}"
        where = counted(len(events.holes), "place")
        recording.warnings.append(f"{source}: events are missing at {where} ({lost} lost)")
    if fields := {".".join(key): count for key, count in events.unknown_fields.items()}:
        recording.warnings.append(f"{source}: fields in no column are not written: {_some(fields)}")


def _some(counts: dict[str, int]) -> str:
    """Return the names that count most, with how often."""
    most = sorted(counts.items(), key=lambda item: -item[1])
    more = f", and {len(most) - NAMED} more" if len(most) > NAMED else ""
    return ", ".join(f"{name} ({count:,})" for name, count in most[:NAMED]) + more


def _distinct(source: str, path: Path) -> None:
    if source != STDIN and os.path.realpath(source) == os.path.realpath(path):
        raise UsageError(f"{plain(path)}: is IN too: choose another OUT")


@contextmanager
def _place(path: Path, form: Format) -> Iterator[Path]:
    """Give the file or folder to write, which takes the place of `path` when it is whole."""
    from pageout.cli.output import replacing, replacing_folder

    if form != "parquet":
        with replacing(path) as part:
            yield part
        return
    from pageout.export.parquet import is_tables

    with replacing_folder(path, is_tables) as part:
        yield part


@contextmanager
def _patience(progress: Progress, text: str) -> Iterator[None]:
    """Show that something goes on, once it takes longer than people wait."""
    timer = Timer(PATIENCE_S, progress, (0.0, text))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _stream_tables(source: str, part: Path, progress: Progress) -> tuple[Recording, dict[str, Any]]:
    """Write tables while a trace of any size is read; returns what was read, without its frames, and what written."""
    from pageout import __version__
    from pageout.export.parquet import TablesWriter, about
    from pageout.readers.read import stream_events

    writer = TablesWriter(part)

    def on_block(name: str, frame: DataFrame) -> None:
        writer.block(name, frame)
        progress(0.0, f"reading {source}: {writer.nr_events:,} events")

    recording = _recording(source, stream_events(source, on_block))
    with _patience(progress, f"writing {counted(writer.nr_events, 'event')}"):
        meta = about(recording.events, __version__, recording.about, recording.kernel)
        meta = writer.finish(recording.events, meta)
    return recording, {"events": writer.nr_events, "tables": meta.events, "other": meta.other}


def _write(
    recording: Recording, part: Path, form: Format, progress: Callable[[float], None], name: str
) -> dict[str, Any]:
    """Write events that are in memory and return what was written."""
    output: dict[str, Any] = {"events": len(recording.events)}
    if form == "parquet":
        from pageout import __version__
        from pageout.export.parquet import about, write_tables

        meta = about(recording.events, __version__, recording.about, recording.kernel)
        meta = write_tables(recording.events, part, meta, progress)
        output |= {"tables": meta.events, "other": meta.other}
    elif form == "text":
        _write_text(recording.events, part, name, progress)
    else:
        output["not_drawn"] = _write_perfetto(recording, part, progress)
    return output


def _document(recording: Recording, part: Path, output: dict[str, Any]) -> dict[str, Any]:
    from pageout import __version__

    files = sorted(part.iterdir()) if part.is_dir() else [part]
    output |= {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
    return {
        "pageout": __version__, "input": recording.about, "output": output, "warnings": recording.warnings,
    }  # fmt: skip


def _write_text(events: Events, part: Path, name: str, progress: Callable[[float], None]) -> None:
    from pageout.export.ftrace_text import write_text

    if not name.endswith(".gz"):
        with part.open("wb") as out:
            write_text(events, out, progress)
        return
    import gzip

    with part.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        write_text(events, cast("IO[bytes]", packed), progress)


def _write_perfetto(recording: Recording, part: Path, progress: Callable[[float], None]) -> dict[str, int]:
    from pageout.export.perfetto import write_perfetto

    try:
        with part.open("wb") as out:
            not_drawn = write_perfetto(recording.events, out, progress)
    except TraceError as error:
        raise TraceError(f"{recording.about.get('file')}: {error}: --to text and --to parquet keep all") from None
    if not_drawn:
        recording.warnings.append(f"events of which nothing is drawn: {_some(not_drawn)}")
    return not_drawn


def _sentence(document: dict[str, Any], out: str) -> str:
    output = document["output"]
    files = f" in {counted(output['files'], 'file')}" if output["format"] == "parquet" else ""
    return f"{out}: {counted(output['events'], 'event')}{files}, {counted(output['bytes'], 'byte')}"
