# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations that failed in the path that is to write dirty pages: memory is needed to free memory.

Source: Linux v2.6.34 mm/page_alloc.c:__alloc_pages_slowpath; v6.1 warn_alloc.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pageout.diagnose.case import Case
from pageout.diagnose.findings import HIGH, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.wait_sites import has
from pageout.diagnose.words import counted, pages_text
from pageout.readers.facts import AllocFailure, Frame

# What hands dirty pages to a device, or over a network to one.
_SENDERS = (
    r"(?:iscsi|nbd|drbd|rbd|ceph|nvme_tcp|aoe|xs_|xprt|rpc|nfs|o2net)\w*(?:xmit|send|transmit|writepages?|push)\w*"
    r"|submit_bio\w*|generic_make_request|__make_request|blk_mq_\w+|scsi_(?:request_fn|queue_rq|init_io|alloc_sgtable\w*)"
    r"|kcryptd\w*|crypt_\w+|raid5_\w+|dm_\w*request\w*|swap_writepage|xfs_vm_writepage"
)
# Kernel threads that do so, where the report shows no stack.
_SENDING_THREADS = re.compile(
    r"(?:iscsi_q_|iscsi_conn|nbd\d|drbd_|rbd\d|kcryptd|md\d{1,4}_raid|xprtiod|rpciod|kblockd|loop\d)"
)
_Failed = tuple[str, AllocFailure]


def failures(case: Case) -> Iterator[Finding]:
    """One finding for all of them: the first one tells, the others are counted."""
    failed = [(file, fact) for file, fact in case.facts(AllocFailure) if fact.source in ("page", "slab")]
    sending = [(file, fact) for file, fact in failed if _sends(fact)]
    if sending:
        yield _sending(sending)


def _sends(fact: AllocFailure) -> bool:
    if fact.frames:
        return has(fact.frames, _SENDERS) is not None
    return fact.comm is not None and _SENDING_THREADS.match(fact.comm) is not None


def _sending(failed: Sequence[_Failed]) -> Finding:
    _, first = failed[0]
    frame = has(first.frames, _SENDERS)
    where = f" in {frame.function}" if frame is not None else ""
    return Finding(
        id="io-path-out-of-memory",
        severity=WARNING,
        title=f"{counted(len(failed), 'allocation')} failed in the path that sends data to a device ({_who(failed)})",
        detail=f"{first.comm or 'A task'} asked for {_pages(first)}{where} and got none. Memory becomes free when dirty pages are written, and "
        f"writing them needs memory here. A driver tries again, or answers with an error. {_memory(first)}".strip(),
        confidence=HIGH if first.memory is not None and frame is not None else MEDIUM,
        why=(
            "the stack of the failed allocation names the driver"
            if frame is not None
            else "the thread that failed is a driver's; its stack is not in the report"
        )
        + ("" if first.memory is not None else "; the state of memory is not in the report"),
        evidence=_evidence(failed, frame),
        unknown=("whether any data was lost: the driver or the log says it",),
        capture=("log", "counters"),
        advice=(
            "raise vm.min_free_kbytes: the reserve is what such allocations live on",
            "lower vm.dirty_bytes: less depends on this path when memory is short",
        ),
        weight=min(len(failed), 1000),
        covers=("alloc-failure",),
    )


def _who(failed: Sequence[_Failed]) -> str:
    names = list(dict.fromkeys(fact.comm for _, fact in failed if fact.comm))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "no name said"


def _pages(fact: AllocFailure) -> str:
    return "a page" if fact.order == 0 else f"{1 << fact.order} pages"


def _memory(fact: AllocFailure) -> str:
    if fact.memory is None:
        return ""
    pages = fact.memory.pages
    told = [f"{pages_text(pages[name].number)} {name}" for name in ("free", "dirty", "writeback") if name in pages]
    return f"Then: {', '.join(told)}." if told else ""


def _evidence(failed: Sequence[_Failed], frame: Frame | None) -> tuple[Evidence, ...]:
    file, first = failed[0]
    wanted = [Evidence(file, first.line)]
    if frame is not None:
        wanted.append(Evidence(file, frame.line))
    if first.memory is not None:
        wanted += [
            Evidence(file, first.memory.pages[name].line) for name in ("dirty", "free") if name in first.memory.pages
        ]
    wanted += [Evidence(name, fact.line) for name, fact in failed[1:3]]
    return tuple(dict.fromkeys(wanted))


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (failures,)
