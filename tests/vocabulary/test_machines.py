# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from pageout.vocabulary.errors import ScenarioError
from pageout.vocabulary.machines import PRESETS, load_machine
from pageout.vocabulary.settings import check_machine
from pageout.vocabulary.units import GIB, MIB


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_stands_the_check_at_the_door(name: str) -> None:
    machine = load_machine(name)
    check_machine(machine)
    assert machine.name == name


def test_the_default_is_the_article_s_server() -> None:
    machine = load_machine("server-2g")
    assert (machine.memory_bytes, machine.cpus, machine.hz, machine.stack_bytes) == (2 * GIB, 2, 250, 8192)
    assert (machine.disks[0].kind, machine.disks[0].rpm, machine.disks[0].size_bytes) == ("disk", 7200, 500 * 10**9)
    assert (machine.filesystem.kind, machine.swap_bytes) == ("xfs", 0)


def test_a_misspelt_preset_gets_the_nearest_one() -> None:
    with pytest.raises(ScenarioError, match="no such machine, did you mean server-2g"):
        load_machine("server-2gb")


def test_a_machine_file_builds_on_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "box.toml"
    file.write_text('[machine]\npreset = "box-512m"\nmemory = "256M"\n[[disk]]\nkind = "ssd"\n[swap]\nsize = "0"\n')
    machine = load_machine(str(file))
    assert (machine.name, machine.memory_bytes, machine.cpus, machine.swap_bytes) == ("box", 256 * MIB, 1, 0)
    assert (machine.disks[0].kind, machine.disks[0].queue_depth, machine.disks[0].name) == ("ssd", 32, "sda")
    assert machine.filesystem.kind == "ext2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[task]\n", r":1: \[task\]: a machine file holds only"),
        ('[machine]\nmemmory = "1G"\n', r":2: \[machine\] memmory: no such key, did you mean memory\?"),
        ('[machine]\nmemory = "1M"\n', r":2: \[machine\] memory: 1M: must be from 16 MiB to 4 TiB"),
        ("[machine]\nmemory = nan\n", r":2: \[machine\] memory: nan: needs a unit"),
        ('[machine]\npreset = "other.toml"\n', r":2: \[machine\] preset: other.toml: no such machine"),
        ('\n\n[[disk]]\n[[disk]]\nrpm = "x"\n', r":5: \[disk\] rpm: x: must be a whole number"),
        ('[[disk]]\nkind = "ssd"\nrpm = 7200\n', r":3: \[disk\] rpm: belongs to kind disk, this one is ssd"),
        ('[[disk]]\nseek_avg = "1us"\n', r":2: \[disk\] seek_avg: must lie between"),
        ('[[disk]]\nname = "vm"\n', r":2: \[disk\] name: must be letters and digits"),
        ('[filesystem]\ndisk = "sdb"\n', r":2: \[filesystem\] disk: no such disk"),
        ("[machine]\nhz = 300\n", r":2: \[machine\] hz: 300: must be one of 100, 250, 1000"),
        ("[machine]\ncpus = true\n", r":2: \[machine\] cpus: True: must be a whole number"),
        ("[machine]\nstack = 5000\n", r":2: \[machine\] stack: must be a power of two"),
        ("machine = 3\n", r":1: \[machine\]: must be a table"),
        ("disk = 3\n", r":1: \[disk\]: must be a table"),
        ("[machine\n", r":1: not valid TOML"),
        ("x = ", r":1: not valid TOML"),
        ("x = " + "[" * 5000, r":1: not valid TOML"),
        ("x = " + "9" * 5000, r":1: not valid TOML"),
    ],
)
def test_a_wrong_machine_file_is_refused_at_its_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=message):
        load_machine(str(file))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: cannot be read: No such file"):
        load_machine(str(tmp_path / "none.toml"))
    (tmp_path / "dir.toml").mkdir()
    with pytest.raises(ScenarioError, match=r"dir\.toml: cannot be read"):
        load_machine(str(tmp_path / "dir.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"a = 1\n\xff\xfe")
    with pytest.raises(ScenarioError, match=r"bytes\.toml:2: not text in UTF-8"):
        load_machine(str(tmp_path / "bytes.toml"))
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_machine("\0.toml")
