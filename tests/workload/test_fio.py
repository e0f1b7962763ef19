# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary.errors import JobFileError, PageoutError
from pageout.vocabulary.machines import load_machine
from pageout.vocabulary.scenario import Scenario
from pageout.workload.fio import load_fio, read_fio
from pageout.workload.fio_options import HARMLESS, KNOWN, MODELLED, REFUSED, WARNED, parse_fio_size, parse_fio_time

MACHINE = load_machine("server-2g")
SHARED = Path(__file__).parents[3] / "shared"
MIB = 1 << 20


def fio(text: str, seed: int | None = None) -> Scenario:
    return read_fio("j.fio", text, MACHINE, seed=seed, environ={"SIZE": "8m"})


def shared_jobs() -> list[object]:
    found = sorted([*SHARED.glob("groundtruth/linux-6.18/*/job.fio"), *SHARED.glob("realdata/fio/*.fio")])
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no {SHARED}: recordings are not in the repository"))]
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in found]


@pytest.mark.parametrize("path", shared_jobs())
def test_real_job_files_are_accepted_or_refused_for_o_direct(path: Path) -> None:
    if "direct=1" in path.read_text():
        with pytest.raises(JobFileError, match=r"\.fio:\d+: .*direct=1: O_DIRECT bypasses the page cache"):
            load_fio(path, MACHINE)
    else:
        assert load_fio(path, MACHINE).tasks


def test_a_job_folds_global_in_and_later_globals_change_later_jobs_only() -> None:
    made = fio("[global]\nrw=write\nsize=8m\n[a]\n[global]\nbs=64k\n[b]\nsize=1m\n")
    assert [(t.name, t.rw, t.bs_bytes, t.io_bytes) for t in made.tasks] == [
        ("a", "write", 4096, 8 * MIB),
        ("b", "write", 65536, MIB),
    ]


def test_comments_blanks_and_dos_lines_do_not_matter() -> None:
    made = fio(
        "; top\r\n# top\r\n\r\n [ j ] ; x\r\n  size = 8m \t ; inline\r\nrw=randwrite # inline\r\nnorandommap\r\n"
    )
    task = made.tasks[0]
    assert (task.name, task.rw, task.io_bytes, task.norandommap) == ("j", "randwrite", 8 * MIB, True)


def test_a_job_without_rw_reads_a_file_that_exists() -> None:
    made = fio("[j]\nsize=1m\n")
    assert made.tasks[0].rw == "read"
    assert [(f.name, f.size_bytes, f.exists) for f in made.files] == [("j.0.0", MIB, True)]


def test_a_writer_s_files_are_new_unless_it_overwrites() -> None:
    assert not fio("[j]\nrw=write\nsize=1m\n").files[0].exists
    assert fio("[j]\nrw=write\noverwrite=1\nsize=1m\n").files[0].exists


def test_clones_have_files_of_their_own_and_stay_in_one_group() -> None:
    made = fio("[j]\nrw=write\nsize=1m\nnumjobs=3\nstonewall\n[k]\nstonewall\nsize=1m\n")
    assert [t.name for t in made.tasks] == ["j.0", "j.1", "j.2", "k"]
    assert [t.group for t in made.tasks] == [0, 0, 0, 1]
    assert [f.name for f in made.files] == ["j.0.0", "j.1.0", "j.2.0", "k.0.0"]
    assert len({t.seed for t in made.tasks}) == 4


def test_a_filename_is_shared_by_all_jobs_that_name_it() -> None:
    made = fio("[global]\nfilename=x:y\\:z\nsize=2m\n[a]\nrw=write\nnumjobs=2\n[b]\nwait_for_previous\nrw=read\n")
    assert [f.name for f in made.files] == ["x", "y:z"]
    assert [t.file for t in made.tasks] == [(0, 1)] * 3
    assert all(f.exists and f.size_bytes == MIB for f in made.files)


