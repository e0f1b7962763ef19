# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine says of itself in /proc and /sys: settings, devices with their limits, mounts, cgroups."""

from __future__ import annotations

import gzip
import os
import platform
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

BEFORE_AND_AFTER = {
    "vmstat": "/proc/vmstat", "meminfo": "/proc/meminfo", "zoneinfo": "/proc/zoneinfo", "buddyinfo": "/proc/buddyinfo",
    "diskstats": "/proc/diskstats", "pressure-io": "/proc/pressure/io", "pressure-memory": "/proc/pressure/memory",
    "pressure-cpu": "/proc/pressure/cpu",
}  # fmt: skip
_QUEUE = {
    "rotational": "rotational", "scheduler": "scheduler", "nr_requests": "nr_requests",
    "max_sectors_kb": "max_sectors_kb", "wbt_lat_usec": "wbt_lat_usec", "read_ahead_kb": "read_ahead_kb",
    "write_cache": "write_cache", "nomerges": "nomerges", "max_segments": "max_segments",
    "max_segment_size": "max_segment_size", "logical_block_size": "logical_block_size", "add_random": "add_random",
}  # fmt: skip
_BDI = ("min_ratio", "max_ratio", "strict_limit", "min_bytes", "max_bytes", "min_ratio_fine", "max_ratio_fine")
_V1_LIMITS = {
    "wbps": "write_bps_device", "rbps": "read_bps_device", "wiops": "write_iops_device", "riops": "read_iops_device",
}  # fmt: skip
_V2_LIMITS = ("wbps", "rbps", "wiops", "riops")
_MEMORY_V2 = ("memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max")
_MEMORY_V1 = ("memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes")
_BLOCK, _CGROUP = Path("/sys/block"), Path("/sys/fs/cgroup")


def said(path: Path | str) -> str:
    """Return what a small file says, "" if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def snapshot(folder: Path, when: str) -> None:
    """Copy the /proc files as they are now: NAME.before, NAME.after."""
    for name, path in BEFORE_AND_AFTER.items():
        with suppress(OSError):
            data = Path(path).read_bytes()
            if data:
                (folder / f"{name}.{when}").write_bytes(data)


def sysctls() -> dict[str, int | str]:
    """Return every vm setting; a single number as one."""
    found: dict[str, int | str] = {}
    for path in sorted(Path("/proc/sys/vm").glob("*")):
        text = said(path)
        if text:
            found[f"vm.{path.name}"] = int(text) if re.fullmatch(r"-?\d{1,19}", text) else " ".join(text.split())
    return found


def kernel_config(folder: Path) -> str:
    """Copy the kernel's configuration where it can be read; returns its text."""
    try:
        data = Path("/proc/config.gz").read_bytes()
        (folder / "config.gz").write_bytes(data)
        return gzip.decompress(data).decode(errors="replace")
    except OSError:
        text = said(f"/boot/config-{platform.release()}")
        if text:
            (folder / "config").write_text(text + "\n")
        return text


def hz_of(config: str, formats: Iterable[str]) -> int | None:
    """Return HZ: as configured, or as the formats of events that divide jiffies by it say; None if neither does."""
    found = re.search(r"^CONFIG_HZ=(\d{2,4})$", config, re.MULTILINE)
    places = (re.search(r"\(jiffies - REC->\w{1,40}\) / (\d{2,4})\b", text) for text in formats)
    found = found or next((match for match in places if match), None)
    return int(found[1]) if found else None


