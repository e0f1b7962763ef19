# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of compiling: each unit cold, the warm start, and what a sleeping function more costs.

Everything is measured in child processes on a copy of the sources with a cache of its own, as after a fresh install.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pageout
from bench.common import Sheet, bench_main, child_environment

NR_DUMMIES, UNIT_OF = 100, 25
WARM_ROUNDS = 5

# A sleeping function of the shape of try_to_free_pages: labels, calls, a sleep, shared leaves and one of its own.
FUNCTION = '''
@kfn
def leaf_{i}(k, t, zone):
    """Count what the lists hold."""
    total = 0
    for lru in range(NR_LRU):
        queue = k.lru[zone * NR_LRU + lru]
        if queue.nr > {i} and queue.tail != NIL:
            total += queue.nr >> (k.task[t].sc_priority & 15)
    k.zone[zone].pages_scanned += total
    return total


@kfn
def dummy_{i}(k, t, f):
    """Go round zones and priorities, calling and sleeping."""
    PRIORITY, ZONE, ZONE_DONE, WAITED, RETURNED = 1, 2, 3, 4, 5
    task = k.task[t]
    pc = f.pc
    while True:
        if pc == ENTRY:
            f.start_ns = now_of(k, t)
            f.priority = DEF_PRIORITY
            task.sc_order, task.sc_gfp, task.sc_reclaimed = f.a, f.b, {i}
            emit(k, t, EV.mm_vmscan_direct_reclaim_begin, f.a, task.sc_writepage, f.b)
            pc = PRIORITY
        elif pc == PRIORITY:
            task.sc_scanned = 0
            f.zone = k.param.nr_zones - 1
            pc = ZONE
        elif pc == ZONE:
            if f.zone >= 0:
                if not k.zone[f.zone].all_unreclaimable or f.priority == DEF_PRIORITY:
                    return call(k, t, f, FN.shrink_zone, ZONE_DONE, f.priority, f.zone, 0)
                f.zone -= 1
                continue
            if task.sc_reclaimed >= {i}:
                return call(k, t, f, FN.congestion_wait, RETURNED, timeout_jiffies(k, 10), 0, 0)
            f.pc = WAITED
            return sleep_on(k, t, NIL, timeout_jiffies(k, 50), 0)
        elif pc == ZONE_DONE:
            f.total += leaf_{i}(k, t, f.zone) + task.retval
            f.zone -= 1
            pc = ZONE
        elif pc == WAITED:
            if out_of_slice(k, t):
                return YIELD
            if f.priority == 0:
                pc = RETURNED
                continue
            f.priority -= 1
            spend(k, t, {i})
            pc = PRIORITY
        else:
            observe(k, 2, now_of(k, t) - f.start_ns)
            emit(k, t, EV.mm_vmscan_direct_reclaim_end, task.sc_reclaimed)
            return ret(k, t, f, task.sc_reclaimed)
'''
HEAD = '''"""Made by bench/compile.py."""
from pageout.engine.clock import now_of, out_of_slice, spend
from pageout.engine.constants import DEF_PRIORITY, ENTRY, NIL, NR_LRU, RUN, SWITCH, YIELD
from pageout.engine.kstack import call, frame_of, ret
from pageout.engine.ledger import observe
from pageout.engine.ring import emit
from pageout.engine.state import kernel_at
from pageout.engine.waitqueue import sleep_on, timeout_jiffies
from pageout.jit import kentry, kfn
from pageout.kernel.frames import FN
from pageout.vocabulary.tracepoints import EV
'''
UNIT = """
@kfn
def step_{u}(k, t):
    f = frame_of(k, t)
    fn = f.fn
{cases}
    return SWITCH


@kentry
def dummy_unit_{u}(address, t):
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = step_{u}(k, t)
    return verb
"""
# A child process: compiles units one by one; prints {unit: CPU seconds}, in which "import" is what comes before.
CHILD = """
import json, sys, time
from importlib import import_module
units = []
for place in sys.argv[1:]:
    module, name = place.split(":")
    found = getattr(import_module(module), name)
    units += found if isinstance(found, tuple) else [found]
costs = {"import": time.process_time()}
for unit in units:
    begun = time.process_time()
    unit.address
    costs[unit.name] = time.process_time() - begun
print(json.dumps(costs))
"""
ENGINE = ("pageout.machine.dispatch:UNITS", "pageout.machine.prepare:prepare_unit")
TINY = """[run]
length = "10ms"
[[task]]
name = "writer"
rw = "write"
size = "64K"
"""


