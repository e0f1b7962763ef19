# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that does nothing but dirty and write: the reference's toy model over `dirty_throttle`.

One device with the whole share, limits that stand still, a flusher that is always busy above background, writers that
dirty as fast as memory allows. Left to choose, since the reference does not say: how fast memory is, and how often the
flusher updates the bandwidth itself, which keeps a throttled writer from updating the base rate.
"""

from dataclasses import dataclass, field

from tests.naive import dirty_throttle as naive

MEMORY_PAGES_S = 1 << 20  # 4 GiB/s


@dataclass
class Writer:
    pid: int
    nr_dirtied: int = 0
    nr_dirtied_pause: int = 32
    paused_when: int = 0
    wakes: int = 0
    entered: int = 0  # the call it has slept in without being let go; 0: none
    total: int = 0
    pauses: list[int] = field(default_factory=list)


@dataclass
class Model:
    """writing_updates: the flusher updates bandwidth after each so many pages written; 0: never.

    fraction: the device's part in recent completions; elsewhere: dirty pages of other devices, which stay.
    """

    disk: int  # pages a second
    nr_writers: int = 1
    hz: int = 250
    thresh: int = 200_000
    bg: int = 100_000
    writing_updates: int = 0
    floor_moved: bool = False
    fraction: tuple[int, int] = (1, 1)
    elsewhere: int = 0
    trace: list[str] | None = None

    def __post_init__(self) -> None:
        self.now = 0
        self.dirty = self.written = self.dirtied = self.owed = self.since_update = 0
        self.limit = self.thresh
        self.bw = self.avg = self.ratelimit = self.balanced = 25_600
        self.stamp = self.written_then = self.dirtied_then = self.nr_lines = 0
        self.writers = [Writer(100 + n) for n in range(self.nr_writers)]

    def run(self, seconds: int) -> None:
        for _ in range(seconds * self.hz):
            self.now += 1
            self._write()
            for writer in self.writers:
                if writer.wakes <= self.now:
                    self._dirty(writer)

    def _write(self) -> None:
        self.owed += self.disk
        pages, self.owed = divmod(self.owed, self.hz)
        if self._all() <= self.bg:
            return
        pages = min(pages, self.dirty)
        self.dirty -= pages
        self.written += pages
        self.since_update += pages
        if self.writing_updates and self.since_update >= self.writing_updates:
            self.since_update = 0
            if self.now - self.stamp > naive.interval(self.hz):
                self._update_bandwidth()

    def _dirty(self, writer: Writer) -> None:
        left = MEMORY_PAGES_S // self.hz
        if writer.entered and not self._balance(writer):
            return
        while left > 0:
            pages = min(left, max(writer.nr_dirtied_pause - writer.nr_dirtied, 1))
            left -= pages
            writer.nr_dirtied += pages
            writer.total += pages
            self.dirty += pages
            self.dirtied += pages
            if writer.nr_dirtied >= writer.nr_dirtied_pause and not self._balance(writer):
                return

    def _balance(self, writer: Writer) -> bool:
        """Return whether the writer may go on at once."""
        self._say(writer, "global_dirty_state", dirty=self._all(), writeback=0, bg_thresh=self.bg, thresh=self.thresh,
                  limit=self.limit, dirtied=self.dirtied, written=self.written)  # fmt: skip
        entered = writer.entered or self.now
        writer.entered = 0
        if self._all() <= naive.freerun(self.thresh, self.bg):
            writer.nr_dirtied, writer.paused_when = 0, self.now
            writer.nr_dirtied_pause = naive.poll(self._all(), self.thresh)
            return True
        pos = naive.position_ratio(
            thresh=self.thresh, bg=self.bg, dirty_limit=self.limit, dirty=self._all(), wb_thresh=self._share(),
            wb_dirty=self.dirty, avg_bw=self.avg, floor_moved=self.floor_moved,
        )  # fmt: skip
        if self.now - self.stamp > naive.interval(self.hz):
            self._update_rates(writer, pos)
        task = self.ratelimit * pos >> 10
        found = naive.pause(
            now=self.now, paused_when=writer.paused_when, nr_dirtied_pause=writer.nr_dirtied_pause,
            dirtied=writer.nr_dirtied, ratelimit=self.ratelimit, task=task, avg_bw=self.avg, wb_dirty=self.dirty,
            hz=self.hz,
        )  # fmt: skip
        self._say_balance(writer, found, task, entered)
        dirtied = writer.nr_dirtied
        writer.paused_when, writer.nr_dirtied = found.paused_when, found.nr_dirtied
        writer.nr_dirtied_pause = found.nr_dirtied_pause
        if found.sleeps:
            writer.wakes = self.now + found.pause
            writer.pauses.append(found.pause)
            if task == 0:
                writer.entered, writer.nr_dirtied = entered, dirtied
        return not found.sleeps

    def _all(self) -> int:
        return self.dirty + self.elsewhere

    def _share(self) -> int:
        return naive.wb_thresh(
            thresh=self.thresh, fraction=self.fraction, dirty=self._all(), floor_moved=self.floor_moved
        )

    def _update_rates(self, writer: Writer, pos: int) -> None:
        self.limit = naive.next_dirty_limit(dirty_limit=self.limit, thresh=self.thresh, dirty=self._all())
        rate = naive.next_ratelimit(
            ratelimit=self.ratelimit, balanced=self.balanced, pos=pos, avg_bw=self.avg,
            dirtied=self.dirtied - self.dirtied_then, elapsed=self.now - self.stamp, hz=self.hz, dirty=self._all(),
            setpoint=naive.setpoint(thresh=self.thresh, bg=self.bg, dirty_limit=self.limit),
        )  # fmt: skip
        self.ratelimit, self.balanced = rate.ratelimit, rate.balanced
        self._say(writer, "bdi_dirty_ratelimit", "bdi 8:0: ", write_bw=self.bw * 4, awrite_bw=self.avg * 4,
                  dirty_rate=rate.dirty_rate * 4, dirty_ratelimit=rate.ratelimit * 4, task_ratelimit=rate.task * 4,
                  balanced_dirty_ratelimit=rate.balanced * 4, cgroup_ino=1)  # fmt: skip
        self._update_bandwidth()

    def _update_bandwidth(self) -> None:
        self.bw, self.avg = naive.next_bandwidth(
            bw=self.bw, avg=self.avg, written=self.written - self.written_then, elapsed=self.now - self.stamp,
            hz=self.hz,
        )  # fmt: skip
        self.stamp, self.written_then, self.dirtied_then = self.now, self.written, self.dirtied

    def _say_balance(self, writer: Writer, found: naive.Pause, task: int, entered: int) -> None:
        middle = naive.setpoint(thresh=self.thresh, bg=self.bg, dirty_limit=self.limit)
        self._say(
            writer, "balance_dirty_pages", "bdi 8:0: ", limit=self.limit, setpoint=middle, dirty=self._all(),
            bdi_setpoint=middle * self._share() // (self.thresh + 1), bdi_dirty=self.dirty,
            dirty_ratelimit=self.ratelimit * 4, task_ratelimit=task * 4, dirtied=writer.nr_dirtied,
            dirtied_pause=writer.nr_dirtied_pause, paused=naive.ms(self.now - entered, self.hz),
            pause=naive.ms(found.pause, self.hz), period=naive.ms(found.period, self.hz),
            think=naive.ms(found.think, self.hz), cgroup_ino=1,
        )  # fmt: skip

    def _say(self, writer: Writer, event: str, device: str = "", /, **fields: int) -> None:
        if self.trace is None:
            return
        self.nr_lines += 1
        us = self.now * 1_000_000 // self.hz + self.nr_lines % 1000
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        self.trace.append(
            f"{'writer':>16}-{writer.pid} [000] ..... {us // 1_000_000:5}.{us % 1_000_000:06}: {event}: {device}{text}"
        )
