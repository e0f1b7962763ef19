# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run's figures say, in sentences. Pure functions: every word with a number in it is computed from figures."""

from collections.abc import Callable, Mapping
from typing import Any

from pageout.report.figures import CAUSES
from pageout.report.text import counted, is_figure, joined, number_text, plain
from pageout.vocabulary.units import PAGE_BYTES, format_size

Metrics = Mapping[str, Any]


def reading(metrics: Metrics, sim_seconds: float | None = None, stack_bytes: int | None = None) -> list[str]:
    """Return the plain reading of one run, one sentence a line; a matter whose figures are null is left out.

    sim_seconds: simulated length of the run; stack_bytes: size of a kernel stack, where it is known.
    """
    sentences: list[Callable[[Metrics], str]] = [
        who_wrote,
        lambda m: writers_time(m, sim_seconds),
        lambda m: allocations_time(m, sim_seconds),
        dirty_levels,
        reclaim_yield,
        device_load,
        lambda m: deepest_stack(m, stack_bytes),
        high_orders,
        killed_and_lost,
    ]
    return [text for sentence in sentences if (text := sentence(metrics))]


def figure(metrics: Metrics, name: str) -> float:
    """Return a figure as a number, 0 where it does not apply: for sums and tests of 'any at all'."""
    value = metrics.get(name)
    return value if is_figure(value) else 0  # type: ignore[return-value]


def percent(part: float, whole: float) -> str:
    """Return a share that never rounds something to 0 % nor a part to 100 %."""
    share = 100 * part / whole
    if 0 < share < 1:
        return "under 1 %"
    if 99 < share < 100:
        return "over 99 %"
    return f"{share:.0f} %"


def who_wrote(metrics: Metrics) -> str:
    """Say who submitted the pages for writing, the greatest first."""
    amounts = [(figure(metrics, name), who) for name, who in CAUSES]
    total = sum(amount for amount, _ in amounts)
    if not total:
        return "No page was submitted for writing." if any(is_figure(metrics.get(name)) for name, _ in CAUSES) else ""
    amounts.sort(key=lambda pair: -pair[0])
    shares = ", ".join(f"{who} {percent(amount, total)}" for amount, who in amounts if amount)
    idle = [who for amount, who in amounts if not amount]
    none = f"; {joined(idle)} wrote none" if idle else ""
    return f"{counted(total, 'page')} ({format_size(int(total) * PAGE_BYTES)}) went to the device: {shares}{none}."


def writers_time(metrics: Metrics, sim_seconds: float | None) -> str:
    """Say how long writers were held back in balance_dirty_pages."""
    if not is_figure(metrics.get("throttle_count")):
        return ""
    count = figure(metrics, "throttle_count")
    if not count:
        return "No writer was held back in balance_dirty_pages."
    slept = metrics.get("throttle_slept_s")
    seconds = figure(metrics, "throttle_slept_s" if is_figure(slept) else "throttle_s")
    each = f", {number_text(1000 * seconds / count)} ms each on average"
    turns = f"{counted(count, 'turn')}{each}{_beside(seconds, sim_seconds)}"
    return f"Writers slept {number_text(seconds)} s in balance_dirty_pages ({turns})."


def allocations_time(metrics: Metrics, sim_seconds: float | None) -> str:
    """Say how long allocations were stalled in direct reclaim."""
    if not is_figure(metrics.get("alloc_stall_count")):
        return ""
    count, seconds = figure(metrics, "alloc_stall_count"), figure(metrics, "alloc_stall_s")
    if not count:
        return "No allocation entered direct reclaim."
    tail = metrics.get("alloc_stall_p99_us")
    worst = f", 99 % of them under {number_text(round(figure(metrics, 'alloc_stall_p99_us') / 1000, 3))} ms"
    detail = f"{counted(count, 'time')}{worst if is_figure(tail) else ''}{_beside(seconds, sim_seconds)}"
    return f"Allocations stalled {number_text(seconds)} s in direct reclaim ({detail})."


def _beside(seconds: float, sim_seconds: float | None) -> str:
    """Say a sum over tasks as tasks waiting on average: it may well exceed the length of the run."""
    if not sim_seconds:
        return ""
    return f"; {number_text(round(seconds / sim_seconds, 3))} tasks waiting on average"


