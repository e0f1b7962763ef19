# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that do not give up their CPU: soft and hard lockups, RCU stalls. They run; whoever waits, waits for them.

Source: Linux v6.1 kernel/watchdog.c:watchdog_timer_fn, kernel/rcu/tree_stall.h:print_cpu_stall, rcu_dump_cpu_stacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.wait_sites import NEAR_TOP, ON_CPU, asleep, has, interrupted, is_idle, is_primitive, plain_name
from pageout.diagnose.words import seconds_text
from pageout.readers.facts import Frame, LogLine, TaskStack

NEAR_LINES = 400  # behind a stall's first line, within which its stacks stand
SPINS = re.compile(
    r"_*(?:raw_)?(?:spin|read|write)_(?:un)?lock\w*|(?:native_)?queued_\w+_slowpath|_*pv_\w+|kvm_wait|do_raw_\w+|mutex_spin_on_owner|rwsem_spin_\w+|osq_lock"
)
SPINNING = r"(?:native_)?queued_\w+_slowpath|_*pv_queued_\w+|kvm_wait"
WATCHDOG = r"watchdog_timer_fn|watchdog_overflow_callback|softlockup_fn|watchdog_hardlockup_check"
NOISE = re.compile(
    r"_*dump_stack\w*|show_stack|show_regs|dump_backtrace|nmi_\w+|trigger_\w+|arch_trigger_\w+|rcu_\w+|watchdog\w*|_*hrtimer_\w+|"
    r"__(?:lock_)?acquire|lock_(?:acquire|release|is_held\w*)|_*sanitizer_\w+|check_kcov\w*|kasan_\w+|write_comp_data|panic|unwind_\w+|"
    r"(?:arch_|raw_|__ll_sc_|__lse_)?atomic\w*|arch_\w*irq\w*|instrument_\w+|\w*lockdep\w*|_*(?:un)?poison_\w+|stack_depot\w*|ktime_get\w*|"
    r"_*rcu_read_\w+|memcpy\w*|memset\w*|clear_page\w*|copy_page\w*|set_track\w*|setup_object|__irq_exit_rcu|call_on_irq_stack|task_css|"
    r"arch_stack_walk|stack_trace_\w+|handle_softirqs|_*do_softirq\w*|irq_exit\w*|_*run_timers|call_timer_fn|update_process_times|tick_\w+"
)
WORK = (  # what a function far enough out says about the work: (pattern of any frame, what it is)
    (r"(?:do_)?try_to_free_\w*pages|shrink_(?:node|zone|lruvec|slab)\w*|balance_pgdat|kswapd|node_reclaim", "reclaims memory"),
    (r"compact_zone\w*|isolate_migratepages\w*|try_to_compact_pages", "compacts memory"),
    (r"jbd2_(?:log_do_checkpoint|journal_commit_transaction|journal_\w+)|journal_commit_transaction", "works on the journal"),
    (r"wb_workfn|writeback_sb_inodes|write_cache_pages|\w+_writepages", "writes back dirty pages"),
    (r"truncate_inode_pages\w*|invalidate_\w*mapping_pages|invalidate_inode_pages2\w*|exit_mmap|unmap_\w+|zap_\w+", "frees pages"),
)  # fmt: skip


class Hog(NamedTuple):
    """A task on a CPU, the function that tells, and for how long it has had the CPU."""

    file: str
    stack: TaskStack
    frame: Frame
    seconds: int

    @property
    def name(self) -> str:
        """Return the task as the log names it."""
        return f"{self.stack.comm or 'a task'}{f':{self.stack.pid}' if self.stack.pid is not None else ''}"


def stuck(case: Case) -> Iterator[Finding]:
    """One finding for all lockups and stalls: who has the CPU, and in what."""
    found = _hogs(case)
    stalls = [(file, line) for file, line in case.facts(LogLine) if line.topic == "rcu stall"]
    if not found:
        if stalls:
            yield _no_stack(stalls)
        return
    hog = max(found, key=lambda one: one.seconds)
    spins = has(interrupted(hog.stack.frames)[:NEAR_TOP], SPINNING) is not None
    many = len({one.name for one in found})
    yield Finding(
        id="cpu-stuck",
        severity=ERROR,
        title=_title(hog, spins, many),
        detail=_detail(found, hog, spins),
        confidence=HIGH if hog.seconds else MEDIUM,
        why="the kernel's watchdog found the task on its CPU"
        if hog.seconds
        else "RCU's stall report shows the task on its CPU",
        evidence=_evidence(found, stalls),
        is_not=("a wait for a device, or at the dirty limits: this task runs",),
        unknown=(
            "whether it goes round in circles or has that much to do: two stacks some seconds apart would tell",
            *(("who holds the lock it spins for",) if spins else ()),
            "on a virtual machine: whether the host ran this CPU at all",
        ),
        capture=("blocked", "profile"),
        advice=("a loop without cond_resched() is a kernel fault: search for this function and the kernel's release",),
        weight=len(found) + hog.seconds / 1000,
    )


