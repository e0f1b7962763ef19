# SPDX-License-Identifier: GPL-2.0-or-later
"""sendfile() and the NFS server, call by call."""

from tests.kernel.lab import FILE, USER, called, lab, returned

from pageout.engine import constants as c
from pageout.engine.kstack import start_thread
from pageout.kernel.frames import FN
from pageout.kernel.fs.nfsd import RETRY_NS, nfsd, svc_recv
from pageout.kernel.fs.splice import PIPE_BUFFERS, splice_read, sys_sendfile


def begin(m, name: str, *args: int):
    start_thread(m.k, USER, FN.user, 0)
    m.enter(name, *args)
    return m


def cached(m, first: int, nr: int) -> None:
    for _ in range(first, first + nr):
        m.page(index=_, flags=c.PG_UPTODATE)


def test_sendfile_fills_the_pipe_and_empties_it_until_all_is_sent() -> None:
    m = begin(lab(), "sys_sendfile", FILE, 0, 100_000)
    assert m.step(sys_sendfile) == called("xfs_splice_read", FILE, 0, 100_000)
    m.answer(65536)
    assert m.step(sys_sendfile) == called("xfs_splice_read", FILE, 65536, 34464)
    m.answer(34464)
    assert m.step(sys_sendfile) == returned(100_000)
    assert m.task.bytes_read == 100_000


def test_sendfile_that_can_read_no_more_says_how_much_it_sent() -> None:
    m = begin(lab(), "sys_sendfile", FILE, 4096, 100_000)
    m.step(sys_sendfile)
    m.answer(8192)
    m.step(sys_sendfile)
    m.answer(0)
    assert m.step(sys_sendfile) == returned(8192)


def test_other_filesystems_have_no_frames_of_xfs() -> None:
    m = begin(lab(fs="ext2"), "sys_sendfile", FILE, 0, 4096)
    assert m.step(sys_sendfile) == called("splice_read", FILE, 0, 4096)


def test_pages_in_the_cache_go_into_the_pipe_at_once_sixteen_at_most() -> None:
    m = lab()
    cached(m, 0, 20)
    begin(m, "xfs_splice_read", FILE, 1000, 100_000)
    assert m.step(splice_read) == returned(PIPE_BUFFERS * 4096 - 1000)
    begin(m, "xfs_splice_read", FILE, 1000, 500)
    assert m.step(splice_read) == returned(500)


def test_the_first_missing_page_starts_readahead_there() -> None:
    m = lab()
    cached(m, 0, 3)
    begin(m, "xfs_splice_read", FILE, 0, 65536)
    step = m.step(splice_read)
    assert (step.kind, step.name, step.args[:2]) == ("call", "do_readahead", (FILE, 3))


def test_a_marked_page_starts_the_next_window() -> None:
    m = lab()
    cached(m, 0, 4)
    page = m.k.slot[m.k.inode[FILE].slot_start + 2].page
    m.k.page[page].pflags |= c.PG_READAHEAD
    begin(m, "xfs_splice_read", FILE, 0, 16384)
    step = m.step(splice_read)
    assert (step.name, m.flags(page) & c.PG_READAHEAD) == ("async_readahead", 0)
    m.answer(0)
    assert m.step(splice_read) == returned(16384)


def test_a_page_under_io_is_waited_for_and_a_hole_is_zeroes() -> None:
    m = lab()
    busy = m.page(index=0, flags=c.PG_LOCKED)
    hole = m.page(index=1)
    for page in (busy, hole):
        m.k.page[page].pflags &= ~c.PG_UPTODATE
    begin(m, "xfs_splice_read", FILE, 0, 8192)
    assert m.step(splice_read) == called("wait_on_page", busy, c.PG_LOCKED)
    m.k.page[busy].pflags ^= c.PG_LOCKED | c.PG_UPTODATE
    m.answer(0)
    assert m.step(splice_read) == returned(8192)
    assert m.flags(hole) & c.PG_UPTODATE


def test_a_request_is_received_before_it_is_served() -> None:
    m = lab()
    for is_read, server in ((0, "nfsd_write"), (1, "nfsd_read")):
        m.k.job[m.task.job].is_read = is_read
        begin(m, "nfsd", FILE, 4096, 8192)
        assert m.step(nfsd) == called("svc_recv", 8192)
        m.answer(0)
        assert m.step(nfsd) == called(server, FILE, 4096, 8192)
        m.answer(8192)
        assert m.step(nfsd) == returned(8192)


def test_the_pages_of_a_server_stay_with_it() -> None:
    m = lab()
    m.k.job[m.task.job].block_bytes = 32768
    for _ in range(2):
        begin(m, "svc_recv", 32768)
        assert m.step(svc_recv) == returned(0)
        assert m.task.allocated_nr == 9


def test_a_server_without_memory_tries_again_in_half_a_second() -> None:
    m = lab()
    m.k.job[m.task.job].block_bytes = 4096
    for zone in range(m.k.param.nr_zones):
        m.k.zone[zone].wmark_low = 1 << 30
    begin(m, "svc_recv", 4096)
    assert m.step(svc_recv) == called("alloc_pages", 0, c.GFP_KERNEL)
    m.answer(c.NIL)
    assert m.step(svc_recv).kind == "sleep"
    assert RETRY_NS == 500_000_000
