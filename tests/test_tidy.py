# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps the house in order: layers, sizes, names, sources, documents that are true."""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

SRC = ROOT / "src" / "pageout"
DOCS = ROOT / "docs"
MODULE_LINES, FUNCTION_LINES = 500, 70

# Room -> rooms it may import. A new room needs a row here, and a reason.
LAYERS: dict[str, set[str]] = {
    "vocabulary": set(),
    "jit": {"vocabulary"},
    "workload": {"vocabulary"},
    "engine": {"vocabulary", "jit"},
    "events": {"vocabulary", "jit"},
    "kernel": {"engine", "vocabulary", "jit"},
    "machine": {"kernel", "engine", "workload", "events", "vocabulary", "jit"},
    "readers": {"events", "vocabulary", "jit"},
    "analysis": {"events", "vocabulary"},
    "diagnose": {"analysis", "readers", "events", "vocabulary"},
    "report": {"analysis", "events", "vocabulary"},
    "bundle": {"analysis", "readers", "events", "vocabulary"},
    "validate": {"kernel", "analysis", "events", "vocabulary", "jit"},  # the model's arithmetic against a recording
    # from a recording back to a scenario, and what that predicts: beside validate, which compiles the kernel's arithmetic
    "twin": {"bundle", "machine", "kernel", "workload", "readers", "analysis", "events", "vocabulary"},
    "record": {"vocabulary"},  # what runs on the recorded machine: light, and nothing of the model
    "export": {"events", "vocabulary"},  # beside report: writers that nothing but the command line needs
    "cli": {
        "bundle",
        "twin",
        "diagnose",
        "export",
        "readers",
        "report",
        "record",
        "analysis",
        "machine",
        "events",
        "workload",
        "vocabulary",
        "jit",
    },
    "__main__": {"cli"},
    "__init__": {"machine"},
}
LIGHT_ROOMS = ("vocabulary", "workload", "report", "cli")  # importing all their modules brings in none of HEAVY
HEAVY = {"numba", "polars", "vl_convert", "numpy"}

RECORD_TABLES = ("engine/state.py", "engine/ring.py", "engine/ledger.py")


@cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(SRC.rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted module) of every import in a module, those inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)}:{node.lineno}: write the whole name of a module"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node.lineno, full if _is_module(full) else str(node.module)


def _is_module(dotted: str) -> bool:
    place = SRC.parent.joinpath(*dotted.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def tracked() -> list[Path]:
    """Return the files that are, or are about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    names = [name for name in listed.stdout.split("\0") if name]
    if listed.returncode or not names:  # an unpacked archive
        names = [
            path.relative_to(ROOT).as_posix() for top in ("src", "tests", "docs") for path in (ROOT / top).rglob("*.*")
        ]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_each_room_imports_only_the_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    assert room in LAYERS, f"room {room} has no row in LAYERS"
    for line, module in imports(path):
        parts = module.split(".")
        if parts[0] == "pageout" and len(parts) > 1 and parts[1] not in (room, "__version__"):
            assert parts[1] in LAYERS[room], f"{name_of(path)}:{line}: {room} may not import {parts[1]}"


def test_the_root_holds_what_belongs_there() -> None:
    known = {".gitignore", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
             "constraints.txt", "pyproject.toml"}  # fmt: skip

    assert {path.name for path in tracked() if path.parent == ROOT} <= known


def sleeping_functions() -> set[str]:
    from pageout.kernel.frames import FN

    return set(FN._fields)


@pytest.mark.parametrize("path", [path for path in modules() if room_of(path) == "kernel"], ids=name_of)
def test_sleeping_functions_are_called_by_number_never_imported(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pageout.kernel"):
            for alias in node.names:
                is_module = _is_module(f"{node.module}.{alias.name}")
                assert is_module or alias.name not in sleeping_functions(), (
                    f"{name_of(path)}:{node.lineno}: {alias.name}"
                )


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    graph = {
        _dotted(path): {module for _, module in imports(path) if module.startswith("pageout.")}
        for path in modules()
        if room_of(path) in ("kernel", "engine", "machine", "vocabulary", "workload", "events", "report")
    }
    while free := {name for name, below in graph.items() if not below & graph.keys()}:
        graph = {name: below for name, below in graph.items() if name not in free}
    assert not graph


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")


def test_only_jit_imports_numba() -> None:
    users = {
        name_of(path)
        for path in modules()
        for _, module in imports(path)
        if module.split(".")[0] in ("numba", "llvmlite")
    }
    assert all(user.startswith("jit/") for user in users), users


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_a_light_room_imports_nothing_heavy(room: str) -> None:
    names = [
        ".".join(path.relative_to(SRC.parent).with_suffix("").parts) for path in modules() if room_of(path) == room
    ]
    code = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(*{HEAVY!r} & set(sys.modules))"
    )
    env = os.environ | {"PYTHONPATH": str(SRC.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_module_and_no_function_is_too_long_to_read(path: Path) -> None:
    length = len(path.read_text().splitlines())
    assert length <= MODULE_LINES, f"{name_of(path)}: {length} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{name_of(path)}:{node.lineno}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(tree(path)), name_of(path)


def field_names(value: object) -> Iterator[str]:
    """Yield the names in anything that looks like the fields of a record: ((name, type), ...), nested or in a dict."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from field_names(inner)
    elif isinstance(value, np.dtype):
        yield from value.names or ()
    elif isinstance(value, tuple | list):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str | type):
            yield value[0]
        else:
            for inner in value:
                yield from field_names(inner)


