# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle is read from a folder or a .zip; what is not whole, or meant to harm, is refused in one line."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import read_bundle
from pageout.bundle.evidence import evidence_of
from pageout.bundle.files import files_of, is_bundle
from pageout.bundle.measured import measured
from pageout.bundle.meta import read_meta
from pageout.bundle.reading import inputs_of
from pageout.readers.read import read_input
from pageout.vocabulary.errors import TraceError
from tests.bundle.made import META, small, with_manifest, zipped


def answer(read, given_to_it):
    """What it was refused with, empty if it was read."""
    try:
        read(given_to_it)
    except TraceError as error:
        return str(error)
    return ""


def refused(path, *words):
    with pytest.raises(TraceError) as caught:
        read_bundle(str(path))
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


@pytest.mark.parametrize("top", ["", "a-name/"])
def test_a_zip_says_what_its_folder_says(tmp_path, top):
    folder = with_manifest(small(tmp_path / "b"))
    one, other = read_bundle(str(folder)), read_bundle(str(zipped(folder, tmp_path / "b.zip", top)))

    assert one.meta == other.meta
    assert one.calls[0][:4] == other.calls[0][:4]
    assert (one.samples.time_ns == other.samples.time_ns).all()
    assert len(one.events) == len(other.events) == 9


def test_a_member_of_a_zip_is_read_by_its_path(tmp_path):
    path = zipped(small(tmp_path / "b"), tmp_path / "b.zip", "in/")

    assert len(read_input(f"{path}/in/trace.txt.gz").events) == 9
    with pytest.raises(TraceError, match=r"no such file in the \.zip"):
        read_input(f"{path}/in/other.txt")


def test_unknown_files_are_carried(tmp_path):
    folder = small(tmp_path / "b", notes__md="what we saw")

    assert "notes.md" in files_of(str(folder)).names
    assert read_bundle(str(folder)).name == "small"


def test_what_changed_since_it_was_recorded_is_refused(tmp_path):
    folder = with_manifest(small(tmp_path / "b"))
    text = (folder / "samples.csv").read_text()
    (folder / "samples.csv").write_text(text.replace("150", "151"))
    refused(folder, "samples.csv", "sum differs", "copy the bundle again")
    (folder / "samples.csv").write_text(text + " ")
    refused(folder, "samples.csv", "bytes", "when it was recorded")
    (folder / "samples.csv").unlink()
    refused(folder, "samples.csv", "missing")


def test_a_bundle_of_a_newer_pageout_is_refused(tmp_path):
    refused(with_manifest(small(tmp_path / "b"), version=2), "version 2", "install")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ("meta.json",)),
        ("[1]", ("meta.json", "no JSON object")),
        ('{"case": {"tasks": [{"op": 5}]}}', ("case", "correct it")),
        ('{"hz": 0}', ("hz = 0",)),
        ('{"hz": 123456789}', ("hz",)),
        ('{"a":' * 100_000, ("meta.json",)),
        ("\xff\xfe", ("meta.json",)),
    ],
)
def test_a_meta_that_cannot_be_is_refused(tmp_path, content, words):
    refused(small(tmp_path / "b", meta__json=content), *words)


def test_an_odd_device_makes_no_recording_worthless(tmp_path):
    bundle = read_bundle(str(small(tmp_path / "b", meta__json=META | {"devices": {"7:0": {"nr_requests": "many"}}})))

    assert bundle.meta.devices == {}
    assert bundle.warnings[0].endswith(
        "meta.json: devices.nr_requests: a text, where a whole number belongs: devices is left out"
    )


@pytest.mark.parametrize("missing", ["trace__txt__gz", "samples__csv"])
def test_half_a_recording_is_read(tmp_path, missing):
    bundle = read_bundle(str(small(tmp_path / "b", **{missing: None})))

    assert (bundle.events is None) == (missing == "trace__txt__gz")
    assert (bundle.samples is None) == (missing == "samples__csv")


def test_nothing_recorded_is_no_bundle(tmp_path):
    refused(small(tmp_path / "b", trace__txt__gz=None, samples__csv=None), "nothing was recorded")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "meta.json")
    refused(tmp_path / "nowhere", "no such file")
    (tmp_path / "a.txt").write_text("text")
    refused(tmp_path / "a.txt", "no bundle")
    assert not is_bundle(str(tmp_path / "a.txt"))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "c:\\evil", "..\\evil", "meta\n.json"])
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path, name):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", "{}")
        archive.writestr(name, "x")
    refused(path, "refused")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", "{}")
        with archive.open("samples.csv", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(b"\0" * (1 << 20))
    refused(path, "samples.csv", "refused")


def test_two_files_of_one_name_and_two_bundles_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("meta.json", "{}")
    refused(path, "twice")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/meta.json", "{}")
        archive.writestr("b/meta.json", "{}")
    refused(path, "2 bundles")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_of_a_zip_raise_anything_but_our_error(tmp_path_factory, noise, at):
    folder = tmp_path_factory.mktemp("zip")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", json.dumps(META))
        archive.writestr("samples.csv", "t_s,nr_dirty\n0,1\n1,2\n")
    content = bytearray(buffer.getvalue())
    content[at : at + len(noise)] = noise
    path = folder / "x.zip"
    path.write_bytes(bytes(content))
    assert "\n" not in answer(read_bundle, str(path))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                    lambda inner: st.dictionaries(st.sampled_from(["case", "dev", "hz", "tasks", "op", "sysctl"]), inner)
                    | st.lists(inner, max_size=3), max_leaves=8))  # fmt: skip
