# SPDX-License-Identifier: GPL-2.0-or-later
"""What each fio option means here, and how fio reads sizes and times.

Source: fio's HOWTO.rst, and options.c, parse.c where the HOWTO is silent.
"""

from __future__ import annotations

import re

from pageout.vocabulary.scenario import DAY_NS
from pageout.vocabulary.units import MAX_VALUE, NS_PER_MS, NS_PER_S, NS_PER_US

ALIASES = {
    "readwrite": "rw", "blocksize": "bs", "blocksize_range": "bsrange", "io_limit": "io_size", "fileoffset": "offset",
    "nr_files": "nrfiles", "timeout": "runtime", "wait_for_previous": "stonewall", "allrandrepeat": "randrepeat",
    "ratemin": "rate_min", "ratecycle": "rate_cycle", "blockalign": "ba", "blocksize_unaligned": "bs_unaligned",
    "fill_fs": "fill_device", "iodepth_batch_submit": "iodepth_batch", "iomem": "mem", "mem_align": "iomem_align",
    "iodepth_batch_complete": "iodepth_batch_complete_min", "disable_bw": "disable_bw_measurement",
    "log_max_value": "log_window_value", "log_unix_epoch": "log_alternate_epoch",
    "data_placement": "dataplacement", "ss": "steadystate",
}  # fmt: skip

MODELLED = {
    "rw": "read, write, randread, randwrite, rw, randrw; read unless given",
    "bs": "one size, or `read,write`; 4k unless given",
    "bsrange": "only with both ends equal",
    "size": "bytes of the job over all its files; percentages refused",
    "filesize": "bytes of each file",
    "io_size": "bytes moved, wrapping round or stopping short; the size unless given",
    "offset": "where in each file the job starts",
    "offset_increment": "added to the offset once per clone",
    "nrfiles": "files of the job, served round robin; the size is divided among them",
    "filename": "a file, or several with `:` between; jobs that name the same file share it",
    "filename_format": "`$jobname`, `$jobnum`, `$filenum`",
    "directory": "kept as part of the file's name",
    "numjobs": "clones, each with its own files unless `filename` is given",
    "rwmixread": "percentage of reads of rw and randrw",
    "rwmixwrite": "percentage of writes of rw and randrw",
    "fsync": "after so many writes",
    "fdatasync": "taken as fsync",
    "end_fsync": "once at the end",
    "fsync_on_close": "taken as end_fsync",
    "fadvise_hint": "0, 1, sequential or random; 1 unless given: by `rw`, as posix_fadvise() takes it",
    "sync": "O_SYNC and O_DSYNC, taken as fsync=1",
    "overwrite": "the files exist before the run",
    "rate": "bytes per second of each direction",
    "rate_iops": "taken as rate, times bs",
    "thinktime": "pause, microseconds unless a unit is given",
    "thinktime_blocks": "calls before each pause",
    "runtime": "seconds unless a unit is given",
    "time_based": "start over until runtime is up",
    "startdelay": "seconds unless a unit is given",
    "loops": "times the job is done",
    "stonewall": "waits for all jobs above to be done",
    "norandommap": "random blocks may repeat before all were covered",
    "random_generator": "lfsr: a permutation; any other draws, and takes the next block not covered yet",
    "random_distribution": "random, zipf:theta, pareto:h; others are warned of and taken as random",
    "randseed": "seed of the random numbers; wins over --seed",
    "randrepeat": "a run always repeats; another --seed gives other numbers",
    "ioengine": "sync, psync, vsync, pvsync, pvsync2 and mmap; libaio, io_uring and posixaio as psync, with a warning",
    "kb_base": "1024 (k = 1024, kib = 1000, as in fio) or 1000",
    "direct": "only 0: O_DIRECT bypasses the page cache",
    "buffered": "only 1",
}

