# SPDX-License-Identifier: GPL-2.0-or-later
"""What tasks do in user mode: the jobs of a scenario, one system call after another.

One frame, `user`, at the bottom of each user task's stack, goes through its job; the system calls are frames above it.
"""

from pageout.engine.clock import now_of, out_of_slice, spend
from pageout.engine.constants import (
    CALLER_SENDFILE,
    CALLER_SYSCALL,
    ENTRY,
    EXIT,
    HIST_READ,
    HIST_WRITE,
    NIL,
    NR_HIST_GLOBAL,
    NS_PER_MS,
    NS_PER_S,
    T_DEAD,
    WQ_GROUP,
    YIELD,
)
from pageout.engine.klog import check_stack_usage
from pageout.engine.kstack import call
from pageout.engine.ledger import observe
from pageout.engine.rng import random32, random_below
from pageout.engine.waitqueue import sleep_on, sleep_until, wake_all
from pageout.jit import kfn, lowest_bit
from pageout.kernel.frames import FN
from pageout.kernel.fs.read_write import read_cached
from pageout.kernel.mm.memcontrol import uncharge_reserve
from pageout.kernel.mm.memory import free_anonymous, touch_mapped
from pageout.kernel.sched.allocators import foreground_over, free_oldest, periodic
from pageout.kernel.sched.highorder import JOB_HUGEPAGES

JOB_IO, JOB_ALLOC, JOB_SELECT, JOB_FORK, JOB_HOG, JOB_UNLINK, JOB_REQUESTS = 0, 1, 2, 3, 4, 5, 6
RW_READ, RW_WRITE, RW_RANDREAD, RW_RANDWRITE, RW_MIX, RW_RANDMIX = 0, 1, 2, 3, 4, 5
MAP_BITS = 62  # blocks in a word of a random map
HIST_JOBS = NR_HIST_GLOBAL  # each job's two, of writes and of reads, follow the machine's own


@kfn
def user(k, t, f):
    """Run the task's job from start to exit."""
    START, STARTED, WORK, EXITING = ENTRY, 1, 2, 3
    task = k.task[t]
    job = k.job[task.job]
    if f.stage == START:
        if job.group > k.stat.current_group:
            return sleep_on(k, t, WQ_GROUP, 0, 0)
        f.stage = STARTED
        if job.start_delay_ns > 0:
            return sleep_until(k, t, now_of(k, t) + job.start_delay_ns)
    if f.stage == STARTED:
        f.stage = WORK
        task.begun_ns = now_of(k, t)
        job.next_due_ns = task.begun_ns
    if f.stage == WORK:
        if task.memcg_over_high > 0:
            return call(k, t, f, FN.mem_cgroup_handle_over_high, f.pc, 0, 0, 0)
        verb = _work(k, t, f, job)
        if verb >= 0:
            return verb
        f.stage = EXITING
    return _exit(k, t, f, job)


@kfn
def _work(k, t, f, job):
    """Go on with the job. Returns a verb, or -1 when the job is over."""
    if job.kind == JOB_IO:
        return _io(k, t, f, job)
    if job.kind == JOB_REQUESTS:
        return _requests(k, t, f, job)
    if job.kind == JOB_HOG:
        return _hog(k, t, f, job)
    if job.kind == JOB_UNLINK:
        if f.flag or k.task[t].killed:
            return -1
        if k.inode[k.file_list[job.file_start]].users > 0:
            return sleep_until(k, t, now_of(k, t) + NS_PER_MS)
        f.flag = 1
        return call(k, t, f, FN.sys_unlink, 1, k.file_list[job.file_start], 0, 0)
    return periodic(k, t, f, job)


@kfn
def _exit(k, t, f, job):
    """Give back all memory, tell whoever waits for this task, die."""
    task = k.task[t]
    while task.allocated_head != NIL and job.kind != JOB_HUGEPAGES:  # the pool outlives who filled it
        free_oldest(k, t, job)
    if task.mm_inode != NIL:
        while f.index < k.inode[task.mm_inode].nr_slots:
            if not free_anonymous(k, t, task.mm_inode, f.index):
                return sleep_until(k, t, now_of(k, t) + NS_PER_MS)
            f.index += 1
            spend(k, t, 100)
            if out_of_slice(k, t):
                return YIELD
    uncharge_reserve(k, t)
    _close_files(k, job)
    check_stack_usage(k, t)
    task.ended_ns = now_of(k, t)
    task.state = T_DEAD
    task.memdie = 0
    if not job.background:
        k.stat.foreground_left -= 1
        if k.stat.foreground_left == 0:
            k.stat.measure_to_ns = task.ended_ns
    group = k.group_left[job.group] - 1
    k.group_left[job.group] = group
    while k.stat.current_group < k.param.nr_groups and k.group_left[k.stat.current_group] == 0:
        k.stat.current_group += 1
    if group == 0:
        wake_all(k, WQ_GROUP)
    return EXIT


