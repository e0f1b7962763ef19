# SPDX-License-Identifier: GPL-2.0-or-later
"""Block traces in CSV: each row a request."""

import pytest

from pageout.vocabulary.errors import TraceError
from tests.readers.traces import read, rows

REQUEST = ("time_ns", "dev", "rwbs", "sector", "nr_sector")


def test_cloudphysics_rows_have_a_time_of_unknown_unit():
    found = read("version,time,op,size,lbn\n1,5633898,2a,512,429\n1,5633899,28,6656,404\n1,5633899,ff,6656,404\n")

    assert rows(found, "block_rq_issue", *REQUEST) == [
        (5633898, "disk", "W", 429, 1),
        (5633899, "disk", "R", 404, 13),
    ]
    assert found.events.clock == "counter"
    assert found.kind == "block CSV (CloudPhysics, time of unknown unit)"
    assert (found.account.events, found.account.known_non_events, found.account.unread) == (2, 1, 1)


def test_msr_rows_say_when_they_were_done():
    found = read("128166372003061629,hm,0,Write,7014912,4096,26\n128166372016382155,hm,1,Read,512,512,1000\n")

    start = (128166372003061629 - 116444736000000000) * 100
    assert rows(found, "block_rq_issue", *REQUEST)[0] == (start, "hm,0", "W", 13701, 8)
    assert rows(found, "block_rq_complete", *REQUEST)[0] == (start + 2600, "hm,0", "W", 13701, 8)
    assert found.events.clock == "seconds"
    assert found.account.events == 2


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("419,W,8192,16384,1577808144360767\n", (1577808144360767000, "419", "W", 16, 32)),
        ("1538323200,12910952,128,0,1063\n", (1538323200 * 10**9, "1063", "R", 12910952, 128)),
    ],
)
def test_rows_of_clouds_by_their_publishers_words(text, row):
    assert rows(read(text * 2), "block_rq_issue", *REQUEST) == [row, row]


@pytest.mark.parametrize("text", ["1,2,3,4,5\n", "1,5633898,2a,512,429\n", "a,b\n1,2\n", "1538323200,x,128,0,1\n"])
def test_other_tables_are_not_block_traces(text):
    with pytest.raises(TraceError, match="nothing here that pageout reads"):
        read(text)