def test_size_is_divided_among_the_files_and_filesize_is_not() -> None:
    divided = fio("[j]\nrw=write\nbs=4k\nsize=40k\nnrfiles=4\n")
    assert [f.size_bytes for f in divided.files] == [10240] * 4
    uneven = fio("[j]\nrw=write\nbs=4k\nsize=65537\nnrfiles=3\nbs=1\n")
    assert sum(f.size_bytes for f in uneven.files) == 65537
    fixed = fio("[j]\nrw=write\nfilesize=1m\nsize=999g\nnrfiles=2\n")
    assert ([f.size_bytes for f in fixed.files], fixed.tasks[0].io_bytes) == ([MIB, MIB], 2 * MIB)


def test_io_size_and_offsets_follow_fio() -> None:
    made = fio("[j]\nrw=randwrite\nsize=4m\nio_size=10m\noffset=1m\noffset_increment=2m\nnumjobs=2\n")
    assert [(t.offset_bytes, t.io_bytes) for t in made.tasks] == [(MIB, 10 * MIB), (3 * MIB, 10 * MIB)]
    assert [f.size_bytes for f in made.files] == [5 * MIB, 7 * MIB]


def test_times_have_fio_s_default_units() -> None:
    task = fio("[j]\nsize=1m\nruntime=10\ntime_based\nstartdelay=500ms\nthinktime=20\nthinktime_blocks=4\n").tasks[0]
    assert (task.runtime_ns, task.time_based, task.start_delay_ns) == (10 * 10**9, True, 500_000_000)
    assert (task.thinktime_ns, task.thinktime_blocks) == (20_000, 4)


def test_time_based_without_runtime_is_ignored_as_in_fio() -> None:
    made = fio("[j]\nsize=1m\ntime_based\n")
    assert not made.tasks[0].time_based
    assert "time_based" in made.warnings[0]


def test_rates_are_taken_for_the_direction_of_the_job() -> None:
    assert fio("[j]\nrw=write\nsize=1m\nrate=1m,2m\n").tasks[0].rate_bps == 2 * MIB
    assert fio("[j]\nrw=read\nsize=1m\nrate=1m,\n").tasks[0].rate_bps == MIB
    assert fio("[j]\nrw=write\nsize=1m\nbs=8k\nrate_iops=100\n").tasks[0].rate_bps == 819200
    mixed = fio("[j]\nrw=rw\nsize=1m\nrate=1m,2m\n")
    assert (mixed.tasks[0].rate_bps, len(mixed.warnings)) == (2 * MIB, 1)


def test_block_sizes_are_taken_for_the_direction_of_the_job() -> None:
    assert fio("[j]\nrw=write\nsize=1m\nbs=4k,64k\n").tasks[0].bs_bytes == 65536
    assert fio("[j]\nrw=read\nsize=1m\nbs=8k,\n").tasks[0].bs_bytes == 8192
    assert fio("[j]\nrw=write\nsize=1m\nbsrange=8k-8k\n").tasks[0].bs_bytes == 8192


@pytest.mark.parametrize(
    ("text", "kind", "theta", "norandommap"),
    [
        ("random", "random", 1.0, False),
        ("zipf:1.2", "zipf", 1.2, True),
        ("zipf", "zipf", 1.1, True),
        ("pareto:0.2", "pareto", 0.2, True),
        ("pareto", "pareto", 0.2, True),
    ],
)
def test_a_distribution_other_than_uniform_has_no_random_map(
    text: str, kind: str, theta: float, norandommap: bool
) -> None:
    task = fio(f"[j]\nrw=randwrite\nsize=1m\nrandom_distribution={text}\n").tasks[0]
    assert (task.distribution, task.theta, task.norandommap) == (kind, theta, norandommap)


def test_syncs_of_every_kind_become_fsync() -> None:
    text = "[j]\nrw=write\nsize=1m\n"
    assert fio(text + "fdatasync=8\n").tasks[0].fsync_every == 8
    assert fio(text + "sync=1\n").tasks[0].fsync_every == 1
    assert fio(text + "fsync=32\nend_fsync=1\n").tasks[0].end_fsync
    assert fio(text + "fsync_on_close=1\n").tasks[0].end_fsync


