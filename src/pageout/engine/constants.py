# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers shared by all rooms: flags, states, limits. Kernel constants carry the kernel's names."""

NIL = -1
ENTRY = 0  # the label at which every sleeping function begins

# What a sleeping function returns to the dispatcher.
RUN, YIELD, SLEEP, EXIT, SWITCH = 0, 1, 2, 3, 4

MAX_DEPTH = 32  # frames a simulated thread may nest
CHAIN_ROWS = 2 * MAX_DEPTH + 2  # rows of a chain that is kept: its frames, what each is called through, a leaf chain

# struct page flags
PG_LOCKED = 1 << 0
PG_REFERENCED = 1 << 1
PG_UPTODATE = 1 << 2
PG_DIRTY = 1 << 3
PG_LRU = 1 << 4
PG_ACTIVE = 1 << 5
PG_WRITEBACK = 1 << 6
PG_RECLAIM = 1 << 7
PG_SWAPBACKED = 1 << 8  # anonymous
PG_SWAPCACHE = 1 << 9  # has a slot on the swap device
PG_BUDDY = 1 << 10
PG_PCP = 1 << 11
PG_PVEC = 1 << 12
PG_ISOLATED = 1 << 13
PG_MAPPED = 1 << 14  # some page table maps it
PG_YOUNG = 1 << 15  # the page table's accessed bit
PG_PTE_WRITE = 1 << 16  # the page table allows writing: the next write does not fault
PG_READAHEAD = 1 << 17
PG_WAITERS = 1 << 18
PG_KERNEL = 1 << 19  # allocated by the kernel: stacks, skbs and the like
PG_TAIL = 1 << 20  # not the first page of a higher-order allocation
PG_ERROR = 1 << 21
PG_RESERVED = 1 << 22  # never given to the allocator
PG_DELAYED = 1 << 23  # its block is reserved, not chosen (delayed allocation)
PG_BH_DELAY = 1 << 29  # its block is chosen, but nothing has been written there: BH_Delay, BH_Unwritten
PG_WRITTEN = 1 << 30  # has been written to the device since it came into the cache
PG_PRIVATE = 1 << 28  # has buffers that know their disk block: no need to look it up
PG_WORKINGSET = 1 << 24  # of a page on the LRU: has been active; of free and kernel blocks the order stands here
PG_FOLIO = 1 << 25  # of a page on the LRU: in one large folio with the file's page before it
ORDER_SHIFT = 24
ORDER_MASK = 15 << ORDER_SHIFT
MT_SHIFT = 28  # of a free frame: the type of the list it is on, or would go back to from a CPU's list
MT_MASK = 3 << MT_SHIFT

# Task states and flags
T_NEW, T_RUNNABLE, T_RUNNING, T_SLEEPING, T_DEAD = 0, 1, 2, 3, 4
PF_MEMALLOC, PF_KSWAPD, PF_SWAPWRITE, PF_FLUSHER, PF_LESS_THROTTLE, PF_KTHREAD = 1, 2, 4, 8, 16, 32
PF_RECLAIMER = 1 << 10  # a thread that does direct reclaim for others
PF_FSTRANS = 1 << 11  # inside a filesystem transaction: memory is asked for without entering a filesystem

# Request for memory (only the bits that steer the model); values of Linux v2.6.34 include/linux/gfp.h
GFP_WAIT, GFP_HIGH, GFP_IO, GFP_FS = 0x10, 0x20, 0x40, 0x80
GFP_NOWARN, GFP_REPEAT, GFP_NOFAIL, GFP_NORETRY, GFP_COLD = 0x200, 0x400, 0x800, 0x1000, 0x100
GFP_ATOMIC = GFP_HIGH
GFP_NOFS = GFP_WAIT | GFP_IO
GFP_KERNEL = GFP_WAIT | GFP_IO | GFP_FS
GFP_COMP, GFP_ZERO, GFP_HARDWALL, GFP_HIGHMEM, GFP_MOVABLE = 0x4000, 0x8000, 0x20000, 0x2, 0x8
GFP_RECLAIMABLE, GFP_THISNODE = 0x80000, 0x40000
GFP_HIGHUSER = GFP_KERNEL | GFP_HARDWALL | GFP_HIGHMEM
GFP_HIGHUSER_MOVABLE = GFP_KERNEL | GFP_HARDWALL | GFP_HIGHMEM | GFP_MOVABLE

