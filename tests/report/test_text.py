# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from pageout.report.text import compact_text, counted, is_figure, joined, literal, number_text, plain


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("writer", "writer"),
        ("naïve ☃", "naïve ☃"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\udc80", "\\udc80"),
    ],
)
def test_nothing_in_a_name_can_command_a_terminal(foreign: str, shown: str) -> None:
    assert plain(foreign) == shown


def test_markup_in_a_name_is_shown_not_obeyed() -> None:
    assert literal("[red]x[/]").plain == "[red]x[/]"
    assert not literal("[red]x[/]").spans


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (True, "-"),
        (0, "0"),
        (0.0, "0"),
        (1234567, "1,234,567"),
        (0.00123, "0.00123"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (98765.4, "98,765"),
    ],
)
def test_a_number_is_short_and_null_is_a_dash(value: object, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    "value", [0, 7, 9999, 9999.4, 10_000, 99_949, 99_950, 999_499, 999_500, 999_999, 1_048_576, 5 * 10**9, 10**15]
)
def test_a_compact_number_takes_at_most_seven_characters_and_is_right_to_a_hundredth(value: float) -> None:
    text = compact_text(value)
    assert len(text) <= 7
    scale = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1)
    assert float(text.rstrip("kMG").replace(",", "")) * scale == pytest.approx(value, rel=0.01)


def test_only_finite_numbers_are_figures() -> None:
    assert [is_figure(value) for value in (1, 1.5, None, True, float("inf"), "3")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_words_follow_their_count() -> None:
    assert [counted(1, "page"), counted(2, "page"), counted(0, "entry", "entries")] == [
        "1 page",
        "2 pages",
        "0 entries",
    ]
    assert [joined([]), joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
