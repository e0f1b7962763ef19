# SPDX-License-Identifier: GPL-2.0-or-later
"""Events leave the engine here: one record a tracepoint, in the order of execution; never overwritten."""

from pageout.engine.constants import GO, STOP_DRAIN
from pageout.jit import kfn


@kfn
def emit(k, t, event, a0=0, a1=0, a2=0, a3=0, a4=0, a5=0, a6=0, a7=0, a8=0, a9=0, a10=0, a11=0, a12=0, a13=0):
    """Record a tracepoint with its fields in the schema's order; its time is the task's own clock."""
    if not k.event_on[event]:
        return
    n = k.stat.ring_nr
    if n >= k.param.ring_size:
        k.stat.lost += 1
        return
    k.stat.ring_nr = n + 1
    if n + 1 >= k.param.ring_drain and k.stat.stop == GO:
        k.stat.stop = STOP_DRAIN
    record = k.ring[n]
    record.event = event
    record.time_ns = k.stat.now_ns
    record.pid = 0
    record.cpu = 0
    if t >= 0:
        task = k.task[t]
        record.time_ns += task.spent_ns
        record.pid = task.pid
        record.cpu = task.cpu
    record.a0, record.a1, record.a2, record.a3, record.a4, record.a5, record.a6 = a0, a1, a2, a3, a4, a5, a6
    record.a7, record.a8, record.a9, record.a10, record.a11, record.a12, record.a13 = a7, a8, a9, a10, a11, a12, a13