MAX_ORDER = 11
# Which pages lie together: types of pageblocks of 512 frames and of free lists (ISOLATE, for hot-unplug, is left out)
MIGRATE_UNMOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE, MIGRATE_RESERVE, NR_FREE_LISTS = 0, 1, 2, 3, 4
MIGRATE_PCPTYPES = 3
PAGEBLOCK_ORDER = 9
PAGE_ALLOC_COSTLY_ORDER = 3
ALLOC_HIGH, ALLOC_HARDER, ALLOC_NO_WATERMARKS = 1, 2, 4
ALLOC_SPREAD_DIRTY = 64  # a page for writing: only from zones within their share of the dirty limit
WMARK_MIN, WMARK_LOW, WMARK_HIGH = 0, 8, 16  # which mark, beside the bits above
ALLOC_NOFRAGMENT = 128  # no block of another kind but a whole pageblock, while a lower zone has not been tried

LRU_INACTIVE_ANON, LRU_ACTIVE_ANON, LRU_INACTIVE_FILE, LRU_ACTIVE_FILE, NR_LRU = 0, 1, 2, 3, 4
# lru=gen: generations and tiers; a batch, and the most pages looked at for one
MIN_NR_GENS, MAX_NR_GENS, MAX_NR_TIERS, MIN_LRU_BATCH, MAX_LRU_BATCH = 2, 4, 4, 64, 4096
GEN_SHARED, GEN_OWN = 0, 1  # gen.node

SWAP_CLUSTER_MAX = 32
DEF_PRIORITY = 12

ISOLATE_INACTIVE, ISOLATE_ACTIVE, ISOLATE_BOTH = 0, 1, 2

# Verdicts on a page in reclaim
PAGE_RECLAIM, PAGE_RECLAIM_CLEAN, PAGE_KEEP, PAGE_ACTIVATE = 0, 1, 2, 3
PAGE_SUCCESS, PAGE_CLEAN = 4, 5

# Inodes
INODE_FILE, INODE_ANON = 0, 1
I_DIRTY_SYNC, I_DIRTY_DATASYNC, I_DIRTY_PAGES, I_SYNC = 1, 2, 4, 128
I_DIRTY_RECLAIM = 256  # reclaim has met a dirty page of it and moved it to b_io
LIST_NONE, LIST_DIRTY, LIST_IO, LIST_MORE_IO = 0, 1, 2, 3

# Heap events
EV_TIMER, EV_SLICE_END, EV_WAKE, EV_IO_DONE, EV_UNPLUG, EV_SERIES, EV_POWER_CUT = 0, 1, 2, 3, 4, 5, 6
EV_BANDWIDTH = 7
EV_THROTTLE, EV_TICK, EV_WBT = 8, 9, 10  # of a queue: blk-throttle's timer, a device's tick, wbt's window

# Wait queues with a fixed number; page, request and inode queues follow
WQ_CONGESTION_WRITE, WQ_CONGESTION_READ, WQ_KSWAPD, WQ_OOM, WQ_GROUP, WQ_FIXED = 0, 1, 2, 3, 4, 10
WQ_RECLAIM_WRITEBACK, WQ_RECLAIM_NOPROGRESS, WQ_RECLAIM_ISOLATED = 5, 6, 7  # reclaim_throttle's
WQ_PFMEMALLOC, WQ_KCOMPACTD = 8, 9  # throttle_direct_reclaim's; where kcompactd sleeps
PAGE_WAIT_TABLE = 64  # hashed queues of tasks that wait for a page