@kfn
def _close_files(k, job):
    """A file that was unlinked goes when its last user has closed it."""
    if job.kind == JOB_IO:
        for i in range(job.nr_files):
            k.inode[k.file_list[job.file_start + i]].users -= 1


# --- io jobs ---


@kfn
def _io_over(k, t, job):
    """Is the job done: killed, out of time, failed, or all bytes moved in all its loops?"""
    task = k.task[t]
    if task.killed or task.io_error:
        return True
    if job.runtime_ns > 0 and now_of(k, t) - task.begun_ns >= job.runtime_ns:
        return True
    if job.done_bytes < job.io_bytes:
        return False
    if not job.time_based and job.lap + 1 >= job.loops:
        return True
    job.lap += 1
    job.done_bytes = 0
    job.issued, job.done_reads, job.done_writes = 0, 0, 0
    return False


@kfn
def _feistel(job, i, key):
    """A permutation of 0..2^bits-1: every block once, in an order without pattern. Four rounds, keys from the seed."""
    half = job.feistel_bits // 2
    mask = (1 << half) - 1
    left, right = i >> half, i & mask
    for r in range(4):
        mixed = (right * 0x9E3779B1 + key + r * 0x85EBCA6B) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
        mixed ^= mixed >> 12
        left, right = right, (left ^ mixed) & mask
    return (left << half) | right


