# SPDX-License-Identifier: GPL-2.0-or-later
"""Which filesystem a recording was of, where its meta.json has no mounts."""

import pytest

from pageout.bundle.bundle import read_bundle
from pageout.twin.boxes import scenario_of
from tests.bundle.made import META, small

MOUNTS = """proc /proc proc rw,relatime 0 0
/dev/vda1 / ext4 rw,relatime 0 0
/dev/vdb /mnt/my\\040disk xfs rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
"""


def filesystem(folder, mounts, *, dev="254:0", name="vda", **files):
    meta = META | {"dev": dev, "devices": {dev: {"name": name}} if name else {}}
    return read_bundle(str(small(folder, meta__json=meta, mounts=mounts, **files))).filesystem


@pytest.mark.parametrize(
    ("name", "mounts", "kind"),
    [
        ("vda", MOUNTS, "ext4"),
        ("vdb", MOUNTS, "xfs"),
        ("vd", MOUNTS, None),
        ("nvme0n1", "/dev/nvme0n1p2 / btrfs rw 0 0\n", "btrfs"),
        ("nvme0n1", "/dev/nvme0n12 / btrfs rw 0 0\n", None),
        ("loop0", "/dev/loop0 /mnt ext4 rw 0 0\n/dev/loop01 /x xfs rw 0 0\n", "ext4"),
        ("vda", "/dev/vda1 / ext4 rw 0 0\n/dev/vda2 /home xfs rw 0 0\n", None),  # which of them, nothing says
        ("vda", "vda1 / ext4 rw 0 0\nnonsense\n\\777\n", None),
    ],
)
def test_a_mounts_file_tells_the_filesystem_by_the_disks_name(tmp_path, name, mounts, kind):
    assert filesystem(tmp_path / "b", mounts, name=name) == kind


def test_a_disk_that_meta_does_not_name_is_named_by_diskstats(tmp_path):
    stats = " 254       0 vda 1 2 3\n 254      16 vdb 4 5 6\n"

    assert filesystem(tmp_path / "a", MOUNTS, dev="254:16", name=None, diskstats__before=stats) == "xfs"
    assert filesystem(tmp_path / "b", MOUNTS, dev="254:32", name=None, diskstats__before=stats) is None


def test_what_the_case_says_and_a_mount_with_a_number_come_first(tmp_path):
    meta = META | {"dev": "254:0", "devices": {"254:0": {"name": "vda"}}}
    numbered = meta | {"mounts": [{"source": "/dev/root", "type": "xfs", "dev": "254:0"}]}
    case = numbered | {"case": META["case"] | {"fs": "btrfs"}}

    assert read_bundle(str(small(tmp_path / "a", meta__json=numbered, mounts=MOUNTS))).filesystem == "xfs"
    assert read_bundle(str(small(tmp_path / "b", meta__json=case, mounts=MOUNTS))).filesystem == "btrfs"


def test_a_recording_made_by_hand_is_simulated_on_its_filesystem(tmp_path):
    mounts = "/dev/loop0 /mnt xfs rw 0 0\n"
    meta = META | {"devices": {"7:0": {"name": "loop0"}}}
    twin = scenario_of(read_bundle(str(small(tmp_path / "b", meta__json=meta, mounts=mounts))))

    assert twin.scenario.machine.filesystem.kind == "xfs"
    assert not any(note.startswith("filesystem:") for note in twin.notes)