def test_randseed_wins_over_the_seed_of_the_command_line() -> None:
    text = "[j]\nrw=randread\nsize=1m\n"
    assert fio(text, seed=5).seed == 5
    assert fio(text).tasks[0].seed != fio(text, seed=5).tasks[0].seed
    assert fio(text + "randseed=9\n", seed=5) == fio(text + "randseed=9\n", seed=6)
    assert fio(text + "randseed=9\n").seed == 9


def test_an_async_engine_on_buffered_io_is_warned_of_and_run_as_psync() -> None:
    made = fio("[j]\nioengine=libaio\niodepth=32\nsize=1m\n")
    assert "j.fio:2: ioengine=libaio: io_submit() blocks" in made.warnings[0]
    assert fio("[j]\nioengine=mmap\nsize=1m\n").tasks[0].mmap


def test_an_option_that_changes_the_answer_is_named_once_in_a_warning() -> None:
    made = fio("[global]\nverify=crc32c\nexitall\nsize=1m\n[a]\n[b]\n")
    assert [w.split(":")[2] for w in made.warnings] == [" verify=crc32c", " exitall"]
    assert fio("[a]\nsize=1m\nverify=0\ninvalidate=1\ngroup_reporting\nwrite_bw_log\n").warnings == ()


def test_a_part_of_a_shared_file_is_warned_of_where_it_matters() -> None:
    made = fio("[global]\nfilename=x\n[a]\nrw=write\nsize=8m\n[b]\nrw=randread\nsize=1m\n[c]\nrw=read\nsize=1m\n")
    assert len(made.warnings) == 1
    assert "j.fio:8: size=1m: not modelled: part of a shared file" in made.warnings[0]


def test_variables_are_filled_in_or_kept_in_names() -> None:
    made = fio("[j]\ndirectory=$DIR\nsize=${SIZE}\nfilename=${HOST}.dat\nnumjobs=$ncpus\nrw=write\n")
    assert made.files[0].name == "$DIR/${HOST}.dat"
    assert (len(made.tasks), made.tasks[0].io_bytes) == (2, 8 * MIB)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: no job"),
        ("[global]\nrw=read\n", "2: no job"),
        ("rw=read\n", "1: rw=read: before any section"),
        ("[j\n", "1: [j: a section is written [name]"),
        ("[]\n", "1: []: a section is written [name]"),
        ("[j]\nsise=1m\n", "2: sise: no such fio option, did you mean size?"),
        ("[j]\ninclude x.fio\n", "2: include is not followed"),
        ("[j]\nrw=write\n", "1: [j] size: the job needs a size"),
        ("[j]\nsize=50%\n", "2: [j] size=50%: a percentage"),
        ("[j]\nsize=1.5g\n", "2: [j] size=1.5g: not a whole number"),
        ("[j]\nsize=1m\nrw=sideways\n", "3: [j] rw=sideways: no such direction"),
        ("[j]\nsize=1m\nrw=randtrim\n", "3: [j] rw=randtrim: trim is not modelled"),
        ("[j]\nsize=1m\ndirect=1\n", "3: [j] direct=1: O_DIRECT bypasses the page cache"),
        ("[j]\nsize=1m\nbuffered=0\n", "3: [j] buffered=0: O_DIRECT bypasses the page cache"),
        ("[j]\nsize=1m\nioengine=rbd\n", "3: [j] ioengine=rbd: not modelled, use psync"),
        ("[j]\nsize=1m\nioengine=pysnc\n", "did you mean psync?"),
        ("[j]\nsize=1m\nbs=0\n", "3: [j] bs=0: must be over 0"),
        ("[j]\nsize=1m\nbs=\n", "3: [j] bs=: needs a value"),
        ("[j]\nsize=1m\nbs\n", "3: [j] bs: needs a value"),
        ("[j]\nsize=1k\n", "2: [j] size=1k: leaves less than one block"),
        ("[j]\nsize=1m\nrw=rw\nbs=4k,8k\n", "4: [j] bs=4k,8k: different sizes"),
        ("[j]\nsize=1m\nbsrange=4k-8k\n", "3: [j] bsrange=4k-8k: varying block sizes"),
        ("[j]\nsize=1m\nbssplit=4k/50:8k/50\n", "3: [j] bssplit=4k/50:8k/50: mixed block sizes"),
        ("[j]\nsize=1m\nnumjobs=99999999999\n", "3: [j] numjobs=99999999999: must be from 1 to 1024"),
        ("[j]\nsize=1m\nnumjobs=0\n", "must be from 1"),
        ("[j]\nsize=1m\nstonewall=maybe\n", "3: [j] stonewall=maybe: must be 0 or 1"),
        ("[j]\nsize=${NONE}\n", "2: size: ${NONE} is not set in the environment"),
        ("[j]\nsize=1m\nrate=1m\nrate_iops=5\n", "4: [j] rate_iops=5: fio takes rate or rate_iops"),
        ("[j]\nsize=1m\nrandom_distribution=zipf:x\nrw=randread\n", "3: [j] random_distribution=zipf:x"),
        ("[j]\nsize=1m\nrandom_distribution=pareto:2\nrw=randread\n", "3: [j] random_distribution=pareto:2"),
        ("[j]\nsize=900g\n", "for files"),
        ("[j]\nsize=1m\nread_iolog=x\n", "3: [j] read_iolog=x: recorded I/O"),
    ],
)
def test_a_broken_job_file_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(JobFileError) as caught:
        fio(text)
    assert str(caught.value).startswith("j.fio:")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kb_base", "size"),
    [
        ("4k", 1024, 4096),
        ("4KB", 1024, 4096),
        ("4kib", 1024, 4000),
        ("4KiB", 1000, 4096),
        ("4k", 1000, 4000),
        ("0x1000", 1024, 4096),
        ("1g", 1024, 1 << 30),
        ("4096B", 1024, 4096),
        ("2t", 1024, 2 << 40),
    ],
)
def test_sizes_are_read_as_fio_reads_them(text: str, kb_base: int, size: int) -> None:
    assert parse_fio_size(text, kb_base) == size