# Devices
DEV_DISK, DEV_SSD, DEV_THROTTLED, DEV_NULL = 0, 1, 2, 3
DEV_ISCSI = 4  # a request queue whose device is across a network
DEV_LINEAR, DEV_RAID0, DEV_RAID1, DEV_RAID5, DEV_LOOP = 5, 6, 7, 8, 9  # no requests of their own
END_PAGES, END_CHILD, END_STRIPE, END_TARGET, END_XFS = 0, 1, 2, 3, 4  # what to do when a bio is done
END_PART = 5  # one of several requests that a bio was cut into
END_IOEND = 6  # one of the bios of an extent, whose pages end together
ELEVATOR_NOOP, ELEVATOR_DEADLINE = 0, 1
BLK_BATCH_REQ = 32
LIMIT_BUCKET, LIMIT_SLICES, LIMIT_TICKS = 0, 1, 2  # how a throttled device's limits work
READ, WRITE = 0, 1
DRIVER_AHCI, DRIVER_SATA_MV = 0, 1
DISPATCH_KICK, DISPATCH_THRESHOLD, DISPATCH_UNPLUGGED = 0, 1, 2  # how a request comes down to the driver
END_TABLE, END_SLAB, END_AHCI, END_MV, END_MV_POLLED, NR_ENDS = 0, 1, 2, 3, 4, 5  # what the driver does with it
NR_SG_POOLS = 5  # scatter tables of 8, 16, 32, 64, 128 entries
CALLER_SYSCALL, CALLER_SENDFILE, CALLER_NFSD = 0, 1, 2  # through what an io job moves its bytes

FS_EXT2, FS_XFS, FS_EXT3, FS_EXT4, FS_BTRFS, FS_UNION = 0, 1, 2, 3, 4, 5
PAGES_PER_INDIRECT = 1024  # blocks that one indirect block of ext2 and ext3 names
DIRECT_BLOCKS = 12  # of a file of ext2 and ext3, named in the inode itself
BLOCKS_PER_GROUP = 32768  # of ext2, ext3, ext4: one bitmap block of bits

# Designs: values of the choice points
WRITEBACK_ALWAYS, WRITEBACK_KSWAPD, WRITEBACK_NEVER = 0, 1, 2
KICK_SCANNED, KICK_DIRTY, KICK_NONE = 0, 1, 2
LUMPY_ON, LUMPY_OFF, LUMPY_GENTLE = 0, 1, 2
WAIT_DIRTY_OFF, WAIT_DIRTY_CONGESTION = 0, 1
THROTTLE_MIDPOINT, THROTTLE_BACKGROUND = 0, 1
OVERFLOW_REPORT, OVERFLOW_STOP = 0, 1
DIET_OFF, DIET_ON = 0, 1
WRITEBACK_HIGH_ORDER, WRITEBACK_PRIORITY, WRITEBACK_URGENT = 3, 4, 5
KICK_INODES = 3
STALL_CONGESTION, STALL_WRITEBACK = 0, 1
PROGRESS_FREED, PROGRESS_RECLAIMABLE = 0, 1
WORKER_OFF, WORKER_NODE, WORKER_CPU = 0, 1, 2
WORKER_LRU, WORKER_FILE = 0, 1
LIMITS_GLOBAL, LIMITS_ZONE, LIMITS_NODE = 0, 1, 2
BACKGROUND_RATIO, BACKGROUND_HALF = 0, 1
FLUSH_ALL, FLUSH_OLDEST = 0, 1
FLUSH_DIRTIED_WHEN, FLUSH_PAGE_AGE = 0, 1
SPLIT_ON, SPLIT_OFF = 0, 1
GAP_KERNEL, GAP_WIDE = 0, 1
THROTTLE_LIMIT = 2
THROTTLE_BY_WRITING, THROTTLE_BY_PAUSE = 0, 1
ENGINE_ZONE, ENGINE_NODE = 0, 1
THROTTLE_WRITEBACK, THROTTLE_ISOLATED, THROTTLE_NOPROGRESS, THROTTLE_CONGESTED = 0, 1, 2, 3
WRITEPAGE_ALLOCATED, WRITEPAGE_NEVER = 0, 1
COST_PAGES, COST_ROTATIONS = 0, 1
MARKS_QUARTER, MARKS_SCALED = 0, 1
PCP_BATCHES, PCP_LOW, PCP_AUTO = 0, 1, 2
OOM_BADNESS, OOM_RSS = 0, 1
TURN_PAGES, TURN_BANDWIDTH = 0, 1
REQUEUE_CHUNK, REQUEUE_AGE = 0, 1
FOLIOS_NONE, FOLIOS_XFS, FOLIOS_ALL = 0, 1, 2
FLOOR_POSITION, FLOOR_SHARE = 0, 1
TIMER_TICK, TIMER_LATE = 0, 1
LAYER_SINGLE, LAYER_MQ = 0, 1
PICK_TURNS, PICK_FAIR = 0, 1
STEAL_HALF, STEAL_ALIKE = 0, 1
MAX_BIO_PAGES = 1 << 20
RULES_LINE, RULES_META, RULES_SPARE = 0, 1, 2
BAIL_PRIORITY, BAIL_BATCH, BAIL_NEVER = 0, 1, 2
KSWAPD_NEEDY, KSWAPD_ALL = 0, 1
BASE_DIRTYABLE, BASE_UNMAPPED, BASE_UNRESERVED = 0, 1, 2
DMA32_ON, DMA32_OFF = 0, 1
SWITCH_OFF, SWITCH_RECLAIM, SWITCH_WRITEPAGE = 0, 1, 2

