# SPDX-License-Identifier: GPL-2.0-or-later
"""Every format there is a reader for, in the order lines are offered to them: the narrow before the broad."""

from __future__ import annotations

from pageout.readers.lines import Recogniser


def recognisers(name: str = "") -> list[Recogniser]:
    """Return one of each. `name`: the file's, which may say what its lines are of."""
    html, *traces = _traces()
    prompt, counters = _counters(name)
    log_lines, moments, mail = _logs()
    proc_stack, *reports = _reports()
    return [proc_stack, html, prompt, *traces, *reports, counters, log_lines, moments, mail]


def _traces() -> list[Recogniser]:
    """Return the readers of events, which share the stream of one input: its times and lines."""
    from pageout.readers.blkparse import Blkparse
    from pageout.readers.block_csv import BlockCsv
    from pageout.readers.bpf_tables import BpfTables
    from pageout.readers.ftrace_text import FtraceText
    from pageout.readers.function_graph import FunctionGraph
    from pageout.readers.perf_script import PerfScript
    from pageout.readers.stream import Stream
    from pageout.readers.systrace import SystraceHtml

    stream = Stream()
    streamed: list[Recogniser] = [FtraceText(stream), PerfScript(stream), Blkparse(stream), BlockCsv(stream)]
    return [SystraceHtml(), *streamed, FunctionGraph(), BpfTables()]


def _reports() -> list[Recogniser]:
    """Return the readers of reports the kernel makes: stacks, out of memory, failed allocations."""
    from pageout.readers.kernel_log import KernelLog
    from pageout.readers.proc_stack import ProcStack
    from pageout.readers.stack_tables import StackTables

    return [ProcStack(), StackTables(), KernelLog()]


def _logs() -> list[Recogniser]:
    """Return the readers of whatever else stands in a kernel log, and of what makes a mail."""
    from pageout.readers.log_lines import LogLines
    from pageout.readers.mail import Mail
    from pageout.readers.moments import Moments

    return [LogLines(), Moments(), Mail()]


def _counters(name: str) -> list[Recogniser]:
    """Return the readers of /proc files and of monitoring tools, which share what a prompt or a heading names."""
    from pageout.readers.counters import Counters
    from pageout.readers.proc.file_name import path_of
    from pageout.readers.proc.named import Named
    from pageout.readers.proc.prompt import Prompt

    shared = Named()
    path = path_of(name)
    if path:
        shared.say_by_file(path)
    return [Prompt(shared), Counters(shared)]