def test_kib_is_warned_of_for_fio_means_1000_by_it() -> None:
    assert "powers of 1000" in fio("[j]\nsize=8MiB\n").warnings[0]
    assert fio("[j]\nkb_base=1000\nsize=8MiB\n").tasks[0].io_bytes == 8 * MIB


def test_times_are_read_as_fio_reads_them() -> None:
    assert parse_fio_time("10", 10**9) == 10**10
    assert parse_fio_time("10m", 10**9) == 600 * 10**9
    assert parse_fio_time("5usec", 10**9) == 5000


def test_each_option_has_one_meaning() -> None:
    tables = (set(MODELLED), set(HARMLESS), set(WARNED), set(REFUSED))
    assert sum(map(len, tables)) == len(set().union(*tables))


VALUES = st.text(max_size=12) | st.sampled_from(
    [
        "1",
        "0",
        "4k",
        "1m",
        "64g",
        "999999999t",
        "-1",
        "10%",
        "nan",
        "write",
        "randrw",
        "zipf:1.2",
        "1,2",
        "1-2",
        "${X}",
        "a:b",
    ]
)
LINES = st.one_of(
    st.tuples(st.sampled_from(KNOWN) | st.sampled_from(list(MODELLED)), VALUES).map("=".join),
    st.sampled_from(["[a]", "[b]", "[global]", "[a]\nsize=1m", "[c]\nrw=randwrite\nsize=2m"]),
    st.sampled_from(KNOWN),
    st.text(max_size=20),
)


def refusal(text: str) -> str:
    """Return the one line a job file is refused with, empty if it is a scenario."""
    try:
        fio(text)
    except PageoutError as error:
        return str(error)
    return ""


@given(st.lists(LINES, max_size=12).map("\n".join))
def test_any_job_file_gives_a_scenario_or_one_clear_line(text: str) -> None:
    line = refusal(text)
    assert line.isprintable()
    assert line.startswith("j.fio:") or not line


@given(st.binary(max_size=200))
def test_any_bytes_give_a_scenario_or_one_clear_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.fio"
    path.write_bytes(content)
    with pytest.raises(JobFileError):
        load_fio(path, MACHINE)
