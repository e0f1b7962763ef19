# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup's files, of both eras, as `grep`, `cat` and `tail` print them."""

import math

import pytest

from tests.readers.reading import read, snapshots, unread, values

V1 = (
    "cache 30000128\nrss 1000\ndirty 26923008\nwriteback 0\npgfault "
    "12\nhierarchical_memory_limit 33554432\ntotal_dirty 5\n"
)
V2 = (
    "anon 176128\nfile 633012224\nkernel_stack 73728\nfile_dirty 811008\npgscan "
    "48241750\nworkingset_refault 3\nthp_fault_alloc 0\n"
)


@pytest.mark.parametrize("stat", [V1, V2])
def test_memory_stat_of_both_eras_is_read_bare(stat: str) -> None:
    (found,) = snapshots(stat, "memory.stat")
    assert values(found) == {line.split()[0]: float(line.split()[1]) for line in stat.splitlines()}
    assert not unread(stat)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/sys/fs/cgroup/system.slice/fluent.service", "/system.slice/fluent.service"),
        ("/sys/fs/cgroup/memory/docker/abc", "/docker/abc"),
        ("/sys/fs/cgroup", "/"),
        ("system.slice/a.service", "system.slice/a.service"),
    ],
)
def test_the_path_of_a_file_says_which_cgroup_it_is(path: str, place: str) -> None:
    prefixed = "".join(f"{path}/memory.stat:{line}\n" for line in V2.splitlines())
    for text in (prefixed, f"$ cat {path}/memory.stat\n{V2}", f"==> {path}/memory.stat <==\n{V2}"):
        (found,) = snapshots(text, "memory.stat")
        assert found.place == place
        assert len(found.values) == 7
        assert not unread(text)


def test_cgroups_whose_lines_alternate_stay_apart() -> None:
    text = "".join(
        f"/sys/fs/cgroup/{name}/memory.stat:{line}\n" for line in V2.splitlines() for name in ("a.slice", "b.slice")
    )
    found = snapshots(text, "memory.stat")
    assert [snapshot.place for snapshot in found] == ["/a.slice", "/b.slice"]
    assert all(len(snapshot.values) == 7 and snapshot.number == 0 for snapshot in found)


@pytest.mark.parametrize(
    "text",
    [
        "/sys/fs/cgroup/a/memory.current:1000\n/sys/fs/cgroup/a/memory.max:max\n",
        "$ cd /sys/fs/cgroup/a\n$ grep . memory.current memory.max\nmemory.current:1000\nmemory.max:max\n",
        "$ cat /sys/fs/cgroup/a/memory.current /sys/fs/cgroup/a/memory.max\n1000\nmax\n",
        "$ cat /sys/fs/cgroup/a/memory.{current,max}\n1000\nmax\n",
        "==> /sys/fs/cgroup/a/memory.current <==\n1000\n\n==> /sys/fs/cgroup/a/memory.max <==\nmax\n",
        "$ cat /sys/fs/cgroup/a/memory.current\n1000\n$ cat /sys/fs/cgroup/a/memory.max\nmax\n",
        "/sys/fs/cgroup/a/memory.current 1000\n/sys/fs/cgroup/a/memory.max = max\n",
    ],
)
def test_limits_and_usage_are_read_and_no_limit_is_infinite(text: str) -> None:
    (usage,) = snapshots(text, "memory.current")
    (limit,) = snapshots(text, "memory.max")
    assert (usage.place, limit.place) == ("/a", "/a")
    assert values(usage) == {"memory.current": 1000}
    assert limit.values["memory.max"].number == math.inf
    assert not unread(text)


@pytest.mark.parametrize("none", ["9223372036854771712", "9223372036854775807", "18446744073709551615"])
def test_the_largest_number_of_v1_is_no_limit(none: str) -> None:
    text = f"/sys/fs/cgroup/memory/a/memory.limit_in_bytes:{none}\n/sys/fs/cgroup/memory/a/memory.failcnt:7\n"
    assert snapshots(text, "memory.limit_in_bytes")[0].values["memory.limit_in_bytes"].number == math.inf
    assert values(snapshots(text, "memory.failcnt")[0]) == {"memory.failcnt": 7}


