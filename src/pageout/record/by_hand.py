# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell commands of a recording, for somebody with root and without pageout: sh, cat, sed, awk, sleep, gzip.

The events come as text, which the kernel formats while it records; samples are taken by awk, on the clock that the
instance's own statistics tell. What it leaves is a bundle without a manifest.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from pageout.record.command import job_files, job_name, wants_json
from pageout.record.sets import BYTES_A_SECOND, NOT_MISSED, SETS, STALL_S
from pageout.record.tracefs import IRQ_FLAGS

# Measured: docs/how-to/record.md.
COST = {
    "light": "the sampler takes 3 to 5 % of one CPU, each event about 5 us of another to become text; a busy disk\n"
    "#         gives some thousand events, half a megabyte of text a second.",
    "full": "about 5 us, and 100 bytes of text, for each page read, dirtied, written, reclaimed: a machine that moves\n"
    "#         400 MB/s is kept busy by it, and fills a gigabyte in a minute. Keep it short.",
}

_ITEMS = """
nr_dirty nr_writeback nr_free_pages nr_dirtied nr_written nr_anon_pages nr_file_pages nr_inactive_anon nr_active_anon
nr_inactive_file nr_active_file nr_slab_reclaimable nr_slab_unreclaimable nr_shmem nr_mapped pgpgin pgpgout pswpin
pswpout pgfault pgmajfault pgscan_kswapd pgscan_direct pgsteal_kswapd pgsteal_direct allocstall_dma32
allocstall_normal allocstall_movable workingset_refault_file workingset_refault_anon pgrotated nr_vmscan_write
nr_vmscan_immediate_reclaim compact_stall compact_fail compact_success oom_kill kswapd_low_wmark_hit_quickly
kswapd_high_wmark_hit_quickly pageoutrun
""".split()  # noqa: SIM905  a list of names reads best as text

_HEAD = """\
#!/bin/sh
# A recording as pageout makes it, by hand, as root: sh record.sh
# Where:  a new folder in the current one; OUT=folder sh record.sh names another.
# Cost:   @cost@
# Undo:   it undoes everything itself, Ctrl-C included. After kill -9 of this shell:
#           rmdir /sys/kernel/tracing/instances/pageout-*   (kill the processes that read them first)
#           umount /sys/kernel/tracing                      (if it was not mounted before)
# Read:   pageout explain FOLDER/trace.txt.gz FOLDER/samples.csv FOLDER/sysctls FOLDER/vmstat.after
set -eu
OUT=${OUT:-pageout-$(date +%Y%m%d-%H%M%S)}
T= MOUNTED= SAMPLER= READER=
for place in /sys/kernel/tracing /sys/kernel/debug/tracing; do
    if [ -d "$place/instances" ]; then T=$place; break; fi
done
mkdir "$OUT"
if [ -z "$T" ]; then
    T=/sys/kernel/tracing
    mount -t tracefs nodev "$T"
    MOUNTED=1
fi
I=$T/instances/pageout-$$
undo() {
    trap '' INT TERM HUP
    trap - EXIT
    if [ -n "$SAMPLER" ]; then kill "$SAMPLER" 2>/dev/null || :; fi
    if [ -n "$READER" ]; then kill "$READER" 2>/dev/null || :; fi
    wait
    if [ -d "$I" ]; then
        echo 0 > "$I/tracing_on"
        rmdir "$I"
    fi
    if [ -n "$MOUNTED" ]; then umount "$T" || :; fi
}
trap undo EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$I"
echo 0 > "$I/tracing_on"
echo mono > "$I/trace_clock" || :
echo @kib@ > "$I/buffer_size_kb"
on() { # the first of these events that the kernel has
    for event; do
        if [ -e "$I/events/$event/enable" ]; then echo 1 > "$I/events/$event/enable"; return 0; fi
    done
    echo "this kernel has no $1" >&2
}
maybe() { on "$@" 2>/dev/null; } # not every kernel has these, nor needs them
now() { sed -n 's/^now ts: *//p' "$I/per_cpu/cpu0/stats"; }
around() { # what /proc says before and after
    for file in vmstat meminfo zoneinfo buddyinfo diskstats; do cat "/proc/$file" > "$OUT/$file.$1" || :; done
    for file in cpu io memory; do cat "/proc/pressure/$file" > "$OUT/pressure-$file.$1" 2>/dev/null || :; done
}

cat "$I/trace_pipe" > "$OUT/trace.txt" &
READER=$!
awk -v stats="$I/per_cpu/cpu0/stats" '
    BEGIN {
        nr = split("@items@", names, " ")
        while ((getline line < "/proc/vmstat") > 0) { split(line, word, " "); value[word[1]] = word[2] }
        close("/proc/vmstat")
        row = "t_s"
        for (n = 1; n <= nr; n++) if (names[n] in value) row = row "," names[n]
        print row
        for (;;) {
            while ((getline line < stats) > 0) if (line ~ /^now ts:/) { split(line, word, " "); now = word[3] }
            close(stats)
            while ((getline line < "/proc/vmstat") > 0) { split(line, word, " "); value[word[1]] = word[2] }
            close("/proc/vmstat")
            row = now
            for (n = 1; n <= nr; n++) if (names[n] in value) row = row "," value[names[n]]
            print row
            fflush()
            if (system("sleep 0.1")) exit
        }
    }' > "$OUT/samples.csv" &
SAMPLER=$!

"""

