# SPDX-License-Identifier: GPL-2.0-or-later
"""Every format there is a reader for, in the order lines are offered to them: the narrow before the broad."""

from __future__ import annotations

from pageout.readers.lines import Recogniser


def recognisers() -> list[Recogniser]:
    """Return one of each."""
    html, *traces = _traces()
    prompt, *counters = _counters()
    log_lines, mail = _logs()
    return [html, prompt, *traces, *_reports(), *counters, log_lines, mail]


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

    return [LogLines(), Mail()]


def _counters() -> list[Recogniser]:
    """Return the readers of /proc files and of monitoring tools, which share what a prompt or a heading names."""
    from pageout.readers.proc import blockdev, cgroup, files, kernel, memory_stat, pressure, prompt, slabinfo
    from pageout.readers.proc.buddyinfo import Buddyinfo
    from pageout.readers.proc.diskstats import Diskstats
    from pageout.readers.proc.meminfo import Meminfo
    from pageout.readers.proc.vmstat import Vmstat
    from pageout.readers.proc.zoneinfo import Zoneinfo
    from pageout.readers.sysctl import Sysctls
    from pageout.readers.tools import free, iostat, iotop, sar, top, vmstat

    named = files.Named()
    proc_vmstat = Vmstat(named)
    return [
        prompt.Prompt(named),
        kernel.KernelText(named),
        vmstat.VmstatTool(named),
        vmstat.VmstatSummary(named),
        iostat.Iostat(named),
        sar.Sar(named),
        top.Top(named),
        iotop.Iotop(named),
        iotop.Dstat(named),
        free.Free(named),
        slabinfo.Slabinfo(named),
        slabinfo.Slabtop(named),
        Buddyinfo(named),
        Zoneinfo(named),
        Diskstats(named),
        pressure.Pressure(named),
        cgroup.CgroupFile(named),
        memory_stat.MemoryEvents(named),
        Meminfo(named),
        blockdev.BdiStats(named),
        blockdev.PidIo(named),
        memory_stat.MemoryStat(named, proc_vmstat),
        proc_vmstat,
        blockdev.Mounts(named),
        blockdev.Knobs(named),
        Sysctls(named),
    ]
