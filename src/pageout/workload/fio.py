# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads fio job files: what fio would do with buffered I/O, as tasks and files.

Source: fio's HOWTO.rst, and init.c, parse.c, filesetup.c where the HOWTO is silent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pageout.vocabulary.errors import JobFileError, did_you_mean, shown
from pageout.vocabulary.keys import FieldError
from pageout.vocabulary.machines import read_text
from pageout.vocabulary.scenario import File, Machine, Scenario, Task, task_seed
from pageout.vocabulary.settings import MAX_FILES, MAX_TASKS, MAX_USES, check
from pageout.vocabulary.units import GIB, MAX_VALUE, NS_PER_S, NS_PER_US, PAGE_BYTES, TIB, format_size
from pageout.workload.fio_options import (
    ALIASES,
    ASYNC_ENGINES,
    DIRECTIONS,
    ENGINES,
    HARMLESS,
    KNOWN,
    REFUSED,
    SYNC_ENGINES,
    WARNED,
    parse_fio_size,
    parse_fio_time,
)


class Given(NamedTuple):
    """An option as written: its value, None for a bare key, and its line."""

    value: str | None
    line: int


class Job:
    """A section of a job file with [global] folded in, and typed access to its options."""

    def __init__(self, path: str, name: str, line: int, options: dict[str, Given]) -> None:
        self.path, self.name, self.line, self.options = path, name, line, options
        self.warnings: dict[str, None] = {}
        self.kb_base = 1024
        self.kb_base = self.count("kb_base", 1024)
        if self.kb_base not in (1000, 1024):
            self.fail("kb_base", "must be 1024 or 1000")

    def fail(self, option: str, message: str) -> NoReturn:
        """Refuse the job at the line of an option, or of its section if the option is not there."""
        given = self.options.get(option)
        where = f"{option}={shown(given.value)}" if given and given.value is not None else option
        raise JobFileError(f"{self.path}:{given.line if given else self.line}: [{self.name}] {where}: {message}")

    def warn(self, option: str, message: str) -> None:
        """Remember one line about an option that is not modelled; [global]'s is said once."""
        given = self.options[option]
        value = "" if given.value is None else f"={shown(given.value)}"
        self.warnings[f"{self.path}:{given.line}: {option}{value}: {message}"] = None

    def text(self, option: str, default: str = "") -> str:
        """Return an option's text; a bare key is refused."""
        given = self.options.get(option)
        if given is None:
            return default
        if not given.value:
            self.fail(option, "needs a value")
        return given.value

    def read(self, option: str, text: str) -> int:
        """Return a number with fio's size units, from the text of an option."""
        try:
            return parse_fio_size(text, self.kb_base)
        except ValueError as error:
            self.fail(option, str(error))

    def size(self, option: str, default: int = 0, high: int = 64 * TIB) -> int:
        """Return bytes."""
        text = self.text(option)
        return self._size(option, text, high) if text else default

    def _size(self, option: str, text: str, high: int) -> int:
        if re.search(r"\d[kmgtp]ib$", text, re.IGNORECASE) and self.kb_base == 1024:
            self.warn(option, "fio reads kib, mib, gib as powers of 1000 unless kb_base=1000")
        amount = self.read(option, text)
        if amount > high:
            self.fail(option, f"must be at most {format_size(high)}")
        return amount

    def count(self, option: str, default: int, low: int = 0, high: int = 10**12) -> int:
        """Return a whole number within its range."""
        text = self.text(option)
        amount = self.read(option, text) if text else default
        if not low <= amount <= high:
            self.fail(option, f"must be from {low} to {high}")
        return amount

    def time(self, option: str, unit_ns: int) -> int:
        """Return nanoseconds; of a range its lower end, with a warning."""
        low, dash, _ = self.text(option, "0").partition("-")
        if dash:
            self.warn(option, f"a random time in this range is not drawn, {low} is taken")
        try:
            return parse_fio_time(low.strip(), unit_ns)
        except ValueError as error:
            self.fail(option, str(error))

    def flag(self, option: str) -> bool:
        """Return a switch: bare, or a number."""
        given = self.options.get(option)
        if given is None or given.value is None:
            return given is not None
        if given.value not in ("0", "1"):
            self.fail(option, "must be 0 or 1")
        return given.value == "1"

    def pair(self, option: str, default: int, high: int) -> tuple[int, int]:
        """Return an option of the form `read,write`; one value stands for both, an empty one for the default."""
        parts = [part.strip() for part in self.text(option).split(",")]
        if len(parts) > 3:
            self.fail(option, "must be one value, or read,write")
        sizes = [self._size(option, part, high) if part else default for part in parts]
        return sizes[0], (sizes[1] if len(sizes) > 1 else sizes[0])