# Accepted in silence: they change what fio reports or how it makes its data, not what the kernel sees, or they
# matter only beside an option that is refused.
_HARMLESS_NAMES = """
    description name group_reporting new_group thread unit_base filetype unique_filename lockfile iodepth
    iodepth_batch iodepth_batch_complete_min iodepth_batch_complete_max iodepth_low serialize_overlap io_submit_mode
    softrandommap openfiles clocksource mem iomem_align hugepage-size do_verify
    verify_policy verifysort verifysort_nr verify_interval verify_offset verify_pattern verify_pattern_interval
    verify_fatal verify_dump verify_async verify_backlog verify_backlog_batch verify_async_cpus experimental_verify
    verify_state_load verify_state_save verify_write_sequence verify_header_seed write_iolog write_hint
    create_serialize create_fsync create_on_open allow_file_create allow_mounted_write uid gid comm exitall_on_error
    exit_what per_job_logs write_bw_log write_lat_log write_iops_log write_hist_log log_entries log_avg_msec
    log_hist_msec log_hist_coarseness log_window_value log_offset log_prio log_issue_time log_compression
    log_compression_cpus log_store_compressed log_alternate_epoch log_alternate_epoch_clock_id
    block_error_percentiles bwavgtime iopsavgtime stats zero_buffers refill_buffers scramble_buffers buffer_pattern
    buffer_compress_percentage buffer_compress_chunk dedupe_percentage dedupe_global dedupe_mode
    dedupe_working_set_percentage clat_percentiles lat_percentiles slat_percentiles percentile_list
    significant_figures disk_util gtod_reduce disable_lat disable_clat disable_slat disable_bw_measurement gtod_cpu
    job_start_clock_id unified_rw_reporting continue_on_error ignore_error error_dump rate_cycle rwmixcycle
    rate_ignore_thinktime thinktime_spin thinktime_blocks_type flow_watermark flow_sleep flow_id replay_redirect
    replay_no_stall replay_scale replay_align replay_skip replay_time_scale trim_percentage trim_verify_zero
    trim_backlog trim_backlog_batch userspace_reap nowait hipri hipri_percentage fixedbufs registerfiles nonvectored
    uncached sqthread_poll sqthread_poll_cpu cmdprio cmdprio_percentage cmdprio_class latency_window
    latency_percentile latency_run ss_dur ss_ramp steadystate_duration steadystate_ramp_time ss_check_interval
    cgroup_nodelete numa_mem_policy cpus_allowed_policy percentage_sequential zonecapacity read_beyond_wp
    max_open_zones job_max_open_zones ignore_zone_limits zone_reset_threshold zone_reset_frequency
    recover_zbd_write_error write_zone_remainder plid_select fdp_pli_select plids fdp_pli dp_scheme num_range
    spr_num_regions spr_op spr_cs merge_blktrace_scalars merge_blktrace_iters gpu_dev_id
"""
HARMLESS = frozenset(_HARMLESS_NAMES.split())

# Named in a warning: {option: (values that change nothing, what it would have done)}.
OFF = frozenset({"0", "none"})
WARNED: dict[str, tuple[frozenset[str], str]] = {
    "wait_for": (frozenset(), "the job starts with its group, not after the job named"),
    "rw_sequencer": (frozenset({"sequential"}), "the order of offsets is rw's own"),
    "fill_device": (OFF, "the job stops at its size, not at a full filesystem"),
    "fallocate": (OFF, "blocks are chosen when written back; with overwrite=1 the file lies on the disk before"),
    "file_append": (OFF, "the job starts at its offset, not at the end of the file"),
    "offset_align": (OFF, "offsets are used as they stand"),
    "number_ios": (OFF, "the job stops at its size"),
    "ba": (frozenset(), "random offsets are aligned to bs"),
    "bs_unaligned": (OFF, "every call moves bs bytes"),
    "bs_is_seq_rand": (OFF, "bs is read,write here"),
    "percentage_random": (frozenset({"100"}), "random jobs are wholly random"),
    "random_sequence_stride": (OFF, "random offsets are drawn one by one"),
    "sprandom": (OFF, "random offsets are drawn one by one"),
    "file_service_type": (frozenset({"roundrobin", "roundrobin:1"}), "files are served round robin"),
    "sync_file_range": (frozenset(), "no sync_file_range() is called"),
    "write_barrier": (OFF, "no barriers are sent"),
    "end_syncfs": (OFF, "no syncfs() is called"),
    "ramp_time": (OFF, "figures cover the run from its start"),
    "ramp_size": (OFF, "figures cover the run from its start"),
    "verify": (OFF, "what was written is not read back"),
    "exec_prerun": (frozenset(), "the command is not run"),
    "exec_postrun": (frozenset(), "the command is not run"),
    "ioscheduler": (frozenset(), "choose with --set DISK.elevator=deadline or noop"),
    "zonesize": (OFF, "the job covers its whole range"),
    "zonerange": (OFF, "the job covers its whole range"),
    "zoneskip": (OFF, "the job covers its whole range"),
    "lockmem": (OFF, "no memory is pinned"),
    "nice": (OFF, "all tasks have the same priority"),
    "prio": (OFF, "all requests have the same priority"),
    "prioclass": (OFF, "all requests have the same priority"),
    "priohint": (OFF, "all requests have the same priority"),
    "thinkcycles": (OFF, "no cycles are burnt"),
    "thinktime_iotime": (OFF, "pauses go by thinktime_blocks"),
    "rate_min": (OFF, "the job does not fail below it"),
    "rate_iops_min": (OFF, "the job does not fail below it"),
    "rate_process": (frozenset({"linear"}), "calls come at even distances"),
    "max_latency": (OFF, "the job does not fail above it"),
    "latency_target": (OFF, "the depth is not searched for"),
    "invalidate": (frozenset({"1"}), "files laid out before the run are not in the page cache"),
    "pre_read": (OFF, "files are not read in beforehand; see [run] prefill of a scenario"),
    "cpumask": (frozenset(), "tasks run on any CPU"),
    "cpus_allowed": (frozenset(), "tasks run on any CPU"),
    "numa_cpu_nodes": (frozenset(), "there is one memory node"),
    "unlink": (OFF, "the files stay"),
    "unlink_each_loop": (OFF, "the files stay"),
    "exitall": (OFF, "the other jobs go on when one is done"),
    "cgroup": (frozenset(), "all tasks are in the root group"),
    "cgroup_weight": (frozenset(), "all tasks are in the root group"),
    "flow": (OFF, "jobs do not wait for one another's progress"),
    "steadystate": (frozenset(), "the run is not cut short"),
}

