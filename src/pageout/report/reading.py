# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run's figures say, in sentences. Pure functions: every word with a number in it is computed from figures."""

from collections.abc import Callable, Mapping
from typing import Any

from pageout.report.figures import CAUSES
from pageout.report.text import counted, is_figure, joined, plain, prose_number
from pageout.vocabulary.units import PAGE_BYTES, format_size

Metrics = Mapping[str, Any]


def reading(
    metrics: Metrics,
    sim_seconds: float | None = None,
    stack_bytes: int | None = None,
    devices: Mapping[str, Metrics] | None = None,
) -> list[str]:
    """Return the plain reading of one run, one sentence a line; a matter whose figures are null is left out.

    sim_seconds: simulated length of the run; stack_bytes: size of a kernel stack, where it is known; devices: the
    figures of each by its name.
    """
    sentences: list[Callable[[Metrics], str]] = [
        who_wrote,
        lambda m: writers_time(m, sim_seconds),
        lambda m: allocations_time(m, sim_seconds),
        lambda m: dirty_levels(m, sim_seconds),
        reclaim_yield,
        lambda m: device_load(m, devices or {}),
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
    each = f", {prose_number(1000 * seconds / count)} ms each on average"
    turns = f"{counted(count, 'turn')}{each}{_beside(seconds, sim_seconds)}"
    return f"Writers slept {prose_number(seconds)} s in balance_dirty_pages ({turns})."


def allocations_time(metrics: Metrics, sim_seconds: float | None) -> str:
    """Say how long allocations were stalled in direct reclaim."""
    if not is_figure(metrics.get("alloc_stall_count")):
        return ""
    count, seconds = figure(metrics, "alloc_stall_count"), figure(metrics, "alloc_stall_s")
    if not count:
        return "No allocation entered direct reclaim."
    tail = metrics.get("alloc_stall_p99_us")
    worst = f", 99 % of them under {prose_number(round(figure(metrics, 'alloc_stall_p99_us') / 1000, 3))} ms"
    detail = f"{counted(count, 'time')}{worst if is_figure(tail) else ''}{_beside(seconds, sim_seconds)}"
    return f"Allocations stalled {prose_number(seconds)} s in direct reclaim ({detail})."


def _beside(seconds: float, sim_seconds: float | None) -> str:
    """Say a sum over tasks as tasks waiting on average: it may well exceed the length of the run."""
    if not sim_seconds:
        return ""
    return f"; {prose_number(round(seconds / sim_seconds, 3))} tasks waiting on average"


def dirty_levels(metrics: Metrics, sim_seconds: float | None = None) -> str:
    """Say how much unwritten data there was, and for how long."""
    if not figure(metrics, "data_at_risk_max_mib"):
        return ""
    risk = prose_number(round(figure(metrics, "data_at_risk_max_mib"), 1))
    text = f"At most {risk} MiB were not yet safe on the device"
    if is_figure(metrics.get("oldest_dirty_s")):
        oldest = figure(metrics, "oldest_dirty_s")
        text += f"; the oldest dirty page had waited {prose_number(round(oldest, 2))} s"
        if sim_seconds is not None and round(oldest - sim_seconds, 2) > 0:
            text += f", {prose_number(round(oldest - sim_seconds, 2))} s of them before the run began"
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


def device_load(metrics: Metrics, devices: Mapping[str, Metrics] | None = None) -> str:
    """Say how busy the device was, with what sort of requests.

    Of several at work the busiest is named, and of their seeks the one that made most: a mean distance over the heads
    of several disks is that of none.
    """
    requests = figure(metrics, "write_requests")
    heads = {name: one for name, one in (devices or {}).items() if figure(one, "seek_count") or _took(one)}
    parts = []
    if is_figure(metrics.get("device_busy_share")):
        parts.append(f"was busy {percent(figure(metrics, 'device_busy_share'), 1)} of the time")
    if requests:
        size = prose_number(round(figure(metrics, "mean_write_kib"), 1))
        parts.append(f"took {counted(requests, 'write request')} of {size} KiB on average")
    if len(heads) > 1:
        return _several_devices(metrics, heads, parts)
    if is_figure(metrics.get("seek_count")):
        parts.append(f"made {counted(figure(metrics, 'seek_count'), 'seek')}{_far(metrics)}")
    return f"The device {joined(parts)}." if parts else ""


def _took(device: Metrics) -> bool:
    """Say whether requests came to a device that has a head or stands for one."""
    requests = figure(device, "write_requests") or figure(device, "read_requests")
    return is_figure(device.get("seek_count")) and bool(requests)


def _far(metrics: Metrics) -> str:
    mean = figure(metrics, "seek_mean_mib")
    return f" over {prose_number(round(mean, 1))} MiB on average" if mean else ""


def _several_devices(metrics: Metrics, heads: Mapping[str, Metrics], parts: list[str]) -> str:
    """Say the same of several: what is of one of them by its name, what is of all as a sum."""
    busiest = max(heads, key=lambda name: figure(heads[name], "device_busy_share"))
    most = max(heads, key=lambda name: figure(heads[name], "seek_count"))
    busy, *sums = parts if is_figure(metrics.get("device_busy_share")) else ["", *parts]
    if seeks := figure(metrics, "seek_count"):
        own = figure(heads[most], "seek_count")
        who = f"all of them {plain(most)}" if own == seeks else f"{prose_number(own)} of them {plain(most)}"
        sums.append(f"made {counted(seeks, 'seek')}, {who}{_far(heads[most])}")
    told = [f"of {len(heads)} devices at work {plain(busiest)}, the busiest, {busy}" if busy else ""]
    told.append(f"together they {joined(sums)}" if sums else "")
    text = "; ".join(one for one in told if one)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def deepest_stack(metrics: Metrics, stack_bytes: int | None) -> str:
    """Say how near the deepest kernel stack came to its end."""
    deepest = figure(metrics, "stack_max_bytes")
    if not deepest:
        return ""
    text = f"The deepest kernel stack used {prose_number(deepest)} bytes"
    if stack_bytes:
        left = int(stack_bytes - deepest)
        text += f" of {prose_number(stack_bytes)}: " + (
            f"{prose_number(left)} were left" if left >= 0 else f"{prose_number(-left)} too many"
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
    return f"Of {counted(attempts, 'allocation')} of order 1 and above, {prose_number(failures)} failed ({share})."


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
        said.append(f"The run was over before the power was to be cut, at {prose_number(document['power_cut_s'])} s.")
    if document.get("ending", "done") not in ("done", "length"):
        said.append(f"The run ended early: {document['ending']}.")
    return said
