# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads settings: sysctl's own print, /proc/sys paths, sysctl.conf, commands that set one, prose that names one.

A fact's `how` says which: what a kernel reported ("read") is not what somebody meant to write into a file ("conf"),
ran at a prompt ("set") or only wrote about ("said").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact, Sysctl
from pageout.readers.lines import Claim
from pageout.readers.proc.named import Named, Reader, names

MAX_SETTINGS = 200_000
VM = names(
    "admin_reserve_kbytes block_dump compact_memory compact_unevictable_allowed compaction_proactiveness defrag_mode "
    "dirty_background_bytes dirty_background_ratio dirty_bytes "
    "dirty_expire_centisecs dirty_ratio dirty_writeback_centisecs "
    "dirtytime_expire_seconds drop_caches extfrag_threshold extra_free_kbytes highmem_is_dirtyable laptop_mode "
    "lowmem_reserve_ratio max_map_count min_free_kbytes min_slab_ratio "
    "min_unmapped_ratio nr_hugepages nr_pdflush_threads "
    "overcommit_kbytes overcommit_memory overcommit_ratio page-cluster pagecache panic_on_oom percpu_pagelist_fraction "
    "percpu_pagelist_high_fraction scan_unevictable_pages swappiness user_reserve_kbytes vfs_cache_pressure "
    "watermark_boost_factor watermark_scale_factor zone_reclaim_mode oom_kill_allocating_task oom_dump_tasks"
)
# Settings that have nothing to do with reclaim or writeback: known, so that nobody takes them for a wrong spelling.
VM_TOO = names(
    "enable_soft_offline heap-stack-gap hugepages_treat_as_movable hugetlb_optimize_vmemmap "
    "hugetlb_shm_group kswapd_threads legacy_va_layout mem_profiling memfd_noexec memory_failure_early_kill "
    "memory_failure_recovery mmap_min_addr mmap_rnd_bits mmap_rnd_compat_bits movable_gigantic_pages "
    "nr_hugepages_mempolicy nr_overcommit_hugepages numa_stat numa_zonelist_order page_lock_unfairness "
    "stat_interval stat_refresh swap_token_timeout swap_token unprivileged_userfaultfd vdso_enabled "
    "vfs_cache_pressure_denom"
)
_TOP = r"(?:abi|crypto|debug|dev|fs|fscache|kernel|net|sunrpc|user|vm|xen)"
_KEY = rf"{_TOP}[./][\w.*:@%-]{{1,120}}(?:/[\w.*:@%-]{{1,120}}){{0,8}}"
_DOTTED = re.compile(rf"(-?)({_KEY})(\s{{0,8}}=\s{{0,8}}|:\s{{0,8}})(.{{0,3000}})")
_PATH = re.compile(
    r"/proc/sys/([\w.*:@%-]{1,120}(?:/[\w.*:@%-]{1,120}){0,8})(?::[ \t]{0,8}|\s{0,8}=\s{0,8})(.{0,3000})"
)
_SHORT = re.compile(r"(?:\./)?([a-z][a-z_-]{3,40})(?:\s{0,8}[:=]\s{0,8}|\s{1,40})(-?\d{1,20})")
_COMMENT = re.compile(r"[#;].{0,2000}")
_ECHO = re.compile(
    r"\b(?:echo|printf)\s{1,4}(?:-n\s{1,4})?[\"']?([\w.-]{1,40})[\"']?\s{0,4}(?:>{1,2}|\|\s{0,4}(?:sudo\s{1,4})?tee(?:\s{1,4}-a)?)\s{0,4}"
    r"(/proc/sys/[\w./-]{1,200}|/sys/[^\s;&|'\"]{1,300})"
)
_WRITE = re.compile(
    rf"\bsysctl\s{{1,4}}(?:-[qweN]{{1,4}}\s{{1,4}}){{0,3}}[\"']?({_KEY})\s{{0,2}}=\s{{0,2}}[\"']?(-?[\w.]{{1,40}})"
)
_SAID = re.compile(
    r"(?:/proc/sys/(vm/[\w-]{3,60})|\b(vm\.[\w-]{3,60}))(?:\s{0,2}[:=]\s{0,2}|\s{1,2}(?:"
    r"(?:is|was|to|at|set to|of)\s{1,2})?)[\"']?(\d{1,20})(?![\w.]?\w)"
    r"(?!\s{1,2}(?i:[kmgt]i?b?|megs?|gigs?|[kmgt](?:ibi|ega|iga|era)?bytes?)\b)"  # in another unit than the setting's
)
_TROUBLE = re.compile(r"sysctl: .{1,300}")
_COMMAND_FIRST = re.compile(
    r"(?:\S{0,120}(?: \S{1,120})?\s?[#$%>]\s{0,4}|\+ )?(?:sudo\s{1,4})?(?:(?:ba|da)?sh\s{1,4}-c\s{1,4}[\"'])?"
)
_WORDS_AFTER = re.compile(r"[A-Za-z]{2,}")  # a sentence goes on
# What the hung-task detector prints is advice, not a setting.
_ADVICE = re.compile(r'"echo 0 > /proc/sys/kernel/hung_task_timeout_secs"')
_PROMPT = re.compile(r"(?:\S{0,120}\s?)?[#$]\s")
_FILE = re.compile(r"/?(?:proc/)?sys/((?:vm|fs|kernel|net|dev)/[\w./-]{1,200})")
_NAME = re.compile(_KEY)


