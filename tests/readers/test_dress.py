# SPDX-License-Identifier: GPL-2.0-or-later
"""Undressing: encodings, line ends, quotes, mail parts, log prefixes; numbers stay the file's own."""

import base64
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.readers.dress import undress
from pageout.readers.lines import MAX_LINE, Line
from pageout.readers.mail_text import unquote
from pageout.readers.prefixes import strip_prefixes

few = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def lines(*pieces: bytes) -> list[Line]:
    return list(undress(pieces))


def texts(*pieces: bytes) -> list[str]:
    return [line.text for line in lines(*pieces)]


@pytest.mark.parametrize(
    ("raw", "text", "stamp", "names"),
    [
        ("[  78.27] x", "x", 78.27, "dmesg"),
        ("[    1.500000][  T12] x", "x", 1.5, "dmesg"),
        ("[    1.500000 <    0.000002>] x", "x", 1.5, "dmesg"),
        ("[    1.500000]  [<ffffffff8112>] f", " [<ffffffff8112>] f", 1.5, "dmesg"),
        ("\t[    1.500000] x", "x", 1.5, "dmesg"),
        ("[Wed Mar 13 11:16:48 2024] x", "x", 1710328608.0, "dmesg -T"),
        ("[Mar13 11:16] x", "x", None, "dmesg -e"),
        ("[  +0.000012] x", "x", None, "dmesg -e"),
        ("2024-03-13T11:16:48,123456+01:00 x", "x", 1710325008.123456, "dmesg iso"),
        ("Nov 30 23:42:49 host kernel: [133589.2] x", "x", 133589.2, "syslog, dmesg"),
        ("Nov 30 23:42:49 host kernel: x", "x", 92014969.0, "syslog"),
        ("Feb 29 00:00:00 host kernel: x", "x", 68169600.0, "syslog"),
        ("Wed Mar 13 11:16:48 2024 kern.warn kernel: [ 12.3] x", "x", 12.3, "syslog, dmesg"),
        ("Nov 30 23:42:49 host kernel: #011x", "\tx", 92014969.0, "syslog"),
        ("2017-02-14T00:13:10.5+03:00 host kernel: x", "x", 1487020390.5, "journal"),
        ("2017-02-14T00:13:10.5+03:00 host [12.25] x", "x", 12.25, "journal, dmesg"),
        ("Wed 2024-03-13 11:16:48 CET host kernel: x", "x", 1710328608.0, "journal"),
        ("1520000000.123456 host kernel: x", "x", 1520000000.123456, "journal"),
        ("[ 1234.500000] host kernel: x", "x", 1234.5, "dmesg, journal"),
        ("kernel: [12.3] x", "x", 12.3, "journal, dmesg"),
        ("4,1736499,1121675690224,-;x\\x09y", "x\ty", 1121675.690224, "kmsg"),
        ("6,12,34,c,caller=T1;x", "x", 3.4e-05, "kmsg"),
        ("<4>x", "x", None, "level"),
        ("<0>[ 12.0] x", "x", 12.0, "level, dmesg"),
        ("[2024-03-13 11:16:48.250] [   12.3] x", "x", 12.3, "console, dmesg"),
    ],
)
def test_each_logger_has_its_prefix(raw: str, text: str, stamp: float | None, names: str) -> None:
    found = strip_prefixes(raw)
    assert (found.text, ", ".join(found.names)) == (text, names)
    assert found.stamp_s == (pytest.approx(stamp) if stamp is not None else None)


@pytest.mark.parametrize(
    "raw",
    [
        "[ 128825]  1000 128825     3449      864    65536      192           200 rsync",
        "[<0>] schedule+0x4a/0xb0",
        "<0>-0     [001] d..1   138.621120: sched_wakeup: comm=x",
        "<...>-4719  [005] ....    57.341146: mm_vmscan_kswapd_wake: nid=0",
        "8,0    1        1     0.000000000  4126  Q   W 14023466344 + 88 [kworker/u82:7]",
        "Nov 30 23:42:49 host systemd[1]: Started it.",
        "2025-04-01T12:00:00+0200",
        "the kernel: it hangs",
        "Mar 3 was a bad day",
        "12,5 kernel: x",
        "[0.5, 1.5] is a range",
    ],
)
def test_what_only_looks_like_a_prefix_stays(raw: str) -> None:
    assert strip_prefixes(raw).text == raw


@pytest.mark.parametrize(
    ("raw", "text", "depth"),
    [
        ("> x", "x", 1), ("> > > > x", "x", 4), (">>>> x", "x", 4), ("| x", "x", 1), ("> | x", "x", 2),
        (">  x", " x", 1),
        ("| a | b |", "| a | b |", 0), ("|a|", "|a|", 0), ("=> f", "=> f", 0), ("# echo 3 > x", "# echo 3 > x", 0),
        ("crash> bt", "crash> bt", 0), ("     > x", "     > x", 0),
    ],
)  # fmt: skip
def test_quote_marks_are_told_from_tables_and_prompts(raw: str, text: str, depth: int) -> None:
    assert unquote(raw) == (text, depth)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_gives_the_same_lines(encoding: str) -> None:
    raw = "[ 1.5] first line of it\nsecond — with a dash\n".encode(encoding)
    assert texts(raw)[0] == "first line of it"
    assert lines(raw)[0].stamp_s == 1.5
    assert len(lines(raw)) == 2


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r\r\n", b"^M\n", b"\x00\n", b"  \n", b"\r"])
def test_line_ends_of_all_machines_end_lines(ending: bytes) -> None:
    assert texts(b"one" + ending + b"two" + ending) == ["one", "two"]


