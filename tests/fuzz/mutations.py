# SPDX-License-Identifier: GPL-2.0-or-later
"""What may happen to a file on its way, and what an enemy would do to it.

All chance comes from one `random.Random`: Hypothesis gives one it can shrink, the guided fuzzer one from its input.
"""

import base64
import bz2
import gzip
import lzma
import re
import sys
from collections.abc import Callable, Sequence
from random import Random

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BYTES = 1 << 15  # of an input, before it is packed
NUMBERS = (
    b"0", b"-1", b"-0", b"1", b"4294967295", b"4294967296", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"1e308", b"1e999", b"-1e999", b"nan",
    b"inf", b"-inf", b"NaN", b"0x", b"0xffffffffffffffff", b"1_000", b"1,000", b"1.", b".5", b"1.2.3", b"0" * 30 + b"7",
    b"max", b"7" * 400, "\u0663".encode(), "\u00b2".encode(), b"99999999999999999999.999999", b"1" + b"0" * 330,
)  # fmt: skip
HUGE = b"7" * 5000
ODD = (
    b"\0", b"\x1b[31m", b"\x1b]0;x\x07", b"\x1b]8;;http://x\x1b\\", b"\x9b2J", b"\xc2\x9b2J", b"\x07\x08\x7f", b"\r", b"\v\f",
    b"\x1c\x1d\x1e\x85", "\u2028\u2029\u202e\u200b\ufeff".encode(), b"\xff\xfe\xed\xa0\x80\xc0\xaf", b"\xe2\x28\xa1",
    b"[red]", b"[/]", b"[link=http://x]", b"<script>alert(1)</script>", b"&lt;b&gt;&amp;#27;", b"%s%n{0}{}", b"$(x)`x`",
    b"=3D", b"=", b"=1B", b"=\n", b"\\x1b", b"\\u001b", b"#011", b"^M", b"^[[", b"\\n\\", b"\t", "\U0001f600".encode(),
)  # fmt: skip
RUNS = (b" ", b"\t", b">", b"> ", b"| ", b"-", b".", b"[", b"(", b"{", b"=", b",", b"a", b"0", b"a=", b"1 ", b"\0")
MAIL = (
    b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n",
    b"Content-Transfer-Encoding: base64\n\n",
    b"Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Transfer-Encoding: base64\n\n",
    b"From a@b Mon Jan  1 00:00:00 2024\nSubject: x\n\n",
    b"<!DOCTYPE html>\n<html><body><script>\n  var linuxPerfData = \"",
    b"<html>\n<script class=\"trace-data\" type=\"application/text\">\n",
)  # fmt: skip
PREFIXES = (
    b"> ", b"> > > ", b"<4>", b"[   12.345678] ", b"Nov 30 23:42:49 host kernel: ", b"2017-02-14T00:13:10.5+03:00 h kernel: ",
    b"4,1736499,1121675690224,-;", b"[Wed Mar 13 11:16:48 2024] ", b"| ", b"trace.txt:17:", b"/proc/vmstat:", b"+ ",
    b"[9999999999.999999] ", b"0000-00-00T00:00:00+99:99 h kernel: ", b"9999-12-31T23:59:59-23:59 h kernel: ",
    b"0001-01-01T00:00:00+23:59 h kernel: ", b"Feb 31 25:61:61 h kernel: ",
)  # fmt: skip

_NUMBER = re.compile(rb"-?\d{1,24}(?:\.\d{1,9})?")
_WORD = re.compile(rb"[A-Za-z_][\w/:-]{2,40}")

Change = Callable[[Random, bytes, Sequence[bytes]], bytes]


def _at(chance: Random, data: bytes) -> int:
    return chance.randint(0, len(data))


