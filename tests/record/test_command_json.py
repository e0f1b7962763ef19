# SPDX-License-Identifier: GPL-2.0-or-later
"""fio's JSON is found behind what else fio says."""

import json

import pytest

from pageout.record.command import _json_in

DOCUMENT = {"jobs": [{"jobname": "w"}]}


@pytest.mark.parametrize(
    "before", ["", "\nfio: terminating on signal 2\n", "w: Laying out IO file (1 file / 300MiB)\n"]
)
def test_json_is_kept_without_the_words_before_it(before: str) -> None:
    found = _json_in((before + json.dumps(DOCUMENT, indent=2)).encode())

    assert found is not None
    assert json.loads(found) == DOCUMENT


@pytest.mark.parametrize("text", ["", "w: (g=0): rw=write\n", "[1, 2]", '{"jobs": [', 'a {"b": 1}'])
def test_what_is_no_json_is_none(text: str) -> None:
    assert _json_in(text.encode()) is None
