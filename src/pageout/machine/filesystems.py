# SPDX-License-Identifier: GPL-2.0-or-later
"""From a machine's filesystems to their records: places, operations, the inodes of metadata and journals."""

from __future__ import annotations

from typing import Any, NamedTuple

from pageout.engine import constants as c
from pageout.kernel.frames import FN
from pageout.kernel.fs.xfs_trees import NR_AGS
from pageout.vocabulary.mounts import Place, number_of, places_of
from pageout.vocabulary.scenario import Scenario

PAGE = 4096
KINDS = {
    "xfs": c.FS_XFS,
    "ext2": c.FS_EXT2,
    "ext3": c.FS_EXT3,
    "ext4": c.FS_EXT4,
    "btrfs": c.FS_BTRFS,
    "union": c.FS_UNION,
}
MOST_XFS_BLOCKS = 1 << 20  # rows at most for an XFS's metadata: enough for 130 million extents
DELAYED = ("xfs", "ext4", "btrfs")
JOURNALED = ("ext3", "ext4")
# Blocks of a filesystem -> blocks of its journal.  Source: e2fsprogs 1.41 lib/ext2fs/mkjournal.c, default size.
JOURNAL_SIZES = ((32768, 1024), (262144, 4096), (524288, 8192), (1048576, 16384), (1 << 62, 32768))


class Operations(NamedTuple):
    """What the kernel calls for a file of a filesystem, by function number."""

    writepage: int
    writepages: int
    f_write: int
    f_read: int
    vfs_write: int
    vfs_read: int


_EXT2 = (FN.ext2_sys_write, FN.ext2_sys_read, FN.ext2_vfs_write, FN.ext2_vfs_read)
_EXT4 = (FN.ext4_sys_write, FN.ext2_sys_read, FN.ext4_vfs_write, FN.ext2_vfs_read)
_BTRFS = (FN.btrfs_sys_write, FN.ext2_sys_read, FN.btrfs_vfs_write, FN.ext2_vfs_read)
OPERATIONS = {
    "xfs": Operations(FN.xfs_vm_writepage, FN.write_cache_pages, FN.sys_write, FN.sys_read, FN.vfs_write, FN.vfs_read),
    "ext2": Operations(FN.ext2_writepage, FN.ext2_writepages, *_EXT2),
    "ext3": Operations(FN.ext3_writepage, FN.generic_writepages, *_EXT2),
    "ext4": Operations(FN.ext4_writepage, FN.ext4_da_writepages, *_EXT4),
    "btrfs": Operations(FN.btrfs_writepage, FN.btrfs_writepages, *_BTRFS),
    "union": Operations(FN.unionfs_writepage, FN.generic_writepages, FN.unionfs_write, FN.unionfs_read, c.NIL, c.NIL),
    "metadata": Operations(FN.blkdev_writepage, FN.generic_writepages, *_EXT2),
    "anonymous": Operations(FN.swap_writepage, FN.generic_writepages, *_EXT2),
}


