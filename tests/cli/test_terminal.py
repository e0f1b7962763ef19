# SPDX-License-Identifier: GPL-2.0-or-later
import io
import sys

import pytest

from pageout.cli import terminal


class Screen(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def screened(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a made-up terminal in the place of standard error."""
    found = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", found)
    return found


def test_a_short_run_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screened(monkeypatch)
    with terminal.Progress() as progress:
        progress(0.5, "writer")
    assert screen.getvalue() == ""


def test_a_long_run_shows_a_bar_with_the_design_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screened(monkeypatch)
    monkeypatch.setattr(terminal, "PATIENCE_S", 0.0)
    with terminal.Progress() as progress:
        progress.part(1, 2, "flushers-only")
        progress(0.5, "10 s simulated")
    assert "flushers-only 10 s simulated" in screen.getvalue()
    assert "75%" in screen.getvalue()


def test_what_is_compiled_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screened(monkeypatch)
    with terminal.Progress() as progress:
        progress.note("mm")
    assert "compiling mm" in screen.getvalue()


def test_without_a_terminal_one_line_says_that_it_compiles(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.Progress() as progress:
        progress.note("mm")
        progress.note("task")
        progress(0.5, "x")
    assert capsys.readouterr().err == "pageout: compiling what was not used before; later runs take it from the cache\n"


def test_a_warning_is_given_once_and_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.warn(["a\x1b[2J", "b", "b"])
    assert capsys.readouterr().err == "pageout: warning: a\\x1b[2J\npageout: warning: b\n"