def read_jobs(path: str, text: str, environ: Mapping[str, str], machine: Machine) -> list[Job]:
    """Return the jobs of a job file in order.  Raises JobFileError at the first line that is wrong."""
    common: dict[str, Given] = {}
    sections: list[tuple[str, int, dict[str, Given]]] = []
    current: dict[str, Given] | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.split("[;#]", raw, maxsplit=1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            name = line[1:-1].strip()
            if not line.endswith("]") or not name or not name.isprintable() or len(name) > 200:
                raise JobFileError(f"{path}:{number}: {shown(line)}: a section is written [name]")
            current = common if name.startswith("global") else dict(common)
            if current is not common:
                sections.append((name, number, current))
            continue
        if current is None:
            raise JobFileError(f"{path}:{number}: {shown(line)}: before any section, put it under [global] or [job]")
        option, given = _option(path, number, line, environ, machine)
        current[option] = given
    if not sections:
        raise JobFileError(
            f"{path}:{max(text.count(chr(10)), 1)}: no job: add a section such as [job] with rw= and size="
        )
    return [Job(path, *section) for section in sections]


def _option(path: str, line: int, text: str, environ: Mapping[str, str], machine: Machine) -> tuple[str, Given]:
    """Return the option of a line under its first name, variables filled in."""
    written, equals, value = (part.strip() for part in text.partition("="))
    option = ALIASES.get(written, written)
    if re.match(r"include\b", written):
        raise JobFileError(f"{path}:{line}: include is not followed: copy the included file in")
    if option not in KNOWN:
        raise JobFileError(f"{path}:{line}: {shown(written)}: no such fio option{did_you_mean(written, KNOWN)}")
    named = option in ("directory", "filename", "name", "description", "filename_format")
    keywords = {"$ncpus": machine.cpus, "$mb_memory": machine.memory_bytes >> 20, "$pagesize": PAGE_BYTES}
    for keyword, amount in {} if named else keywords.items():
        value = value.replace(keyword, str(amount))
    for variable in re.findall(r"\$\{([^}]*)\}", value):
        if variable not in environ and not named and option not in HARMLESS:
            raise JobFileError(f"{path}:{line}: {option}: ${{{shown(variable)}}} is not set in the environment")
        value = value.replace(f"${{{variable}}}", environ.get(variable, f"${{{variable}}}"))
    return option, Given(value if equals else None, line)


def load_fio(path: str | Path, machine: Machine, *, seed: int | None = None) -> Scenario:
    """Return the scenario of a fio job file on a machine.  Raises JobFileError with the line that is wrong."""
    return read_fio(str(path), read_text(str(path), JobFileError), machine, seed=seed)


def read_fio(
    path: str, text: str, machine: Machine, *, seed: int | None = None, environ: Mapping[str, str] | None = None
) -> Scenario:
    """Return the scenario of a job file's text; `environ` fills in ${VARIABLES}."""
    jobs = read_jobs(path, text, os.environ if environ is None else environ, machine)
    seeds = [job.count("randseed", 0, high=MAX_VALUE) for job in jobs if "randseed" in job.options]
    run_seed = seeds[0] if seeds else 1 if seed is None else seed
    shelf = Shelf()
    tasks: list[Task] = []
    group = 0
    for job in jobs:
        _refuse_and_warn(job)
        group += job.flag("stonewall") and bool(tasks)
        clones = job.count("numjobs", 1, 1, MAX_TASKS)
        if len(tasks) + clones > MAX_TASKS:
            job.fail("numjobs", f"more than {MAX_TASKS} tasks in all")
        job_seed = job.count("randseed", run_seed, high=MAX_VALUE)
        calls = _io(job)
        calls |= _pace(job, calls["rw"], calls["bs_bytes"])
        for clone in range(clones):
            name = f"{job.name}.{clone}" if clones > 1 else job.name
            fields = calls | _layout(job, clone, calls, shelf)
            tasks.append(Task(name=name, group=group, seed=task_seed(job_seed, len(tasks)), **fields))
    shelf.warn_of_parts()
    warnings = tuple(dict.fromkeys(warning for job in jobs for warning in job.warnings))
    scenario = Scenario(
        name=Path(path).stem,
        machine=machine,
        files=shelf.files(machine),
        tasks=tuple(tasks),
        seed=run_seed,
        warnings=warnings,
    )
    try:
        check(scenario)
    except FieldError as problem:
        raise JobFileError(f"{path}:{jobs[0].line}: {problem.where}: {problem}") from None
    return scenario


def _refuse_and_warn(job: Job) -> None:
    """Go through the options that are not modelled."""
    if job.flag("direct") or ("buffered" in job.options and not job.flag("buffered")):
        option = "direct" if job.flag("direct") else "buffered"
        job.fail(option, "O_DIRECT bypasses the page cache, and pageout models buffered I/O only: use direct=0")
    for option, (off, why) in REFUSED.items():
        if option in job.options and (job.options[option].value or "1") not in off:
            job.fail(option, why)
    for option, (off, instead) in WARNED.items():
        if option in job.options and (job.options[option].value or "1") not in off:
            job.warn(option, f"not modelled: {instead}")


def _direction(job: Job) -> str:
    rw, colon, _ = job.text("rw", "read").partition(":")
    rw = "rw" if rw == "readwrite" else rw
    if "trim" in rw:
        job.fail("rw", "trim is not modelled")
    if rw not in DIRECTIONS:
        job.fail("rw", f"no such direction{did_you_mean(rw, DIRECTIONS)}")
    if colon:
        job.warn("rw", "not modelled: the number after the colon, offsets follow rw alone")
    return rw


def _one_of_pair(job: Job, rw: str, option: str, sizes: tuple[int, int]) -> int | None:
    """Return the value for the direction of the job; None if it has both and they differ."""
    read, write = sizes
    if rw in ("read", "randread"):
        return read
    return write if rw in ("write", "randwrite") or read == write else None


def _block_size(job: Job, rw: str) -> int:
    if "bsrange" in job.options:
        ends = re.split("[-:,/]", job.text("bsrange"))
        job.options["bs"] = Given(ends[0].strip(), job.options["bsrange"].line)
        if len({job.read("bsrange", end.strip()) for end in ends}) > 1:
            job.fail("bsrange", "varying block sizes are not modelled: give one bs")
    size = _one_of_pair(job, rw, "bs", job.pair("bs", 4096, GIB))
    if size is None:
        job.fail("bs", f"different sizes for reads and writes of one {rw} job are not modelled: make two jobs")
    if size == 0:
        job.fail("bs", "must be over 0")
    return size


def _rate(job: Job, rw: str, bs: int) -> int:
    """Return the limit of each direction, bytes per second."""
    if "rate" in job.options and "rate_iops" in job.options:
        job.fail("rate_iops", "fio takes rate or rate_iops, not both")
    option, factor = ("rate_iops", bs) if "rate_iops" in job.options else ("rate", 1)
    if option not in job.options:
        return 0
    pair = job.pair(option, 0, 1 << 40)
    limit = _one_of_pair(job, rw, option, pair)
    if limit is None:
        job.warn(option, "not modelled: a rate of its own for each direction, the write rate is taken for both")
        limit = pair[1]
    return min(limit * factor, 1 << 50)


def _distribution(job: Job, rw: str) -> dict[str, Any]:
    """Return how random offsets are drawn; anything but uniform goes without a random map, as in fio."""
    kind, _, rest = job.text("random_distribution", "random").partition(":")
    drawn = job.text("random_generator", "tausworthe") != "lfsr"
    plain = {"norandommap": job.flag("norandommap"), "next_free": drawn and rw.startswith("rand")}
    if kind == "random" or not rw.startswith("rand"):
        return plain
    if kind not in ("zipf", "pareto"):
        if kind not in ("normal", "zoned", "zoned_abs", "sequence"):
            job.fail("random_distribution", f"no such distribution{did_you_mean(kind, ('random', 'zipf', 'pareto'))}")
        job.warn("random_distribution", "not modelled: offsets are uniformly random")
        return plain
    theta, center, _ = (*rest.split(":", 1), "", "")[:3]
    if center:
        job.warn("random_distribution", "not modelled: the centre, the hottest block is drawn at random")
    if theta and not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,12})?", theta):
        job.fail("random_distribution", "write zipf:1.2 or pareto:0.2")
    value = float(theta) if theta else {"zipf": 1.1, "pareto": 0.2}[kind]
    if not (0 < value < 1 if kind == "pareto" else 0 < value <= 100):
        job.fail("random_distribution", "zipf needs a value from 0 to 100, pareto one between 0 and 1")
    return {"norandommap": True, "distribution": kind, "theta": value}


