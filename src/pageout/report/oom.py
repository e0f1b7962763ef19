# SPDX-License-Identifier: GPL-2.0-or-later
"""The first OOM of a run, for reading: who asked, who died, and what each zone had left."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from pageout.report.text import compact_text, counted, number_text, plain

_COLUMNS = ("zone", "free\nKiB", "must\nleave KiB", "to re-\nclaim", "dirty", "write-\nback", "just\nused", "locked",
            "clean\nby now", "scanned", "given up\nat s")  # fmt: skip


def first_oom(document: Mapping[str, Any]) -> list[Text | Table]:
    """Return what to print of a run's first OOM; nothing if there was none."""
    events = document.get("oom") or []
    if not events:
        return []
    event = events[0]
    zones = event["zones"]
    if zones is None:
        return [Text(_sentence(event, len(events)))]
    said = [Text(f"{plain(zone['name'])}: {plain(zone['reason'])}.") for zone in zones]
    return [Text(_sentence(event, len(events))), _table(zones), Text("\n").join(said)]


def _sentence(event: Mapping[str, Any], nr_events: int) -> str:
    order = "" if event["order"] is None else f", order {event['order']}"
    gfp = "" if event["gfp"] is None else f", gfp {plain(event['gfp'])}"
    where = f"Cgroup {plain(event['cgroup'])} out of memory" if event.get("cgroup") else "Out of memory"
    asked = f"{where} at {number_text(event['time_s'])} s: {plain(event['invoked_by'])} asked{order}{gfp}"
    if event["panic"]:
        return f"{asked}; panic: {plain(event['panic'])}"
    child = "a child of " if event["victim_is_child"] else ""
    died = f"{child}{plain(event['victim'])} ({event['victim_pid']}) was killed"
    more = f"; {counted(nr_events - 1, 'kill')} followed" if nr_events > 1 else ""
    return f"{asked}; {died}, score {number_text(event['score'])}{more}.{_held(event.get('cgroup_kib'))}"


def _held(kib: Mapping[str, int] | None) -> str:
    """What its group held then, and what kept the file pages from being freed."""
    if kib is None:
        return ""
    anon, file = number_text(kib["anon"]), number_text(kib["file"])
    busy = f"{number_text(kib['file_dirty'])} dirty, {number_text(kib['file_writeback'])} under writeback"
    return f" It held {anon} KiB of anonymous memory and {file} KiB of file pages ({busy})."


def _table(zones: list[dict[str, Any]]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title="zones at that moment, in pages unless KiB",
        title_justify="left",
        title_style="bold",
        header_style="bold",
        padding=(0, 1, 0, 0),
        caption_justify="left",
    )
    for label in _COLUMNS:
        table.add_column(label, justify="left" if label == "zone" else "right", no_wrap=True)
    for zone in zones:
        can, since = zone["reclaimable"], zone["unreclaimable_since_s"]
        must_leave = zone["high_kib"] + zone["reserve_kib"]
        amounts = (zone["free_kib"], must_leave, *(can[name] for name in ("pages", "dirty", "writeback", "young",
                   "locked", "idle")), zone["pages_scanned"])  # fmt: skip
        table.add_row(plain(zone["name"]), *map(compact_text, amounts), "-" if since is None else f"{since:.3f}")
    return table
