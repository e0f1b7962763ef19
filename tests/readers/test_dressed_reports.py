# SPDX-License-Identifier: GPL-2.0-or-later
"""A report says the same in any dress: log prefixes, quote marks, a mailer's line breaks, line ends, encodings."""

import quopri
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.readers.kernel_logs import ALL, read, said

few = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def stamps(n: int) -> str:
    return f"{1000 + n // 7:>5}.{n * 13 % 1000000:06}"


PREFIXES: dict[str, Callable[[int], str]] = {
    "none": lambda n: "",
    "dmesg": lambda n: f"[{stamps(n)}] ",
    "caller": lambda n: f"[{stamps(n)}][  T101] ",
    "dmesg -T": lambda n: f"[Wed Mar 13 11:{n // 60:02}:{n % 60:02} 2024] ",
    "syslog": lambda n: f"Nov  3 23:{n // 60:02}:{n % 60:02} some-host kernel: [{stamps(n)}] ",
    "syslog without an uptime": lambda n: f"Nov 30 23:{n // 60:02}:{n % 60:02} some-host kernel: ",
    "iso": lambda n: f"2017-02-14T00:{n // 60:02}:{n % 60:02}.307703+03:00 host kernel: [{stamps(n)}] ",
    "kmsg": lambda n: f"4,{100 + n},{1121675690224 + n},-;",
    "level": lambda n: "<4>",
    "level and uptime": lambda n: f"<6>[{stamps(n)}] ",
    "kernel": lambda n: f"kernel: [{stamps(n)}] ",
    "short-monotonic": lambda n: f"[{stamps(n)}] some-host kernel: ",
}


def wrapped(line: str, width: int) -> list[str]:
    """Break a line at blanks, as mailers do: no piece is longer unless it is one word."""
    pieces = []
    while len(line) > width:
        at = line.rfind(" ", 1, width + 1)
        if at <= 0 or not line[:at].strip():
            at = line.find(" ", width)
            if at < 0:
                break
        pieces.append(line[:at])
        line = line[at:].lstrip()
    return [*pieces, line]


def dressed(text: str, prefix: str, depth: int, width: int | None, quote_first: bool, ending: str) -> str:
    marks = "> " * depth
    lines = []
    for n, line in enumerate(text.splitlines()):
        full = PREFIXES[prefix](n) + line
        if width is None:
            lines.append(marks + full)
        elif quote_first:
            lines += wrapped(marks + full, width)
        else:
            lines += [marks + piece for piece in wrapped(full, width)]
    return ending.join(lines) + ending


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_changes_nothing(name: str, prefix: str) -> None:
    text = ALL[name]
    facts, account, _ = read(dressed(text, prefix, 0, None, False, "\n"))
    assert said(facts) == said(read(text)[0])
    assert (account.unread, account.lines) == (0, text.count("\n"))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [72, 76, 80])
@pytest.mark.parametrize("prefix", ["none", "dmesg", "syslog"])
def test_a_mailers_line_breaks_change_nothing(name: str, prefix: str, width: int) -> None:
    text = ALL[name]
    facts, account, _ = read(dressed(text, prefix, 0, width, False, "\n"))
    assert said(facts) == said(read(text)[0])
    assert account.unread_lines == []


@few
@given(
    name=st.sampled_from(sorted(ALL)),
    prefix=st.sampled_from(sorted(PREFIXES)),
    depth=st.integers(0, 5),
    width=st.sampled_from([None, 70, 72, 76, 78]),
    quote_first=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "quoted-printable"]),
)
def test_any_dress_of_a_report_says_the_same(
    name: str, prefix: str, depth: int, width: int | None, quote_first: bool, ending: str, encoding: str
) -> None:
    text = ALL[name]
    plain = dressed(text, prefix, depth, width, quote_first, ending)
    raw = plain.encode(encoding) if encoding != "quoted-printable" else _mail(plain)
    facts, account, _ = read(raw)
    assert said(facts) == said(read(text)[0])
    assert account.unread_lines == []
    assert account.events + account.known_non_events + account.unread == account.lines


def _mail(text: str) -> bytes:
    body = quopri.encodestring(text.encode())
    return b"Subject: trouble\nContent-Transfer-Encoding: quoted-printable\n\n" + body


def test_a_mail_of_several_reports_between_prose_gives_all() -> None:
    order = ["hung task", "memcg v2", "allocation", "oom 2010", "lockup", "slub"]
    parts = [f"> here is the {name} of that night, hope it helps.\n\n{ALL[name]}" for name in order]
    mail = "From: somebody <a@b.example>\nSubject: help\n\nHello,\n\n" + "\n".join(parts) + "\n-- \nSome Body\n"
    expected = [fact for name in order for fact in said(read(ALL[name])[0])]
    facts, account, _ = read(mail)
    assert sorted(map(str, said(facts))) == sorted(map(str, expected))
    prose = [text for _, text in account.unread_lines]
    assert prose == ["Hello,", *(f"here is the {name} of that night, hope it helps." for name in order), "Some Body"]