def _engine(job: Job) -> dict[str, Any]:
    engine = job.text("ioengine", "psync").partition(":")[0]
    if engine in ASYNC_ENGINES:
        job.warn("ioengine", f"{ASYNC_ENGINES[engine]}; taken as psync")
    elif engine not in SYNC_ENGINES:
        near = did_you_mean(engine, SYNC_ENGINES) if engine not in ENGINES else ", use psync"
        job.fail("ioengine", f"not modelled{near}")
    return {"mmap": engine == "mmap"}


def _io(job: Job) -> dict[str, Any]:
    """Return what the job's calls are."""
    rw = _direction(job)
    reads = job.count("rwmixread", 50, 0, 100)
    if "rwmixwrite" in job.options:
        reads = 100 - job.count("rwmixwrite", 50, 0, 100)
    syncs = [job.count(option, 0) for option in ("fsync", "fdatasync")]
    if job.text("sync", "none") not in ("none", "0"):
        syncs.append(1)
    return {
        "rw": rw,
        "rwmixread": reads,
        "bs_bytes": _block_size(job, rw),
        "fsync_every": min((every for every in syncs if every), default=0),
        "end_fsync": job.flag("end_fsync") or job.flag("fsync_on_close"),
        "advice": _advice(job, rw),
        **_distribution(job, rw),
        **_engine(job),
    }


