# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of a kernel's call trace: frames of every architecture and era, and what is printed around them.

Source: Linux v2.6.34 and v6.1 arch/x86/kernel/dumpstack.c:show_trace_log_lvl, arch/powerpc/kernel/process.c:show_stack,
arch/arm/kernel/traps.c:dump_backtrace_entry, arch/arm64/kernel/stacktrace.c:dump_backtrace_entry,
arch/s390/kernel/dumpstack.c:show_stack; scripts/decode_stacktrace.sh; crash(8).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pageout.readers.facts import Frame

MAX_FRAMES = 512  # of one stack: none is deeper
_SYMBOL = r"([A-Za-z_.$][\w.$]{0,255})"
_OFFSET = r"\+0x[0-9a-f]{1,8}(?:/0x[0-9a-f]{1,8})?"
_MODULE = r"(?:\s{1,3}\[([\w-]{1,64})(?: [0-9a-f]{8,64})?\])?"
_SOURCE = r"(?:\s{1,3}[\w./<>+-]{1,255}:\d{1,6})?(?: \(discriminator \d{1,4}\))?(?: \[inline\])?"
_MARK = r"(?:\s{1,3}\((?:unreliable|[A-Z]{1,4})\))?"
_ADDRESS = r"(?:\(?\[<?[0-9a-f]{0,16}>?\]\)?\s{0,3}){0,2}"  # `[]`: a forum took `<...>` for a tag

_FRAME = re.compile(
    rf"(?:<[A-Z]{{2,8}}>\s{{0,3}})?{_ADDRESS}(\? )?\s?(?::([\w-]{{1,64}}):)?\.?"
    rf"{_SYMBOL}{_OFFSET}\)?{_SOURCE}{_MODULE}{_SOURCE}{_MARK}"
)
_INLINE = re.compile(rf"(\? )?{_SYMBOL} [\w./-]{{1,255}}:\d{{1,6}} \[inline\]")
_DECODED = re.compile(
    rf"(\? )?{_SYMBOL} \([\w./<>+-]{{1,255}}:\d{{1,6}}(?: \(discriminator \d{{1,4}}\))?"
    rf"(?: \(?inlined\)?)?\)(?: ([\w-]{{1,64}}))?{_MARK}"
)
_ARM = re.compile(
    rf"(?:\[<[0-9a-f]{{8,16}}>\]\s{{1,3}})?\(?(?:\? )?{_SYMBOL}(?:{_OFFSET})?{_MODULE}\)? from\s{{1,3}}"
    rf"(?:\[<[0-9a-f]{{8,16}}>\]\s{{1,3}})?\(?{_SYMBOL}{_OFFSET}{_MODULE}\)?"
)
_BARE = re.compile(r"(?:\[<?[0-9a-f]{8,16}>?\]\s{0,3}){1,2}(\? )?(?:0x([0-9a-f]{8,16}))?(?: \(unreliable\))?")
_CRASH = re.compile(r"#\d{1,3} \[[0-9a-f]{8,16}\] " + _SYMBOL + r"(?:\+\d{1,8})? at [0-9a-f]{8,16}" + _MODULE)
_OLD_X86 = re.compile(r"<[0-9a-f]{8,16}>\{(?::([\w-]{1,64}):)?([\w.]{1,255})\+\d{1,8}\}")
_RIP = re.compile(
    r"(?:RIP|EIP|pc|PC is at|NIP)\s?:?\s(?:0010:|0060:)?(?:\[<[0-9a-f]{8,16}>\]\s{1,3}){0,2}" + _SYMBOL + _OFFSET + ".*"
)
_TOP = "f" * 8


class FrameLine(NamedTuple):
    """What a line says: its frames, innermost first, and the caller an arm line names beside its function."""

    frames: tuple[Frame, ...]
    caller: Frame | None = None


def frames_of(text: str, number: int) -> FrameLine | None:
    """Read a line of a trace; None if it is none. A bare address is a frame without a name, the end mark is none."""
    body = text.strip()
    if not body or len(body) > 1024:
        return None
    if match := _FRAME.fullmatch(body):
        guess = bool(match[1]) or body.endswith("(unreliable)")
        return FrameLine((Frame(match[3], guess, match[4] or match[2] or "", number),))
    if match := _ARM.fullmatch(body):
        inner = Frame(match[1], "? " in body[:20], match[2] or "", number)
        return FrameLine((inner,), Frame(match[3], False, match[4] or "", number))
    if match := _BARE.fullmatch(body):
        end = (match[2] or _TOP).startswith(_TOP)
        guess = bool(match[1]) or body.endswith("(unreliable)")
        return FrameLine(() if end and "0x" in body else (Frame("", guess, "", number),))
    if match := _INLINE.fullmatch(body) if body.endswith("[inline]") else None:
        return FrameLine((Frame(match[2], bool(match[1]), "", number),))
    if match := _DECODED.fullmatch(body):
        return FrameLine((Frame(match[2], bool(match[1]), match[3] or "", number),))
    if match := _CRASH.fullmatch(body):
        return FrameLine((Frame(match[1], False, match[2] or "", number),))
    if body.startswith("<") and _OLD_X86.match(body):
        return FrameLine(tuple(Frame(one[2], False, one[1] or "", number) for one in _OLD_X86.finditer(body)))
    return None


