# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel stack says: how deep, what is left, which layer took it, and which part is on it twice.

Real tables and simulated ones are the same to this module: rows of (depth, size, location), innermost first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pageout.vocabulary.kernel_layers import LAYERS, function_name, layer_of

THREAD_INFO_BYTES = 104  # assumed: about 100 bytes on x86-64 of 2010, at the low end of the stack
THREAD_INFO_MOVED = (4, 9)  # x86 keeps it in task_struct since then (CONFIG_THREAD_INFO_IN_TASK)
LEAF_BYTES = (750, 850)  # used below the tracer's deepest entry on the machines of April 2010, which it does not see

_MODERN = re.compile(r"folio|do_syscall_64|entry_SYSCALL_64|__x64_sys_|asm_exc_|system_call_exception|_noprof|el0t_")
_ALLOCATOR = re.compile(r"^__alloc_(pages|frozen_pages)(_nodemask|_internal|_noprof|_nodemask_noprof)?$")
_RECLAIM = re.compile(r"^_*(do_)?try_to_free_(mem_cgroup_)?pages$|^shrink_|^balance_pgdat$")
_PHASES = (  # what a function means to a reader, outermost match of a run counts
    (re.compile(r"^(sys|ksys|__x64_sys|vfs)_p?write(v|64)?$|^do_(sync_write|iter_write|writev)$"), "a write()"),
    (re.compile(r"^(sys|ksys|__x64_sys|vfs)_p?read(v|64)?$|^do_(sync_read|readv)$"), "a read()"),
    (re.compile(r"^(core_sys|sys|do|__x64_sys)_p?select(6)?$"), "select()"),
    (re.compile(r"^(do_)?sys_p?poll$|^__x64_sys_p?poll$"), "poll()"),
    (re.compile(r"^sys_sendfile(64)?$|^do_sendfile$|^__x64_sys_sendfile64$"), "sendfile()"),
    (re.compile(r"^(sys|__x64_sys)_f(data)?sync$|^do_fsync$|^vfs_fsync"), "fsync()"),
    (re.compile(r"^sys_clone$|^do_fork$|^kernel_clone$|^copy_process$"), "fork()"),
    (re.compile(r"execve|^bprm_"), "exec()"),
    (re.compile(r"page_fault$|^handle_mm_fault$"), "a page fault"),
    (re.compile(r"^nfsd"), "the NFS server"),
    (re.compile(r"^kswapd$"), "kswapd"),
    (re.compile(r"^bdi_writeback_t|^wb_do_writeback$|^wb_workfn$|^pdflush$"), "the flusher thread"),
    (re.compile(r"^loop_thread$|^lo_"), "a loop device"),
    (re.compile(r"^balance_dirty_pages"), "a throttled writer"),
    (re.compile(r"^writeback_|^do_writepages$|^write_cache_pages$|^generic_writepages$"), "writeback"),
    (_ALLOCATOR, "the page allocator"),
    (_RECLAIM, "reclaim"),
    (re.compile(r"_(vm_)?writepages?$|^swap_writepage$"), "writepage"),
    (re.compile(r"^submit_bio|^generic_make_request$"), "the block layer"),
    (re.compile(r"^(scsi_request_fn|scsi_queue_rq|nvme_queue_rq|virtio_queue_rq|ata_qc_issue)$"), "the driver"),
    (re.compile(r"^(tcp_sendmsg|tcp_sendpage|tcp_recvmsg|sock_sendmsg|inet_sendmsg|sys_recvmsg)$"), "the network"),
    (re.compile(r"^_*(x64_)?sys_(\w+)$"), ""),
)


class Row(NamedTuple):
    """One function of a stack; `assumed`: its size is no measurement."""

    depth: int
    size: int
    location: str
    assumed: bool = False


class StackSize(NamedTuple):
    """How large a stack is, what lies at its low end, and how we know."""

    nbytes: int
    thread_info: int
    why: str