def _advice(job: Job, rw: str) -> str:
    """Return what fio tells the kernel of its files: fadvise_hint, by the direction unless it says."""
    hint = job.text("fadvise_hint", "1")
    if hint in ("random", "sequential"):
        return hint
    if hint not in ("0", "1"):
        job.warn("fadvise_hint", "not modelled: taken as 1")
    return "normal" if hint == "0" else "random" if rw.startswith("rand") else "sequential"


def _pace(job: Job, rw: str, bs: int) -> dict[str, Any]:
    """Return when the job's calls are made."""
    runtime, time_based = job.time("runtime", NS_PER_S), job.flag("time_based")
    if time_based and not runtime:
        job.warn("time_based", "has no runtime and is ignored, as in fio")
    return {
        "rate_bps": _rate(job, rw, bs),
        "thinktime_ns": job.time("thinktime", NS_PER_US),
        "thinktime_blocks": job.count("thinktime_blocks", 1, 1),
        "runtime_ns": runtime,
        "time_based": time_based and runtime > 0,
        "start_delay_ns": job.time("startdelay", NS_PER_S),
        "loops": job.count("loops", 1, 1, 10**9),
    }


class Shelf:
    """The files of a run by name, each as large as the largest part a job uses."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.sizes: list[int] = []
        self.exists: list[bool] = []
        self.uses = 0
        self.parts: list[tuple[Job, int, int]] = []  # jobs that roam a part of a file: job, file, end of the part

    def place(self, name: str, end: int, exists: bool) -> int:
        """Return the number of a file that reaches at least to `end`."""
        number = self.numbers.setdefault(name, len(self.sizes))
        if number == len(self.sizes):
            self.sizes.append(0)
            self.exists.append(False)
        self.sizes[number] = max(self.sizes[number], end)
        self.exists[number] |= exists
        return number

    def files(self, machine: Machine) -> tuple[File, ...]:
        """Return the files in the order of their numbers; a path that begins with a filesystem's name lies on it."""
        mounted = {filesystem.name for filesystem in machine.more_filesystems}
        rows = zip(self.numbers, self.sizes, self.exists, strict=True)
        return tuple(
            File(name=name, size_bytes=size, exists=exists, filesystem=top if top in mounted else "")
            for name, size, exists in rows
            for top in [name.lstrip("/").partition("/")[0] if "/" in name else ""]
        )

    def warn_of_parts(self) -> None:
        """Warn where a job should roam only the first part of a file another job made larger."""
        for job, number, end in self.parts:
            if end < self.sizes[number]:
                option = "filesize" if "filesize" in job.options else "size"
                size = format_size(self.sizes[number])
                job.warn(option, f"not modelled: part of a shared file, the job ranges over all {size} of it")


