# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of the kernel log that mean something by themselves: I/O errors, devices that went, filesystems that gave up.

A table: topic, pattern (its group `dev` is the device), where the kernel prints it. What has a log's prefix and is in
no row is known to be the log's, and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pageout.readers.call_trace import kernel_of
from pageout.readers.facts import Fact, KernelVersion, LogLine
from pageout.readers.joiner import Joiner
from pageout.readers.lines import Claim, Line, Recogniser
from pageout.readers.reports import Entry

MAX_FACTS = 10_000
KEPT = 400  # characters of a line
_DEV = r"(?P<dev>[\w!:.+-]{1,64})"


class Row(NamedTuple):
    """A kind of line."""

    topic: str
    pattern: re.Pattern[str]
    source: str


def _row(topic: str, pattern: str, source: str) -> Row:
    return Row(topic, re.compile(pattern), source)


ROWS = (
    _row("lost write", rf"Buffer I/O error on dev(?:ice)? {_DEV}, .{{0,60}}lost (?:async|sync) page write", "fs/buffer.c:buffer_io_error"),
    _row("lost write", rf"lost (?:async |sync )?page write due to I/O error on {_DEV}", "fs/buffer.c (2.6-3.x)"),
    _row("lost write", r"This should not happen!!\s{1,3}Data will be lost", "fs/ext4/inode.c:mpage_map_and_submit_extent"),
    _row("lost write", rf"XFS \({_DEV}\): writeback error on inode", "fs/xfs/xfs_aops.c"),
    _row("lost write", rf"EXT4-fs \({_DEV}\): Delayed block allocation failed", "fs/ext4/inode.c"),
    _row("lost write", r"loop: Write error at byte offset", "drivers/block/loop.c:lo_write_bvec"),
    _row("I/O error", rf"(?:(?:blk_update_request|print_req_error|end_request): )?(?:critical |recoverable |recovered )?[\w/ ]{{3,40}} error, dev {_DEV}, sector", "block/blk-mq.c:blk_print_req_error"),
    _row("I/O error", rf"Buffer I/O error on dev(?:ice)? {_DEV},", "fs/buffer.c:buffer_io_error"),
    _row("I/O error", rf"XFS \({_DEV}\): .{{0,80}}(?:metadata I/O error|log I/O error|I/O [Ee]rror [Dd]etected)", "fs/xfs/xfs_buf.c:xfs_buf_ioerror_alert"),
    _row("I/O error", rf"EXT4-fs \({_DEV}\): I/O error while writing superblock", "fs/ext4/super.c"),
    _row("I/O error", rf"JBD2: (?:Detected|Error -?\d+ detected|I/O error).{{0,100}}? (?:on|for) {_DEV}", "fs/jbd2/commit.c"),
    _row("I/O error", rf"BTRFS (?:error|warning|info) \(device {_DEV}(?: state \w+)?\): (?:bdev .{{1,80}} errs:|.{{0,40}}lost page write)", "fs/btrfs/volumes.c:btrfs_dev_stat_print_on_error"),
    _row("I/O error", r"(?:Sense Key : (?:Medium|Hardware) Error|Unrecovered read error)", "drivers/scsi/constants.c"),
    _row("I/O error", r"(?:Read|Write)-error on swap-device \((?P<dev>\d+:\d+):", "mm/page_io.c:end_swap_bio_write"),
    _row("device gone", rf"sd {_DEV}: (?:\[\w+\] )?(?:rejecting I/O to (?:offline|dead) device|Device offlined)", "drivers/scsi/scsi_lib.c:scsi_prep_state_check"),
    _row("device gone", rf"(?:scsi|sd) {_DEV}: Device offlined - not ready after error recovery", "drivers/scsi/scsi_error.c"),
    _row("device gone", rf"usb {_DEV}: USB disconnect, (?:device number|address)", "drivers/usb/core/hub.c:usb_disconnect"),
    _row("device gone", rf"nvme {_DEV}: (?:Removing after probe failure|Disabling device after reset failure|Device not ready; aborting|failed to mark controller|Removing ctrl|frozen state error detected, reset)", "drivers/nvme/host/pci.c:nvme_reset_work"),
    _row("device gone", rf"(?<![\w!:.+-])(?!md[_\d]|dm-\d|loop\d){_DEV}: detected capacity change from \d{{1,20}} to 0\b", "block/genhd.c:set_capacity_and_notify"),
    _row("device gone", r"mmc\d+: card (?P<dev>\w+) removed", "drivers/mmc/core/bus.c:mmc_remove_card"),
    _row("device gone", r"(?P<dev>ata\d+(?:\.\d+)?): disabled?$", "drivers/ata/libata-core.c:ata_dev_disable"),
    _row("device gone", rf"md/raid[\w:]{{0,40}}: Disk failure on {_DEV}, disabling device", "drivers/md/raid1.c:raid1_error"),
    _row("device gone", rf"device-mapper: multipath: .{{0,40}}Failing path {_DEV}", "drivers/md/dm-mpath.c:fail_path"),
    _row("device timeout", rf"nvme {_DEV}: I/O (?:tag )?\d{{1,6}}.{{0,80}}QID \d{{1,5}} timeout", "drivers/nvme/host/pci.c:nvme_timeout"),
    _row("device timeout", r"(?P<dev>mmc\d+|mmcblk\w+): (?:Timeout waiting for hardware|timed out sending|error -110|Card stuck|running CQE recovery|cache flush error)", "drivers/mmc/host/sdhci.c; drivers/mmc/core/block.c"),
    _row("device timeout", r"(?:block )?(?P<dev>nbd\d+): (?:Connection timed out|Dead connection|Possible stuck request)", "drivers/block/nbd.c:nbd_xmit_timeout"),
    _row("device timeout", r"(?P<dev>session\d+): session recovery timed out after \d+ secs", "drivers/scsi/scsi_transport_iscsi.c"),
    _row("device timeout", r"(?P<dev>ata\d+(?:\.\d+)?): (?:qc timeout|link is slow to respond|COMRESET failed|device not ready)", "drivers/ata/libata-eh.c"),
    _row("device timeout", rf"sd {_DEV}: (?:\[\w+\] )?(?:timing out command|tag#\d+ .{{0,60}}(?:DID_TIME_OUT|timeout))", "drivers/scsi/scsi.c"),
    _row("device reset", rf"nvme {_DEV}: (?:controller is down; will reset|resetting controller|Abort status|\d+/\d+/\d+ default/read/poll queues)", "drivers/nvme/host/pci.c"),
    _row("device reset", rf"(?:sd|scsi) {_DEV}: .{{0,80}}(?:attempting (?:task )?abort|task abort:|uas_eh_\w+)", "drivers/scsi/mpt3sas/mpt3sas_scsih.c; drivers/usb/storage/uas.c"),
    _row("device reset", r"(?P<dev>ata\d+(?:\.\d+)?): (?:exception Emask|failed command|(?:hard|soft) resetting link|SATA link down|limiting SATA link|softreset failed|error: \{)", "drivers/ata/libata-eh.c"),
    _row("device reset", rf"usb {_DEV}: (?:reset (?:low|full|high|[Ss]uper)\S{{0,20}} (?:Gen \S+ )?USB device|device (?:not accepting address|descriptor read))", "drivers/usb/core/hub.c:hub_port_init"),
    _row("device reset", r"(?P<dev>connection\d+:\d+): detected conn error", "drivers/scsi/libiscsi.c"),
    _row("blocked io", rf"device-mapper: thin: {_DEV}: (?:switching pool to (?:out-of-data-space|read-only)|no free data space)", "drivers/md/dm-thin.c:set_pool_mode"),
    _row("server not responding", r"nfs: server (?P<dev>\S{1,100}) not responding", "net/sunrpc/clnt.c:call_timeout"),
    _row("server not responding", r"CIFS: (?:VFS: )?(?P<dev>\\\\\S{1,100}) has not responded in \d+ seconds", "fs/smb/client/connect.c"),
    _row("server not responding", r"libceph: (?P<dev>osd\d+) .{0,80}(?:socket closed|down|hung)", "net/ceph/osd_client.c"),
    _row("journal aborted", rf"(?:JBD2: |journal: )?Aborting journal on (?:device |dev )?{_DEV}", "fs/jbd2/journal.c:jbd2_journal_abort"),
    _row("journal aborted", rf"(?:EXT[34]-fs (?:error )?\((?:device )?{_DEV}\): .{{0,80}})?(?:Detected aborted journal|Journal has aborted)", "fs/ext4/ext4_jbd2.c"),
    _row("remounted read-only", rf"(?:EXT[234]-fs|F2FS-fs|JFS) \({_DEV}\): .{{0,60}}[Rr]emounting filesystem read-only", "fs/ext4/super.c:ext4_handle_error"),
    _row("remounted read-only", rf"FAT-fs \({_DEV}\): Filesystem has been set read-only", "fs/fat/misc.c:__fat_fs_error"),
    _row("remounted read-only", rf"BTRFS(?:: error| info) \(device {_DEV}(?: state \w+)?\).{{0,40}}: forced readonly", "fs/btrfs/super.c"),
    _row("filesystem shut down", rf"XFS \({_DEV}\): .{{0,120}}(?:[Ff]ilesystem has been shut down|[Ss]hutting down filesystem|xfs_do_force_shutdown|[Pp]lease unmount)", "fs/xfs/xfs_fsops.c:xfs_do_force_shutdown"),
    _row("filesystem error", rf"EXT[234]-fs error \(device {_DEV}\)", "fs/ext4/super.c:__ext4_error"),
    _row("filesystem error", rf"XFS \({_DEV}\): (?:Internal error|[Cc]orruption|Metadata [Cc]orruption|Failing async write|page discard)", "fs/xfs/xfs_error.c"),
    _row("filesystem error", rf"BTRFS (?:error|critical) \(device {_DEV}", "fs/btrfs/messages.c"),
    _row("filesystem error", rf"(?:FAT-fs|F2FS-fs) \({_DEV}\): error", "fs/fat/misc.c"),
    _row("allocation deadlock", r"XFS: .{0,80}possible memory allocation deadlock", "fs/xfs/xfs_message.c; fs/xfs/kmem.c"),
    _row("shrinker", r"shrink_slab: .{1,100} negative objects to delete", "mm/vmscan.c:do_shrink_slab"),
    _row("CPU hog", r"workqueue: (?P<dev>[\w.+]{1,80})(?: \[\w+\])? hogged CPU for >?\d+us", "kernel/workqueue.c:wq_cpu_intensive_report"),
    _row("workqueue lockup", r"BUG: workqueue lockup - pool", "kernel/workqueue.c:wq_watchdog_timer_fn"),
    _row("rcu stall", r"INFO: rcu_\w+ (?:self-)?detected (?:expedited )?stalls?", "kernel/rcu/tree_stall.h"),
    _row("rcu stall", r"rcu_\w+ kthread (?:starved|timer wakeup)", "kernel/rcu/tree_stall.h"),
    _row("hardware error", r"(?:mce: )?\[Hardware Error\]|EDAC \w+: \d+ [CU]E ", "arch/x86/kernel/cpu/mce/core.c"),
    _row("request limits", r"blk_(?:cloned_rq_check_limits|insert_cloned_request): over max", "block/blk-mq.c:blk_insert_cloned_request"),
    _row("kernel bug", r"kernel BUG at |BUG: (?:unable to handle|kernel NULL pointer|Bad page|Bad rss-counter|scheduling while atomic)|Oops:? \d", "lib/bug.c:report_bug"),
    _row("panic", r"Kernel panic - not syncing", "kernel/panic.c:panic"),
    _row("kernel warning", r"WARNING: CPU: \d+ PID: \d+ at |WARNING: at |WARNING: possible (?:circular|recursive) locking|WARNING: possible irq lock", "kernel/panic.c:__warn; kernel/locking/lockdep.c"),
    _row("RT throttling", r"sched: RT throttling activated", "kernel/sched/rt.c:sched_rt_runtime_exceeded"),
    _row("user-space OOM kill", r"(?:systemd-oomd|earlyoom|lmkd|lowmemorykiller)(?:\[\d+\])?: .{0,20}(?:Killed|Kill|killing|sending SIG)", "systemd src/oom/oomd-util.c"),
)  # fmt: skip

