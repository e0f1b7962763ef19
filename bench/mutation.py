# SPDX-License-Identifier: GPL-2.0-or-later
"""How many small faults the tests notice: one comparison, constant or condition of a kernel module changed at a time.

    python -m bench.mutation [--sample N] [--seed N] [--jobs N] [FILE.py ...]      default: all of TARGETS

Each mutant runs its module's own tests, interpreted, in a forked process; one that they let live meets all interpreted
tests. Comparisons move by one (< and <=, > and >=) or turn round (== and !=), integers grow by one, truths turn round,
other conditions are negated. Labels of sleeping functions (f.pc values) are left alone: their numbers have no meaning.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MM = "src/pageout/kernel/mm"
TARGETS = ("vmscan", "shrink_list", "isolate", "lru_balance", "kswapd", "page_writeback", "dirty_limits")
EQUIVALENT = ROOT / "bench" / "mutation_equivalents.txt"
ALL_TESTS = ("tests/kernel", "tests/engine", "tests/test_against_naive.py")
TIMEOUT_S, MEMORY_BYTES = (40, 200), 4 << 30  # by stage: own tests, all tests; a mutant that hangs is noticed
OTHERS = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
}  # fmt: skip


class Mutant(NamedTuple):
    """A module with one change: where, what, and its whole source."""

    path: Path
    line: int
    what: str
    source: str


def _is_label_assignment(node: ast.AST) -> bool:
    """True for `SHRUNK, WAITED = 1, 2` within a function."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper()


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, int, type[ast.cmpop] | None]]:
    """Yield (node, index of an operator, the operator instead) of all that can be changed; 0, None if no comparison."""
    skipped: set[int] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in filter(_is_label_assignment, ast.walk(function)):
                skipped |= {id(node) for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Compare):
            yield from ((node, i, other) for i, op in enumerate(node.ops) for other in OTHERS.get(type(op), ()))
        constant = isinstance(node, ast.Constant) and isinstance(node.value, int)
        branch = isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(
            node.test, ast.Compare | ast.Constant
        )
        if constant or branch:
            yield node, 0, None


def _apply(node: ast.AST, index: int, other: type[ast.cmpop] | None) -> None:
    """Make the change in place."""
    if isinstance(node, ast.Compare) and other is not None:
        node.ops[index] = other()
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutant of a module but those EQUIVALENT names: they change nothing that could be seen."""
    tree = ast.parse(path.read_text())
    before, found = ast.unparse(tree), []
    known = {line for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")}
    for number in range(sum(1 for _ in _changes(tree))):
        changed = copy.deepcopy(tree)
        node, index, other = list(_changes(changed))[number]
        _apply(node, index, other)
        after = ast.unparse(ast.fix_missing_locations(changed))
        old, new = next((a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b)
        what = f"{path.stem}: {old.strip()}  ->  {new.strip()}"
        if what not in known:
            found.append(Mutant(path, getattr(node, "lineno", 0), what, after))
    return found


def _run_tests(source_root: str, tests: list[str]) -> None:
    """In a child: pytest on another source tree; the exit status tells."""
    import pytest

    os.chdir(ROOT)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.path.insert(0, source_root)
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *tests])))


class Runner:
    """A tree of its own and at most one child at work."""

    def __init__(self, folder: Path) -> None:
        self.src = folder / "src"
        shutil.copytree(ROOT / "src", self.src, ignore=shutil.ignore_patterns("__pycache__"))
        self.child: multiprocessing.process.BaseProcess | None = None
        self.mutant: Mutant | None = None
        self.began, self.stage = 0.0, 0

    def start(self, mutant: Mutant, stage: int) -> None:
        self.mutant, self.stage, self.began = mutant, stage, time.monotonic()
        (self.src.parent / mutant.path.relative_to(ROOT)).write_text(mutant.source)
        own = f"tests/kernel/mm/test_{mutant.path.stem}.py"
        tests = [own] if stage == 0 else [name for name in ALL_TESTS if (ROOT / name).exists()]
        self.child = multiprocessing.get_context("fork").Process(target=_run_tests, args=(str(self.src), tests))
        self.child.start()

    def finish(self) -> bool:
        """End the child and put the module back. True if the mutant was noticed."""
        assert self.child is not None
        assert self.mutant is not None
        if self.child.is_alive():
            self.child.kill()
        self.child.join()
        place = self.mutant.path.relative_to(ROOT)
        shutil.copyfile(ROOT / place, self.src.parent / place)
        status, self.child = self.child.exitcode, None
        return status != 0


def run(mutants: list[Mutant], jobs: int) -> list[Mutant]:
    """Run all; returns the survivors."""
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        runners = [Runner(Path(folder) / str(i)) for i in range(jobs)]
        todo = [(mutant, 0) for mutant in reversed(mutants)]
        while todo or any(runner.child for runner in runners):
            for runner in runners:
                if runner.child is None and todo:
                    runner.start(*todo.pop())
            busy = [runner for runner in runners if runner.child is not None]
            wait([runner.child.sentinel for runner in busy if runner.child], timeout=1)
            for runner in busy:
                late = time.monotonic() - runner.began > TIMEOUT_S[runner.stage]
                mutant = runner.mutant
                if runner.child is None or mutant is None or (runner.child.is_alive() and not late):
                    continue
                noticed = runner.finish()
                if late:
                    print(f"  line {mutant.line} hangs: {mutant.what}", flush=True)
                elif not noticed and runner.stage == 0:
                    todo.append((mutant, 1))
                elif not noticed:
                    survivors.append(mutant)
                    print(f"  line {mutant.line} lives: {mutant.what}", flush=True)
    return survivors


def main() -> int:
    """Run the mutants asked for; exit status 1 if fewer than nine tenths were noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[ROOT / MM / f"{name}.py" for name in TARGETS])
    parser.add_argument("--sample", type=int, default=0, help="so many of each file, 0 = all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    for module in ("hypothesis", "msgspec", "numpy", "pytest"):
        importlib.import_module(module)  # once, before the forks
    total = alive = 0
    for path in options.files:
        mutants = mutants_of(path.resolve())
        if options.sample and options.sample < len(mutants):
            mutants = random.Random(options.seed).sample(mutants, options.sample)
        began = time.monotonic()
        survivors = run(mutants, options.jobs)
        total, alive = total + len(mutants), alive + len(survivors)
        seconds = time.monotonic() - began
        print(f"{path.name}: {len(mutants) - len(survivors)} of {len(mutants)} noticed ({seconds:.0f} s)", flush=True)
    print(f"all: {total - alive} of {total}, {100 * (total - alive) / max(1, total):.1f} %")
    return int(alive * 10 > total)


if __name__ == "__main__":
    sys.exit(main())