def dirty_levels(metrics: Metrics) -> str:
    """Say how much unwritten data there was, and for how long."""
    if not figure(metrics, "data_at_risk_max_mib"):
        return ""
    risk = number_text(round(figure(metrics, "data_at_risk_max_mib"), 1))
    text = f"At most {risk} MiB were not yet safe on the device"
    if is_figure(metrics.get("oldest_dirty_s")):
        text += f"; the oldest dirty page had waited {number_text(round(figure(metrics, 'oldest_dirty_s'), 2))} s"
    saved = figure(metrics, "rewrites_saved_pages")
    if saved:
        text += f"; {counted(saved, 'rewrite')} of dirty pages cost no I/O"
    return text + "."


def reclaim_yield(metrics: Metrics) -> str:
    """Say how many pages reclaim freed of those it scanned, and who did it."""
    scanned = figure(metrics, "scanned_direct") + figure(metrics, "scanned_kswapd")
    if not scanned:
        return ""
    direct = figure(metrics, "reclaimed_direct")
    freed = direct + figure(metrics, "reclaimed_kswapd")
    text = f"Reclaim freed {percent(freed, scanned)} of the {counted(scanned, 'page')} it scanned"
    return f"{text}, direct reclaim doing {percent(direct, freed)} of the freeing." if freed else f"{text}."


def device_load(metrics: Metrics) -> str:
    """Say how busy the device was, with what sort of requests."""
    requests = figure(metrics, "write_requests")
    parts = []
    if is_figure(metrics.get("device_busy_share")):
        parts.append(f"was busy {percent(figure(metrics, 'device_busy_share'), 1)} of the time")
    if requests:
        size = number_text(round(figure(metrics, "mean_write_kib"), 1))
        parts.append(f"took {counted(requests, 'write request')} of {size} KiB on average")
    if is_figure(metrics.get("seek_count")):
        mean = figure(metrics, "seek_mean_mib")
        far = f" over {number_text(round(mean, 1))} MiB on average" if mean else ""
        parts.append(f"made {counted(figure(metrics, 'seek_count'), 'seek')}{far}")
    return f"The device {joined(parts)}." if parts else ""


def deepest_stack(metrics: Metrics, stack_bytes: int | None) -> str:
    """Say how near the deepest kernel stack came to its end."""
    deepest = figure(metrics, "stack_max_bytes")
    if not deepest:
        return ""
    text = f"The deepest kernel stack used {number_text(deepest)} bytes"
    if stack_bytes:
        left = int(stack_bytes - deepest)
        text += f" of {number_text(stack_bytes)}: " + (
            f"{number_text(left)} were left" if left >= 0 else f"{number_text(-left)} too many"
        )
    overflows = figure(metrics, "stack_overflows")
    ran_over = f"; stacks ran over their end, or over the thread_info there, {counted(overflows, 'time')}"
    return text + (f"{ran_over}." if overflows else ".")


def high_orders(metrics: Metrics) -> str:
    """Say how many allocations of order >= 1 failed."""
    attempts, failures = figure(metrics, "highorder_attempts"), figure(metrics, "highorder_failures")
    if not attempts:
        return ""
    if not failures:
        return f"All {counted(attempts, 'allocation')} of order 1 and above succeeded."
    share = percent(failures, attempts)
    return f"Of {counted(attempts, 'allocation')} of order 1 and above, {number_text(failures)} failed ({share})."


def killed_and_lost(metrics: Metrics) -> str:
    """Say what did not survive: tasks and data."""
    parts = []
    if kills := figure(metrics, "oom_kills"):
        parts.append(f"the OOM killer killed {counted(kills, 'task')}")
    if lost := figure(metrics, "pages_lost"):
        parts.append(f"{counted(lost, 'dirty page')} ({format_size(int(lost) * PAGE_BYTES)}) {_were(lost)} lost")
    text = joined(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _were(count: float) -> str:
    return "was" if count == 1 else "were"


def endings(document: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each job that failed or was killed, and for a run that did not end by itself."""
    said = []
    for job in document.get("jobs", ()):
        if job.get("killed"):
            said.append(f"{plain(job['name'])} was killed by the OOM killer.")
        elif job.get("error"):
            said.append(f"{plain(job['name'])} ended with {job['error']}.")
    if document.get("power_cut_s") is not None and document.get("ending") != "power cut":
        said.append(f"The run was over before the power was to be cut, at {number_text(document['power_cut_s'])} s.")
    if document.get("ending", "done") not in ("done", "length"):
        said.append(f"The run ended early: {document['ending']}.")
    return said
