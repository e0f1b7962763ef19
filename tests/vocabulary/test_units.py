# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary.units import (
    MAX_VALUE,
    format_duration,
    format_rate,
    format_size,
    parse_count,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("64M", 64 << 20),
        ("64 MiB", 64 << 20),
        ("1.5g", 3 << 29),
        ("500GB", 500 * 10**9),
        ("4096", 4096),
        ("4096B", 4096),
        ("2T", 2 << 40),
        ("1kB", 1000),
        (".5k", 512),
    ],
)
def test_sizes_are_powers_of_1024_unless_the_unit_ends_in_b_alone(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "time_ns"), [("5s", 5 * 10**9), ("8.5ms", 8_500_000), ("2min", 120 * 10**9), ("0", 0), ("300 us", 300_000)]
)
def test_durations_are_nanoseconds(text: str, time_ns: int) -> None:
    assert parse_duration(text) == time_ns


@pytest.mark.parametrize("text", ["80M", "80M/s", "80MiB/s"])
def test_rates_may_say_per_second(text: str) -> None:
    assert parse_rate(text) == 80 << 20


@pytest.mark.parametrize("text", ["", "M", "10%", "nan", "inf", "-1", "1e9", "1,5G", "1X", "9" * 40, "99999999T", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write for example|larger than anything"):
        parse_size(text)


def test_a_duration_needs_its_unit() -> None:
    with pytest.raises(ValueError, match="needs a unit"):
        parse_duration("5")


@given(st.text(max_size=40), st.sampled_from([parse_size, parse_duration, parse_rate, parse_count]))
def test_any_text_is_a_bounded_number_or_a_value_error(text: str, parse: Callable[[str], int]) -> None:
    with contextlib.suppress(ValueError):
        assert abs(parse(text)) <= MAX_VALUE


@given(st.integers(0, MAX_VALUE))
def test_a_formatted_size_reads_back_as_nearly_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.01)


def test_people_read_short_numbers() -> None:
    assert format_size(3 << 29) == "1.5 GiB"
    assert format_duration(100_000_000) == "100 ms"
    assert format_rate(83_800_000) == "83.8 MB/s"
