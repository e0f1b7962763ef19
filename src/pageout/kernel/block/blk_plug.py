# SPDX-License-Identifier: GPL-2.0-or-later
"""Who gathers requests: a task between blk_start_plug and blk_finish_plug, and every kernel thread.

A plug belongs to its task: what is in it goes when the task sleeps (kernel/sched/core.py), whatever it sleeps for.
Source: Linux v6.1 block/blk-core.c:blk_start_plug, kernel/sched/core.c:sched_submit_work. Differs: a kernel thread that
goes from one piece of work to the next without sleeping keeps its plug.
"""

from pageout.engine.constants import LAYER_MQ, PF_KTHREAD
from pageout.jit import kfn


@kfn
def blk_start_plug(k, t):
    """Gather the requests of this task, until as many blk_finish_plug have been called."""
    if k.param.block_layer == LAYER_MQ:
        k.task[t].plug_open += 1


@kfn
def has_plug(k, t):
    """Does the task gather requests?"""
    return k.task[t].plug_open > 0 or k.task[t].tflags & PF_KTHREAD != 0
