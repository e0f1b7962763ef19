# SPDX-License-Identifier: GPL-2.0-or-later
"""A long, coverage-guided search for inputs that hurt: `python -m tests.fuzz.guided --inputs 1000000` (make fuzz).

atheris watches which branches of pageout an input takes, compares included, and keeps what takes new ones. It changes
inputs by its own means, and by `mutations`. The first input that breaks a property is written to a file and ends the
search; `--again FILE` runs that input alone.
"""

import argparse
import random
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

from tests.conftest import ROOT
from tests.fuzz.mutations import MAX_BYTES, mutated
from tests.fuzz.seeds import seeds

WATCHED = ("readers", "diagnose", "analysis", "report")
COMPILED = "bulk_"  # by numba, which takes no watched code; tests compare it with its twin
EXPLAINED, RUN = 4, 200  # one input in so many is explained too; goes through the whole command line
OURS = 2  # one change in so many is atheris' own


def change(data: bytes, most: int, seed: int) -> bytes:
    """Return another input: by our changes, which know lines and formats, or by atheris' bytes."""
    chance = random.Random(seed)
    if chance.randrange(OURS) == 0:
        return bytes(atheris.Mutate(data, most))
    return mutated(chance, data, seeds())[:most]


def watched_modules() -> list[str]:
    """Return the modules to watch, those too that pageout imports when it first needs them."""
    source = ROOT / "src"
    paths = [path for room in WATCHED for path in sorted((source / "pageout" / room).rglob("*.py"))]
    return [
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if not path.name.startswith(COMPILED)
    ]


class Searched:
    """Takes inputs from atheris, one after another."""

    def __init__(self, folder: Path) -> None:
        names = watched_modules()
        with atheris.instrument_imports(include=names):
            for name in names:
                import_module(name)
        from tests.fuzz import properties

        self._properties = properties
        self._folder = folder
        self._nr = 0

    def take(self, data: bytes) -> None:
        """Check every property of an input, the costly ones now and then. Raises what breaks one."""
        self._nr += 1
        found = self._properties.read(data)
        if found is not None and self._nr % EXPLAINED == 0:
            self._properties.explained(found)
        if self._nr % RUN == 0:
            self.run(data)

    def run(self, data: bytes) -> None:
        """Take an input through the command line."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            path = Path(name) / "input"
            path.write_bytes(data)
            found = self._properties.read(data)
            self._properties.explains(path, found)
            self._properties.converts(path, found, Path(name))


def main() -> None:
    """Run the search; ends with status 1 and the input's name if something broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=0, help="stop after so long, whatever was done")
    parser.add_argument("--seed", type=int, default=0, help="the same inputs again; 0: others each time")
    parser.add_argument("--corpus", type=Path, help="a folder where what was found to be new is kept for the next time")
    parser.add_argument("--again", type=Path, metavar="FILE", help="check this input and nothing else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pageout-fuzz-") as name:
        folder = Path(name)
        searched = Searched(folder)
        if options.again:
            data = options.again.read_bytes()
            searched.take(data)
            searched.run(data)
            return
        corpus, first = options.corpus or folder / "corpus", folder / "seeds"
        for place in (corpus, first):
            place.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds()):
            (first / f"{number:05}").write_bytes(data)
        flags = [
            f"-runs={options.inputs}", f"-max_total_time={options.seconds}", f"-max_len={MAX_BYTES}", "-timeout=20",
            "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1", "-len_control=0", "-artifact_prefix=fuzz-",
            "-reload=0", f"-seed={options.seed}", str(corpus), str(first),
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *flags], searched.take, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