def _file_names(job: Job, clone: int) -> list[str]:
    """Return the names of a clone's files: given and shared, or jobname.jobnum.filenum and its own."""
    if "filename" in job.options:
        names = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", job.text("filename"))]
    else:
        pattern = job.text("filename_format", "$jobname.$jobnum.$filenum")
        pattern = pattern.replace("$jobname", job.name).replace("$jobnum", str(clone))
        files = job.count("nrfiles", 1, 1, MAX_FILES)
        names = [pattern.replace("$filenum", str(number)) for number in range(files)]
    directory = job.text("directory").rstrip("/")
    names = [f"{directory}/{name}" if directory else name for name in names]
    option = "filename" if "filename" in job.options else "directory"
    if not all(name.isprintable() and 0 < len(name) <= 400 for name in names):
        job.fail(option, "must be printable, and not longer than 400 characters")
    return names


def _regions(job: Job, files: int, offset: int, bs: int) -> list[int]:
    """Return how many bytes of each file the job covers: `filesize`, or its share of `size`."""
    filesize, size = job.size("filesize"), job.size("size")
    if filesize:
        if filesize <= offset:
            job.fail("offset", "is beyond the filesize")
        return [filesize - offset] * files
    if not size:
        job.fail("size", "the job needs a size over 0, such as size=1g")
    share = size // files
    larger = (size - share * files) // bs
    return [share + bs * (number < larger) for number in range(files)]


def _layout(job: Job, clone: int, calls: Mapping[str, Any], shelf: Shelf) -> dict[str, Any]:
    """Return which files a clone uses, from where, and how many bytes it moves."""
    rw, bs = calls["rw"], calls["bs_bytes"]
    offset = job.size("offset") + job.size("offset_increment") * clone
    names = _file_names(job, clone)
    shelf.uses += len(names)
    if shelf.uses > MAX_USES:
        job.fail("filename" if "filename" in job.options else "nrfiles", f"more than {MAX_USES} files over all jobs")
    regions = _regions(job, len(names), offset, bs)
    option = "filesize" if "filesize" in job.options else "size"
    if min(regions) < bs:
        job.fail(option, f"leaves less than one block of {format_size(bs)} for each file")
    if offset + max(regions) > 64 * TIB:
        job.fail(option, f"a file must be at most {format_size(64 * TIB)}")
    exists = rw not in ("write", "randwrite") or job.flag("overwrite")
    numbers = [shelf.place(name, offset + part, exists) for name, part in zip(names, regions, strict=True)]
    if len(shelf.sizes) > MAX_FILES:
        job.fail("nrfiles", f"more than {MAX_FILES} files in all")
    total = min(sum(regions), job.size("size") or sum(regions))
    io_bytes = job.size("io_size", high=MAX_VALUE) or total
    if rw.startswith("rand") or io_bytes > total or calls["time_based"]:
        shelf.parts += [(job, number, offset + part) for number, part in zip(numbers, regions, strict=True)]
    return {"file": tuple(numbers), "offset_bytes": offset, "io_bytes": io_bytes}