# Any row has one of these in it: a line without is not worth the table.
_HINT = re.compile(
    r"rror|lost|Data will|usb |nvme |capacity change|removed|disabl|Failing|timed? ?out|ession|onnection|ata\d|sd \d|scsi |thin: |nfs: "
    r"|CIFS: |ceph: |ournal|ead-only|eadonly|XFS|shrink_slab|hogged|lockup|rcu|EDAC|over max|BUG|Oops|panic|WARNING|RT thr"
    r"|oomd|earlyoom|lmkd|lowmemory|JBD2|mmc|nbd|allocation failed"
)
_VERSION = re.compile(r"Linux version (\d{1,2}\.\d{1,3}[\w.+~-]{0,100}).*")
_UNAME = re.compile(r"Linux \S{1,64} (\d{1,2}\.\d{1,3}[\w.+~-]{0,100}) (?:\(\S{1,80}\)|#\d{1,6}).{0,200}")
_PROGRAM = re.compile(
    r"(?:[A-Z][a-z]{2} {1,2}\d{1,2} \d{2}:\d{2}:\d{2}(?:\.\d{1,9})?|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\S{0,16}) \S{1,64} "
    r"[\w./@:()-]{1,80}(?:\[\d{1,10}\])?: .*"
)
_JOURNAL = re.compile(r"-- (?:Logs begin at|Journal begins at|Boot [0-9a-f]{32}|Reboot|No entries).{0,120}")
_DICTIONARY = re.compile(r" (?:SUBSYSTEM|DEVICE)=.{1,100}")  # /dev/kmsg, after a record