def mounts() -> list[dict[str, str]]:
    """Return what is mounted, with the device each file system is on."""
    found = []
    for line in said("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        if len(fields) > 5 and len(more) > 2:
            found.append({
                "source": _plain(more[1]), "target": _plain(fields[4]), "type": more[0],
                "options": f"{fields[5]},{more[2]}", "dev": fields[2],
            })  # fmt: skip
    return found


def mount_devices() -> dict[str, str]:
    """Return the device of each mount, by the mount's id."""
    rows = (line.split(" ", 3) for line in said("/proc/self/mountinfo").splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 4}


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def disks() -> dict[str, str]:
    """Return the block devices that hold something: MAJ:MIN of whole disks and their names."""
    found = {}
    for path in sorted(_BLOCK.glob("*")):
        if said(path / "size") not in ("", "0"):
            found[said(path / "dev")] = path.name
    return found


def whole_disk(dev: str) -> str:
    """Return the disk a partition is on, a disk itself."""
    place = Path(f"/sys/dev/block/{dev}")
    if (place / "partition").exists():
        return said(place.resolve().parent / "dev")
    return dev


def devices(cgroup: Cgroup) -> dict[str, dict[str, Any]]:
    """Return each disk's queue, writeback shares and limits."""
    found = {}
    for dev, name in disks().items():
        queue = _BLOCK / name / "queue"
        row: dict[str, Any] = {"name": name, "size": int(said(_BLOCK / name / "size")) * 512}
        for key, file in _QUEUE.items():
            text = said(queue / file)
            chosen = re.search(r"\[([\w-]+)\]", text)
            row[key] = int(text) if re.fullmatch(r"-?\d{1,19}", text) else (chosen[1] if chosen else text or None)
        row["rotational"] = None if row["rotational"] is None else bool(row["rotational"])
        for key in _BDI:
            text = said(f"/sys/class/bdi/{dev}/{key}")
            row[key] = int(text) if re.fullmatch(r"\d{1,19}", text) else None
        row["limits"] = cgroup.limits(dev)
        lower = _lower(name)
        if lower:
            row["on"] = lower
        found[dev] = row
    return found


def _lower(name: str) -> list[str]:
    """Return the disks a device stands on: a loop's file's, a mapped or md device's members."""
    backing = said(_BLOCK / name / "loop" / "backing_file")
    if backing:
        with suppress(OSError):
            number = os.stat(backing).st_dev  # noqa: PTH116  a path of the kernel's
            return [whole_disk(f"{os.major(number)}:{os.minor(number)}")]
    return sorted(whole_disk(said(path / "dev")) for path in (_BLOCK / name / "slaves").glob("*"))


class Cgroup:
    """The control groups of a process: where its limits stand, in v1 and v2."""

    def __init__(self, pid: int | str) -> None:
        self.paths: dict[str, str] = {}  # controller ("" for v2) -> path
        for line in said(f"/proc/{pid}/cgroup").splitlines():
            number, _, rest = line.partition(":")
            names, _, path = rest.partition(":")
            for name in names.split(","):
                self.paths["" if number == "0" else name] = path
        self.roots: dict[str, Path] = {}
        for mount in mounts():
            if mount["type"] == "cgroup2":
                self.roots.setdefault("", Path(mount["target"]))
            elif mount["type"] == "cgroup":
                for name in mount["options"].split(","):
                    if name in ("memory", "blkio"):
                        self.roots.setdefault(name, Path(mount["target"]))

    def folders(self, controller: str) -> list[Path]:
        """Return the group's folder and those above it up to the root, the nearest first."""
        root = self.roots.get(controller)
        if root is None:
            return []
        parts = [part for part in self.paths.get(controller, "/").split("/") if part not in ("", "..")]
        return [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]

    def limits(self, dev: str) -> dict[str, int | None] | None:
        """Return the lowest limits of a device in the group or above, bytes/s and requests/s; None without any."""
        found: dict[str, int] = {}
        for folder in self.folders("blkio"):
            for key, file in _V1_LIMITS.items():
                _lowest(found, key, re.search(rf"^{dev} (\d+)$", said(folder / f"blkio.throttle.{file}"), re.MULTILINE))
        for folder in self.folders(""):
            row = re.search(rf"^{dev} (.*)$", said(folder / "io.max"), re.MULTILINE)
            for key in _V2_LIMITS:
                _lowest(found, key, re.search(rf"\b{key}=(\d+)", row[1]) if row else None)
        return {key: found.get(key) for key in _V2_LIMITS} if found else None

    def describe(self) -> dict[str, Any] | None:
        """Return its path and memory and I/O limits as they stand there."""
        if not self.paths:
            return None
        row: dict[str, Any] = {"path": self.paths.get("", "/"), "controllers": self.paths}
        for controller, names in (("", (*_MEMORY_V2, "io.max", "io.latency")), ("memory", _MEMORY_V1)):
            for folder in self.folders(controller)[:1]:
                row |= {name: said(folder / name) for name in names if (folder / name).exists()}
        for name in ("memory.max", "memory.high", "io.max"):
            row.setdefault(name, None)
        return row


def _lowest(found: dict[str, int], key: str, match: re.Match[str] | None) -> None:
    if match is not None:
        found[key] = min(int(match[1]), found.get(key, 1 << 63))


def vmstat(text: str) -> dict[str, int]:
    """Return the items of a /proc/vmstat."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def main_device(before: str, after: str, known: dict[str, dict[str, Any]], opened: Iterable[str] = ()) -> str | None:
    """Return the disk that matters: of those a command had open for writing, or else of all mounted, the busiest.

    before, after: /proc/diskstats; what was written between them counts. A disk that another stands on has all writes
                   of that one: the upper is taken if it accounts for half of them.
    opened:        MAJ:MIN of disks, partitions, mounted file systems
    """
    mounted = {whole_disk(dev) for mount in mounts() for dev in (mount["dev"], device_number(mount["source"]))}
    sources = {mount["dev"]: device_number(mount["source"]) for mount in mounts()}
    wanted = {whole_disk(other) for dev in opened for other in (dev, sources.get(dev, ""))} & known.keys()
    written = {
        dev: _sectors_written(after).get(dev, 0) - _sectors_written(before).get(dev, 0)
        for dev in wanted or known.keys() & mounted
    }
    if not written or max(written.values()) <= 0:
        return None
    best = max(sorted(written), key=lambda dev: written[dev])
    above = [dev for dev in written if best in known[dev].get("on", ()) and 2 * written[dev] >= written[best]]
    return max(above, key=lambda dev: written[dev], default=best)


def device_number(source: str) -> str:
    """Return MAJ:MIN of a device file: file systems of several disks are mounted with a number of no disk."""
    with suppress(OSError):
        found = os.stat(source) if source.startswith("/dev/") else None  # noqa: PTH116  a path of the kernel's
        if found is not None and stat.S_ISBLK(found.st_mode):
            return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    return ""


def _sectors_written(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {f"{row[0]}:{row[1]}": int(row[9]) for row in rows if len(row) > 9 and row[9].isdigit()}


def memory_kib() -> int:
    """Return MemTotal."""
    found = re.search(r"^MemTotal:\s+(\d+)", said("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) if found else 0


def free_kib() -> int:
    """Return MemFree."""
    found = re.search(r"^MemFree:\s+(\d+)", said("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) if found else 0
