# SPDX-License-Identifier: GPL-2.0-or-later
"""The way into direct reclaim: on the caller's own stack, on a fresh one, or in a thread; and what the caller loses."""

from pageout.engine.clock import now_of
from pageout.engine.constants import ENGINE_NODE, GFP_FS, HIST_STALL, PF_FSTRANS, PF_RECLAIMER, SWITCH_RECLAIM
from pageout.engine.kstack import call, leave_stack, switch_stack
from pageout.engine.ledger import observe
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.causes import note_direct_reclaim
from pageout.vocabulary.tracepoints import EV


@kfn
def enter_reclaim(k, t, f, resume, order, gfp):
    """Direct reclaim begins.

    reclaim.worker: a thread of its own does it, the caller waits (Morton, April 2010; reference section 18.8).
    stack.switch=reclaim: the task itself goes on with an empty stack (considered by Gorman, not done in his V3).
    Reclaim sleeps, so the stack is the task's for as long, not the CPU's.

    A request that may not enter a filesystem, or comes from inside a transaction, is not handed over: its task may hold
    a lock that the worker, writing for somebody else, waits for, and both would wait for ever.
    """
    if k.param.reclaim_worker and gfp & GFP_FS and not k.task[t].tflags & PF_FSTRANS:
        return call(k, t, f, FN.hand_to_worker, resume, order, gfp, 0)
    if k.param.stack_switch == SWITCH_RECLAIM:
        switch_stack(k, t)
    return call(k, t, f, FN.try_to_free_pages, resume, order, gfp, 0)


@kfn
def left_reclaim(k, t):
    """Direct reclaim has returned to the allocator."""
    if k.param.stack_switch == SWITCH_RECLAIM:
        leave_stack(k, t)


@kfn
def stall_begins(k, t, f, order, gfp, may_write):
    """The caller stalls from here on. A thread that reclaims for others stalls nobody but them."""
    task = k.task[t]
    f.start_ns = now_of(k, t)
    if task.tflags & PF_RECLAIMER:
        return
    task.stall_count += 1
    task.stall_begin_ns = f.start_ns
    k.vm.allocstall += 1
    note_direct_reclaim(k, t, order)
    if k.param.reclaim_engine == ENGINE_NODE:
        emit(k, t, EV.mm_vmscan_direct_reclaim_begin_gfp, order, gfp)
    else:
        emit(k, t, EV.mm_vmscan_direct_reclaim_begin, order, may_write, gfp)


@kfn
def memcg_stall_begins(k, t, f, gfp):
    """The caller reclaims for its group's limit: no allocation of the machine's stalls, the group counts it."""
    f.start_ns = now_of(k, t)
    k.memcg[k.task[t].sc_memcg].stalls += 1
    emit(k, t, EV.mm_vmscan_memcg_reclaim_begin_gfp, 0, gfp)


@kfn
def memcg_stall_ends(k, t, f, reclaimed):
    """The caller goes on."""
    k.memcg[k.task[t].sc_memcg].stall_ns += now_of(k, t) - f.start_ns
    emit(k, t, EV.mm_vmscan_memcg_reclaim_end, reclaimed)


@kfn
def stall_ends(k, t, f, reclaimed):
    """The caller goes on: count how long it was held."""
    task = k.task[t]
    if task.tflags & PF_RECLAIMER:
        return
    stall = now_of(k, t) - f.start_ns
    task.stall_ns += stall
    task.stall_begin_ns = 0
    k.stat.alloc_stall_ns += stall
    observe(k, HIST_STALL, stall)
    emit(k, t, EV.mm_vmscan_direct_reclaim_end, reclaimed)
