# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle is whole or not there."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from pageout.record.package import Package
from pageout.vocabulary.errors import RecordError


def made(target: Path) -> Package:
    package = Package(target)
    package.begin()
    package.write_json("meta.json", {"kernel": "6.1"})
    return package


def test_a_folder_appears_with_a_manifest_of_every_file(tmp_path: Path) -> None:
    where = made(tmp_path / "b").finish()

    manifest = json.loads((where / "manifest.json").read_text())
    data = (where / "meta.json").read_bytes()
    assert manifest["bundle"] == 1
    assert manifest["files"] == {"meta.json": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_zip_holds_the_same_at_its_top(tmp_path: Path) -> None:
    where = made(tmp_path / "b.zip").finish()

    with zipfile.ZipFile(where) as archive:
        assert archive.namelist() == ["manifest.json", "meta.json"]
        assert archive.testzip() is None
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_nothing_that_exists_is_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")

    with pytest.raises(RecordError, match="nothing is overwritten"):
        Package(tmp_path / name).begin()

    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_what_came_meanwhile_is_not_overwritten_either(name: str, tmp_path: Path) -> None:
    package = made(tmp_path / name)
    (tmp_path / name).write_text("mine")

    where = package.finish()

    assert (tmp_path / name).read_text() == "mine"
    assert where != tmp_path / name
    assert (where / "manifest.json").exists()


def test_a_link_to_nowhere_is_something_that_exists(tmp_path: Path) -> None:
    (tmp_path / "b").symlink_to("nowhere")

    with pytest.raises(RecordError, match="nothing is overwritten"):
        Package(tmp_path / "b").begin()


def test_what_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    package = made(tmp_path / "b")

    package.discard()

    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="choose another place"):
        Package(tmp_path / "no" / "b").begin()
