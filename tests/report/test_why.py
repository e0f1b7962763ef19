# SPDX-License-Identifier: GPL-2.0-or-later
"""Why reclaim wrote, in sentences whose numbers add up to the table's."""

from pageout.report.why import ALL, Ablated, ablation_reading, answer


def document(**causes: int) -> dict:
    rows = [{"cause": name, "count": count, "by_direct": 0} for name, count in causes.items()]
    total = sum(causes.values())
    return {
        "metrics": {"written_direct": 0, "written_kswapd": total, "written_flusher": 0, "written_writer": 0},
        "why": {"writes": {"total": total, "causes": rows}, "direct_reclaims": {"total": 0, "causes": []}},
    }


def test_what_was_asked_for_and_what_went_along_add_up_to_what_was_written() -> None:
    text = " ".join(answer(document(zone=501, background=95, clustered=76204)))

    assert "Reclaim wrote 76,800 file pages" in text
    assert "Main cause, 84 % of the 596 pages that reclaim asked for (76,204 went along in their clusters):" in text


def test_mechanisms_that_do_as_much_alone_are_named_together() -> None:
    base = document(zone=1000)
    runs = [Ablated(name, "", document(zone=left)) for name, left in (("b", 1), ("a", 1), ("c", 900), (ALL, 0))]

    assert ablation_reading(base, runs) == [
        "Without a or b alone, over 99 % of reclaim's writing disappears.",
        "Without all of them, 100 % disappears.",
    ]