def rip_of(text: str, number: int) -> Frame | None:
    """Return the function a CPU was executing, of a RIP, NIP or pc line in the kernel; a user's RIP says nothing."""
    match = _RIP.fullmatch(text.strip())
    return Frame(match[1], False, "", number) if match else None


_KERNEL = re.compile(
    r"(?:Not tainted|Tainted: [A-Z ]{1,60}?)\s{1,8}\(?(\d{1,2}\.\d{1,3}[\w.+~-]{0,100})(?:\)| #|$| \()"
)
_VERSION = re.compile(r"Linux version (\d{1,2}\.\d{1,3}[\w.+~-]{0,100})")


def kernel_of(text: str) -> str | None:
    """Return the release a header line names."""
    match = _KERNEL.search(text) or _VERSION.search(text)
    return match[1] if match else None


# Lines printed with any trace. They begin, surround or end one and are no frames.
_REGISTER = (
    r"(?:[ER][A-Z\d]{2}|[FGDCE]S|CR\d|DR\d|ORIG_RAX|EFLAGS|KNLGS|PKRU|[xr]\d{1,2}|sp|pc|lr|ip|fp|psr|pstate|tpidr)"
)
_AROUND = re.compile(
    r"(?:Call Trace|Call trace|Backtrace|Stack|Stack from \w{1,20}|Trace|Stack traceback)\s?:.{0,80}"
    r"|</?[A-Z#\d]{2,8}>|<<EOE>>"
    r"|(?:CPU: ?\d{1,5} (?:UID|PID|Not|Tainted)|Pid: ?\d{1,10}, comm:).{0,300}|CPU: ?\d{1,5}|CPU \d{1,5}:?"
    r"|(?:RIP|EIP|RSP)\s{1,3}(?:\[.{0,300})?"
    r"|Hardware name:.{0,300}|Modules linked in:.{0,8000}|Tainted: \[.{1,300}|Unloaded tainted modules:.{0,2000}"
    r"|(?:RIP|EIP|RSP|ESP|Code|Instruction dump|Insn|CR2|Exception stack|Workqueue|Sched_clock)\s?:.{0,2000}"
    rf"|{_REGISTER}\s{{0,3}}:\s{{0,4}}(?:0x)?[0-9a-f]{{4,16}}\b.{{0,300}}"
    r"|(?:NIP|LR|MSR|REGS|GPR\d\d|CFAR|TRAP|DAR|SOFTE|Krnl \w{3,5}|PSW)\s{0,3}[:=\[].{0,300}"
    r"|(?:PC|LR) is at .{0,300}|(?:pc|lr|sp) : .{0,300}"
    r"|-{2,3}(?:\[ (?:cut here|end trace).{0,80}|\s(?:interrupt|Exception):.{0,200})"
    r"|-{4,}\[ cut here \]-{4,}"
    r"|Exception stack\(.{0,100}|\(?(?:[0-9a-f]{16}|[0-9a-f]{8})(?: [0-9a-f]{8,16}){1,8}\)?"
    r"|[0-9a-f]{3,4}0: [0-9a-f ]{8,100}"
    r"|(?:Showing all locks held in the system|\d{1,4} locks? held by .{1,80}|no locks held by .{1,80}):?"
    r"|#\d{1,3}: [0-9a-f().x]{4,24}.{1,400}|={8,}|Kernel Offset: .{0,200}|note: .{1,64} exited with .{1,80}"
    r"|\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\".{0,40}"
    r"|Future hung task reports are suppressed.{0,60}"
    r"|Kernel panic - not syncing: .{1,200}|(?:Sending )?NMI (?:backtrace|from) .{0,99}|(?:INFO: )?NMI handler .{1,200}"
)


def is_around(text: str) -> bool:
    """Tell whether a line is one of those printed around a trace."""
    return _AROUND.fullmatch(text.strip()[:8100]) is not None
