# SPDX-License-Identifier: GPL-2.0-or-later
"""The job file that a fio's command line stands for: options before the first --name are [global], each --name a job.

Of several job files each begins anew: what an earlier one, or the command line, said for all does not hold in it, and
its first job waits for all before.

Source: fio 3.33, init.c:parse_cmd_line, parse_options, __parse_jobs_ini.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from pageout.vocabulary.fio_words import fio_command

_SECTION = re.compile(r"^[ \t]{0,40}\[.{1,200}\]", re.MULTILINE)
_COMMENT = re.compile("[;#]")
_NO_NAME = re.compile(r"[#;\[\]]")  # what a job file could not have in a job's name
_NO_VALUE = str.maketrans({"#": "\uff03", ";": "\uff1b"})  # in a job file they begin a comment, in a word they do not
_MOST_NAME = 200
_MOST_LINES = 100_000


def job_of_command(argv: Sequence[str], kept: Sequence[str | None]) -> str | None:
    """Return the job file that stands for a command line, None if it is no fio or what it ran is not known whole.

    kept: the texts of the job files it was given, in order; None for one that was not kept
    """
    told = fio_command(argv)
    if told is None or not told.runs or "-" in told.files:
        return None
    texts = [text for text in kept[: len(told.files)] if text is not None]
    if len(texts) < len(told.files):
        return None
    lines: list[str] = []
    for name, value in told.options:
        lines += _option(name, value, bool(lines))
    if not texts and not any(line.startswith("[") and not line.startswith("[global") for line in lines):
        return None
    return _joined(lines, texts, told.sections)


def job_of_files(kept: Sequence[str]) -> str | None:
    """Return the job file that stands for several, run by one fio in this order; None if there is none."""
    return _joined([], kept, ()) if kept else None


def _joined(lines: Sequence[str], texts: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return one job file; None if it would be longer than any.  wanted: sections; fio asks but the first file."""
    first = ["\n".join(_sections(texts[0], wanted)) if wanted else texts[0]] if texts else []
    if len(texts) < 2:
        return "\n".join([*lines, *first]) + "\n"
    whole = ["\n".join([*lines, *first]), *texts[1:]]
    found: list[str] = []
    for number, text in enumerate(whole):
        for line in _alone(text, is_later=number > 0):
            found.append(line)
            if len(found) > _MOST_LINES:
                return None
    return "\n".join(found) + "\n"


def job_of_line(text: str) -> str | None:
    """Return the job file that a command line written as one text stands for, None if it is none."""
    if _SECTION.search(text):
        return None
    try:
        argv = shlex.split(text.replace("\\\n", " "))
    except ValueError:
        return None
    return job_of_command(argv, ())


def jobs_of(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return the jobs of a job file in order: name, and options with those for all; "" of one without a value."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in _alone(text, is_later=False):
        if line.startswith("["):
            found.append((line[1:-1].strip(), {}))
        elif found:
            name, _, value = line.partition("=")
            found[-1][1][name.strip()] = value.strip()
    return found


def plain_name(name: str) -> str:
    """Return a job's name as a section of a job file can have it."""
    shown = "".join(sign if sign.isprintable() else "_" for sign in _NO_NAME.sub("_", name[:_MOST_NAME]))
    return shown.strip() or "_"


def option_line(name: str, value: str) -> str:
    """Return an option as a job file has it; a value is one line, and nothing in it begins a comment."""
    value = " ".join(value.split()).translate(_NO_VALUE)
    return f"{name}={value}" if value else name


def _option(name: str, value: str, is_begun: bool) -> list[str]:
    """Return an option's lines: --name begins a job, what comes before any is for all."""
    if name == "name":
        return [f"[{plain_name(value)}]"]
    return [*([] if is_begun else ["[global]"]), option_line(name, value)]


def _lines(text: str) -> Iterator[str]:
    """Yield the lines that say something, less comments: fio takes `#` and `;` for one's beginning anywhere."""
    for raw in text.split("\n"):
        if line := _COMMENT.split(raw, maxsplit=1)[0].strip():
            yield line


def _sections(text: str, wanted: Sequence[str]) -> list[str]:
    """Return the lines of the sections wanted, and of those for all."""
    kept, is_kept = [], True
    for line in _lines(text):
        if line.startswith("["):
            is_kept = line[1:-1] in wanted or line.startswith("[global")
        if is_kept:
            kept.append(line)
    return kept


def _alone(text: str, *, is_later: bool) -> Iterator[str]:
    """Yield the lines of a job file with what is for all in each job, so that it can stand behind others.

    is_later: its first job waits for all before it, unless it says otherwise itself
    """
    common: dict[str, str] = {}
    is_common = False
    for line in _lines(text):
        if line.startswith("["):
            is_common = line.startswith("[global")
            if is_common:
                continue
            yield line
            yield from common.values()
            if is_later:
                yield "stonewall"
            is_later = False
        elif is_common:
            name = line.partition("=")[0].strip()
            common.pop(name, None)
            common[name] = line
        else:
            yield line