def test_colours_entities_and_blanks_of_other_kinds_are_taken_off() -> None:
    assert texts(b"\x1b[1;31m[ 1.5]\x1b[0m x &lt;TASK&gt; &amp;c\n\xc2\xa0a\xe2\x80\x8bb\n") == ["x <TASK> &c", " ab"]
    assert lines(b"\x1b[1m[ 1.5] x\x1b[0m\n")[0].prefix == "terminal colours, dmesg"


def test_bytes_that_are_no_text_are_replaced_and_counted() -> None:
    assert texts(b"a\xff\xfeb\nc\n") == ["a��b", "c"]


def test_a_line_without_end_is_cut_and_says_so() -> None:
    first, second = lines(*[b"x" * 10000] * 100, b"\nnext\n")
    assert (len(first.text), first.cut, first.number) == (MAX_LINE, True, 1)
    assert (second.text, second.cut, second.number) == ("next", False, 2)


def test_quoted_printable_is_decoded_where_the_header_says_so() -> None:
    mail = b"Content-Transfer-Encoding: quoted-printable\n\norder=3D0 gfp=\n_mask=3D1=20\nnext=0Aline\n"
    found = lines(mail)
    assert [(line.number, line.text, line.nr_lines) for line in found[2:]] == [
        (3, "order=0 gfp_mask=1", 2), (5, "next", 1), (5, "line", 0),
    ]  # fmt: skip
    assert found[2].prefix == "quoted-printable"
    assert sum(line.nr_lines for line in found) == 5


def test_the_next_part_of_a_mail_has_its_own_encoding() -> None:
    mail = (
        b'Content-Type: multipart/mixed;\n boundary="abc123"\n\n--abc123\n'
        b"Content-Transfer-Encoding: quoted-printable\n\n"
        b"a=3Db\n--abc123\nContent-Type: text/plain\n\na=3Db\n--abc123--\n"
    )
    assert [text for text in texts(mail) if text.startswith("a=")] == ["a=b", "a=3Db"]


def test_quoted_printable_without_a_header_is_told_by_its_own_marks() -> None:
    body = b"x: limit=3D295073 dirty=3D454 and it goes on until the encoder has to break th=\ne line\norder=3D2\n"
    assert texts(body)[0].endswith("break the line")
    assert texts(body)[1] == "order=2"


def test_plain_text_with_equal_signs_is_not_taken_for_quoted_printable() -> None:
    body = b"nr_scanned=32 nr_reclaimed=20 flags=3Db state=\nnr_scanned=3D order=0\nusec=20\n"
    assert texts(body) == ["nr_scanned=32 nr_reclaimed=20 flags=3Db state=", "nr_scanned=3D order=0", "usec=20"]


def test_a_base64_part_is_decoded_and_its_lines_add_up() -> None:
    body = "".join(f"[ {n}.5] line {n} of it\n" for n in range(20))
    mail = (
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(body.encode()) + b"\n"
    )
    found = lines(mail)
    assert [line.text for line in found if line.logged] == [f"line {n} of it" for n in range(20)]
    assert sum(line.nr_lines for line in found) == mail.count(b"\n")
    assert all(first.number <= second.number for first, second in pairwise(found))


def test_an_attachment_that_is_no_text_is_left_alone() -> None:
    mail = b"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgoAAAAN\n"
    assert texts(mail)[-1] == "iVBORw0KGgoAAAAN"


def test_prose_after_a_log_is_not_the_logs() -> None:
    body = b"[ 1.5]  schedule+0x4a/0xb0\nAnd then it died.\n[ 1.6] short\nWhat does this mean?\n"
    assert texts(body) == [" schedule+0x4a/0xb0", "And then it died.", "short", "What does this mean?"]


def test_a_prefix_alone_on_its_line_belongs_to_the_next() -> None:
    body = b"2017-02-14T00:13:10.307703+03:00 host [133589.25]\nINFO: something\n"
    (line,) = lines(body)
    assert (line.text, line.stamp_s, line.nr_lines) == ("INFO: something", 133589.25, 2)


pieces_of_lines = st.lists(
    st.sampled_from(
        [
            b"> ", b"| ", b"[ 1.5] ",
            b"<4>", b"=\n", b"=3D", b"=0A", b"\n", b"\r\n", b"\x00", b"\x1b[", b"\xff\xfe", b"a b",
            b"Content-Transfer-Encoding: quoted-printable\n\n",
            b"Content-Transfer-Encoding: base64\n\n", b"QUJD\n", b"&lt;",
            b"--b\n", b'boundary="b"\n', b"x" * 70, b"Nov 30 23:42:49 h kernel: ", b"4,1,2,-;", b"^M\n", b"\xc2\xa0",
        ]
    ),
    max_size=40,
)  # fmt: skip


@few
@given(parts=pieces_of_lines, at=st.integers(0, 400))
def test_the_lines_of_any_bytes_add_up_however_they_arrive(parts: list[bytes], at: int) -> None:
    raw = b"".join(parts)
    whole = lines(raw)
    if not raw.startswith((b"\xff\xfe", b"\xfe\xff")) and raw.count(b"\x00") < 4:
        mac = b"\r" in raw and b"\n" not in raw
        ending = b"\r" if mac else b"\n"
        assert sum(line.nr_lines for line in whole) == raw.count(ending) + (not raw.endswith(ending) and bool(raw))
    assert lines(raw[:at], raw[at:]) == whole
    assert all(first.number <= second.number for first, second in pairwise(whole))
