# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings: who says them, and how much that is worth."""

import pytest

from pageout.readers.facts import BlockDevice, KernelCommandLine, Mount, Sysctl
from tests.readers.reading import of, settings, unread


@pytest.mark.parametrize(
    "line",
    [
        "vm.dirty_ratio = 20",
        "/proc/sys/vm/dirty_ratio:20",
        "vm.dirty_ratio: 20",
        "/proc/sys/vm/dirty_ratio = 20",
        "dirty_ratio:20",
        "$ cat /proc/sys/vm/dirty_ratio\n20",
        "$ sysctl -n vm.dirty_ratio\n20",
        "==> /proc/sys/vm/dirty_ratio <==\n20",
    ],
)
def test_a_setting_the_kernel_reported_is_read(line: str) -> None:
    (fact,) = of(Sysctl, f"{line}\n")
    assert (fact.name, fact.text, fact.number, fact.how) == ("vm.dirty_ratio", "20", 20, "read")
    assert not unread(f"{line}\n")


@pytest.mark.parametrize(
    "line", ["vm.dirty_ratio=20", "-vm.dirty_ratio=20", "vm/dirty_ratio=20", "vm.dirty_ratio=20   # less"]
)
def test_a_line_of_a_configuration_file_says_so(line: str) -> None:
    (fact,) = of(Sysctl, f"{line}\n")
    assert (fact.name, fact.number, fact.how) == ("vm.dirty_ratio", 20, "conf")


def test_a_comment_sets_nothing() -> None:
    text = "# slow disk\nvm.dirty_ratio = 20\n# vm.dirty_ratio = 5\n;vm.swappiness = 1\n"
    assert settings(text) == {"vm.dirty_ratio": "20"}


@pytest.mark.parametrize(
    "line",
    [
        "echo 20 > /proc/sys/vm/dirty_ratio",
        "# echo 20 > /proc/sys/vm/dirty_ratio",
        "root@box:~# echo 20 >/proc/sys/vm/dirty_ratio",
        "[root@box ~]# sysctl -w vm.dirty_ratio=20",
        "$ sudo sysctl vm.dirty_ratio=20",
        "$ echo 20 | sudo tee /proc/sys/vm/dirty_ratio",
        "$ sudo sh -c 'echo 20 > /proc/sys/vm/dirty_ratio'",
    ],
)
def test_a_command_that_sets_is_marked_as_one(line: str) -> None:
    (fact,) = of(Sysctl, f"{line}\n")
    assert (fact.name, fact.number, fact.how) == ("vm.dirty_ratio", 20, "set")


@pytest.mark.parametrize(
    "line",
    [
        "Well, tuning it to /proc/sys/vm/dirty_ratio:20",
        "I set vm.dirty_ratio=20 and it was no better.",
        "Try echo 20 > /proc/sys/vm/dirty_ratio and tell us",
        "with vm.dirty_ratio set to 20, all was well",
        'please run "sysctl -w vm.dirty_ratio=20" first',
    ],
)
def test_prose_is_only_said(line: str) -> None:
    (fact,) = of(Sysctl, f"{line}\n")
    assert (fact.name, fact.number, fact.how) == ("vm.dirty_ratio", 20, "said")


def test_the_advice_of_the_hung_task_detector_is_no_setting() -> None:
    text = 'vm.dirty_ratio = 20\n"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.\n'
    assert settings(text) == {"vm.dirty_ratio": "20"}


def test_all_of_sysctl_is_read() -> None:
    text = (
        "kernel.domainname = (none)\nnet.ipv4.tcp_rmem = 4096\t131072\t6291456\nkernel.core_pattern = |/bin/x %p\n"
        "vm.lowmem_reserve_ratio = 256\t256\t32\t0\t0\nfs.binfmt_misc.python3 = enabled\nkernel.modprobe =\n"
        'sysctl: permission denied on key "fs.protected_fifos"\nnet.ipv4.conf.eth0/1.forwarding = 0\n'
    )
    found = settings(text)
    assert found["vm.lowmem_reserve_ratio"] == "256\t256\t32\t0\t0"
    assert found["kernel.modprobe"] == ""
    assert len(found) == 7
    assert not unread(text)
    assert all(fact.how == "read" for fact in of(Sysctl, text))


