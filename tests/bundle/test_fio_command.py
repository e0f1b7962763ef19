# SPDX-License-Identifier: GPL-2.0-or-later
"""A fio's command line as a job file."""

import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import read_bundle
from pageout.bundle.evidence import fio_text
from pageout.bundle.fio_command import job_of_command, job_of_files, job_of_line
from pageout.vocabulary.fio_words import fio_command, fio_words
from pageout.vocabulary.scenario import Machine
from pageout.workload.fio import read_fio
from tests.bundle.made import META, small

COMMAND = ["fio", "--directory=/m", "--bs", "4k", "--name=a", "--rw=write", "--size=1m", "--group_reporting",
           "--name=b", "-rw=read", "--size=2m", "--output-format=json+", "--output", "x.json"]  # fmt: skip
AS_JOB = "[global]\ndirectory=/m\nbs=4k\n[a]\nrw=write\nsize=1m\ngroup_reporting\n[b]\nrw=read\nsize=2m\n"


def test_options_before_the_first_name_are_for_all_and_each_name_is_a_job():
    assert job_of_command(COMMAND, ()) == AS_JOB


@pytest.mark.parametrize("before", [
    ["sudo", "-u", "root", "FOO=1"], ["/usr/bin/env", "A=b"], ["taskset", "-c", "0"], ["timeout", "-k", "1", "60"],
    ["nice", "-n", "5", "ionice", "-c2", "-n", "0"], ["chrt", "-f", "1"],
])  # fmt: skip
def test_what_runs_a_command_as_it_is_is_passed_over(before):
    assert fio_words([*before, *COMMAND]) == COMMAND[1:]


def test_a_shell_that_only_runs_fio_is_looked_through_and_one_that_does_more_is_not():
    assert fio_words(["sh", "-c", "fio --name='a b' --size=1m"]) == ["--name=a b", "--size=1m"]
    assert fio_words(["bash", "-c", "fio --name=a; rm x"]) is None
    assert fio_words(["sh", "-c", "fio --name=a --size=$SIZE"]) is None
    assert fio_words(["dd", "of=x"]) is None


def test_a_job_file_follows_what_the_command_line_says_for_all():
    text = job_of_command(["fio", "--bs=8k", "--runtime", "5", "one.fio"], ["[x]\nrw=write\n"])
    assert text == "[global]\nbs=8k\nruntime=5\n[x]\nrw=write\n\n"


def test_only_the_sections_asked_for_are_kept():
    text = job_of_command(["fio", "--section=b", "j.fio"], ["[global]\nbs=1k\n[a]\nsize=1\n[b]\nsize=2\n"])
    assert text is not None
    assert "[b]" in text
    assert "[global]" in text
    assert "[a]" not in text


ONE = "[global]\nbs=8k ; of a block\n[x]\nrw=write\n[y]\nrw=write\n"
TWO = "[z]\nsize=1m\n[global]\nbs=16k\nnumjobs=2\n[global]\nbs=32k\n[v]\nsize=2m\n"


def test_each_job_file_begins_anew_and_waits_for_the_one_before():
    text = job_of_command(["fio", "--size=4k", "one.fio", "--runtime=1", "two.fio"], [ONE, TWO])
    first = "[x]\nsize=4k\nruntime=1\nbs=8k\nrw=write\n[y]\nsize=4k\nruntime=1\nbs=8k\nrw=write\n"
    assert text == f"{first}[z]\nstonewall\nsize=1m\n[v]\nnumjobs=2\nbs=32k\nsize=2m\n"
    assert job_of_files([ONE]) == f"{ONE}\n"


def test_sections_are_asked_for_in_the_first_job_file_only():
    assert job_of_command(["fio", "--section=y", "1", "2"], [ONE, "[z]\nsize=1m\n"]) == (
        "[y]\nbs=8k\nrw=write\n[z]\nstonewall\nsize=1m\n"
    )


def test_of_several_job_files_one_that_was_not_kept_leaves_the_rest_unknown():
    assert job_of_command(["fio", "1", "2"], [None, TWO]) is None
    assert job_of_command(["fio", "1", "2"], [ONE]) is None
    assert job_of_command(["fio", "--bs=1k", "--", "1"], ["[x]\n"]) == "[global]\nbs=1k\n[x]\n\n"


def test_files_that_would_grow_as_no_job_file_does_are_none():
    many = "[global]\n" + "".join(f"o{n}=1\n" for n in range(2000)) + "".join(f"[{n}]\n" for n in range(2000))
    assert job_of_command(["fio", "1", "2"], [many, many]) is None


def test_a_value_on_a_command_line_is_not_cut_at_what_begins_a_comment_in_a_file():
    one, other = (read_fio("j", str(job_of_line(f"fio --name=a --size=4k --filename=/d/{name}")), Machine(), environ={})
                  for name in ("'a#b'", "'a;b'"))  # fmt: skip
    assert one.files[0].name != other.files[0].name
    assert {file.name[-1] for file in (*one.files, *other.files)} == {"b"}


@pytest.mark.parametrize("argv", [
    ["fio"], ["fio", "gone.fio"], ["fio", "-"], ["fio", "--version"], ["fio", "--bs=4k"], ["fio", "--client=x", "--name=a"],
    [], ["sudo"],
])  # fmt: skip
def test_what_is_not_known_whole_is_no_job(argv):
    assert job_of_command(argv, ()) is None


def test_what_a_fio_was_told_is_taken_apart_once():
    told = fio_command(["sudo", *COMMAND, "a.fio", "-", "--readonly", "--section=x"])
    assert told is not None
    assert (told.own, told.files, told.sections, told.runs) == (
        {"output-format": "json+", "output": "x.json", "readonly": ""}, ("a.fio", "-"), ("x",), True
    )  # fmt: skip
    assert fio_command(["cat", "fio"]) is None