def test_any_meta_is_read_or_refused_in_one_line(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("meta")
    (folder / "meta.json").write_text(json.dumps(value))
    assert "\n" not in answer(read_meta, files_of(str(folder)))


def damaged(path, name):
    """Spoil the bytes of a member where they are packed."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name)
    start = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    return path


def test_a_damaged_zip_says_which_file_in_it_is_damaged(tmp_path):
    path = damaged(zipped(small(tmp_path / "b"), tmp_path / "b.zip", "in/"), "in/fio.json")

    refused(path, "b.zip/in/fio.json: damaged in the .zip", "copy the .zip again")


def test_explain_reads_the_rest_of_a_zip_of_which_one_file_is_damaged(tmp_path):
    path = damaged(zipped(small(tmp_path / "b"), tmp_path / "b.zip", "in/"), "in/meta.json")
    inputs, errors = inputs_of(str(path))

    assert [len(found.events) for found in inputs] == [9]
    assert [error.startswith(f"{path}/in/meta.json: damaged") for error in errors] == [True]


def test_a_zip_that_was_copied_in_part_is_said_to_be_damaged_not_to_be_unpacked(tmp_path):
    path = zipped(small(tmp_path / "b"), tmp_path / "b.zip", "in/")
    path.write_bytes(path.read_bytes()[:-30])
    for read in (read_bundle, read_input):
        text = answer(read, str(path))
        assert "damaged .zip" in text
        assert "copy it again" in text
        assert "unpack" not in text


def test_a_zip_that_is_no_recording_is_said_to_be_one_with_the_names_in_it(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(7):
            archive.writestr(f"logs/{number}.txt", "x")

    assert answer(read_input, str(path)).endswith(
        "unpack it and name the files in it: logs/0.txt, logs/1.txt, logs/2.txt, logs/3.txt, logs/4.txt, ..."
    )
    with zipfile.ZipFile(path, "w"):
        pass
    assert "nothing in it" in answer(read_input, str(path))
    (tmp_path / "y.zip").write_text("no zip at all\n")
    assert "no .zip archive by its content" in answer(read_bundle, str(tmp_path / "y.zip"))


SAMPLED = "t_s,nr_dirty,nr_writeback,nr_free,nr_dirtied,nr_written"


def test_what_is_no_count_is_said_with_its_line_and_is_unknown(tmp_path):
    rows = ["0.0,10,0,50000,1000,990", "0.1,many,-5,49800,1200,1030", "", "0.2,40,30", "0.3,10,0,49700,1310,1300"]
    bundle = read_bundle(str(small(tmp_path / "b", samples__csv="\n".join([SAMPLED, *rows, ""]))))
    (said,) = [text for text in bundle.warnings if "samples.csv" in text]

    assert (
        ":3: nr_dirty: 'many' is no count: 5 values of nr_dirty, nr_writeback, nr_free, nr_dirtied and 1 more" in said
    )
    assert bundle.samples.column("nr_dirty")[[0, 2, 3]].tolist() == [10, 40, 10]
    assert np.isnan(bundle.samples.column("nr_dirty")[1])
    assert len(bundle.samples) == 4


def test_a_row_without_a_time_is_left_out_and_named_and_so_is_a_column_without_a_count(tmp_path):
    rows = ["0.0,x,0,50000,1000,990", "\xff\xfe,1,5,49800,1200,1030", "0.3,y,0,49700,1310,1300"]
    content = "\n".join([SAMPLED, *rows, ""]).encode("latin-1")
    bundle = read_bundle(str(small(tmp_path / "b", samples__csv=content)))
    told = [text.rpartition("samples.csv")[2] for text in bundle.warnings if "nothing ties" not in text]

    assert len(bundle.samples) == 2
    assert [text[:10] for text in told] == [":3: t_s: '", ":2: nr_dir", ": nr_dirty"]
    assert "this row is left out" in told[0]
    assert "what is made of it is unknown" in told[2]
    assert measured(evidence_of(bundle))["dirty_max_mib"] is None


def test_samples_without_a_time_are_refused(tmp_path):
    refused(small(tmp_path / "b", samples__csv=f"{SAMPLED}\nx,1,2,3,4,5\n"), "t_s", "a time in no row")


def test_good_samples_say_nothing(tmp_path):
    assert not any("samples.csv" in text for text in read_bundle(str(small(tmp_path / "b"))).warnings)


@given(st.binary(max_size=400))
def test_samples_of_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("s")
    text = answer(read_bundle, str(small(folder, samples__csv=b"t_s,nr_dirty,nr_writeback\n0,1,2\n" + content)))

    assert "\n" not in text


def test_a_name_that_stands_for_many_columns_is_refused(tmp_path) -> None:
    text = "t_s,nr_dirty,nr_writeback,*\n0.0,1,2,3\n0.1,1,2,3\n"

    with pytest.raises(TraceError, match=r"samples.csv:1: .*is no name of a column"):
        _ = read_bundle(str(small(tmp_path / "b", samples__csv=text))).samples