# Refused: {option: (values that mean "off", why)}.
REFUSED: dict[str, tuple[frozenset[str], str]] = {
    "bssplit": (frozenset(), "mixed block sizes are not modelled: give one bs"),
    "atomic": (OFF, "atomic writes need O_DIRECT, which bypasses the page cache"),
    "create_only": (OFF, "the job does no I/O"),
    "verify_only": (OFF, "the job writes nothing"),
    "read_iolog": (frozenset(), "recorded I/O is not replayed from fio logs"),
    "read_iolog_chunked": (OFF, "recorded I/O is not replayed from fio logs"),
    "merge_blktrace_file": (frozenset(), "recorded I/O is not replayed from fio logs"),
    "profile": (frozenset(), "profiles are not known here: write their jobs out"),
    "opendir": (frozenset(), "files in a directory here are not looked at: name them with filename"),
    "zonemode": (frozenset({"none"}), "zoned devices are not modelled"),
    "dataplacement": (frozenset({"none"}), "data placement is not modelled"),
    "fdp": (OFF, "data placement is not modelled"),
}
KNOWN = (*MODELLED, *ALIASES, *HARMLESS, *WARNED, *REFUSED)

SYNC_ENGINES = ("sync", "psync", "vsync", "pvsync", "pvsync2", "mmap")
ASYNC_ENGINES = {
    "libaio": "io_submit() blocks on buffered I/O, so iodepth has no effect",
    "io_uring": "buffered writes are done at submission, so iodepth has no effect on them; reads go one at a time",
    "posixaio": "its helper threads are not modelled: calls go one at a time",
}
ENGINES = (*SYNC_ENGINES, *ASYNC_ENGINES, "splice", "null", "net", "rbd", "rados", "nfs", "http", "cpuio", "falloc")
DIRECTIONS = ("read", "write", "randread", "randwrite", "rw", "randrw")
TIMES = {
    "us": NS_PER_US, "usec": NS_PER_US, "ms": NS_PER_MS, "msec": NS_PER_MS, "s": NS_PER_S, "sec": NS_PER_S,
    "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S, "d": DAY_NS,
}  # fmt: skip


def parse_fio_size(text: str, kb_base: int = 1024) -> int:
    """Return bytes as fio reads them: k, kb, ki by kb_base, kib by the other base.  Raises ValueError."""
    if "%" in text:
        raise ValueError("a percentage is of what is on your disk, unknown here: write bytes, such as 1g")
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})(?:([kmgtpKMGTP])([iI]?[bB]?|[iI])|[bB])?", text)
    if not match:
        raise ValueError("not a whole number with a unit, such as 64k or 1g")
    base = (1000 if kb_base == 1024 else 1024) if (match[3] or "").lower() == "ib" else kb_base
    power = " kmgtp".index(match[2].lower()) if match[2] else 0
    number = int(match[1], 16 if match[1][:2] in ("0x", "0X") else 10)
    amount: int = number * base**power
    if amount > MAX_VALUE:
        raise ValueError("larger than anything that can be simulated")
    return amount


def parse_fio_time(text: str, unit_ns: int) -> int:
    """Return nanoseconds as fio reads them; a bare number is in `unit_ns`.  Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,18})([a-zA-Z]*)", text)
    factor = (TIMES.get(match[2].lower()) if match[2] else unit_ns) if match else None
    if not match or factor is None:
        raise ValueError("not a whole number with a unit, such as 10s or 500ms")
    if int(match[1]) * factor > 365 * DAY_NS:
        raise ValueError("longer than a year")
    return int(match[1]) * factor