def _xfs_rows(nr_inodes: int, file_pages: int) -> int:
    """Rows for metadata blocks: AG headers, inodes, btree blocks of half-full leaves if no two pages were adjacent."""
    return NR_AGS + nr_inodes + min(MOST_XFS_BLOCKS, file_pages // 40 + 8 * nr_inodes + 256)


class Inode(NamedTuple):
    """A file, a task's anonymous memory, or what a filesystem keeps of its own."""

    nr_slots: int
    exists: bool
    anonymous: bool
    fs: int = 0
    operations: str = "xfs"
    lower: int = c.NIL
    copy_to: int = c.NIL
    meta_start: int = c.NIL
    unwritten: bool = False


class Mounts:
    """The machine's filesystems, their places, and the inodes that serve them."""

    def __init__(self, scenario: Scenario) -> None:
        machine = scenario.machine
        self.filesystems = machine.filesystems
        self.places: list[Place] = places_of(machine)
        self.journaled = [i for i, fs in enumerate(self.filesystems) if fs.kind in JOURNALED]
        self.inodes: list[Inode] = []
        self.meta = [c.NIL] * len(self.filesystems)
        self.journal = [c.NIL] * len(self.filesystems)
        # XFS whose blocks are chosen in transactions, when a page is written; without delayed allocation they are not
        self.allocating = [i for i, fs in enumerate(self.filesystems) if fs.kind == "xfs" and fs.delalloc is not False]

    def operations_of(self, number: int) -> str:
        """The row of OPERATIONS of a filesystem; ext4 without delayed allocation works as ext3 does."""
        fs = self.filesystems[number]
        return "ext3" if fs.kind == "ext4" and fs.delalloc is False else fs.kind

    def file(self, nr_slots: int, exists: bool, number: int, **more: Any) -> Inode:
        """A file of a filesystem."""
        return Inode(nr_slots, exists, False, number, self.operations_of(number), **more)

    def with_hidden(self, scenario: Scenario, inodes: list[Inode]) -> list[Inode]:
        """Add what lies below the unions' files, then each filesystem's metadata and journal."""
        inodes = self._with_lower(scenario, inodes)
        for number, fs in enumerate(self.filesystems):
            if fs.kind in ("ext2", "ext3"):
                inodes = self._with_indirect(number, inodes)
            elif fs.kind == "ext4":
                groups = -(-self.places[number].nr_blocks // c.BLOCKS_PER_GROUP)
                self.meta[number] = len(inodes)
                inodes = [*inodes, Inode(groups, False, False, number, "metadata")]
        for number in self.journaled:
            self.journal[number] = len(inodes)
            size = next(size for blocks, size in JOURNAL_SIZES if self.places[number].nr_blocks < blocks)
            inodes = [*inodes, Inode(size, True, False, number, "metadata")]
        nr_inodes = len(inodes) + len(self.allocating)
        for number in self.allocating:
            file_pages = sum(inode.nr_slots for inode in inodes if inode.fs == number and not inode.anonymous)
            self.meta[number] = len(inodes)
            inodes = [*inodes, Inode(_xfs_rows(nr_inodes, file_pages), False, False, number, "metadata")]
        self.inodes = inodes
        return inodes

    def _with_lower(self, scenario: Scenario, inodes: list[Inode]) -> list[Inode]:
        """Below a file of a union: one on the filesystem written to, and the one to copy up if it exists before."""
        upper, below = list(inodes), list[Inode]()
        for i, inode in enumerate(inodes):
            fs = self.filesystems[inode.fs]
            if inode.anonymous or fs.kind != "union":
                continue
            writable = len(inodes) + len(below)
            below.append(self.file(inode.nr_slots, False, number_of(scenario.machine, fs.lower)))
            upper[i] = inode._replace(exists=False, lower=writable)
            if inode.exists:
                below.append(self.file(inode.nr_slots, True, number_of(scenario.machine, fs.readonly or fs.lower)))
                upper[i] = inode._replace(exists=False, lower=writable + 1, copy_to=writable)
        return upper + below

    def _with_indirect(self, number: int, inodes: list[Inode]) -> list[Inode]:
        """One inode for all indirect blocks of ext2 or ext3, one page for each 1024 blocks of a file after the 12th."""
        at, placed = 0, []
        for inode in inodes:
            blocks = inode.nr_slots - c.DIRECT_BLOCKS
            if inode.fs == number and not inode.anonymous and blocks > 0:
                placed.append(inode._replace(meta_start=at))
                at += -(-blocks // c.PAGES_PER_INDIRECT)
            else:
                placed.append(inode)
        self.meta[number] = len(inodes)
        return [*placed, Inode(max(1, at), False, False, number, "metadata")]

    def fields(self, number: int, bitmap: int, wait_queue: int, journald: int) -> dict[str, int]:
        """The record of a filesystem."""
        fs, place = self.filesystems[number], self.places[number]
        return {
            "kind": KINDS[fs.kind],
            "bdi": place.disk,
            "nr_blocks": place.nr_blocks,
            "free_blocks": place.nr_blocks,
            "first_block": place.first_block,
            "delalloc": int(fs.kind in DELAYED if fs.delalloc is None else fs.delalloc),
            "cow": int(fs.kind == "btrfs"),
            "bitmap": bitmap,
            "fragment_pages": fs.fragment_pages if fs.layout == "fragmented" else 0,
            "meta_inode": self.meta[number],
            "journal_inode": self.journal[number],
            "tid": 1,
            "trans_expires_ns": c.NEVER,
            "commit_ns": fs.commit_ns,
            "ordered": int(fs.data == "ordered"),
            "journald": journald,
            "wait_queue": wait_queue,
            "xfs": self.allocating.index(number) if number in self.allocating else c.NIL,
        }

    def inode_fields(self, i: int) -> dict[str, int]:
        """What an inode knows of its filesystem."""
        inode = self.inodes[i]
        operations = OPERATIONS["anonymous" if inode.anonymous else inode.operations]
        return {
            "fs": c.NIL if inode.anonymous else inode.fs,
            "lower": inode.lower,
            "copy_to": inode.copy_to,
            "meta_start": inode.meta_start,
            **operations._asdict(),
        }

    def goal(self, i: int) -> int:
        """Where on its disk a file begins to look for blocks: files are spread over their filesystem."""
        place = self.places[self.inodes[i].fs]
        nr_files = max(1, len(self.inodes) - len(self.allocating))  # XFS's metadata has places of its own
        return place.first_block + place.nr_blocks * i // nr_files - 1
