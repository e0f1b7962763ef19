# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line's one door: find the verb, run it, and turn every ending into one line and an exit status.

Nothing heavy is imported here or at the top of a verb's module: `pageout --help` must answer at once.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cyclopts import App, CycloptsError

from pageout import __version__
from pageout.cli import compare, convert, demo, run, scenarios, stack
from pageout.cli import explain as explain_verb
from pageout.cli import record as record_verb
from pageout.cli import replay as replay_verb
from pageout.cli import validate as validate_verb
from pageout.cli import why as why_verb
from pageout.cli.terminal import complain, tidy_streams
from pageout.vocabulary.errors import PageoutError

DONE, ANSWERED, BAD_INPUT, OUR_FAULT = 0, 1, 2, 70  # ANSWERED: done, and a script must see what was found
INTERRUPTED, PIPE_CLOSED, TERMINATED = 130, 141, 143  # as the shell says of a process that a signal ended

HELP = "Simulate Linux memory reclaim and writeback, page by page."
VERBS = (
    demo.demo,
    run.run,
    compare.compare,
    explain_verb.explain,
    record_verb.record,
    stack.stack,
    why_verb.why,
    replay_verb.replay,
    validate_verb.validate,
    convert.convert,
    scenarios.scenarios,
)
EPILOGUE = "First steps: pageout demo, pageout scenarios, then pageout run JOB.fio. Each verb has its own --help."


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: unwind, so that no half-written file stays."""


def entry() -> None:
    """Run the `pageout` command."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish stands
            signal.signal(number, _terminate)
    tidy_streams()
    sys.exit(main(sys.argv[1:]))


def main(tokens: Sequence[str]) -> int:
    """Run one command line and return its exit status. No exception leaves, whatever happens."""
    try:
        status = make_app()(list(tokens), exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except CycloptsError as error:
        complain(_usage(error, tokens))
        return BAD_INPUT
    except PageoutError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted; no output file was touched")
        return INTERRUPTED
    except Terminated:
        return TERMINATED
    except BrokenPipeError:
        _drop_stdout()
        return PIPE_CLOSED
    except SystemExit:  # rich's own answer to a closed pipe; its status 1 would mean a finding
        return PIPE_CLOSED
    except OSError as error:
        complain(_os_error(error))
        return BAD_INPUT
    except MemoryError:
        complain(
            "this computer's memory does not suffice for the run: give the machine less memory or the jobs less data"
        )
        return BAD_INPUT
    except Exception as error:  # noqa: BLE001  the last door: no traceback may reach a user
        return _our_fault(error)


def _usage(error: CycloptsError, tokens: Sequence[str]) -> str:
    """Return what is wrong with a command line, and which help says what there is."""
    text = " ".join(str(error).split())
    if text.startswith("Unused Tokens: "):
        text = f"too many arguments: {text.removeprefix('Unused Tokens: ').strip('[].')}."
    text = text.partition(" Available commands:")[0]
    verb = f"{tokens[0]} " if tokens and tokens[0] in {one.__name__ for one in VERBS} else ""
    return f"{text} (pageout {verb}--help says what there is)"


def make_app() -> App:
    """Return the parser of the whole command line."""
    app = App(
        name="pageout",
        help=HELP,
        help_epilogue=EPILOGUE,
        version=__version__,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for verb in VERBS:
        app.command(verb)
    return app


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _drop_stdout() -> None:
    """Let nothing be written again to a pipe that nobody reads, not even by the interpreter as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _os_error(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename is not None else what


def _our_fault(error: Exception) -> int:
    """Say in one line what to report; the traceback only if asked for."""
    if os.environ.get("PAGEOUT_DEBUG"):
        import traceback

        traceback.print_exception(error)
    last, place = error.__traceback__, ""
    while last is not None:
        code = last.tb_frame.f_code
        place = f" at {os.path.basename(code.co_filename)}:{last.tb_lineno}"  # noqa: PTH119  a frame's name, not a file
        last = last.tb_next
    text = f"{type(error).__name__}: {error}"[:300]
    complain(
        f"a fault of pageout {__version__}, not yours: {text}{place}; please report this line with the command "
        "and its input (PAGEOUT_DEBUG=1 shows where)"
    )
    return OUR_FAULT