MEMCG_CHARGE_BATCH = 64  # pages a CPU charges to a group at a time
NO_LIMIT = 1 << 60  # pages
WALK_ALL, WALK_PART = 0, 1

# Why a run stops (stat.stop)
GO, STOP_DONE, STOP_DRAIN, STOP_ERROR, STOP_LENGTH, STOP_POWER, STOP_STEPS, STOP_DEADLOCK, STOP_PANIC = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
)
STOP_OVERFLOW = 9  # a kernel stack ran over, and the scenario wants that to be the end
STOP_LIVELOCK = 10  # tasks sleep and wake, and none gets anywhere
ERR_DEPTH, ERR_HEAP, ERR_BIOS = 1, 2, 3
ERR_META = 4

# The kernel log (engine/klog.py)
KLOG_RECORDS, KLOG_SNAPSHOTS, KLOG_STACK = 2048, 24, 2 * MAX_DEPTH
(
    KLOG_OOM,
    KLOG_OOM_SCORE,
    KLOG_OOM_KILLED,
    KLOG_PANIC,
    KLOG_ALLOC_FAILURE,
    KLOG_STACK_USED,
    KLOG_STACK_OVERRUN,
    KLOG_IO_ERROR,
    KLOG_PAGE_LOST,
    KLOG_SWAP_ERROR,
    KLOG_HUNG,
    KLOG_SUPPRESSED,
    KLOG_MEMCG_OOM,
    KLOG_MEMCG_STAT,
) = range(1, 15)
RATELIMIT_OOM, RATELIMIT_ALLOC, RATELIMIT_BUFFER = 0, 1, 2  # who asks printk_ratelimit
PANIC_NO_VICTIM, PANIC_ON_OOM, PANIC_ALWAYS = 1, 2, 3
OOM_DISABLE = -17

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NEVER = 1 << 62

HIST_BUCKETS = 512  # eight buckets an octave of nanoseconds
HIST_WRITE, HIST_READ, HIST_STALL, HIST_FORK, HIST_FSYNC, NR_HIST_GLOBAL = 0, 1, 2, 3, 4, 5
SERIES_COLUMNS = 24
