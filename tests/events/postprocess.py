# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's trace-vmscan-postprocess.pl of 3.1: where to find it, how to run it, its Summary from arrays.

The script is not part of this repository. It is taken from the environment variable PAGEOUT_POSTPROCESS, else from a
kernel source package under /usr/src (unpacked, or its tarball), and only if its form is that of 3.1.
"""

import os
import re
import shutil
import subprocess
import tarfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from pageout.vocabulary.tracepoints import RECLAIM_WB_FILE, RECLAIM_WB_SYNC

INSIDE = "Documentation/trace/postprocess/trace-vmscan-postprocess.pl"
# Later scripts want fields 3.1 does not print (classzone_idx) and no longer read contig_dirty.
ERA = "contig_dirty=([0-9]*)"


class NoScript(Exception):  # noqa: N818
    """Why the script cannot be run here."""


def _candidates(root):
    given = os.environ.get("PAGEOUT_POSTPROCESS")
    if given:
        yield given, Path(given).read_text()
    for path in sorted(root.glob(f"linux-source-*/{INSIDE}")):
        yield str(path), path.read_text()
    for path in sorted(root.glob("linux-source-*.tar.*")):
        try:
            with tarfile.open(path) as tar:
                member = next((one for one in tar if one.name.endswith(INSIDE)), None)
                if member is not None:
                    yield str(path), tar.extractfile(member).read().decode()
        except (tarfile.TarError, OSError, EOFError):
            continue


def find_script(folder, root=Path("/usr/src")):
    """Return (perl, path) of a 3.1 script, written to `folder` if it came from a tarball; raises NoScript."""
    perl = shutil.which("perl")
    if perl is None:
        raise NoScript("no perl")
    seen = []
    for source, text in _candidates(root):
        if ERA in text:
            path = folder / "postprocess.pl"
            path.write_text(text)
            return perl, path
        seen.append(source)
    if seen:
        raise NoScript(f"not the script of 3.1: {', '.join(seen)}; set PAGEOUT_POSTPROCESS")
    raise NoScript(f"set PAGEOUT_POSTPROCESS to {INSIDE} of Linux 3.1")


def run_script(perl, script, text, *options):
    """Return (Summary as {label: number}, whole output) of the script reading `text` (bytes)."""
    done = subprocess.run([perl, str(script), *options], input=text, capture_output=True, timeout=600, check=True)
    output = done.stdout.decode()
    summary = {}
    for line in output[output.index("\nSummary\n") :].splitlines():
        match = re.fullmatch(r"(.*?):\s*([\d.]*)(?: seconds)?", line)
        if match:
            summary[match[1]] = float(match[2] or 0)  # a total nothing was added to is undefined and prints as nothing
    return summary, output


def _per_task(recording, name):
    array = recording.column(name)
    for pid in np.unique(array["pid"]).tolist():
        yield pid, array[array["pid"] == pid]


def _direct_seconds(recording):
    """Sum over tasks of begin to end. A task whose first event is an end has, to the script, no stalls at all."""
    total = 0
    ends = dict(_per_task(recording, "mm_vmscan_direct_reclaim_end"))
    for pid, begins in _per_task(recording, "mm_vmscan_direct_reclaim_begin"):
        if pid not in ends:
            continue
        begun = np.searchsorted(begins["line"], ends[pid]["line"]) - 1
        if begun[0] >= 0:
            total += int((ends[pid]["time_ns"] - begins["time_ns"][begun]).sum())
    return total / 1e9


def _kswapd(recording):
    """Return (wakes from sleep, seconds awake). A sleep without a wake counts from time 0, as in the script."""
    wakes = total = 0
    marks = defaultdict(list)
    for name in ("mm_vmscan_kswapd_wake", "mm_vmscan_kswapd_sleep"):
        for one in recording.column(name):
            marks[int(one["pid"])].append((int(one["line"]), int(one["time_ns"]), name.endswith("wake")))
    for ordered in map(sorted, marks.values()):
        awake_since = 0
        for _, time_ns, is_wake in ordered:
            if not is_wake:
                total += time_ns - awake_since
                awake_since = 0
            elif not awake_since:
                wakes, awake_since = wakes + 1, time_ns
    return wakes, total / 1e9


def _pages(recording):
    """Return per pid a Counter of scanned, reclaimed and written pages, as the script adds them up."""
    found = defaultdict(Counter)
    for pid, array in _per_task(recording, "mm_vmscan_lru_isolate"):
        found[pid]["scanned"] = int(array["nr_scanned"][array["isolate_mode"] != 1].sum())
    for pid, array in _per_task(recording, "mm_vmscan_lru_shrink_inactive"):
        found[pid]["reclaimed"] = int(array["nr_reclaimed"].sum())
    for pid, array in _per_task(recording, "mm_vmscan_writepage"):
        is_file = array["flags"] & RECLAIM_WB_FILE != 0
        is_sync = array["flags"] & RECLAIM_WB_SYNC != 0
        for kind, kind_is in (("file", is_file), ("anon", ~is_file)):
            for mode, mode_is in (("sync", is_sync), ("async", ~is_sync)):
                found[pid][f"{kind} {mode}"] = int((kind_is & mode_is).sum())
    return found


def postprocess_totals(recording):
    """Return the script's Summary of a Recording, label by label.

    The script's own way of counting is kept: a task counts as a direct reclaimer if it began a direct reclaim, as a
    kswapd if it woke as one; what others scanned, wrote or asked of kswapd is in no total.
    """
    pages = _pages(recording)
    begun = dict(_per_task(recording, "mm_vmscan_direct_reclaim_begin"))
    asked = dict(_per_task(recording, "mm_vmscan_wakeup_kswapd"))
    kswapds = {pid for pid, _ in _per_task(recording, "mm_vmscan_kswapd_wake")}
    wakes, awake = _kswapd(recording)
    totals = {
        "Direct reclaims": sum(len(array) for array in begun.values()),
        "Wake kswapd requests": sum(len(array) for pid, array in asked.items() if pid in begun),
        "Time stalled direct reclaim": _direct_seconds(recording),
        "Kswapd wakeups": wakes,
        "Time kswapd awake": awake,
    }
    for label, pids in (("Direct reclaim", set(begun)), ("Kswapd", kswapds)):
        for what in ("scanned", "reclaimed"):
            totals[f"{label} pages {what}"] = sum(pages[pid][what] for pid in pids)
        for kind in ("file sync", "anon sync", "file async", "anon async"):
            name = f"{label} write {kind} I/O" if label != "Kswapd" else f"Kswapd reclaim write {kind} I/O"
            totals[name] = sum(pages[pid][kind] for pid in pids)
    return totals
