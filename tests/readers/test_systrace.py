# SPDX-License-Identifier: GPL-2.0-or-later
"""The trace in a systrace page, as old and new ones carry it."""

import pytest

from pageout.vocabulary.errors import TraceError
from tests.readers.traces import others, read, rows

EVENT = "   cat-315   (  315) [002] dn.3  7480.99325{}: mm_vmscan_direct_reclaim_end: nr_reclaimed=7"
MARKER = '   cat-315   (  315) [002] dn.3  7480.993259: tracing_mark_write: say \\"a\\\\b\\"'


def test_a_string_of_javascript_is_unwrapped():
    found = read(
        '<!DOCTYPE HTML>\n<html>\n<script>\n  var linuxPerfData = "\\\n# tracer: nop\\n\\\n#\\n\\\n'
        + "".join(EVENT.format(n) + "\\n\\\n" for n in range(3))
        + MARKER
        + '\\n\\\n\\n";\n  </script>\n</html>\n'
    )

    assert rows(found, "mm_vmscan_direct_reclaim_end", "line", "nr_reclaimed") == [(7, 7), (8, 7), (9, 7)]
    assert others(found) == [("tracing_mark_write", 'say "a\\b"')]
    assert (found.account.events, found.account.unread) == (4, 0)
    assert "systrace HTML" in found.kind
    assert "tgid column" in found.kind


def test_a_script_element_is_unwrapped():
    found = read(
        "<html>\n<body>\n  <p>a [0] 1.0: page</p>\n"
        '  <script class="trace-data" type="application/text">\n# tracer: nop\n'
        + "".join(EVENT.format(n) + "\n" for n in range(3))
        + "  </script>\n<style>\n x { y: z }\n</style>\n</body>\n</html>"
    )  # fmt: skip

    assert rows(found, "mm_vmscan_direct_reclaim_end", "line") == [(6,), (7,), (8,)]
    assert (found.account.events, found.account.unread) == (3, 0)
    assert found.events.holes == ()


@pytest.mark.parametrize(
    "packed",
    [
        '<script id="viewer-data" type="application/json">\nH4sIA\n</script>',
        f'<script class="trace-data" type="application/text">{"QUJD" * 100}\n</script>',
        f'<script>\n  var linuxPerfData = "{"QUJD" * 100}\n";</script>',
    ],
)
def test_a_packed_trace_is_refused_with_what_to_do(packed):
    with pytest.raises(TraceError, match=r"trace:\d: the trace in this page is packed: open it in a browser"):
        read(f"<!doctype html>\n<html>\n{packed}\n</html>")


def test_a_page_without_a_trace_is_refused():
    with pytest.raises(TraceError, match="trace:1: a web page with no trace in it"):
        read("<html>\n<body>hello</body>\n</html>\n")


def test_a_text_that_speaks_of_pages_later_is_no_page():
    text = "\n".join([*(EVENT.format(n) for n in range(9)), "<html>", EVENT.format(9)])

    assert read(text).account.unread == 1
