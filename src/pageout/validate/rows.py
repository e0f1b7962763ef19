# SPDX-License-Identifier: GPL-2.0-or-later
"""From events to the rows that are judged: the sets of inputs, and what is left out by which rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from pageout.events.tables import Events
from pageout.validate.attainable import (
    ATTAINABLE,
    CHECK,
    NOT_JUDGED,
    UNATTAINABLE,
    UPDATE,
    judge,
)
from pageout.validate.bandwidth import UNKNOWN, UNLIMITED, Bounds, Clock, Device
from pageout.validate.columns import (
    GREATEST,
    NONE,
    Array,
    Columns,
    first_rule,
    grouped,
    is_global,
    is_sane,
    join,
    of_rows,
)

MOST_INPUTS = 1 << 22  # of one judgement
_KIB = ("dirty_ratelimit", "task_ratelimit", "write_bw", "awrite_bw", "dirty_rate", "balanced_dirty_ratelimit")
_TIMES = ("paused", "pause", "period", "think")


class Result(NamedTuple):
    """What came of one kind of judgement, event by event."""

    line: Array
    printed: Array
    verdict: Array
    low: Array
    high: Array
    left_out: Array


class Rows:
    """The rows of one recording: built, judged once, then asked for results."""

    def __init__(
        self,
        events: Events,
        hz: int,
        floor_moved: bool,
        limits: tuple[int, int, int, int],
        strict: Iterable[str] = (),
    ) -> None:
        """Work out the sets of inputs.

        limits: thresh and bg in pages and as 4096ths of what may be dirty, for calls without global_dirty_state
        strict: devices that must keep their own limits
        """
        self._hz, self._floor_moved, self._limits, self._strict = hz, floor_moved, limits, sorted(strict)
        self._clock = Clock(hz)
        self._all = join(events)
        self._check = np.zeros(max(len(self._all.checks["line"]), 1), CHECK)
        self._update = np.zeros(max(len(self._all.updates["line"]), 1), UPDATE)
        self._left_out: dict[str, Array] = {}
        self._simple: dict[str, tuple[Array, Array, Array]] = {}
        self._update_before = np.full(len(self._all.updates["line"]), NONE)
        self._devices = self._by_device()
        self._fill_checks()
        self._fill_bandwidth()
        self._fill_limits()
        self._fill_updates()
        self._want()

    def judge(self) -> None:
        """Judge all rows."""
        judge(self._check, self._update, self._hz, self._floor_moved)

    # --- sets of inputs

    def _fill_checks(self) -> None:
        checks, rows = self._all.checks, self._check[: len(self._all.checks["line"])]
        self._sane = is_sane(checks)
        for name, column in (
            ("limit", "limit"), ("setpoint", "setpoint"), ("dirty", "dirty"), ("wb_setpoint", "bdi_setpoint"),
            ("wb_dirty", "bdi_dirty"), ("ratelimit", "dirty_ratelimit"), ("task", "task_ratelimit"),
            ("dirtied", "dirtied"), ("dirtied_pause", "dirtied_pause"), ("pause", "pause"), ("period", "period"),
            ("think", "think"),
        ):  # fmt: skip
            values = np.where(self._sane, checks[column], 0)
            rows[name] = values // 4 if column in _KIB else self._jiffies(values) if column in _TIMES else values
        paused = self._jiffies(np.where(self._sane, checks["paused"], 0))
        state = self._all.state_of
        since = checks["time_ns"] - of_rows(self._all.states["time_ns"], state)
        in_call = np.ceil(since * self._hz / 1e9).astype(np.int64)
        rows["late"] = np.where(state == NONE, paused, np.minimum(paused, in_call))

    def _jiffies(self, ms: Array) -> Array:
        return np.asarray(np.sign(ms) * -(-np.abs(ms) * self._hz // 1000))

    def _ms(self, jiffies: Array) -> Array:
        return np.asarray(np.sign(jiffies) * (np.abs(jiffies) * 1000 // self._hz))

    def _fill_limits(self) -> None:
        """Thresholds of each check: those its call printed, else those the settings allow."""
        rows, state, states = self._check[: len(self._sane)], self._all.state_of, self._all.states
        known = known_here = state != NONE
        thresh = of_rows(states["thresh"], state)
        freerun = (thresh + of_rows(states["bg_thresh"], state)) // 2
        low, high = thresh, thresh
        middle_low, middle_high = freerun, freerun
        if not known.all():
            other = self._limits_by_settings(rows)
            if other is not None:
                pairs = zip((thresh, thresh, freerun, freerun), other, strict=True)
                low, high, middle_low, middle_high = (np.where(known, one, two) for one, two in pairs)
                known = np.full(len(known), True)
        sane = (low > 0) & (high < GREATEST) & (middle_low >= 0) & (middle_high < GREATEST)
        self._limits_known = known & sane
        rows["thresh_low"], rows["thresh_high"] = low, high
        rows["freerun_low"], rows["freerun_high"] = middle_low, middle_high
        follows = np.diff(self._all.checks["segment"], prepend=NONE) == 0
        printed_last = np.where(follows, np.roll(rows["limit"], 1), rows["limit"])
        rows["limit_before"] = np.where(known_here, of_rows(states["limit"], state), printed_last)

    def _limits_by_settings(self, rows: Any) -> tuple[Array, Array, Array, Array] | None:
        thresh, bg, ratio, bg_ratio = self._limits
        low = np.maximum(2 * rows["setpoint"] - rows["limit"], 0)
        if thresh and bg:
            freerun = np.full(len(rows), (thresh + (bg if bg < thresh else thresh // 2)) // 2)
            return np.full(len(rows), thresh), np.full(len(rows), thresh), freerun, freerun
        if ratio and bg_ratio and not thresh and not bg and bg_ratio < ratio:
            parts = ratio + bg_ratio
            least = ratio * (2 * low * 4096 // parts) // 4096
            return least, ratio * ((2 * low + 5) * 4096 // parts + 1) // 4096, low, low + 1
        return None

    def _by_device(self) -> list[tuple[str, int, Device]]:
        updates = self._all.updates
        self._sane_update = is_sane(updates)
        written = self._written()
        end = int(self._all.states["written"].max(initial=NONE))
        found = []
        for (device, segment), rows in grouped(updates, self._sane_update & is_global(updates)).items():
            self._update_before[rows[1:]] = rows[:-1]
            at = np.append(written[rows], end)
            steps = np.diff(at, prepend=NONE)
            sure = (at != NONE) & (np.append(NONE, at[:-1]) != NONE) & (steps >= 0) & (steps < GREATEST)
            steps = np.where(sure, steps + self._slack(), UNLIMITED)
            found.append((device, segment, Device(updates, rows, steps, self._clock)))
        return found

    def _written(self) -> Array:
        """Return the pages the machine had written by each update, NONE where its call did not say."""
        check = self._all.check_of
        state = np.where(check == NONE, NONE, of_rows(self._all.state_of, check))
        return np.where(state == NONE, NONE, of_rows(self._all.states["written"], state))

    def _slack(self) -> int:
        """Pages by which a device's counter may be off from the machine's: what CPUs keep to themselves."""
        tables = (self._all.checks, self._all.states)
        cpus = 1 + max((int(table["cpu"].max()) for table in tables if len(table["cpu"])), default=0)
        return max(cpus, 1) * (8 * max(cpus, 1).bit_length() + 125)

    def _fill_bandwidth(self) -> None:
        """Bounds of the smoothed bandwidth at each check, and the base rate that was in force."""
        checks, nr = self._all.checks, len(self._sane)
        state_line = np.where(
            self._all.state_of == NONE, checks["line"], of_rows(self._all.states["line"], self._all.state_of)
        )
        self._updates_before = np.zeros(nr, np.int64)
        bounds = np.full((4, nr), NONE)
        rate = np.full((2, nr), NONE)
        begins = np.where(
            self._all.state_of == NONE, checks["time_ns"], of_rows(self._all.states["time_ns"], self._all.state_of)
        )
        of_device = grouped(checks, self._sane)
        for name, segment, device in self._devices:
            mine = of_device.get((name, segment), np.zeros(0, np.int64))
            first = np.searchsorted(device.line, state_line[mine])
            last = np.searchsorted(device.line, checks["line"][mine])
            own = self._all.update_of[mine]
            self._updates_before[mine] = np.where(own != NONE, last, first)
            rates = np.append(self._all.updates["dirty_ratelimit"][device.rows] // 4, NONE)
            for number, check in enumerate(mine.tolist()):
                begun, done, at_ns = int(first[number]), int(last[number]), int(begins[check])
                bounds[:, check] = _bounds(device, begun, done, own[number] != NONE, at_ns)
                since = max(done - 1 if own[number] != NONE else begun - 1, 0)
                rate[:, check] = rates[since:done].min(initial=GREATEST), rates[since:done].max(initial=NONE)
        rows = self._check[:nr]
        rows["avg_low"], rows["avg_high"], rows["pause_avg_low"], rows["pause_avg_high"] = bounds
        self._rate = rate

    def _fill_updates(self) -> None:
        updates, nr = self._all.updates, len(self._all.updates["line"])
        rows, before = self._update[:nr], self._update_before
        pages = {name: np.where(self._sane_update, updates[name], 0) // 4 for name in updates if name in _KIB}
        for name, column in (
            ("bw", "write_bw"), ("avg", "awrite_bw"), ("rate", "dirty_ratelimit"), ("task", "task_ratelimit"),
            ("balanced", "balanced_dirty_ratelimit"), ("dirty_rate", "dirty_rate"),
        ):  # fmt: skip
            rows[name] = pages[column]
            if f"{name}_before" in (UPDATE.names or ()):
                rows[f"{name}_before"] = of_rows(pages[column], before)
        check = self._all.check_of
        for name, column in (
            ("dirty", "dirty"), ("limit", "limit"), ("limit_before", "limit_before"), ("thresh", "thresh_low"),
            ("freerun", "freerun_low"),
        ):  # fmt: skip
            rows[name] = of_rows(self._check[column], check)
        for _, _, device in self._devices:
            self._fill_times(device)
        own = self._all.update_of
        self._check[: len(own)]["update_task"] = of_rows(pages["task_ratelimit"], own)
        self._check[: len(own)]["rate_before"] = of_rows(rows["rate_before"], own)

    def _fill_times(self, device: Device) -> None:
        clock = self._clock
        for number, row in enumerate(device.rows.tolist()):
            one = self._update[row]
            if number == 0:
                continue
            one["between_low"], one["between_high"] = self._ticks(device, number)
            one["unseen"] = clock.unseen(int(one["between_high"]) - clock.interval)
            one["between_written"], one["first_written"] = device.written[number], device.written[number - 1]
            low, high = (clock.interval, clock.period + 1) if number == 1 else self._ticks(device, number - 1)
            one["first_low"], one["first_high"] = low, high

    def _ticks(self, device: Device, number: int) -> tuple[int, int]:
        """Return the least and greatest jiffies an update can have measured over."""
        longest = max(device.ticks_before(number), 1)
        if longest < self._clock.interval:  # two CPUs found it was time, one after the other made an update
            return max(longest - 2, 1), longest
        return self._clock.interval, longest

    # --- what is asked

    def _want(self) -> None:
        """Say for each judgement what is left out, and ask for the rest."""
        checks, joined = self._all.checks, self._all
        printed = np.where(self._sane, "", "not printed")
        inside = first_rule(printed, *self._elsewhere(checks))
        limits = (~self._limits_known, "limits unknown")
        rows = self._check[: len(inside)]
        bandwidth = (rows["avg_low"] < 0, "bandwidth unknown")
        known = first_rule(inside, limits)
        self._left_out |= {"free run": known, "setpoint": known, "share": known}
        self._left_out["base rate"] = first_rule(inside, (self._updates_before == 0, "no update before"))
        many, many_pauses = self._too_many(rows)
        self._left_out["position"] = first_rule(inside, limits, bandwidth, many)
        later = first_rule(inside, (rows["pause_avg_low"] < 0, "bandwidth unknown"), many_pauses)
        self._left_out["period"] = np.where((rows["task"] > 0) & (later == "bandwidth unknown"), "", later)
        self._left_out["pause"] = later
        rows["judge_task"] = self._left_out["position"] == ""
        rows["judge_pause"] = later == ""
        rows["judge_period"] = later == ""
        self._without_bandwidth()
        self._left_out["dirtied_pause"] = self._want_dirtied_pause(inside)
        rows["judge_dirtied_pause"] = self._left_out["dirtied_pause"] == ""
        self._simple["free run"] = (
            checks["dirty"] > rows["freerun_low"], rows["freerun_low"] + 1, np.full(len(rows), GREATEST)
        )  # fmt: skip
        low, high = ((rows["limit"] + rows[name]) // 2 for name in ("freerun_low", "freerun_high"))
        self._simple["setpoint"] = (rows["setpoint"] >= low) & (rows["setpoint"] <= high), low, high
        self._simple["share"] = self._share(rows)
        low, high = self._rate
        possible = (rows["ratelimit"] >= low) & (rows["ratelimit"] <= high)
        self._simple["base rate"] = possible, low, high
        self._want_updates(joined.check_of)

    def _share(self, rows: Any) -> tuple[Array, Array, Array]:
        """Say whether the printed setpoint of the device stands for a share in the limit: max_ratio is above 12 %."""
        floor = np.maximum(rows["thresh_low"] - rows["dirty"], 0) // 8 if self._floor_moved else 0
        low = rows["setpoint"] * floor // (rows["thresh_low"] + 1)
        high = rows["setpoint"] * rows["thresh_high"] // (rows["thresh_high"] + 1)
        return (rows["wb_setpoint"] >= low) & (rows["wb_setpoint"] <= high), low, high

    def _elsewhere(self, columns: Columns) -> tuple[tuple[Array, str], ...]:
        strict = np.isin(columns["device"].astype(str), self._strict)
        return (~is_global(columns), "another domain"), (strict, "strictlimit")

    def _too_many(self, rows: Any) -> tuple[tuple[Array, str], tuple[Array, str]]:
        """Say for which checks the sets are too large to go through: of the position, of the pause."""
        shares = 2.0 + rows["thresh_high"] / np.maximum(rows["setpoint"], 1)
        limits = (1.0 + rows["thresh_high"] - rows["thresh_low"]) * (1.0 + rows["freerun_high"] - rows["freerun_low"])
        positions = 2 * shares * limits * (1.0 + rows["avg_high"] - rows["avg_low"])
        pauses = (2.0 + rows["late"]) * (1.0 + rows["pause_avg_high"] - rows["pause_avg_low"])
        return (positions > MOST_INPUTS, "too many inputs"), (pauses > MOST_INPUTS, "too many inputs")

    def _without_bandwidth(self) -> None:
        """The period needs no bandwidth unless the task is stopped: it is worked out here where that is not known."""
        rows = self._check[: len(self._sane)]
        period = self._hz * rows["dirtied"] // np.maximum(rows["task"], 1)
        self._period = period, (rows["pause_avg_low"] < 0) & (self._left_out["period"] == "")

    def _want_dirtied_pause(self, inside: Array) -> Array:
        rows, joined, states = self._check[: len(inside)], self._all, self._all.states
        before, free = joined.before, joined.free_run
        thresh, held = (
            of_rows(states["thresh"], free),
            of_rows(states["dirty"], free) + of_rows(states["writeback"], free),
        )
        was_free = (free != NONE) & (held <= (thresh + of_rows(states["bg_thresh"], free)) // 2) & (held >= 0)
        room = np.clip(thresh - held, 0, GREATEST)
        log = np.frexp(np.maximum(room, 1).astype(np.float64))[1] - 1
        rows["poll"] = np.where(was_free, np.where(room > 0, 1 << (log >> 1), 1), NONE)
        rows["previous"] = np.where(before == NONE, 0, before)
        slept = (before != NONE) & (rows["pause"][rows["previous"]] > 0) & ~was_free
        return first_rule(
            inside,
            ((before == NONE) & ~was_free, "no check before"),
            (((free != NONE) & ~was_free) | (joined.state_of == NONE), "unseen check"),
            (~of_rows(self._sane, before) & ~was_free, "not printed"),
            (slept & (of_rows(rows["pause_avg_low"], before) < 0), "bandwidth unknown"),
            (of_rows(rows["pause_avg_high"] - rows["pause_avg_low"], before) > MOST_INPUTS, "too many inputs"),
        )

    def _want_updates(self, check: Array) -> None:
        updates, rows = self._all.updates, self._update[: len(check)]
        inside = first_rule(np.where(self._sane_update, "", "not printed"), *self._elsewhere(updates))
        chained = first_rule(inside, (self._update_before == NONE, "no update before"))
        lone = (~of_rows(self._sane, check), "no check in the call")
        known = (~of_rows(self._limits_known, check), "limits unknown")
        self._left_out["update balanced"] = inside
        self._left_out["update base rate"] = first_rule(chained, lone, known)
        long = (rows["between_high"] > MOST_INPUTS, "too many inputs")
        self._left_out["update dirty_rate"] = first_rule(chained, long)
        self._left_out["update bandwidth"] = first_rule(
            chained,
            (rows["unseen"] > 1, "several unseen updates"),
            (
                (rows["unseen"] > 0) & (np.maximum(rows["first_written"], rows["between_written"]) >= UNLIMITED),
                "bandwidth unknown",
            ),
            ((rows["unseen"] > 0) & (rows["first_written"] > MOST_INPUTS), "too many inputs"),
        )
        many = np.isin(of_rows(self._left_out["position"], check), ("bandwidth unknown", "too many inputs"))
        position = first_rule(chained, lone, known, (many, "bandwidth unknown"))
        self._left_out["update position"] = position
        for kind, name in (
            ("update balanced", "judge_balanced"), ("update base rate", "judge_rate"),
            ("update bandwidth", "judge_bandwidth"), ("update dirty_rate", "judge_dirty_rate"),
        ):  # fmt: skip
            rows[name] = self._left_out[kind] == ""
        self._check["judge_update"][check[position == ""]] = 1

    # --- results

    def result(self, kind: str) -> Result:
        """Return what came of a kind of judgement, in the units of the trace."""
        if kind.startswith("update "):
            return self._update_result(kind.removeprefix("update "), self._left_out[kind])
        checks, left_out = self._all.checks, self._left_out[kind]
        rows, line = self._check[: len(left_out)], checks["line"]
        wanted = left_out == ""
        if kind in self._simple:
            ok, low, high = self._simple[kind]
            verdict = np.where(wanted, np.where(ok, ATTAINABLE, UNATTAINABLE), NOT_JUDGED)
            scale = 4 if kind == "base rate" else 1
            name = {"free run": "dirty", "base rate": "dirty_ratelimit", "share": "bdi_setpoint"}.get(kind, kind)
            return Result(line, checks[name], verdict, low * scale, high * scale, left_out)
        name, column = {"position": ("task", "task_ratelimit")}.get(kind, (kind, kind))
        verdict, low, high = rows[f"judge_{name}"].copy(), rows[f"{name}_low"], rows[f"{name}_high"]
        if kind == "period":
            period, alone = self._period
            verdict[alone] = np.where(period == rows["period"], ATTAINABLE, UNATTAINABLE)[alone]
            low, high = np.where(alone, period, low), np.where(alone, period, high)
        if column in _TIMES:
            low, high = self._ms(low), self._ms(high)
        scale = 4 if column in _KIB else 1
        return Result(line, checks[column], verdict, low * scale, high * scale, left_out)

    def _update_result(self, kind: str, left_out: Array) -> Result:
        updates, rows = self._all.updates, self._update[: len(left_out)]
        name, column = {
            "position": ("update", "task_ratelimit"),
            "balanced": ("balanced", "balanced_dirty_ratelimit"),
            "base rate": ("rate", "dirty_ratelimit"),
            "bandwidth": ("bandwidth", "awrite_bw"),
            "dirty_rate": ("dirty_rate", "dirty_rate"),
        }[kind]
        source: Any = rows
        if kind == "position":
            source = self._check[np.where(self._all.check_of == NONE, 0, self._all.check_of)]
        verdict = np.where(left_out == "", source[f"judge_{name}"], NOT_JUDGED)
        low, high = source[f"{name}_low"] * 4, source[f"{name}_high"] * 4
        return Result(updates["line"], updates[column], verdict, low, high, left_out)


def _bounds(device: Device, begun: int, done: int, own: bool, time_ns: int) -> tuple[int, int, int, int]:
    """Return the bounds of the bandwidth when a check took its position, and when it worked out its pause.

    begun, done: updates of the device before the call, and before its balance_dirty_pages
    own:         the last of them was made in this call
    """
    after = device.after(done, time_ns)
    if own:
        position = device.at_update(done - 1)
        for number in range(begun, done - 1):  # made by another CPU after the position was taken
            position = position.with_(device.at_update(number))
        return (*position, *after)
    for number in range(begun, done):
        after = after.with_(device.after(number, time_ns)) if number else UNKNOWN
    return (*Bounds(*after), *Bounds(*after))
