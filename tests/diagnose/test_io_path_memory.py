# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations that failed: in the path to a device, for a block, in an interrupt."""

import pytest

from pageout.readers.facts import AllocFailure, MemoryState, Value, ZoneState
from tests.diagnose.build import findings, frames, given


def failure(functions: str, order: int = 0, memory: MemoryState | None = None, line: int = 5) -> AllocFailure:
    return AllocFailure(line, "kworker/0:1", order, "0x20", memory, frames(functions, line + 1), None, None)


def zones(free: float) -> MemoryState:
    pages = {"free": Value(free, 20), "min": Value(100, 20)}
    return MemoryState(
        {"free": Value(free, 19), "dirty": Value(5000, 18)}, (ZoneState(0, "Normal", pages, (), None, 20),), {}
    )


@pytest.mark.parametrize(
    "functions",
    ["alloc_pages do_tcp_sendpages iscsi_sw_tcp_xmit_segment worker_thread", "mempool_alloc nbd_send_cmd blk_mq_dispatch_rq_list",
     "alloc_pages crypt_alloc_buffer kcryptd_crypt"],
)  # fmt: skip
def test_an_allocation_that_fails_on_the_way_to_a_device_is_told_as_such(functions: str) -> None:
    found = findings(given(failure(functions), failure(functions, line=40)))

    assert list(found) == ["io-path-out-of-memory"]
    assert found["io-path-out-of-memory"].title.startswith("2 allocations failed")


def test_a_guessed_frame_decides_nothing() -> None:
    assert list(findings(given(failure("alloc_pages ?submit_bio skb_alloc")))) == ["alloc-failure"]


@pytest.mark.parametrize(("comm", "id"), [("iscsi_q_4", "io-path-out-of-memory"), ("firefox", "alloc-failure")])
def test_without_a_stack_the_name_of_a_drivers_thread_tells_less_surely(comm: str, id: str) -> None:
    bare = failure("")._replace(comm=comm, frames=())
    found = findings(given(bare))

    assert list(found) == [id]
    assert found[id].confidence != "high"