def test_a_case_may_say_its_job_as_a_command_line():
    assert job_of_line("fio --name=a --rw=write \\\n  --size=1m") == "[a]\nrw=write\nsize=1m\n"
    assert job_of_line("[a]\nrw=write\n") is None


def test_a_recording_of_a_command_line_alone_says_its_workload(tmp_path):
    meta = {name: value for name, value in META.items() if name != "case"} | {"command": COMMAND}
    path = small(tmp_path / "b", job__fio=None, fio__json=None, meta__json=meta)
    assert fio_text(read_bundle(str(path))) == AS_JOB


def test_variables_of_a_job_file_are_filled_in_by_fios_own_output(tmp_path):
    fio = {
        "jobs": [{"jobname": "a", "job options": {"name": "a", "rw": "write", "size": "1m"}, "write": {"io_bytes": 1}}]
    }
    meta = {name: value for name, value in META.items() if name != "case"} | {"command": ["fio", "a.fio"]}
    path = small(tmp_path / "b", job__fio="[a]\nrw=write\nsize=${SIZE}\n", fio__json=fio, meta__json=meta)
    assert fio_text(read_bundle(str(path))) == "[global]\n[a]\nrw=write\nsize=1m\n"


@pytest.mark.parametrize(("argv", "kept", "expected"), [
    (["fio", "-"], None, "[global]\n[a]\nrw=write\n"),  # what it read from standard input it prints
    (["fio", "gone.fio"], None, "[global]\n[a]\nrw=write\n"),
    (["fio", "1.fio", "2.fio"], "[x]\nrw=read\n", None),  # its own output has but the last file's [global]
    (["sh", "run.sh"], "[x]\nrw=read\n", "[x]\nrw=read\n\n"),
])  # fmt: skip
def test_a_fio_that_is_not_known_whole_is_what_its_own_output_says(tmp_path, argv, kept, expected):
    fio = {"jobs": [{"jobname": "a", "job options": {"name": "a", "rw": "write"}, "write": {"io_bytes": 1}}]}
    meta = {name: value for name, value in META.items() if name != "case"} | {"command": argv}
    path = small(tmp_path / "b", job__fio=kept, fio__json=fio, meta__json=meta)
    assert fio_text(read_bundle(str(path))) == expected


words = st.lists(st.text(alphabet="-=abnsemo/ [];'\"", max_size=12), max_size=8)


@given(words)
def test_any_words_are_a_job_or_none(argv):
    text = job_of_command(["fio", *argv], ["[a]\n"])
    assert text is None or "[" in text
    job_of_line(" ".join(argv))


@pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")
def test_fio_understands_the_same_by_the_job_file_as_by_the_command_line(tmp_path):
    line = ["--ioengine=null", "--bs", "8k", "--name=a", "--rw=write", "--size=1m", "--time_based", "--runtime=1ms",
            "--name=b", "--rw", "randread", "--size=64k"]  # fmt: skip
    (tmp_path / "j.fio").write_text(str(job_of_command(["fio", *line], ())))
    told = []
    for argv in (line, [str(tmp_path / "j.fio")]):
        out = subprocess.run(
            ["fio", "--output-format=json", *argv], capture_output=True, cwd=tmp_path, check=True
        ).stdout
        found = json.loads(out[out.index(b"{") :])
        told.append((found["global options"], [(one["jobname"], one["job options"]) for one in found["jobs"]]))
    named = [[name for name, _ in jobs] for _, jobs in told]
    options = [[{k: v for k, v in one.items() if k != "name"} for _, one in jobs] for _, jobs in told]
    assert told[0][0] == told[1][0]
    assert named[0] == named[1] == ["a", "b"]
    assert options[0] == options[1]


@pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")
def test_fio_does_the_same_by_several_job_files_as_by_the_one_that_stands_for_them(tmp_path):
    texts = ["[global]\nbs=8k\n[x]\nrw=write\nsize=64k\n[y]\nrw=write\nsize=32k ; less\n",
             "[z]\nrw=write\nsize=64k\n[global]\nbs=16k\n[v]\nrw=write\nsize=64k\n"]  # fmt: skip
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.fio").write_text(text)
    line = ["--ioengine=null", "--end_fsync=1", "0.fio", "1.fio"]
    (tmp_path / "j.fio").write_text(str(job_of_command(["fio", *line], texts)).replace("[z]", "[z]\nioengine=null"))
    told = []
    for argv in (line, ["--section=x", "--section=y", "--section=z", "--section=v", "j.fio"]):
        out = subprocess.run(
            ["fio", "--output-format=json", *argv], capture_output=True, cwd=tmp_path, check=True
        ).stdout
        jobs = json.loads(out[out.index(b"{") :])["jobs"]
        told.append([(one["jobname"], one["groupid"], one["write"]["total_ios"]) for one in jobs])
    assert told[0] == told[1]


@pytest.mark.parametrize(("third", "begins"), [({"stonewall": "1"}, [0, 10, 15]), ({"new_group": "1"}, [0, 10, 10])])
def test_only_a_group_of_new_group_begins_with_the_one_before(tmp_path, third, begins) -> None:
    def job(name: str, number: int, seconds: int, more: dict[str, str]) -> dict[str, object]:
        return {"jobname": name, "groupid": number, "job options": more,
                "write": {"io_bytes": 4096, "runtime": seconds * 1000}}  # fmt: skip

    fio = {"jobs": [job("a", 0, 10, {}), job("b", 1, 5, {"stonewall": "1"}), job("c", 2, 5, third)]}
    bundle = read_bundle(str(small(tmp_path / "b", fio__json=fio)))

    assert [calls.after_s for calls in bundle.calls] == begins