def dotted(name: str) -> str:
    """Return a setting's name as sysctl prints it; of a path `vm/dirty_ratio` too."""
    first = re.search(r"[./]", name)
    if first is None or first[0] == ".":
        return name
    return name.replace(".", "\0").replace("/", ".").replace("\0", "/")


def number_of(text: str) -> float | None:
    """Return a text that is one whole number; None for several, for words, and beyond 64 bit."""
    if re.fullmatch(r"-?\d{1,20}", text) is None:
        return None
    number = int(text)
    return float(number) if -(1 << 63) <= number < 1 << 64 else None


class Sysctls(Reader):
    """`vm.dirty_ratio = 20`. Sees lines after everybody else: prose is its last resort."""

    kind = "sysctl"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._facts: list[Sysctl] = []
        self._last = -10

    def see(self, number: int, text: str) -> Claim | None:
        """Claim a setting, or prose with one in it."""
        if len(self._facts) >= MAX_SETTINGS:
            return None
        claim = self._line(number, text)
        if claim is not None:
            self._last = number
        return claim

    def _line(self, number: int, text: str) -> Claim | None:
        if self._commands(number, text):
            return Claim.KNOWN
        if (_COMMENT.fullmatch(text) and not _PROMPT.match(text + " ")) or re.match(r"[#;]\s{0,4}-?vm\.", text):
            return Claim.KNOWN if self._last == number - 1 or re.match(r"[#;]\s{0,4}-?vm\.", text) else None
        if _TROUBLE.fullmatch(text):
            return Claim.KNOWN
        return self._plain(number, text) or self._bare(number, text) or self._prose(number, text)

    def _plain(self, number: int, text: str) -> Claim | None:
        path = _PATH.fullmatch(text)
        if path is not None:
            return self._keep(number, path[1], path[2], "read")
        key = _DOTTED.fullmatch(text)
        if key is not None:
            value, conf = key[4], key[1] == "-" or "/" in key[2].partition("=")[0][:4]
            if re.search(r"\s=(?:\s|$)", text) is None and ":" not in key[3]:
                conf = True  # sysctl itself prints blanks
            value = re.split(r"\s[#;]", value, maxsplit=1)[0].strip()
            name = dotted(key[2])
            if "=" in key[3] or name.removeprefix("vm.") in VM or (self._last == number - 1 and "/" not in key[2]):
                return self._keep(number, key[2], value, "conf" if conf else "read")
        short = _SHORT.fullmatch(text)
        if (
            short is not None
            and short[1] in VM
            and (short[1] not in ("pagecache", "swappiness") or self._last == number - 1)
        ):
            return self._keep(number, f"vm.{short[1]}", short[2], "read")
        return None

    def _bare(self, number: int, text: str) -> Claim | None:
        """Read a value alone on its line, after the command that asked for it."""
        if self.named.said != number - 1 or number_of(text) is None:
            return None
        path = self.named.path(number, _FILE)
        if path and "*" not in path:
            return self._keep(number, path.rpartition("sys/")[2], text, "read")
        if self.named.told(number, "sysctl"):
            names = [word for word in self.named.command.split() if _NAME.fullmatch(word)]
            if len(names) == 1:
                return self._keep(number, names[0], text, "read")
        return None

    def _commands(self, number: int, text: str) -> bool:
        found = [(match.span(), match[2], match[1]) for match in _ECHO.finditer(text)]
        found += [(match.span(), match[1], match[2]) for match in _WRITE.finditer(text)]
        if _ADVICE.search(text):
            return False
        for (start, end), name, value in found[:100]:
            alone = _COMMAND_FIRST.fullmatch(text[:start]) is not None and not _WORDS_AFTER.search(text[end:])
            self._keep(number, name.removeprefix("/proc/sys/"), value, "set" if alone else "said")
        return bool(found)

    def _prose(self, number: int, text: str) -> Claim | None:
        found = list(_SAID.finditer(text))[:100]
        for match in found:
            self._keep(number, match[1] or match[2], match[3], "said")
        return Claim.KNOWN if found else None

    def _keep(self, number: int, name: str, text: str, how: str) -> Claim:
        name = name if name.startswith("/") else dotted(name)
        self._facts.append(Sysctl(number, name, text.strip(), number_of(text.strip()), how))
        if how != "read":
            self.variants.add(how)
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return the settings."""
        return self._facts