def test_a_usage_that_wrapped_is_unread() -> None:
    assert len(unread("/sys/fs/cgroup/a/memory.failcnt:7\n/sys/fs/cgroup/a/memory.current:18446744073709551615\n")) == 1


@pytest.mark.parametrize("word", ["", "lots", "-5", "9" * 5000, "1e9", "NaN"])
def test_what_is_no_number_is_never_a_limit(word: str) -> None:
    text = f"Dirty: 1 kB\n/sys/fs/cgroup/a/memory.max:{word}\n"
    assert not snapshots(text, "memory.max")


def test_a_bare_number_long_after_its_command_is_nobodys() -> None:
    text = "$ cat /sys/fs/cgroup/a/memory.max\n1000\nso it seems\n2000\n"
    assert values(snapshots(text, "memory.max")[0]) == {"memory.max": 1000}
    assert unread(text) == ["so it seems", "2000"]


EVENTS = "low 0\nhigh 13455\nmax 7\noom 1\noom_kill 1\n"


def test_memory_events_are_read_with_and_without_their_name() -> None:
    prefixed = "".join(f"/sys/fs/cgroup/a/memory.events:{line}\n" for line in EVENTS.splitlines())
    for text in (EVENTS, prefixed, f"$ cat memory.events\n{EVENTS}"):
        (found,) = snapshots(text, "memory.events")
        assert values(found) == {"low": 0, "high": 13455, "max": 7, "oom": 1, "oom_kill": 1}
        assert not unread(text)
    assert not snapshots("Dirty: 1 kB\nhigh 5\nmax 7\n", "memory.events")


@pytest.mark.parametrize(
    "text",
    [
        "8:0 rbytes=90 wbytes=4096 rios=1 wios=2 dbytes=0 dios=0\n",
        "8:0 rbytes=90 wbytes=4096 rios=1\nwios=2 dbytes=0 dios=0\n",
        "$ cat io.stat\n8:0 rbytes=90 wbytes=4096 rios=1 wios=2 dbytes=0 dios=0\n",
        "io.stat:8:0 rbytes=90 wbytes=4096 rios=1 wios=2 dbytes=0 dios=0\n",
    ],
)
def test_io_stat_has_a_snapshot_a_device(text: str) -> None:
    (found,) = snapshots(text, "io.stat")
    assert (found.part, values(found)["wbytes"], values(found)["wios"]) == ("8:0", 4096, 2)
    assert not unread(text)


def test_io_max_and_numa_stat_and_blkio_are_read() -> None:
    text = (
        "/sys/fs/cgroup/a/io.max:8:0 rbps=max wbps=1048576 riops=max wiops=max\n"
        "/sys/fs/cgroup/a/memory.numa_stat:anon N0=123 N1=4\n"
        "/sys/fs/cgroup/memory/b/memory.numa_stat:total=5578 N0=5578\n"
        "/sys/fs/cgroup/blkio/b/blkio.throttle.io_service_bytes:8:0 Write 4096\n"
        "/sys/fs/cgroup/blkio/b/blkio.throttle.write_bps_device:8:0 1048576\n"
        "/sys/fs/cgroup/memory/b/memory.oom_control:under_oom 0\n"
        "/sys/fs/cgroup/a/cgroup.procs:812\n"
    )
    assert values(snapshots(text, "io.max")[0])["wbps"] == 1048576
    assert [values(s) for s in snapshots(text, "memory.numa_stat")] == [
        {"anon N0": 123, "anon N1": 4},
        {"total N0": 5578, "total": 5578},
    ]
    assert values(snapshots(text, "blkio.throttle.io_service_bytes")[0]) == {"Write": 4096}
    assert not unread(text)


def test_a_file_of_a_later_kernel_is_kept_by_its_name() -> None:
    text = "/sys/fs/cgroup/a/memory.later_thing:17\n"
    assert values(snapshots(text, "memory.later_thing")[0]) == {"memory.later_thing": 17}


def test_a_loop_over_a_cgroup_gives_numbered_snapshots() -> None:
    text = "".join(f"$ cat /sys/fs/cgroup/a/memory.current\n{n}000\n" for n in range(1, 4))
    found = snapshots(text, "memory.current")
    assert [(s.number, s.values["memory.current"].number) for s in found] == [(0, 1000), (1, 2000), (2, 3000)]
    assert read(text).account.unread == 0