_TAIL = """\
# Not what the two above cause themselves; what interrupts do while they run is kept.
for system in @filtered@; do
    echo "(common_pid != $SAMPLER && common_pid != $READER) || common_flags & @irq@" > "$I/events/$system/filter" || :
done
@device@
for file in /proc/sys/vm/*; do
    if value=$(cat "$file" 2>/dev/null) && [ -n "$value" ]; then echo "vm.${file##*/} = $value"; fi
done > "$OUT/sysctls"
cat /proc/self/mounts > "$OUT/mounts"
cat /proc/config.gz > "$OUT/config.gz" 2>/dev/null || rm -f "$OUT/config.gz"
around before
echo 1 > "$I/tracing_on"
start=$(now)
set +e
@command@
rc=$?
set -e
end=$(now)
echo 0 > "$I/tracing_on"
sleep 0.5
around after
cat "$I"/per_cpu/cpu*/stats > "$OUT/trace.stats"
lost=$(awk '/^(overrun|commit overrun|dropped events):/ { sum += $NF } END { print sum + 0 }' "$OUT/trace.stats")
clock=$(sed 's/.*\\[\\(.*\\)\\].*/\\1/' "$I/trace_clock")
undo
gzip -1 "$OUT/trace.txt"

hz=$(gzip -dc "$OUT/config.gz" 2>/dev/null | sed -n 's/^CONFIG_HZ=//p')
limit() { sed -n "s/^$dev //p" "/sys/fs/cgroup/blkio/blkio.throttle.$1_device" 2>/dev/null || :; }
{
    echo '{'
    echo ' "kernel": "'"$(cat /proc/sys/kernel/osrelease)"'", "hz": '"${hz:-null}"','
    echo ' "cpus": '"$(grep -c '^processor' /proc/cpuinfo)"', "dev": @dev@, "rc": '"$rc"','
    echo ' "command": '@argv@','
    echo ' "start_s": '"$start"', "end_s": '"$end"','
    echo ' "lru_gen": "'"$(cat /sys/kernel/mm/lru_gen/enabled 2>/dev/null || echo none)"'",'
    echo ' "samples": {"clock": "trace", "time_column": "t_s"},'
    echo ' "events": {"set": "@set@", "lost": '"$lost"', "clock": "'"$clock"'"},'
    echo ' "devices": {'
    comma=
    for disk in /sys/block/*; do
        if [ "$(cat "$disk/size")" = 0 ]; then continue; fi
        dev=$(cat "$disk/dev")
        printf '%s  "%s": {"name": "%s", "size": %s' "$comma" "$dev" "${disk##*/}" $(($(cat "$disk/size") * 512))
        for file in nr_requests max_sectors_kb read_ahead_kb wbt_lat_usec; do
            value=$(cat "$disk/queue/$file" 2>/dev/null) && printf ', "%s": %s' "$file" "$value"
        done
        wbps=$(limit write_bps) rbps=$(limit read_bps) wiops=$(limit write_iops) riops=$(limit read_iops)
        if [ -n "$wbps$rbps$wiops$riops" ]; then
            printf ', "limits": {"wbps": %s, "rbps": %s, "wiops": %s, "riops": %s}' \\
                "${wbps:-null}" "${rbps:-null}" "${wiops:-null}" "${riops:-null}"
        fi
        printf '}'
        comma=',
'
    done
    echo
    echo ' },'
    echo ' "sysctl": {'
    sed -n 's/^\\(vm\\.[a-z_]*\\) = \\(-\\{0,1\\}[0-9]\\{1,\\}\\)$/  "\\1": \\2/p' "$OUT/sysctls" | sed '$!s/$/,/'
    echo ' }'
    echo '}'
} > "$OUT/meta.json"
echo "recorded in $OUT; events lost: $lost"
exit "$rc"
"""


def script(argv: Sequence[str], duration: float | None, events: str, disk: str | None) -> str:
    """Return the script; the command's words are quoted in it, and nothing in them is run."""
    rows = SETS[events]
    values = {
        "cost": COST[events],
        "kib": str(BYTES_A_SECOND[events] * STALL_S * 2 // 1024),
        "items": " ".join(_ITEMS),
        "filtered": " ".join(dict.fromkeys(row.partition(":")[0] for row in rows if not row.startswith("block:"))),
        "irq": str(IRQ_FLAGS),
        "device": _device(disk),
        "command": _command(argv, duration),
        "dev": json.dumps(disk),
        "argv": shlex.quote(json.dumps(list(argv) or None)),
        "set": events,
    }
    text = _HEAD + "".join(map(_switch, rows)) + _TAIL
    return re.sub(r"@([a-z]+)@", lambda match: values[match[1]], text)  # once: a command's words may look like these


def _switch(row: str) -> str:
    system, _, names = row.partition(":")
    if names == "*":
        return f'for event in "$I/events/{system}"/*/enable; do [ ! -e "$event" ] || echo 1 > "$event"; done\n'
    return f"{'maybe' if row in NOT_MISSED else 'on'} {' '.join(f'{system}/{name}' for name in names.split('|'))}\n"


def _device(disk: str | None) -> str:
    if disk is None:
        return ""
    major, _, minor = disk.partition(":")
    number = int(major) << 20 | int(minor)
    return f'for event in "$I"/events/block/block_*; do echo "dev == {number}" > "$event/filter" || :; done'


def _command(argv: Sequence[str], duration: float | None) -> str:
    if not argv:
        return f"sleep {duration:g}"
    limit = f"timeout -s INT {duration:g} " if duration is not None else ""
    out = "fio.json" if wants_json(argv) else "stdout"
    names = job_files(argv).items()
    copies = "".join(f'cp {shlex.quote(name)} "$OUT/{job_name(nr)}"\n' for nr, name in names)
    return f'{copies}{limit}{shlex.join(argv)} > "$OUT/{out}" 2> "$OUT/stderr"'