def version_of(text: str) -> tuple[int, int]:
    """Return major and minor of a kernel version, (0, 0) if there is none."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def infer_size(rows: Sequence[Row], kernel: str, most_left: int, given: int | None) -> StackSize:
    """Say how large the stack of a recorded table was.

    kernel: its version if the text says so; most_left: the largest `N bytes left` the text reports, -1 for none;
    given: what the user says. A 16 KiB stack became usual with 3.15 (x86-64); before it was 8 KiB.
    """
    version = version_of(kernel)
    by_name = next((name for row in rows if (name := _MODERN.search(row.location[:200]))), None)
    is_modern = version >= THREAD_INFO_MOVED or (version == (0, 0) and by_name is not None)
    info = 0 if is_modern else THREAD_INFO_BYTES
    depth = rows[0].depth if rows else 0
    if given is not None:
        return StackSize(given, info, "as --stack says")
    if most_left >= 0 and depth + most_left > 8192:
        return StackSize(_power_of_two(depth + most_left), info, f"{most_left:,} bytes were left over of it elsewhere")
    if version >= (3, 15):
        return StackSize(16384, info, f"assumed: usual for kernel {kernel}")
    if version == (0, 0) and by_name is not None:
        return StackSize(16384, info, f"assumed: {by_name[0]} is of a kernel after 3.15")
    return StackSize(8192, info, "assumed: x86-64 before kernel 3.15; if not, give --stack")


def _power_of_two(nbytes: int) -> int:
    return 1 << max(12, (nbytes - 1).bit_length())


def table_document(rows: Sequence[Row], size: StackSize) -> dict[str, Any]:
    """Return what --json says of one table: entries with layers, sums, what is left, what is on the stack twice."""
    depth = rows[0].depth
    layers = dict.fromkeys(LAYERS, 0)
    for row in rows:
        layers[layer_of(row.location)] += row.size
    hidden = rows[-1].depth - rows[-1].size
    entries = [
        {"depth": row.depth, "size": row.size, "location": row.location, "layer": layer_of(row.location)}
        | ({"assumed": True} if row.assumed else {})
        for row in rows
    ]
    return {
        "stack_bytes": size.nbytes,
        "stack_bytes_from": size.why,
        "thread_info_bytes": size.thread_info,
        "depth_bytes": depth,
        "bytes_left": size.nbytes - depth,
        "margin_bytes": size.nbytes - size.thread_info - depth,
        "overflow_bytes": max(0, depth - size.nbytes),
        "path": path_of(rows),
        "layers": {layer: nbytes for layer, nbytes in layers.items() if nbytes},
        "not_shown_bytes": hidden,
        "recursion": recursion(rows),
        "entries": entries,
    }


def _phase(location: str) -> str:
    name = function_name(location)
    for pattern, phrase in _PHASES:
        if match := pattern.search(name):
            return phrase or f"{match[match.lastindex or 0]}()"
    return ""


def path_of(rows: Sequence[Row]) -> list[str]:
    """Return what the stack goes through, outermost first: `a write()`, `writeback`, `the page allocator` ..."""
    path: list[str] = []
    for row in reversed(rows):
        phase = _phase(row.location)
        if phase and (not path or path[-1] != phase):
            path.append(phase)
    return path


def recursion(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what is on the stack more than once: the allocator, a filesystem entered from reclaim, any function."""
    found: list[dict[str, Any]] = []
    outer = rows[::-1]
    names = [function_name(row.location) for row in outer]
    allocator = [row.depth for row, name in zip(outer, names, strict=True) if _ALLOCATOR.match(name)]
    if len(allocator) > 1:
        found.append({"what": "the page allocator", "times": len(allocator), "depths": allocator})
    entries = _filesystem_from_reclaim(outer, names)
    if len(entries) > 1:
        found.append({"what": "the filesystem", "times": len(entries), "depths": entries})
    for name in dict.fromkeys(names):
        depths = [row.depth for row, other in zip(outer, names, strict=True) if other == name]
        if len(depths) > 1:
            found.append({"what": name, "times": len(depths), "depths": depths})
    return found


def _filesystem_from_reclaim(outer: Sequence[Row], names: Sequence[str]) -> list[int]:
    """Depths at which a filesystem is entered; empty unless reclaim lies between two such entries."""
    entries: list[int] = []
    inside, reclaim = False, True
    for row, name in zip(outer, names, strict=True):
        is_filesystem = layer_of(row.location) == "filesystem"
        if _RECLAIM.match(name):
            reclaim = True
        if is_filesystem and not inside and reclaim:
            entries.append(row.depth)
            reclaim = False
        inside = is_filesystem
    return entries
