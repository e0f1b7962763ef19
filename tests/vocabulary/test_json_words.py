# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a document is said in words that need no library's manual."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary.json_words import json_words


class Inner(msgspec.Struct):
    size: int
    name: str | None = None


class Document(msgspec.Struct):
    rows: list[Inner] = []
    rates: dict[str, int | float | None] = {}


def said(content: bytes, field: str = "") -> str:
    try:
        msgspec.json.decode(content, type=Document)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return json_words(error, field)
    return ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no whole JSON: it ends too soon"),
        (b"{x", "no JSON: object keys must be strings at byte 1"),
        (b'{"rows": 5}', "rows: a whole number, where a list belongs"),
        (b'{"rows": [{}]}', "rows[0]: size is missing"),
        (b'{"rows": [{"size": 1, "name": 2}]}', "rows[0].name: a whole number, where a text belongs"),
        (b'{"rates": {"a": "b"}}', "rates: a text, where a number belongs"),
        (b"[]", "a list, where an object belongs"),
    ],
)
def test_an_error_names_its_place_and_what_belongs_there(content, words):
    assert said(content) == words


def test_a_number_out_of_range_is_said_with_its_bound():
    error = msgspec.ValidationError("Expected `int` <= 9 - at `$.holes[0].line`")
    assert json_words(error) == "holes[0].line: a number that has to be <= 9"


def test_a_part_is_named_by_where_it_stands_in_its_document():
    assert said(b'{"rows": 5}', "case") == "case.rows: a whole number, where a list belongs"
    assert json_words(RecursionError()) == "nested too deep"


@given(st.binary(max_size=60))
def test_no_library_speaks(content):
    assert not any(word in said(content) for word in ("Expected", "got `", "$", "Input data"))
