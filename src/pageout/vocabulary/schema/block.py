# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of the block layer.  Sectors are of 512 bytes; `issuer` is the task in brackets, whoever runs the code.

Source: include/trace/events/block.h of Linux v3.1.3 to v6.18 and the formats a 6.18 machine gives.
"""

from __future__ import annotations

from pageout.vocabulary.schema.rows import EventKind, event, grown

_ISSUER = "issuer:w=comm"
_IOPRIO_SPEC = "cmd:w ioprio:w ioprio_hint:u ioprio_level:u"
_IOPRIO = "{ioprio},{ioprio_hint},{ioprio_level}"
_RQ_SPEC = f"{_ISSUER} {_IOPRIO_SPEC}"
_RQ_OLD = "{dev} {rwbs} {bytes} ({cmd}) {sector} + {nr_sector} [{issuer}]"
_RQ_NEW = "{dev} {rwbs} {bytes} ({cmd}) {sector} + {nr_sector} " + _IOPRIO + " [{issuer}]"
_DONE_OLD = "{dev} {rwbs} ({cmd}) {sector} + {nr_sector} [{error}]"
_DONE_NEW = "{dev} {rwbs} ({cmd}) {sector} + {nr_sector} " + _IOPRIO + " [{error}]"
_ERROR = "error:d=errors"
_RQ_COLUMNS = "dev:w rwbs:w bytes:u/bytes sector:lu/sectors_of_512_B nr_sector:u/sectors_of_512_B " + _RQ_SPEC
_BUFFER = ("dev:w sector:lu/sectors_of_512_B size:lu/bytes", "{dev} sector={sector} size={size}")
_ZONE = ("dev:w zone:u=zno sector:lu/sectors_of_512_B nr_sectors:u/sectors_of_512_B",
         "{dev} zone {zone}, BIO {sector} + {nr_sectors}")  # fmt: skip

REQUESTS: tuple[EventKind, ...] = (
    grown("block_rq_insert", _RQ_SPEC, {"6.12": _RQ_NEW}),
    grown("block_rq_issue", _RQ_SPEC, {"6.12": _RQ_NEW}),
    event("block_rq_merge", "block", _RQ_COLUMNS, {"5.11": _RQ_OLD, "6.12": _RQ_NEW}),
    event("block_io_start", "block", _RQ_COLUMNS, {"6.5": _RQ_OLD, "6.12": _RQ_NEW}),
    event("block_io_done", "block", _RQ_COLUMNS, {"6.5": _RQ_OLD, "6.12": _RQ_NEW}),
    grown("block_rq_complete", f"{_IOPRIO_SPEC} {_ERROR}", {"6.12": _DONE_NEW}),
    grown("block_rq_requeue", f"{_IOPRIO_SPEC} {_ERROR}", {"6.12": _DONE_NEW}),
    grown("block_rq_abort", f"cmd:w {_ERROR}", until="3.13"),
    event(
        "block_rq_error",
        "block",
        "dev:w rwbs:w sector:lu/sectors_of_512_B nr_sector:u/sectors_of_512_B error:d/-errno " + _IOPRIO_SPEC,
        {"5.18": _DONE_OLD, "6.12": _DONE_NEW},
    ),
    grown(
        "block_rq_remap",
        "nr_bios:u",
        {"3.9": "{dev} {rwbs} {sector} + {nr_sector} <- ({old_dev}) {old_sector} {nr_bios}"},
    ),
)

BIOS: tuple[EventKind, ...] = (
    *(grown(f"block_bio_{what}", _ISSUER) for what in ("backmerge", "frontmerge", "queue")),
    grown("block_bio_bounce", _ISSUER, until="6.15"),
    grown("block_bio_complete", _ERROR),
    grown("block_bio_remap"),
    grown("block_getrq", _ISSUER),
    grown("block_sleeprq", _ISSUER, until="5.10"),
    grown("block_split", _ISSUER),
    grown("block_plug", _ISSUER),
    grown("block_unplug", _ISSUER),
    event("block_touch_buffer", "block", _BUFFER[0], {"3.9": _BUFFER[1]}),
    event("block_dirty_buffer", "block", _BUFFER[0], {"3.9": _BUFFER[1]}),
    event("blkdev_zone_mgmt", "block", "dev:w rwbs:w sector:lu/sectors_of_512_B nr_sectors:lu/sectors_of_512_B",
          {"6.16": "{dev} {rwbs} {sector} + {nr_sectors}"}),
    event("blk_zone_wplug_bio", "block", _ZONE[0], {"6.16": _ZONE[1]}),
    event("disk_zone_wplug_add_bio", "block", _ZONE[0], {"6.16": _ZONE[1]}),
    event("blk_zone_append_update_request_bio", "block", _RQ_COLUMNS, {"6.16": _RQ_NEW}),
)  # fmt: skip

BLOCK = REQUESTS + BIOS