@kfn
def _random_block(k, t, job):
    """The next random block of the file, by the job's distribution."""
    task = k.task[t]
    if job.distribution:
        return _from_table(k, task, job)
    if job.norandommap:
        return random_below(task, job.nr_blocks)
    if job.map_start != NIL:
        return _free_block(k, task, job, job.issued % job.nr_files)
    if job.nr_files > 1:  # each file has a map of its own
        return _mapped_block(job, job.issued // job.nr_files % job.nr_blocks, job.issued % job.nr_files)
    while True:
        block = _feistel(job, job.position, job.key)
        job.position = job.position + 1 if job.position + 1 < 1 << job.feistel_bits else 0
        if block < job.nr_blocks:
            return block


@kfn
def _free_block(k, task, job, which):
    """Draw a block of a file; of one that was covered the next that was not, round the end. A full map begins anew.

    Source: fio 3.33 io_u.c:__get_next_rand_offset, lib/axmap.c:axmap_next_free.
    """
    words = (job.nr_blocks + MAP_BITS - 1) // MAP_BITS
    start = job.map_start + which * words
    if job.issued // job.nr_files % job.nr_blocks == 0:
        for word in range(start, start + words):
            k.table[word] = 0
    block = random_below(task, job.nr_blocks)
    word, bit = block // MAP_BITS, block % MAP_BITS
    free = _free_bits(k, job, start, word, words) >> bit << bit
    while free == 0:
        word = word + 1 if word + 1 < words else 0
        free = _free_bits(k, job, start, word, words)
    bit = lowest_bit(free)
    k.table[start + word] |= 1 << bit
    return word * MAP_BITS + bit


@kfn
def _free_bits(k, job, start, word, words):
    """The blocks of a word of a map that were not covered."""
    nr = MAP_BITS if word + 1 < words else job.nr_blocks - word * MAP_BITS
    return ~k.table[start + word] & ((1 << nr) - 1)


@kfn
def _mapped_block(job, i, which):
    """The i-th block of a file's own order: out of range, the permutation is gone through again."""
    key = (job.key + which * 0x61C88647) & 0x7FFFFFFF
    block = _feistel(job, i, key)
    while block >= job.nr_blocks:
        block = _feistel(job, block, key)
    return block


@kfn
def _from_table(k, task, job):
    """Draw a rank by binary search in the cumulative table, and spread ranks over the file."""
    draw = (random32(task) << 21) | (random32(task) >> 11)
    low, high = 0, job.zipf_nr - 1
    while low < high:
        middle = (low + high) >> 1
        if k.table[job.zipf_start + middle] <= draw:
            low = middle + 1
        else:
            high = middle
    rank = low
    if job.zipf_nr < job.nr_blocks:
        share = job.nr_blocks // job.zipf_nr
        rank = low * share + random_below(task, share)
    if job.feistel_bits == 0:
        return rank
    block = _feistel(job, rank, job.key)
    while block >= job.nr_blocks:
        block = _feistel(job, block, job.key)
    return block


@kfn
def _choose_call(k, t, job):
    """Decide direction, file and offset of the next call, into the job record."""
    task = k.task[t]
    rw = job.rw
    job.is_read = 1 if rw == RW_READ or rw == RW_RANDREAD else 0
    if rw == RW_MIX or rw == RW_RANDMIX:
        job.is_read = 1 if random_below(task, 100) < job.rwmixread else 0
    done = job.issued
    if rw == RW_MIX:  # fio goes through a file by reads and by writes, each from the start
        done = job.done_reads if job.is_read else job.done_writes
    which = done % job.nr_files
    if rw == RW_RANDREAD or rw == RW_RANDWRITE or rw == RW_RANDMIX:
        offset = _random_block(k, t, job) * job.block_bytes
    else:
        offset = done // job.nr_files * job.block_bytes + job.offset_bytes
        if offset >= job.file_bytes:
            span = job.file_bytes - job.offset_bytes
            offset = job.offset_bytes + (offset - job.offset_bytes) % span // job.block_bytes * job.block_bytes
    job.call_inode = k.file_list[job.file_start + which]
    job.call_offset = offset


@kfn
def _call_bytes(job):
    """Bytes of the call chosen: a block, less at the end of the file or of the job."""
    nbytes = job.block_bytes
    if job.call_offset + nbytes > job.file_bytes:
        nbytes = job.file_bytes - job.call_offset
    if job.done_bytes + nbytes > job.io_bytes:
        nbytes = job.io_bytes - job.done_bytes
    return nbytes


@kfn
def _not_yet(k, t, f, job):
    """Think time and rate: when the next call may begin. Returns that moment, 0 for at once."""
    now = now_of(k, t)
    if job.nr_phases > 0:
        due = _phase_due(k, t, job)
        if due > now:
            return due
    if job.rate_bps > 0 and job.next_due_ns > now:
        return job.next_due_ns
    if job.thinktime_ns > 0 and job.issued > 0 and job.issued % job.thinktime_blocks == 0 and f.total != job.issued:
        f.total = job.issued
        return now + job.thinktime_ns
    return 0


@kfn
def _phase_due(k, t, job):
    """When the next call of a job with phases may begin. On its own clock, time it was held back does not count."""
    while job.phase + 1 < job.nr_phases and job.touched >= k.table[job.phases_start + 3 * job.phase + 2]:
        job.phase += 1
    row = job.phases_start + 3 * job.phase
    due, rate = k.table[row], k.table[row + 1]
    if rate > 0:
        before = k.table[row - 1] if job.phase > 0 else 0
        due += (job.touched - before) * NS_PER_S // rate
    if job.phase_own:
        due += k.task[t].throttle_ns
    return k.task[t].begun_ns + due


@kfn
def _io(k, t, f, job):
    """The loop of an io job. Labels: begin a call, a call has returned, an fsync has returned, the last fsync has."""
    BEGIN, CALLED, SYNCED, END_SYNCED, RESTART = 0, 1, 2, 3, 4
    task = k.task[t]
    pc = f.pc
    if pc == END_SYNCED:
        return _end_fsync(k, t, f, job, END_SYNCED)
    if pc == CALLED:
        _call_done(k, t, f, job)
        if _sync_due(f, job):
            return call(k, t, f, FN.sys_fsync, SYNCED, job.call_inode, 0, 0)
    elif pc == RESTART:
        task.op_started_ns = f.start_ns
    while True:
        if pc != RESTART:
            if _io_over(k, t, job):
                f.d = 0
                return _end_fsync(k, t, f, job, END_SYNCED)
            when = _not_yet(k, t, f, job)
            if when:
                f.pc = BEGIN
                return sleep_until(k, t, when)
            if out_of_slice(k, t):
                f.pc = BEGIN
                return YIELD
            _choose_call(k, t, job)
            f.start_ns = now_of(k, t)
        pc = BEGIN
        f.nr_to_write = _call_bytes(job)
        verb = _issue(k, t, f, job, CALLED, RESTART)
        if verb >= 0:
            return verb
        _call_done(k, t, f, job)
        if _sync_due(f, job):
            return call(k, t, f, FN.sys_fsync, SYNCED, job.call_inode, 0, 0)


@kfn
def _sync_due(f, job):
    """Count a write; True when the job's next fsync is due."""
    if job.is_read or job.fsync_every == 0:
        return False
    f.count += 1
    if f.count < job.fsync_every:
        return False
    f.count = 0
    return True


@kfn
def _issue(k, t, f, job, CALLED, RESTART):
    """Make the call; -1 if it was served on the spot from the cache."""
    inode, offset, nbytes = job.call_inode, job.call_offset, f.nr_to_write
    if job.caller != CALLER_SYSCALL:
        how = FN.sys_sendfile if job.caller == CALLER_SENDFILE else FN.nfsd
        return call(k, t, f, how, CALLED, inode, offset, nbytes)
    if job.mmap:
        while f.pos < nbytes:
            here = offset + f.pos
            part = 4096 - (here & 4095)
            if part > nbytes - f.pos:
                part = nbytes - f.pos
            if not touch_mapped(k, t, inode, here >> 12, not job.is_read, part):
                if k.task[t].io_error or k.task[t].killed:
                    break
                f.flag = 1
                return call(k, t, f, FN.page_fault, RESTART, inode, here >> 12, not job.is_read)
            if not job.is_read and not f.flag:
                k.stat.rewrites_saved += 1
            f.flag = 0
            f.pos += part
            if job.is_read:
                k.task[t].bytes_read += part
            else:
                k.task[t].bytes_written += part
            if out_of_slice(k, t) and f.pos < nbytes:
                f.pc = RESTART
                return YIELD
        f.pos = 0
        k.task[t].retval = nbytes
        return -1
    if job.is_read:
        if read_cached(k, t, _read_from(k, inode), offset, nbytes):
            k.task[t].retval = nbytes
            return -1
        return call(k, t, f, k.inode[inode].f_read, CALLED, inode, offset, nbytes)
    return call(k, t, f, k.inode[inode].f_write, CALLED, inode, offset, nbytes)


@kfn
def _read_from(k, inode):
    """The file whose pages read() is served from: of a union's, the one below."""
    lower = k.inode[inode].lower
    return inode if lower == NIL else lower


@kfn
def _call_done(k, t, f, job):
    """Account a call: its latency, the bytes, when the rate allows the next."""
    latency = now_of(k, t) - f.start_ns
    histogram = HIST_JOBS + k.task[t].job * 2 + (1 if job.is_read else 0)
    observe(k, histogram, latency)
    observe(k, HIST_READ if job.is_read else HIST_WRITE, latency)
    k.task[t].nr_calls += 1
    job.issued += 1
    if job.is_read:
        job.done_reads += 1
    else:
        job.done_writes += 1
    job.done_bytes += f.nr_to_write
    job.touched += f.nr_to_write
    if job.rate_bps > 0:
        job.next_due_ns = k.task[t].begun_ns + job.touched * NS_PER_S // job.rate_bps


@kfn
def _end_fsync(k, t, f, job, resume):
    """fsync each of the job's files at its end, then drop its pages, as it asks. Returns a verb, or -1: done."""
    if k.task[t].killed:
        return -1
    only_reads = job.rw == RW_READ or job.rw == RW_RANDREAD
    nr_synced = job.nr_files if job.end_fsync and not only_reads else 0
    number = f.d
    f.d += 1
    if number < nr_synced:
        return call(k, t, f, FN.sys_fsync, resume, k.file_list[job.file_start + number], 0, 0)
    number -= nr_synced
    if not job.drop_cache or number >= job.nr_files:
        return -1
    inode = k.file_list[job.file_start + number]
    if job.rw == RW_WRITE and job.offset_bytes == 0 and job.io_bytes >= job.file_bytes * job.nr_files:
        k.inode[inode].unwritten = 0  # all of it holds something now
    return call(k, t, f, FN.sys_fadvise64, resume, inode, 0, 0)


@kfn
def _requests(k, t, f, job):
    """Replay a list of page numbers of one file, one 4 KiB read each."""
    inode = k.file_list[job.file_start]
    if f.pc == 1:
        job.issued += 1
    while job.issued < job.nr_requests:
        offset = k.request_list[job.requests_start + job.issued] << 12
        if read_cached(k, t, _read_from(k, inode), offset, 4096):
            k.stat.request_hits += 1
        else:
            return call(k, t, f, k.inode[inode].f_read, 1, inode, offset, 4096)
        job.issued += 1
        if out_of_slice(k, t):
            f.pc = 0
            return YIELD
    return -1


# --- hogs ---


@kfn
def _hog(k, t, f, job):
    """Touch anonymous memory at a rate, keep it, touching it again each second, then go."""
    task = k.task[t]
    nr_pages = k.inode[task.mm_inode].nr_slots
    if f.pc == 1:
        f.pos += 1
        f.pc = 0
        if out_of_slice(k, t):
            return YIELD
    f.pc = 0
    while True:
        if task.killed:
            return -1
        now = now_of(k, t)
        if f.pos >= nr_pages:
            if f.deadline_ns == 0:
                f.deadline_ns = now + job.hold_ns
            if now >= f.deadline_ns or foreground_over(k, job):
                return -1
            f.pos, f.flag = 0, 1
            again = now + NS_PER_S
            return sleep_until(k, t, again if again < f.deadline_ns else f.deadline_ns)
        if not f.flag and job.rate_bps > 0:
            due = task.begun_ns + f.pos * 4096 * NS_PER_S // job.rate_bps
            if due > now:
                return sleep_until(k, t, due)
        if not touch_mapped(k, t, task.mm_inode, f.pos, 1, 64):
            return call(k, t, f, FN.anonymous_fault, 1, task.mm_inode, f.pos, 0)
        f.pos += 1
        if out_of_slice(k, t):
            return YIELD