def flip(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Flip some bits."""
    out = bytearray(data)
    for _nr in range(chance.randint(1, 4)):
        if out:
            out[chance.randrange(len(out))] ^= 1 << chance.randint(0, 7)
    return bytes(out)


def put(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put something odd somewhere."""
    at = _at(chance, data)
    return data[:at] + chance.choice(ODD) + data[at:]


def run(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Repeat something odd."""
    at = _at(chance, data)
    return data[:at] + chance.choice(RUNS) * chance.choice((2, 7, 70, 700)) + data[at:]


def number(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put another number in the place of one."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    one = chance.choice(found)
    new = HUGE if chance.randint(0, 30) == 0 else chance.choice(NUMBERS)
    return data[: one.start()] + new + data[one.end() :]


def word(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put another word, or something odd, in the place of one."""
    found = list(_WORD.finditer(data))
    if not found:
        return data
    one, other = chance.choice(found), chance.choice(found)
    new = chance.choice((other[0], chance.choice(ODD), b"", other[0] + chance.choice(ODD), other[0] * 9))
    return data[: one.start()] + new + data[one.end() :]


def cut(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Leave out a stretch."""
    first, last = sorted((_at(chance, data), _at(chance, data)))
    return data[:first] + data[min(last, first + chance.choice((1, 20, 400, len(data)))) :]


def lines(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Drop, double, exchange, join, break or split a line."""
    rows = data.split(b"\n")
    at, to = chance.randrange(len(rows)), chance.randrange(len(rows))
    how = chance.randint(0, 5)
    if how == 0:
        del rows[at]
    elif how == 1:
        rows[to:to] = rows[at : at + chance.randint(1, 8)] * chance.choice((1, 2, 30))
    elif how == 2:
        rows[at], rows[to] = rows[to], rows[at]
    elif how == 3 and at + 1 < len(rows):
        rows[at : at + 2] = [rows[at] + rows[at + 1]]
    elif how == 4:
        middle = chance.randint(0, len(rows[at]))
        rows[at : at + 1] = [rows[at][:middle], rows[at][middle:]]
    else:
        rows[at:at] = [b""]
    return b"\n".join(rows)


def mix(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Put another input, or some of its lines, in between or after."""
    other = chance.choice(others)
    if chance.randint(0, 1):
        return data + b"\n" * chance.randint(0, 2) + other
    rows, more = data.split(b"\n"), other.split(b"\n")
    at, first = chance.randint(0, len(rows)), chance.randrange(len(more))
    return b"\n".join([*rows[:at], *more[first : first + chance.randint(1, 12)], *rows[at:]])


def prefix(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Give lines a logger's or a mailer's prefix, some of them or all."""
    new, share = chance.choice(PREFIXES), chance.choice((1, 2, 9))
    return b"\n".join(new + row if chance.randint(1, share) == 1 else row for row in data.split(b"\n"))


def wrap(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Break lines as a mailer does."""
    width, rows = chance.choice((20, 60, 72, 78)), []
    for row in data.split(b"\n"):
        while len(row) > width and (at := row.rfind(b" ", 1, width)) > 0:
            rows.append(row[:at])
            row = row[at + 1 :]
        rows.append(row)
    return b"\n".join(rows)


def mail(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put a header before it that may be a lie."""
    head, how = chance.choice(MAIL), chance.randint(0, 3)
    if how == 0:
        data = base64.encodebytes(data)
    elif how == 1:
        data = data.replace(b"=", b"=3D").replace(b" ", b"=20")
    elif how == 2:
        data = data.replace(b"\\", b"\\\\").replace(b"\n", b"\\n\\\n")
    return head + data


def encode(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Write it in another encoding, or with other line ends."""
    how = chance.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "\r\n", "\r", "\v", "\u2028")
    )
    if how.startswith(("utf", "latin")):
        return data.decode("utf-8", "replace").encode(how, "replace")
    return data.replace(b"\n", how.encode())


CHANGES: tuple[Change, ...] = (
    flip, put, put, run, number, number, number, word, word, cut, lines, lines, lines, mix, mix, prefix, wrap, mail, encode,
)  # fmt: skip


def mutated(chance: Random, data: bytes, others: Sequence[bytes], most: int = 5) -> bytes:
    """Return an input after some changes."""
    for _ in range(chance.randint(0, most)):
        data = chance.choice(CHANGES)(chance, data, others)[:MAX_BYTES]
    return data


def packed(chance: Random, data: bytes) -> bytes:
    """Return it packed, and perhaps broken then."""
    how = chance.randint(0, 5)
    out = (gzip.compress, lzma.compress, zstd.compress, bz2.compress)[how % 4](data)
    if how == 5:
        out = gzip.compress(data) + lzma.compress(data)
    broken = chance.randint(0, 3)
    if broken == 1:
        return out[: _at(chance, out)]
    if broken == 2:
        return out[:6] + flip(chance, out[6:], ())
    return out + chance.choice((b"", b"\0" * 9, b"garbage")) if broken == 3 else out
