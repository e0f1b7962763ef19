# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots and tables printed, wrapped, mixed with prose and read back; and texts that nobody printed."""

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.readers.facts import Snapshot, Table
from pageout.readers.proc import named
from pageout.readers.proc.meminfo import NAMES
from pageout.readers.read import read_pieces
from pageout.readers.tools.sar import SAR
from pageout.vocabulary.errors import TraceError
from tests.readers.reading import of, snapshots, unread, values

COUNTS = st.integers(0, (1 << 62) - 1)
VMSTAT_NAMES = """
nr_free_pages nr_dirty nr_writeback nr_dirty_threshold pgscan_kswapd pgscan_direct pgsteal_kswapd allocstall_normal
kswapd_low_wmark_hit_quickly compact_stall workingset_refault_file thp_fault_alloc oom_kill pswpout slabs_scanned
"""
STAT_NAMES = (
    "anon file kernel_stack slab shmem file_mapped file_dirty file_writeback "
    "inactive_file pgfault pgscan thp_fault_alloc"
)
PROSE = st.sampled_from(["", "and then it hung", "> see above", "--", "Regards, A. User", "kswapd was at 100 %"])


def some(names: list[str]) -> st.SearchStrategy[dict[str, int]]:
    """Some of these names, in their order, with numbers."""
    return st.dictionaries(st.sampled_from(names), COUNTS, min_size=1).map(
        lambda found: {name: found[name] for name in names if name in found}
    )


@settings(deadline=None)
@given(
    st.lists(some(sorted(NAMES)), min_size=1, max_size=4),
    st.sampled_from(["kB", "KB", "kb"]),
    st.booleans(),
    st.booleans(),
)
def test_meminfos_come_back_in_order(moments: list[dict[str, int]], unit: str, prefixed: bool, cut: bool) -> None:
    def line(name: str, number: int) -> str:
        gap = "\n" if cut and not prefixed else " "
        return f"{'/proc/meminfo:' if prefixed else ''}{name}:{gap}  {number % (1 << 40)} {unit}\n"

    text = "".join("$ cat /proc/meminfo\n" + "".join(line(*item) for item in moment.items()) for moment in moments)
    merged: list[dict[str, int]] = [{}]
    for moment in moments:  # one snapshot as long as no name comes again
        for name, number in moment.items():
            if name in merged[-1]:
                merged.append({})
            merged[-1][name] = number % (1 << 40)
    found = snapshots(text, "meminfo")
    assert [values(snapshot) for snapshot in found] == merged
    assert [snapshot.number for snapshot in found] == list(range(len(merged)))
    assert not unread(text)


@settings(deadline=None)
@given(some(VMSTAT_NAMES.split()), some(STAT_NAMES.split()), some(sorted(NAMES)), st.randoms(use_true_random=False))
def test_files_whose_lines_are_shuffled_together_come_apart_by_their_paths(vmstat, stat, meminfo, random) -> None:  # type: ignore[no-untyped-def]
    lines = [f"/proc/vmstat:{name} {number}" for name, number in vmstat.items()]
    lines += [f"/sys/fs/cgroup/a/memory.stat:{name} {number}" for name, number in stat.items()]
    lines += [f"/proc/meminfo:{name}: {number % (1 << 40)} kB" for name, number in meminfo.items()]
    random.shuffle(lines)
    text = "\n".join(lines)
    (first,) = snapshots(text, "vmstat")
    (second,) = snapshots(text, "memory.stat")
    (third,) = snapshots(text, "meminfo")
    assert values(first) == {name: float(number) for name, number in vmstat.items()}
    assert values(second) == {name: float(number) for name, number in stat.items()}
    assert set(third.values) == set(meminfo)
    every = [value for snapshot in (first, second, third) for value in snapshot.values.items()]
    assert all(
        (name in lines[value.line - 1] and str(int(value.number))[:7] in lines[value.line - 1]) or value.number >= 2**53
        for name, value in every
    )
    assert not unread(text)


