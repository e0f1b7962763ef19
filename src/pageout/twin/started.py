# SPDX-License-Identifier: GPL-2.0-or-later
"""How the machine stood when a recording began, put into its scenario: what the kernel believed of the device, what was
dirty elsewhere. It is told by the first events, before any of the model's own."""

from __future__ import annotations

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import window_of
from pageout.replay.devices import devices_of
from pageout.replay.start import elsewhere_of, known_of
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine
from pageout.vocabulary.settings import SYSCTLS

PAGE_BYTES = 4096
ELSEWHERE = "elsewhere"
OTHER_DISK = Disk(name="sdb", kind="ssd", queue_depth=32)


def with_start(
    bundle: Bundle, machine: Machine, files: tuple[File, ...], floor_moved: bool, notes: list[str]
) -> tuple[Machine, tuple[File, ...]]:
    """Return machine and files with what was so before; `floor_moved`: the kernel's shares have the floor of 6.14."""
    window = window_of(bundle)
    if bundle.events is None or bundle.device is None or window is None:
        return machine, files
    samples = bundle.samples
    columns, time_ns = (samples.columns, samples.time_ns) if samples is not None else (None, None)
    device = devices_of(bundle.events, columns, time_ns, 10**9 // machine.hz).get(bundle.device)
    if device is None:
        return machine, files
    known = known_of(bundle.events, device, floor_moved)
    every, expire = (
        bundle.sysctl.get(name, SYSCTLS[name].default) * 10**7
        for name in ("vm.dirty_writeback_centisecs", "vm.dirty_expire_centisecs")
    )
    dirty = elsewhere_of(bundle.events, columns, time_ns, bundle.device, window.start_ns, (every, expire))
    main = msgspec.structs.replace(
        machine.disks[0],
        start_bandwidth=known.bandwidth,
        start_avg_bandwidth=known.avg_bandwidth,
        start_ratelimit=known.ratelimit,
        start_written_bytes=known.written,
    )
    machine = msgspec.structs.replace(machine, disks=(main, *machine.disks[1:]))
    if known.ratelimit:
        mib = [value / (1 << 20) for value in (known.avg_bandwidth, known.ratelimit)]
        notes.append(f"the device was known: {mib[0]:.3g} MiB/s written, writers held to {mib[1]:.3g} MiB/s")
    if not dirty.pages and not known.others_written:
        return machine, files
    other = msgspec.structs.replace(OTHER_DISK, start_written_bytes=known.others_written)
    mounted = Filesystem(name=ELSEWHERE, kind=machine.filesystem.kind, disk=other.name)
    machine = msgspec.structs.replace(machine, disks=(*machine.disks, other), more_filesystems=(mounted,))
    if dirty.pages:
        nbytes = dirty.pages * PAGE_BYTES
        notes.append(f"other devices: {nbytes / (1 << 20):.3g} MiB dirty at the start, for {dirty.age_ns / 1e9:.3g} s")
        old = File(
            name=ELSEWHERE, size_bytes=nbytes, filesystem=ELSEWHERE, dirty_bytes=nbytes, dirty_age_ns=dirty.age_ns
        )
        files = (*files, old)
    return machine, files
