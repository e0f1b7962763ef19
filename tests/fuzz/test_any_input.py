# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a file holds, it is read or refused with one line, explained and converted, and hurts nobody.

Short here; PAGEOUT_FUZZ=N makes the searches N times as long. The guided search is `make fuzz`.
"""

import os
import re
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pageout.readers.read import read_input
from pageout.vocabulary.errors import TraceError
from tests.fuzz.mutations import flip, mutated, packed
from tests.fuzz.properties import converts, explained, explains, ran, read
from tests.fuzz.seeds import recordings, seeds

LONGER = int(os.environ.get("PAGEOUT_FUZZ", "1"))
CHANCE = st.randoms(use_true_random=False)


def budget(examples: int) -> settings:
    phases = [Phase.generate, Phase.shrink] if LONGER > 1 else [Phase.generate]  # an input found is small anyhow
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(
        max_examples=examples * LONGER, deadline=None, database=None, phases=phases, suppress_health_check=slow
    )


def draw(chance: Random) -> bytes:
    """Return one or two texts that the tests of the readers have, changed."""
    data = chance.choice(seeds())
    if chance.randint(0, 1):
        data += b"\n" + chance.choice(seeds())
    return mutated(chance, data, seeds())


@budget(100)
@given(CHANCE, st.sampled_from([0, 1, 7, 100]))
def test_any_text_is_read_or_refused_and_every_line_is_somewhere(chance: Random, size: int) -> None:
    data = draw(chance)
    found = read(data, size)
    if found is not None:
        explained(found)


@budget(30)
@given(CHANCE)
def test_how_a_file_arrives_in_pieces_changes_nothing(chance: Random) -> None:
    data = draw(chance)
    whole, parts = read(data), read(data, 3)
    assert (whole is None) == (parts is None)
    if whole is not None and parts is not None:
        assert (whole.account, whole.kind, whole.facts) == (parts.account, parts.kind, parts.facts)


@budget(6)
@given(CHANCE)
def test_the_command_line_prints_nothing_harmful_and_converts_all_or_nothing(chance: Random) -> None:
    data = draw(chance)
    with TemporaryDirectory() as name:
        path = Path(name) / "input"
        path.write_bytes(data)
        found = read(data)
        explains(path, found)
        converts(path, found, Path(name))


@budget(30)
@given(CHANCE)
def test_a_packed_file_broken_anyhow_is_read_or_refused(chance: Random) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "input"
        path.write_bytes(packed(chance, draw(chance) * 40))
        try:
            read_input(str(path))
        except TraceError as error:
            said = str(error)
        else:
            return
        assert said.startswith(f"{path}:")
        assert "\n" not in said


@budget(20)
@given(CHANCE, st.sampled_from(range(len(recordings()))), st.integers(0, 3))
def test_a_binary_recording_broken_anyhow_is_read_or_refused(chance: Random, which: int, how: int) -> None:
    data = recordings()[which]
    if how == 0:
        data = data[: chance.randint(0, len(data))]
    elif how == 1:
        data += chance.choice(seeds())
    else:
        for _ in range(how):
            at = chance.randrange(len(data))
            data = data[:at] + flip(chance, data[at : at + 64], ()) + data[at + 64 :]
    found = read(data)
    if found is not None:
        explained(found)


TASKS = re.compile(rb"\b(?:tar|cat|dd|rsync|fio|glider|setfattr|java|mysqld|stress)\b")
HOSTS = re.compile(rb"\b(?:host|some-host|box)\b(?= kernel|\) )")
NAMED = [seed for seed in seeds() if TASKS.search(seed) or HOSTS.search(seed)]


def test_there_are_inputs_with_names_to_hide() -> None:
    assert len(NAMED) > 100


@pytest.mark.parametrize("part", range(3))
def test_a_masked_answer_names_no_task_and_no_host(part: int, tmp_path: Path) -> None:
    for number, seed in enumerate(NAMED[part :: 3 * (1 if LONGER > 1 else 4)]):
        path = tmp_path / str(number)
        path.write_bytes(HOSTS.sub(b"hostzulu9", TASKS.sub(b"zulutask", seed)))
        for tokens in (["explain", "--mask", str(path)], ["explain", "--json", "--mask", str(path)]):
            _, out, err = ran(*tokens)
            assert "zulu" not in out + err, seed