@settings(deadline=None)
@given(st.sampled_from(sorted(SAR)), st.integers(1, 4), st.integers(40, 200), st.booleans(), st.data())
def test_sar_tables_come_back_however_they_are_folded(
    source: str, nr: int, width: int, twelve: bool, data: st.DataObject
) -> None:
    columns = [name for name in SAR[source].split() if name not in ("USER", "TGID", "TID", "%user", "%system", "CPU")]
    words = {"DEV": "sda", "IFACE": "eth0", "Command": "dd"}
    numeric = [name for name in columns if name not in words]
    rows = [[data.draw(st.integers(0, 10**9)) / 100 for _ in numeric] for _ in range(nr)]

    def line(n: int, cells: list[str]) -> str:
        return folded(f"0{n}:00:00{' PM' if twelve else ''}  " + "  ".join(cells), width)

    def cells(row: list[float]) -> list[str]:
        left = iter(row)
        return [words[name] if name in words else f"{next(left):.2f}" for name in columns]

    text = "\n".join([line(0, columns), *(line(n + 1, cells(row)) for n, row in enumerate(rows))]) + "\n"
    found = of(Table, text)
    if len(found) != 1 or found[0].source.split()[0] != source.split()[0]:
        assert "Command" in columns  # a narrow pidstat leaves its name behind
        return
    got = [[row.numbers.get(name) for name in numeric] for row in found[0].rows]
    if "Command" not in columns:
        assert got == rows
        assert not unread(text)


def folded(line: str, width: int) -> str:
    parts = []
    while len(line) > width and (at := line.rfind("  ", 0, width)) > 14:
        parts.append(line[:at])
        line = line[at + 2 :]
    return "\n".join([*parts, line])


SEEDS = [
    "MemTotal:  1 kB\nDirty: 5 kB\n",
    "nr_dirty 5\nnr_writeback 6\n",
    "Node 0, zone   Normal\n  pages free 5\n  protection: (0, 1)\n cpu: 0\n high: 5\n",
    "Node 0, zone DMA 1 2 3 4\n",
    "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n",
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
    "dentry 1 2 3 4 5 : tunables 0 0 0 : slabdata 1 2 0\n",
    "r b swpd free buff cache si so bi bo in cs us sy id wa\n1 0 0 1 1 1 1 1 1 1 1 1 1 1 1 1\n",
    "Device r/s w/s %util\nsda 1 2 3\n",
    "avg-cpu:  %user %idle\n 1 2\n",
    "10:00:01 pgpgin/s pgpgout/s %vmeff\n10:00:02 1 2 3\n",
    "$ cat /sys/fs/cgroup/a/memory.max\nmax\n",
    "/sys/fs/cgroup/a/memory.stat:anon 5\nlow 5\n8:0 rbytes=5 wbytes=max\n",
    "vm.dirty_ratio = 20\necho 5 > /proc/sys/vm/x\n",
    "top - 10:00:00 up 1 day, load average: 1.0, 2.0, 3.0\nMem: 1k total\n  PID USER %CPU COMMAND\n 1 root 5 x\n",
    "total used free\nMem: 1 2 3\n",
    "----total-cpu-usage---- -dsk/total-\nusr sys| read  writ\n 1 2| 3k 4M\n",
    "/dev/a on / type ext4 (rw)\nNAME MAJ:MIN RM  SIZE RO TYPE MOUNTPOINT\nsda 8:0 0 5G 0 disk\n",
]
HOSTILE = st.one_of(
    st.text(max_size=30),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(
        [
            "\0",
            "\x1b[31m",
            "9" * 5000,
            "{" * 50,
            "( " * 100,
            "a=" * 200,
            "-" * 3000,
            "/" * 3000,
            "1e999",
            "nan",
            "٣",
            "²",
        ]
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(SEEDS), st.integers(0, 200), st.integers(0, 20), HOSTILE), min_size=1, max_size=8
    )
)
def test_no_text_breaks_the_readers_and_every_line_is_accounted_for(pieces: list[tuple[str, int, int, str]]) -> None:
    text = "".join(seed[:at] + put + seed[at + cut :] for seed, at, cut, put in pieces).encode("utf-8", "replace")
    try:
        found = read_pieces("x", [text])
    except TraceError:
        return
    account = found.account
    assert (
        account.events + account.known_non_events + account.unread
        == account.lines
        == text.count(b"\n") + (text[-1:] not in (b"\n", b""))
    )
    for fact in found.facts:
        if isinstance(fact, Snapshot):
            assert all(1 <= value.line <= account.lines for value in fact.values.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(SEEDS), PROSE.map("{}\n".format), HOSTILE.map("{}\n".format)), max_size=12))
def test_the_quick_look_at_a_line_misses_nothing_that_asking_all_would_find(pieces: list[str]) -> None:
    text = "".join(pieces).encode("utf-8", "replace")

    def accounts() -> list[int]:
        try:
            account = read_pieces("x", [text]).account
        except TraceError:
            return []
        return [line for line, _ in account.unread_lines]

    quick = accounts()
    with mock.patch.object(named, "may_begin", return_value=True):
        assert accounts() == quick
