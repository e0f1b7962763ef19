# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that says how right the model is says what was found, the misses too."""

from bench.how_right import PAGE, page


def row(name: str, measured: float, predicted: float | None, within: bool | None, **more: object) -> dict[str, object]:
    error = None if predicted is None else predicted / measured - 1
    plain = {"name": name, "unit": "", "measured": measured, "predicted": predicted, "baseline": 0, "error": error}
    return plain | {"spread": None, "within": within} | more


def bundle(path: str, *figures: dict[str, object], **more: object) -> dict[str, object]:
    case = path.rpartition("/")[2]
    return {"path": path, "case": case, "design": "linux-6.18", "seeds": 1, "figures": list(figures)} | more


FOUND = {
    "plain": {
        "bundles": [
            bundle("k/a", row("throttle_s", 10, 12, False, spread=0.05), row("plateau_mib", 10, 10.5, True)),
            bundle("k/b", row("throttle_s", 10, 10, True), row("dirty_mean_mib", 1, 9, None)),
        ],
    },
    "chaotic": [bundle("k/c", row("throttle_s", 5, 7, True, low=3, high=9, width=3.0, covers=True),
                       row("plateau_mib", 5, 7, False, low=6, high=9, width=1.5, covers=False), seeds=20)],
    "families": [
        {
            "from": "k/b", "from_case": "b", "bundles": [
                bundle("k/a", row("throttle_s_per_s", 1, 2, False, before=5), row("plateau_mib", 10, 20, False, before=9),
                       changes=["vm.dirty_bytes 1 -> 2"]),
                bundle("k/b2", row("plateau_mib", 10, 20, False, before=9), changes=[]),
            ],
        }
    ],
}  # fmt: skip


def test_the_page_says_how_many_are_within_and_what_is_not() -> None:
    text = page(FOUND)

    assert "**2 of 3 figures of 2 recordings are within.**" in text
    assert "| k/a | linux-6.18 | 1 of 2 | `throttle_s` 10, 12, +20.0 % (5.0 %) |" in text
    assert "| `throttle_s` | 2 | 10.0 % | 20.0 % | 1 |" in text


def test_a_chaotic_recording_is_a_range_that_covers_or_does_not() -> None:
    text = page(FOUND)

    assert "**k/c: 1 of 2 figures are covered by a range no wider than that.**" in text
    assert "| `throttle_s` | 5 | 3 | 9 | x3 | covers |" in text
    assert "| `plateau_mib` | 5 | 6 | 9 | x1.5 | does not cover |" in text


def test_a_picture_is_shown_where_one_was_drawn() -> None:
    assert "images/how-right.svg" not in page(FOUND)
    assert "](../images/how-right.svg)\n" in page(FOUND | {"pictures": 2})


def test_what_the_engine_misses_anyhow_is_marked_and_twins_are_no_what_if() -> None:
    text = page(FOUND)

    assert "**0 of 2 figures of 1 predictions are within.** Nearer than *no change* are 1 of\nthe 2" in text
    assert (
        "| b | a | `vm.dirty_bytes 1 -> 2` | 0 of 2 | `throttle_s_per_s` 1 of 1, +100.0 %†; `plateau_mib` 1 of 1, +100.0 % |"
    ) in text


def test_the_page_in_the_repository_is_one_of_these() -> None:
    text = PAGE.read_text()

    assert text.startswith(page(FOUND).partition("**")[0])
    assert text.endswith(page(FOUND).partition("## Where it is wrong, and why")[2])