def row_of(text: str) -> tuple[Row, str | None] | None:
    """Return the row a line is of and the device it names."""
    body = text[:KEPT]
    if not _HINT.search(body):
        return None
    for row in ROWS:
        match = row.pattern.search(body)
        if match is not None:
            device = match.groupdict().get("dev")
            return row, device.rstrip(".:") if device else None
    return None


class LogLines(Recogniser):
    """What else stands in a kernel log."""

    kind = "kernel log"
    broad = True

    def __init__(self) -> None:
        super().__init__()
        self._joiner = Joiner(lambda _, text: row_of(text) is not None)
        self._found: list[Fact] = []
        self._kernels: set[str] = set()

    def take(self, line: Line) -> Claim | None:
        """Claim what has a log's prefix, and without one what is in the table."""
        if self._joiner.joins(line):
            return Claim.KNOWN
        self._flush()
        text = line.text
        if line.logged or self._is_mine(text):
            self._joiner.open(line)
            return Claim.KNOWN
        return None

    def _is_mine(self, text: str) -> bool:
        body = text.strip()[:KEPT]
        if not body:
            return False
        return (
            row_of(body) is not None
            or any(pattern.fullmatch(body) for pattern in (_VERSION, _UNAME, _PROGRAM, _JOURNAL))
            or _DICTIONARY.fullmatch(text[:KEPT]) is not None
        )

    def _flush(self) -> None:
        entry = self._joiner.close()
        if entry is not None:
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        body = entry.text.strip()
        uname = _UNAME.fullmatch(body[:KEPT])
        release = uname[1] if uname else kernel_of(body)
        if release is not None and release not in self._kernels and len(self._kernels) < 1000:
            self._kernels.add(release)
            self._found.append(KernelVersion(entry.number, release))
        found = row_of(body)
        if found is not None and len(self._found) < MAX_FACTS:
            row, device = found
            self._found.append(LogLine(entry.number, row.topic, body[:KEPT], device, entry.stamp_s))

    def facts(self) -> Sequence[Fact]:
        """Return the lines that mean something."""
        self._flush()
        return self._found
