# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference's scenarios (section 10) by a toy model over the twin.

The reference gives neither the speed of memory nor how often its flusher updates the bandwidth, which takes updates of
the base rate away from writers and so decides how long the transient lasts, not where it ends. Within these choices
(memory 1 to 4 GiB/s; updates never or each MiB) the end differs by 0.6 % in pages and 1.5 % in the base rate, and the
bandwidth at any time by 2 %: hence the bounds 1 %, 2 % and 3 %. Of the transient only this is held: the reference's is
never faster than the model whose flusher takes no update away.
"""

import pytest

from tests.naive.dirty_model import Model

TIMES = (5, 10, 20, 30, 60)


def near(value, share):
    return pytest.approx(value, rel=share)


def levels(model):
    found, before = [], 0
    for at in TIMES:
        model.run(at - before)
        before = at
        found.append((model.dirty, model.avg, model.ratelimit))
    return found


@pytest.mark.parametrize(
    ("scenario", "dirty", "ratelimit"),
    [
        ({"disk": 12_800}, 177_500, 11_686),
        ({"disk": 12_800, "nr_writers": 2}, 178_000, 6195),
        ({"disk": 12_800, "nr_writers": 10}, 178_100, 1293),
        ({"disk": 2560}, 176_200, None),
        ({"disk": 128_000, "nr_writers": 4}, 181_300, None),
        ({"disk": 12_800, "thresh": 20_000, "bg": 10_000}, 18_200, None),
        ({"disk": 12_800, "nr_writers": 10, "hz": 1000}, 181_000, None),
    ],
    ids=str,
)
def test_the_level_after_a_minute_is_the_references(scenario, dirty, ratelimit):
    model = Model(**scenario)

    model.run(60)

    assert model.dirty == near(dirty, 0.01)
    if ratelimit is not None:
        assert model.ratelimit == near(ratelimit, 0.02)
    shares = [writer.total for writer in model.writers]
    assert max(shares) <= min(shares) * (1.002 if len(shares) == 2 else 1.07)


@pytest.mark.parametrize(
    ("scenario", "dirty"),
    [
        ({"disk": 12_800}, (194_000, 193_500, 191_200, 190_500, 177_500)),
        ({"disk": 12_800, "nr_writers": 2}, (196_300, 193_800, 190_500, 187_100, 178_000)),
        ({"disk": 12_800, "nr_writers": 10}, (198_800, 196_900, 187_700, 183_600, 178_100)),
        ({"disk": 2560}, (198_700, 198_200, 195_000, 193_100, 180_100)),
    ],
    ids=str,
)
def test_the_references_transient_is_not_faster_than_without_updates_by_the_flusher(scenario, dirty):
    found = levels(Model(**scenario))

    assert all(theirs > ours * 0.99 for theirs, (ours, _, _) in zip(dirty, found, strict=True))


def test_the_bandwidth_is_learnt_as_the_reference_says():
    found = [avg for _, avg, _ in levels(Model(12_800))]

    assert found == [near(avg, 0.03) for avg in (18_194, 14_359, 12_921, 12_806, 12_806)]


def test_a_disk_that_becomes_half_as_fast_is_believed_slowly():
    model, found = Model(25_600), []
    model.run(60)
    model.disk = 12_800

    for seconds in (2, 2, 2, 2, 2, 5):
        model.run(seconds)
        found.append(model.avg)

    assert found == [near(avg, 0.03) for avg in (23_699, 20_208, 17_469, 15_660, 14_528, 13_305)]