@pytest.mark.parametrize("name", RECORD_TABLES)
def test_no_record_field_is_named_like_a_numpy_attribute(name: str) -> None:
    if not (SRC / name).exists():
        pytest.skip("no such module")
    module = importlib.import_module(f"pageout.{name.removesuffix('.py').replace('/', '.')}")
    fields = {field for key, value in vars(module).items() if key.isupper() for field in field_names(value)}
    assert name != "engine/state.py" or len(fields) > 20
    assert not {field for field in fields if hasattr(np.ndarray, field) or hasattr(np.record, field)}


def test_every_stack_frame_says_where_its_size_comes_from() -> None:
    if not (SRC / "kernel/frames.py").exists():
        pytest.skip("no such module")
    from pageout.kernel import frames

    assert len(frames.SIZES) > 20
    for name, (size, source) in frames.SIZES.items():
        assert 0 <= size < 8192, name
        assert source.strip() not in ("", "assumed", "assumed:"), name
        assert size % 8 == 0, f"{name}: {size} is not a multiple of the stack's alignment"
    for row in frames.TABLE:
        assert all(step in frames.SIZES for step in (row.own, *row.via)), row.name


def test_every_tracepoint_is_documented() -> None:
    page = DOCS / "reference" / "tracepoints.md"
    if not page.exists():
        pytest.skip("no such page")
    from pageout.vocabulary.tracepoints import TRACEPOINTS

    text = page.read_text()
    assert not [row.name for row in TRACEPOINTS if not re.search(rf"\b{row.name}\b", text)]


MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work|private|scratch|mnt/data)/|[A-Z]:\\\\Users")


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in (".png", ".svg", ".gz", ".zst", ".dat", ".parquet"):
            continue
        text = path.read_text(errors="replace")
        places = [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
        found += places + [f"{path.relative_to(ROOT)}: {ROOT}"] * (f"{ROOT}/" in text)
    assert not found


# Options of other programs that our documents speak of.
FOREIGN_OPTIONS = {"--version", "--help", "--ignore-pid", "--read-procstat"}


def documents() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md" and (path.parent == ROOT or DOCS in path.parents)]


def own_options() -> set[str]:
    """Return every option the command line takes."""
    from pageout.cli.app import make_app

    app = make_app()
    verbs = [app[name] for name in app if not name.startswith("-")]
    arguments = [argument for verb in verbs for argument in verb.assemble_argument_collection()]
    return {name for argument in arguments for name in argument.names if name.startswith("--")}


def test_every_option_the_documents_speak_of_exists() -> None:
    known = own_options() | FOREIGN_OPTIONS
    assert {"--design", "--designs", "--set", "--fail-on", "--power-cut"} <= known
    unknown = []
    for path in documents():
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.search(r"\b(make|pip|git|fio|perl) ", line):
                continue
            options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) - known
            unknown += [f"{path.relative_to(ROOT)}:{number}: {option}" for option in sorted(options)]
    assert not unknown


def test_every_file_the_documents_link_to_exists() -> None:
    missing = []
    for path in documents():
        targets = [target for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()) if "://" not in target]
        lost = [target for target in targets if not (path.parent / target).exists()]
        missing += [f"{path.relative_to(ROOT)}: {target}" for target in lost]
    assert not missing


def test_the_tested_versions_are_names_and_versions_only() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line) for line in lines)
    names = [re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert names == sorted(set(names))
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert {re.sub(r"[-_.]+", "-", re.split(r"[<>=]", name)[0]) for name in wanted} <= set(names)
