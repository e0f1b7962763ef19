# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that take a bundle, as a folder or a .zip."""

import json

import pytest

from pageout.cli.app import main
from tests.bundle.made import META, small, with_manifest, zipped


@pytest.fixture(params=["folder", "zip"])
def bundle(request, tmp_path):
    folder = with_manifest(small(tmp_path / "b"))
    return str(folder if request.param == "folder" else zipped(folder, tmp_path / "b.zip", "top/"))


def test_explain_reads_a_bundle_as_one_case(bundle, capsys):
    status = main(["explain", bundle, "--json"])
    document = json.loads(capsys.readouterr().out)

    assert status in (0, 1)
    kinds = {one["file"].rpartition("/")[2]: one["kind"] for one in document["inputs"]}
    assert kinds["trace.txt.gz"].startswith("ftrace text")
    assert "sysctl" in kinds["meta.json"]
    assert all(not one["unread"] for one in document["inputs"])


def test_a_setting_is_cited_at_its_own_line_of_the_meta(tmp_path):
    from pageout.bundle.files import files_of
    from pageout.bundle.reading import settings_input
    from pageout.readers.facts import KernelVersion, Sysctl

    folder = small(tmp_path / "b", meta__json=json.dumps(META, indent=1))
    found = settings_input(files_of(str(folder)))
    lines = (folder / "meta.json").read_text().splitlines()
    sysctls = [fact for fact in found.facts if isinstance(fact, Sysctl)]

    assert {fact.name for fact in sysctls} == set(META["sysctl"])
    assert all(fact.name in lines[fact.line - 1] for fact in sysctls)
    assert [fact.release for fact in found.facts if isinstance(fact, KernelVersion)] == ["6.18.1-test"]


def test_convert_takes_the_trace_of_a_bundle(bundle, tmp_path, capsys):
    assert main(["convert", bundle, str(tmp_path / "out.txt")]) == 0
    assert "9 events" in capsys.readouterr().out
    assert (tmp_path / "out.txt").read_text().count("global_dirty_state") == 5


def test_a_zip_that_is_no_bundle_is_what_it_was(tmp_path, capsys):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("hello")

    assert main(["explain", str(zipped(tmp_path / "x", tmp_path / "x.zip"))]) == 2
    assert "a .zip archive" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["validate", "replay"])
def test_bad_input_is_one_line_and_status_2(verb, tmp_path, capsys):
    assert main([verb, str(tmp_path / "nowhere")]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), "nowhere" in err) == (1, True)


def test_replay_refuses_a_setting_that_does_not_exist(tmp_path, capsys):
    assert main(["replay", str(small(tmp_path / "b")), "--set", "vm.dirty_bites=1"]) == 2
    assert "vm.dirty_bytes" in capsys.readouterr().err