def dummies(nr: int, unit_of: int) -> str:
    """Return the source of a module with `nr` sleeping functions in units of `unit_of`, and UNITS."""
    parts = [HEAD]
    nr_units = nr // unit_of
    for u in range(nr_units):
        mine = range(u * unit_of, (u + 1) * unit_of)
        parts += [FUNCTION.replace("{i}", str(i)) for i in mine]
        cases = "\n".join(f"    if fn == {1000 + i}:\n        return dummy_{i}(k, t, f)" for i in mine)
        parts.append(UNIT.replace("{u}", str(u)).replace("{cases}", cases))
    parts.append(f"\nUNITS = ({' '.join(f'dummy_unit_{u},' for u in range(nr_units))})\n")
    return "".join(parts)


class Installed:
    """A copy of the sources with a compile cache of its own, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.source, self.cache = folder / "src", folder / "cache"
        shutil.copytree(
            Path(pageout.__file__).parent, self.source / "pageout", ignore=shutil.ignore_patterns("__pycache__")
        )

    def add(self, module: str, text: str) -> None:
        """Write one more module of the package."""
        (self.source / "pageout" / module).write_text(text)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in this installation."""
        environment = child_environment(SOURCE=str(self.source), PAGEOUT_CACHE=str(self.cache))
        return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)

    def compile(self, *places: str) -> dict[str, float]:
        """Compile, or load, the units at `module:name`; returns CPU seconds by unit."""
        return dict(json.loads(self.run("-c", CHILD, *places).stdout))


def measure_engine(sheet: Sheet, installed: Installed) -> None:
    """The engine's own units, cold and from the cache."""
    from pageout.kernel.frames import TABLE

    cold = installed.compile(*ENGINE)
    for name, seconds in cold.items():
        if name != "import":
            nr = sum(row.unit == name.removesuffix("_unit") for row in TABLE)
            sheet.add(f"{name}, cold", seconds, "CPU s", "", f"{nr} sleeping functions" if nr else "")
    total = sum(cold.values())
    sheet.add("engine, cold, with imports", total, "CPU s", "<= 45", f"{total / len(TABLE):.2f} s a sleeping function")
    warm = installed.compile(*ENGINE)
    sheet.add(
        "engine, from the cache", sum(warm.values()) - warm["import"], "CPU s", "", f"imports {warm['import']:.2f} s"
    )
    kib = sum(path.stat().st_size for path in installed.cache.rglob("*") if path.is_file()) / 1024
    sheet.add("cache on disk", kib, "KiB")


def measure_start(sheet: Sheet, installed: Installed, folder: Path) -> None:
    """A whole command with everything compiled, and --help."""
    (folder / "tiny.toml").write_text(TINY)
    commands: dict[str, tuple[Any, str]] = {
        "pageout run, warm start": (("run", str(folder / "tiny.toml")), "<= 1.5"),
        "pageout --help": (("--help",), "<= 0.3"),
    }
    for name, (arguments, target) in commands.items():
        installed.run("-m", "pageout", *arguments)
        walls, cpus = [], []
        for _ in range(2 if sheet.quick else WARM_ROUNDS):
            begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            installed.run("-m", "pageout", *arguments)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            walls.append(time.perf_counter() - begun)
            cpus.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        note = f"wall, the best of {len(walls)}; {statistics.median(cpus):.2f} CPU s"
        sheet.add(name, min(walls), "s", target, note)


def measure_growth(sheet: Sheet, installed: Installed) -> None:
    """What compile time does when the engine grows to about 100 more sleeping functions."""
    nr = UNIT_OF if sheet.quick else NR_DUMMIES
    installed.add("machine/dummies.py", dummies(nr, UNIT_OF))
    costs = installed.compile("pageout.machine.dummies:UNITS")
    units = [seconds for name, seconds in costs.items() if name != "import"]
    sheet.add(
        "a sleeping function more",
        sum(units) / nr,
        "CPU s",
        "<= 0.3",
        f"{nr} in units of {UNIT_OF}: {', '.join(f'{seconds:.1f}' for seconds in units)} s",
    )
    for unit_of in () if sheet.quick else (5, 50):
        installed.add("machine/dummies.py", dummies(unit_of, unit_of))
        seconds = installed.compile("pageout.machine.dummies:UNITS")["dummy_unit_0"]
        sheet.add(f"a sleeping function, unit of {unit_of}", seconds / unit_of, "CPU s", "", f"{seconds:.1f} s in all")


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(Path(folder))
        measure_engine(sheet, installed)
        measure_start(sheet, installed, Path(folder))
        measure_growth(sheet, installed)


if __name__ == "__main__":
    bench_main("compile", "Compiling", measure)
