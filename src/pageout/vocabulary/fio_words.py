# SPDX-License-Identifier: GPL-2.0-or-later
"""A fio's command line taken apart, for who records one and for who reads a recording: options, and job files.

Source: fio 3.33, init.c:parse_cmd_line, options.c:add_to_lopt; getopt_long_only(3).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

# Of fio itself, not of a job: with a value of their own, with one only behind `=`, without.
_OWN_VALUED_NAMES = """
    output latency-log output-format eta eta-interval eta-newline debug section inflate-log alloc-size max-jobs
    terse-version daemonize client remote-config idle-prof status-interval trigger-file trigger-timeout trigger
    trigger-remote aux-path
"""
_NO_RUN_NAMES = "version help cmdhelp enghelp server client crctest memcpytest showcmd parse-only cpuclock-test"
_OWN_NAMES = "append-terse bandwidth-log minimal readonly warnings-fatal merge-blktrace-only"
_OWN_VALUED, _NO_RUN = frozenset(_OWN_VALUED_NAMES.split()), frozenset(_NO_RUN_NAMES.split())
_OWN = _NO_RUN | frozenset(_OWN_NAMES.split())
# Of a job, and never followed by a value of its own (FIO_OPT_STR_SET).
_BARE_NAMES = """
    bs_unaligned blocksize_unaligned norandommap time_based verify_only exitall exitall_on_error stonewall
    wait_for_previous new_group
    thread group_reporting zero_buffers refill_buffers userspace_reap hipri fixedbufs registerfiles sqthread_poll
"""
_BARE = frozenset(_BARE_NAMES.split())
# What runs a command as it is: its options that take the next word, and how many words it takes before the command.
_WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "sudo": (frozenset({"-u", "-g", "-C", "-h", "-p", "-r", "-t", "-T", "-D", "-R", "-U"}), 0),
    "env": (frozenset({"-u", "-C", "-S"}), 0),
    "nice": (frozenset({"-n"}), 0),
    "ionice": (frozenset({"-c", "-n"}), 0),
    "time": (frozenset({"-f", "-o"}), 0),
    "nohup": (frozenset(), 0),
    "setsid": (frozenset(), 0),
    "stdbuf": (frozenset({"-i", "-o", "-e"}), 0),
    "timeout": (frozenset({"-k", "-s"}), 1),
    "taskset": (frozenset(), 1),
    "chrt": (frozenset({"-T", "-P", "-D"}), 1),
    "numactl": (frozenset({"-i", "-N", "-m", "-C", "-p"}), 0),
    "cgexec": (frozenset({"-g"}), 0),
    "systemd-run": (frozenset({"-p", "-u", "-E", "--unit", "--slice", "--property"}), 0),
}
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_SPECIAL = re.compile(r"[;&|<>()$`*?\[\]\n]")
_MOST_WORDS = 4096


class FioCommand(NamedTuple):
    """What a fio was told.

    options: of jobs, in order, the value "" where there is none; own: of fio itself, the last of each; sections: those
    asked for; files: job files in order, `-` for standard input; runs: unless it only prints something, or is a server
    """

    options: tuple[tuple[str, str], ...]
    own: dict[str, str]
    sections: tuple[str, ...]
    files: tuple[str, ...]
    runs: bool


def fio_command(argv: Sequence[str]) -> FioCommand | None:
    """Return what a command tells a fio, None if it is no fio; `sudo`, `timeout` and such are passed over."""
    words = fio_words(argv)
    if words is None:
        return None
    options: list[tuple[str, str]] = []
    own: dict[str, str] = {}
    sections: list[str] = []
    files: list[str] = []
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        if word == "--":
            files += words[at:]
            break
        if not word.startswith("-") or word == "-":
            files.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and name not in _OWN and name not in _BARE:
            value = words[at] if at < len(words) else ""
            at += 1
        if name == "section":
            sections.append(value)
        elif name in _OWN_VALUED or name in _OWN:
            own[name] = value
        else:
            options.append((name, value))
    return FioCommand(tuple(options), own, tuple(sections), tuple(files), not _NO_RUN & set(own))


def fio_words(argv: Sequence[str]) -> list[str] | None:
    """Return what a fio was given, None if the command is no fio; `sudo` and such are passed over."""
    words = list(argv[:_MOST_WORDS])
    while words:
        program = PurePosixPath(words[0]).name
        if program == "fio":
            return words[1:]
        if program in _SHELLS:
            return _of_shell(words[1:])
        if program not in _WRAPPERS:
            return None
        words = _behind(words[1:], *_WRAPPERS[program])
    return None


def _of_shell(words: list[str]) -> list[str] | None:
    """Return what `sh -c 'fio ...'` gives it; a line that does more than that is not taken apart."""
    line = words[1] if len(words) > 1 and re.fullmatch(r"-[a-z]{0,8}c", words[0]) else ""
    if not line or _SPECIAL.search(line):
        return None
    try:
        inner = shlex.split(line)
    except ValueError:
        return None
    inner = inner[1:] if inner[:1] == ["exec"] else inner
    return inner[1:] if inner and PurePosixPath(inner[0]).name == "fio" else None


def _behind(words: list[str], valued: frozenset[str], before: int) -> list[str]:
    """Return the command behind a wrapper's own options, settings of variables, and other words."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            at += 1
            break
        if word.startswith("-"):
            at += 2 if word in valued else 1
        elif re.match(r"\w{1,200}=", word):
            at += 1
        else:
            break
    return words[at + before :]
