# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pageout`, and where the `pageout` command begins.

Nothing is imported before Ctrl-C ends the process quietly: the command line's own modules take a third of a second.
"""

import os
import signal

INTERRUPTED = 130  # as the shell says of a process that SIGINT ended


def entry() -> None:
    """Run the `pageout` command."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # in the background of a script: its wish stands
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from pageout.cli.app import entry as run

    run()


if __name__ == "__main__":
    entry()
