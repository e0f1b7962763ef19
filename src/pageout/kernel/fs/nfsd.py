# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread of the NFS server: receives a request into pages of its own, then reads or writes through the VFS.

Source: Linux v2.6.34 net/sunrpc/svc_xprt.c:svc_recv, fs/nfsd/vfs.c:nfsd_vfs_write, nfsd_vfs_read;
fs/nfsd/nfssvc.c:nfsd, which sets PF_LESS_THROTTLE. Differs: requests come as the job says, not from
a network; their buffers in the network's receive path are not allocated.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import ENTRY, GFP_KERNEL, NIL, NS_PER_MS
from pageout.engine.kstack import call, ret, touch
from pageout.engine.waitqueue import sleep_until
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.buddy import try_alloc
from pageout.kernel.sched.allocators import keep_page

RETRY_NS = 500 * NS_PER_MS  # svc_recv: schedule_timeout(msecs_to_jiffies(500))


@kfn
def nfsd(k, t, f):
    """Serve one request. f.a, f.b, f.c in: inode, offset, bytes. Returns bytes moved. Sleeps: yes."""
    RECEIVED, SERVED = 1, 2
    if f.pc == ENTRY:
        return call(k, t, f, FN.svc_recv, RECEIVED, f.c, 0, 0)
    if f.pc == RECEIVED:
        how = FN.nfsd_read if k.job[k.task[t].job].is_read else FN.nfsd_write
        return call(k, t, f, how, SERVED, f.a, f.b, f.c)
    return ret(k, t, f, k.task[t].retval)


@kfn
def svc_recv(k, t, f):
    """Have pages for the largest request (they stay with the thread), then take one from the socket.

    f.a   in: bytes of the request.  Sleeps: yes; half a second when there is no memory.
    """
    GOT, AGAIN = 1, 2
    task = k.task[t]
    job = k.job[task.job]
    if f.pc == GOT:
        if task.retval != NIL:
            keep_page(k, t, task.retval)
        elif not task.killed:
            f.pc = AGAIN
            return sleep_until(k, t, now_of(k, t) + RETRY_NS)
    nr_pages = (job.block_bytes + 8191) >> 12
    while task.allocated_nr < nr_pages and not task.killed:
        page = try_alloc(k, t, 0, GFP_KERNEL)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, GOT, 0, GFP_KERNEL, 0)
        keep_page(k, t, page)
    touch(k, t, LEAF.svc_receive)
    received = 0 if job.is_read else f.a
    spend(k, t, k.param.syscall_ns + received * k.param.copy_ns // 4096)
    return ret(k, t, f, 0)
