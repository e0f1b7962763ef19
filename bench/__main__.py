# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench [MODULE...] [--quick] [--strict]`: run the benches, each in a process of its own."""

import argparse
import subprocess
import sys

from bench.common import MODULES


def main() -> int:
    """Run the benches named, or all. Returns 1 if one broke, or with --strict if one missed a target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"one or more of {', '.join(MODULES)} (all)")
    parser.add_argument(
        "-q", "--quick", action="store_true", help="a tenth of the work: shows that all runs, not how fast"
    )
    parser.add_argument("-s", "--strict", action="store_true", help="exit 1 if a target is missed")
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - set(MODULES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    flags = [f"--{name}" for name in ("quick", "strict") if getattr(arguments, name)]
    failed = [
        name
        for name in arguments.modules or MODULES
        if subprocess.run([sys.executable, "-m", f"bench.{name}", *flags], check=False).returncode
    ]
    if failed:
        print(f"failed or missed a target: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
