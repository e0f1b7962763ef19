# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.vocabulary import errors
from pageout.vocabulary.errors import InvariantError, PageoutError, WorkerError, did_you_mean, shown


@given(st.text())
def test_a_message_is_always_one_printable_line(text: str) -> None:
    message = str(PageoutError(text))
    assert len(message) <= errors.MAX_MESSAGE
    assert message.isprintable()
    assert "\n" not in message


def test_every_mistake_of_a_user_exits_2_and_a_bug_of_ours_70() -> None:
    for error in PageoutError.__subclasses__():
        assert error.exit_code == (70 if error in (InvariantError, WorkerError) else 2)


def test_the_tree_at_the_top_of_the_module_names_every_error() -> None:
    for error in PageoutError.__subclasses__():
        assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(("wrong", "right"), [("memmory", "memory"), ("Memory", "memory"), ("cpu", "cpus")])
def test_the_nearest_right_name_is_offered(wrong: str, right: str) -> None:
    assert did_you_mean(wrong, ["memory", "cpus", "hz"]) == f", did you mean {right}?"


def test_without_a_near_name_the_names_there_are_get_listed() -> None:
    assert did_you_mean("zzz", ["a", "b"]) == "; there is a, b"


def test_a_number_too_long_to_print_is_still_shown() -> None:
    assert shown(10**5000) == "a huge number"
