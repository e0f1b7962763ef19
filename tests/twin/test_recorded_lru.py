# SPDX-License-Identifier: GPL-2.0-or-later
"""Which LRU lists a recording's twin has: as the kernel said, else the case, else the kernel's configuration."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from pageout.bundle.bundle import read_bundle
from pageout.twin.boxes import scenario_of
from pageout.twin.recorded_lru import under_design
from tests.bundle.made import META, small

CONFIG = "CONFIG_LRU_GEN=y\nCONFIG_LRU_GEN_ENABLED=y\n"


def twin_of(folder: Path, case: dict[str, Any] | None = None, files: dict[str, Any] | None = None, **meta: Any) -> Any:
    document = META | {"case": META["case"] | (case or {})} | meta
    return scenario_of(read_bundle(str(small(folder, meta__json=document, **(files or {})))))


@pytest.mark.parametrize(
    ("case", "meta", "wanted", "said"),
    [
        ({}, {"lru_gen": "0x0007"}, "gen", ""),
        ({}, {"lru_gen": "0x0000"}, "classic", ""),
        ({"lru": "gen"}, {"lru_gen": "0x0000"}, "classic", ""),  # the kernel knows best
        ({}, {"lru_gen": "none"}, "classic", ""),
        ({}, {"lru_gen": "0x0001"}, "gen", "page tables walked"),
        ({"lru": "mglru"}, {}, "gen", ""),
        ({"lru": "classic"}, {}, "classic", ""),
        ({}, {}, "classic", "nothing says whether lru_gen"),
        ({}, {"lru_gen": "\x00?" * 99}, "classic", "nothing says whether lru_gen"),
        ({"lru": "gen"}, {"kernel": "2.6.34"}, "classic", ""),
    ],
)
def test_the_lists_are_those_that_the_recording_says(
    tmp_path: Path, case: dict[str, Any], meta: dict[str, Any], wanted: str, said: str
) -> None:
    twin = twin_of(tmp_path / "b", case, **meta)
    assert twin.scenario.choices.get("lru", "classic") == wanted
    assert any("lru_gen" in note for note in twin.notes) == bool(said)
    assert said in " ".join(twin.notes)


@pytest.mark.parametrize("name", ["config", "config__gz"])
def test_the_configuration_tells_what_is_on_at_boot(tmp_path: Path, name: str) -> None:
    data = CONFIG.encode() if name == "config" else gzip.compress(CONFIG.encode())
    assert twin_of(tmp_path / "on", files={name: data}).scenario.choices == {"lru": "gen"}
    off = b"# CONFIG_LRU_GEN is not set\n"
    twin = twin_of(tmp_path / "off", files={name: off if name == "config" else gzip.compress(off)})
    assert not twin.scenario.choices
    assert not any("lru_gen" in note for note in twin.notes)
    assert not twin_of(tmp_path / "bad", files={"config__gz": b"\x1f\x8bnonsense"}).scenario.choices


def test_another_design_has_the_lists_it_knows(tmp_path: Path) -> None:
    scenario = twin_of(tmp_path / "b", lru_gen="0x0007").scenario
    assert under_design(scenario, "linux-6.1").choices == {"lru": "gen"}
    assert under_design(scenario, "linux-2.6.34").choices == {}