def _title(hog: Hog, spins: bool, many: int) -> str:
    time = f" for {seconds_text(hog.seconds)}" if hog.seconds else ""
    doing = (
        f"spins for a lock (or loops over it) in {plain_name(hog.frame)}"
        if spins
        else f"does not leave {plain_name(hog.frame)}"
    )
    others = f"; {many - 1} more on other CPUs" if many > 1 else ""
    if is_idle(plain_name(hog.frame)):
        return f"a CPU that was idle did not answer{time}{others}"
    return f"{hog.name} keeps a CPU{time}: it {doing}{others}"


def _detail(found: Sequence[Hog], hog: Hog, spins: bool) -> str:
    names = list(dict.fromkeys(f"{one.name} in {plain_name(one.frame)}" for one in found))
    said = f"On a CPU: {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}. "
    work = next((words for pattern, words in WORK if has(interrupted(hog.stack.frames), pattern)), None)
    if work:
        said += f"{hog.name} {work}. "
    if spins:
        said += "Who spins for long is a victim as a rule: the holder of the lock runs on another CPU. "
    return (
        said
        + "Other tasks of that CPU stand still meanwhile, and whoever waits for a lock this task has waits with them."
    )


def _evidence(found: Sequence[Hog], stalls: Sequence[tuple[str, LogLine]]) -> tuple[Evidence, ...]:
    lines = [(one.file, line) for one in found[:4] for line in (one.stack.line, one.frame.line)]
    return tuple(Evidence(*one) for one in dict.fromkeys([*((file, line.line) for file, line in stalls[:2]), *lines]))


def _hogs(case: Case) -> list[Hog]:
    """Return the tasks that watchdogs caught, and the first one behind the line of an RCU stall that is not idle."""
    stalls = [(file, line.line) for file, line in case.facts(LogLine) if line.topic == "rcu stall"]
    found: dict[tuple[str, str], Hog] = {}
    for file, stack in case.facts(TaskStack):
        seconds = (stack.blocked_s or 0) if stack.source in ON_CPU else 0
        behind = any(file == name and 0 <= stack.line - line <= NEAR_LINES for name, line in stalls)
        caught = stack.source in ON_CPU or has(stack.frames, WATCHDOG) is not None
        if not (caught or (stack.source == "backtrace" and behind and not asleep(stack))):
            continue
        frame = _telling(stack)
        if frame is None or (not caught and (is_idle(plain_name(frame)) or stack.comm is None)):
            continue
        hog = Hog(file, stack, frame, seconds)
        before = found.get((file, hog.name))
        if before is None or before.seconds < seconds:
            found[file, hog.name] = hog
    return list(found.values())


def _telling(stack: TaskStack) -> Frame | None:
    """Return the innermost function that is neither a lock's nor of the report itself."""
    frames = interrupted(stack.frames)
    for frame in frames:
        name = plain_name(frame)
        if not (SPINS.fullmatch(name) or NOISE.fullmatch(name) or is_primitive(name)):
            return frame
    return frames[0] if frames else None


def _no_stack(stalls: Sequence[tuple[str, LogLine]]) -> Finding:
    return Finding(
        id="cpu-stuck",
        severity=WARNING,
        title="RCU waited too long for a CPU; the file shows no stack of the task that had it",
        detail="Either a task kept its CPU in the kernel, or a (virtual) CPU did not run, or RCU's own thread got no time.",
        confidence=LOW,
        why="only the stall's line is in the file",
        evidence=tuple(Evidence(file, line.line) for file, line in stalls[:3]),
        unknown=("which task had the CPU, and in what function",),
        capture=("log", "profile"),
        weight=1,
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (stuck,)