@pytest.mark.parametrize("text", ["9" * 5000, "0x10", "", "-1e400", "none"])
def test_a_value_that_is_no_number_stays_text(text: str) -> None:
    (fact,) = of(Sysctl, f"vm.dirty_bytes = {text}\n") if len(text) < 3000 else [None]
    assert fact is None or (fact.number is None and fact.text == text)


def test_dirty_settings_of_2020_keep_bytes_and_ratios() -> None:
    vm = "/proc/sys/vm/"
    text = f"{vm}dirty_background_bytes:268435456\n{vm}dirty_bytes:536870912\n{vm}dirty_ratio:0\n"
    assert {fact.name: fact.number for fact in of(Sysctl, text)} == {
        "vm.dirty_background_bytes": 268435456,
        "vm.dirty_bytes": 536870912,
        "vm.dirty_ratio": 0,
    }


def test_knobs_of_a_device_are_named_by_their_path() -> None:
    text = (
        "/sys/block/sda/queue/scheduler:[mq-deadline] none\n/sys/class/bdi/8:0/read_ahead_kb:128\n"
        "/sys/kernel/mm/lru_gen/enabled:0x0007\n$ cat /sys/block/sda/queue/nr_requests\n64\n"
    )
    found = settings(text)
    assert found == {
        "/sys/block/sda/queue/scheduler": "[mq-deadline] none",
        "/sys/class/bdi/8:0/read_ahead_kb": "128",
        "/sys/kernel/mm/lru_gen/enabled": "0x0007",
        "/sys/block/sda/queue/nr_requests": "64",
    }
    assert not unread(text)


def test_a_swappiness_of_a_cgroup_is_not_that_of_the_machine() -> None:
    assert settings("/sys/fs/cgroup/memory/a/memory.swappiness:60\n") == {}


def test_mounts_are_read_as_mount_and_the_kernel_print_them() -> None:
    text = (
        "/dev/sda1 on / type ext4 (rw,relatime)\n/dev/sdb /srv/data xfs "
        "rw,noatime 0 0\n/dev/sdc on /x type btrfs\n(rw,ssd)\n"
    )
    assert [(m.device, m.place, m.fstype, m.options) for m in of(Mount, text)] == [
        ("/dev/sda1", "/", "ext4", "rw,relatime"),
        ("/dev/sdb", "/srv/data", "xfs", "rw,noatime"),
        ("/dev/sdc", "/x", "btrfs", "rw,ssd"),
    ]
    assert not unread(text)


def test_lsblk_says_which_name_a_number_has() -> None:
    text = (
        "NAME        MAJ:MIN RM   SIZE RO TYPE  MOUNTPOINTS\nsda           8:0    0 931.5G  0 disk  \n"
        "├─sda1        8:1    0   512M  0 part  /boot\n└─vg-root   253:0    0   930G  0 lvm   /\n"
    )
    assert [(d.name, d.number, d.kind, d.place) for d in of(BlockDevice, text)] == [
        ("sda", "8:0", "disk", ""),
        ("sda1", "8:1", "part", "/boot"),
        ("vg-root", "253:0", "lvm", "/"),
    ]
    assert not unread(text)


@pytest.mark.parametrize(
    "text",
    [
        "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n",
        "$ cat /proc/cmdline\nro quiet\n",
        "console=ttyS0 root=/dev/vda ro quiet\n",
    ],
)
def test_the_command_line_of_the_kernel_is_kept(text: str) -> None:
    (fact,) = of(KernelCommandLine, text)
    assert fact.text == text.splitlines()[-1]


def test_prose_is_left_alone() -> None:
    text = (
        "vm.dirty_ratio = 20\n\nThe user at home: the kernel is slow.\nI "
        "ran top - it was no help.\nroot cause = unknown\n"
        "memory was at 5\nfree 3\nlow 5\nsort of thing, 5 times\nrss 100 of them\nhigh 7\n"
    )
    assert len(unread(text)) == 8
