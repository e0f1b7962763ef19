# SPDX-License-Identifier: GPL-2.0-or-later
"""Which LRU lists the recorded kernel had: generations (lru=gen), or active and inactive.

By what /sys/kernel/mm/lru_gen/enabled said, else by the case's word, else by the kernel's configuration.
"""

from __future__ import annotations

import re
import zlib

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import DESIGNS, choices

CORE = 1  # bit of lru_gen/enabled: the multi-generation LRU is on
WALK = 2  # page tables are walked
MOST_CONFIG = 4 << 20  # bytes
_GEN_WORDS = frozenset({"gen", "mglru", "lru_gen", "multi-gen", "multigen"})
_ENABLED = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,8})")
_ON = re.compile(r"^CONFIG_LRU_GEN_ENABLED=y", re.MULTILINE)


def lru_of(bundle: Bundle, notes: list[str]) -> str:
    """Return `gen` or `classic`; notes: what it was taken from, unless the kernel said it itself."""
    told = (bundle.meta.lru_gen or "").strip().lower()
    if told == "none":
        return "classic"
    said = _ENABLED.fullmatch(told)
    if said is not None:
        bits = int(said[1], 16)
        if bits & CORE and not bits & WALK:
            notes.append(f"lru_gen/enabled is {bundle.meta.lru_gen}: simulated with page tables walked, as by default")
        return "gen" if bits & CORE else "classic"
    word = (bundle.case.lru if bundle.case is not None else None) or ""
    if word:
        return "gen" if word.strip().lower() in _GEN_WORDS else "classic"
    config = _config(bundle)
    if config:
        is_on = _ON.search(config) is not None
        if is_on:
            notes.append("lru_gen/enabled is not in it: on, as the kernel's configuration has it at boot")
        return "gen" if is_on else "classic"
    notes.append("nothing says whether lru_gen was enabled: taken for off")
    return "classic"


def _config(bundle: Bundle) -> str:
    """Return the kernel's configuration, as much of it as there is; "" where it was not kept."""
    names = bundle.files.names
    if "config" in names:
        return bundle.files.text("config")[:MOST_CONFIG]
    if "config.gz" not in names:
        return ""
    try:
        return zlib.decompressobj(31).decompress(bundle.files.read("config.gz"), MOST_CONFIG).decode(errors="replace")
    except zlib.error:
        return ""


def with_lru(bundle: Bundle, scenario: Scenario, notes: list[str]) -> Scenario:
    """Return the scenario with the lists that the kernel had, where its design knows both kinds."""
    if choices(scenario)["reclaim.engine"] != "node" or "lru" in scenario.choices or lru_of(bundle, notes) != "gen":
        return scenario
    return msgspec.structs.replace(scenario, choices={**scenario.choices, "lru": "gen"})


def under_design(scenario: Scenario, design: str) -> Scenario:
    """Return a recording's scenario under another design; one that knows no generations has the lists it has."""
    kept = dict(scenario.choices)
    if DESIGNS[design].get("reclaim.engine") != "node":
        kept.pop("lru", None)
    return msgspec.structs.replace(scenario, design=design, choices=kept)
