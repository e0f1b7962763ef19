# SPDX-License-Identifier: GPL-2.0-or-later
"""A slow obvious twin of the encoder: the format strings of the kernel, by Python's own formatting."""

import ctypes

from pageout.vocabulary.prints import GFP_6_FLAGS, INODE_STATE_6_FLAGS, LOCKED, is_later, rows_of
from pageout.vocabulary.tracepoints import (
    GFP_FLAGS,
    INODE_STATE_FLAGS,
    REASONS,
    RECLAIM_FLAGS,
    RWBS_FLAGS,
    SHRINKERS,
    major_minor,
)


def print_flags(value, flags, separator, zero):
    if value == 0:
        return zero
    names = []
    value %= 2**64
    for mask, name in flags:
        if value and value & mask == mask:
            names.append(name)
            value &= ~mask
    return separator.join(names + ([hex(value)] if value else []))


def print_device(value, separator, nothing):
    return nothing if value == -1 else separator.join(map(str, major_minor(value)))


NULL_PAGE_PFN = 15811495352273469440  # times 56, modulo 2**64, it is the distance from the table down to NULL
THROTTLES = ("WRITEBACK", "ISOLATED", "NOPROGRESS", "CONGESTED")
PRINT = {
    "d": lambda value: str(ctypes.c_int32(value).value),
    "u": lambda value: str(value % 2**32),
    "ld": str,
    "lu": lambda value: str(value % 2**64),
    "lx": lambda value: f"{value % 2**64:x}",
    "pfn": lambda value: str(NULL_PAGE_PFN) if value == -1 else str(value % 2**64),
    "gfp": lambda value: print_flags(value, GFP_FLAGS, "|", "GFP_NOWAIT"),
    "reclaim": lambda value: print_flags(value, RECLAIM_FLAGS, "|", "RECLAIM_WB_NONE"),
    "istate": lambda value: print_flags(value, INODE_STATE_FLAGS, "|", ""),
    "rwbs": lambda value: print_flags(value, RWBS_FLAGS, "", ""),
    "lru": lambda value: ["inactive_anon", "active_anon", "inactive_file", "active_file"][value.bit_length() - 1],
    "throttle": lambda value: "VMSCAN_THROTTLE_" + THROTTLES[value.bit_length() - 1],
    "zone": lambda value: ["DMA     ", "DMA32   ", "Normal  "][value.bit_length() - 1],
    "bdi": lambda value: print_device(value, ":", "default"),
    "sb_dev": lambda value: print_device(value, ":", "0:0"),
    "dev": lambda value: print_device(value, ",", "0,0"),
    "shrinker": lambda value: SHRINKERS[value],
    "reason": lambda value: REASONS[value],
    "gfp6": lambda value: print_flags(value, GFP_6_FLAGS, "|", "GFP_NOWAIT"),
    "istate6": lambda value: print_flags(value, INODE_STATE_6_FLAGS, "|", ""),
}


def print_page(pfn):
    return "          (null)" if pfn == -1 else f"{(0xFFFFEA0000000000 + 56 * pfn) % 2**64:016x}"


def print_hashed(pfn):
    return f"{0 if pfn == -1 else (pfn * 2654435761 ^ pfn >> 7) % 2**32:016x}"


def print_record(record, comms, kernel=""):
    row = rows_of(kernel)[record["event"]]
    pid = int(record["pid"])
    comm = "<idle>" if pid == 0 else comms.get(pid, "<...>")
    values = dict(zip((column.name for column in row.fields), (int(word) for word in record["a"]), strict=False))
    texts = {column.name: PRINT[column.printed](values[column.name]) for column in row.fields}
    texts["page"] = print_page(values.get("pfn", 0))
    texts["data_bytes"] = values.get("nr_sector", 0) * 512 % 2**32
    texts["hashed_page"] = print_hashed(values.get("pfn", 0))
    texts["comm"] = comm
    target = values.get("target_pid", 0)
    texts["comm_of_target"] = "<idle>" if target == 0 else comms.get(target, "<...>")
    seconds, microseconds = divmod((int(record["time_ns"]) + 500) // 1000, 10**6)
    pad = " " * (16 - len(comm.encode()))  # the kernel pads to bytes
    width, context = (7, "..s.. " if pid == 0 else "...1. " if row.name in LOCKED else "..... ")
    if not is_later(kernel):
        width, context = 5, ""
    prefix = f"{pad}{comm}-{pid:<{width}d} [{record['cpu']:03d}] {context}{seconds:5d}.{microseconds:06d}"
    return f"{prefix}: {row.name}: {row.text.format(**texts)}\n"


def print_records(records, comms, kernel=""):
    return "".join(print_record(record, comms, kernel) for record in records).encode()
