# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of the kernel's inner steps, in ns.

assumed: no source gives them. They are round figures for a server of 2010 (a cache miss is about 100 ns, an atomic
operation 20 ns); copying goes by the machine's `copy_mb_s`, system calls by its `syscall_ns`. They bound how fast tasks
run between sleeps; which page is taken, and who writes it, does not depend on them at a given interleaving.
"""

ALLOC_NS = 120  # a page off a per-CPU list, its flags set
ADD_TO_CACHE_NS = 250  # radix tree insert, LRU pagevec
LOOKUP_NS = 80  # radix tree lookup with its reference
DIRTY_NS = 120  # set_page_dirty with its accounting
SCAN_NS = 120  # isolate and check one page in reclaim
FREE_NS = 200  # unmap from the cache and free
SUBMIT_NS = 1500  # a bio down to the queue
WRITEPAGE_NS = 300  # one page put under writeback and into a bio
FAULT_NS = 800  # a page fault without its allocation
RESCHED_NS = 1_000  # giving way to others where nobody sleeps: a task that only goes round takes time, too
FORK_NS = 60_000  # copying a process
TRANSACTION_NS = 5_000  # an XFS transaction beside its sleeps: cursors, log vectors, copying into the log
STRIPE_NS = 500  # find, hold and release a RAID5 stripe
XOR_NS = 800  # 4 KiB of parity arithmetic, at 5 GB/s
SEGMENT_NS = 10_000  # a segment of up to 64 KiB through TCP, IP and a driver with segmentation offload
