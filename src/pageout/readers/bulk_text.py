# SPDX-License-Identifier: GPL-2.0-or-later
"""ftrace text in bulk: a compiled loop takes the lines whose templates Python has learned, and leaves the others to it.

What comes out is what `ftrace_text` by itself would make of every line; it is the loop's twin and its teacher. Only
loaded for large inputs: importing this imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pageout.readers.bulk_bytes import SLACK
from pageout.readers.bulk_header import MAX_BULK_LINE
from pageout.readers.bulk_loop import run_loop
from pageout.readers.bulk_match import PYTHONS
from pageout.readers.bulk_store import RowStore
from pageout.readers.dress import Physical
from pageout.readers.lines import MAX_LINE, Account

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder
    from pageout.readers.ftrace_text import FtraceText

MAX_YIELDED = 1 << 12  # lines left to Python before rows that came in bulk become blocks, whatever their number


class _Buffer:
    """Bytes of whole lines, gathered from pieces."""

    def __init__(self) -> None:
        self.array = np.zeros(SLACK, np.uint8)
        self.text = bytearray()
        self.rest = b""

    def fill(self, piece: bytes) -> int:
        """Take the next piece; returns how many bytes of whole lines there are now."""
        cut = piece.rfind(b"\n") + 1
        if not cut:
            kept = self.rest.rfind(b"\n") + 1
            begun = (self.rest[kept:] + piece)[: MAX_LINE + 1]  # one byte more than is looked at: it is cut
            if not kept:
                self.rest = begun
                return 0
            self.rest, piece, cut = b"", self.rest[:kept] + begun, kept
        nbytes = len(self.rest) + cut
        if nbytes + SLACK > len(self.text):
            self.text = bytearray(nbytes + nbytes // 8 + SLACK)
            self.array = np.frombuffer(self.text, np.uint8)
        self.array[: len(self.rest)] = np.frombuffer(self.rest, np.uint8)
        self.array[len(self.rest) : nbytes] = np.frombuffer(piece, np.uint8, cut)
        self.array[nbytes : nbytes + SLACK] = 0
        self.rest = piece[cut:][: MAX_LINE + 1]
        return nbytes

    def put_back(self, at: int, nbytes: int) -> None:
        """Keep the last line, from `at` on, for the next time."""
        self.rest = bytes(memoryview(self.text)[at:nbytes]) + self.rest


class BulkText:
    """Takes the lines of ftrace text in bulk, on behalf of a `FtraceText`, and yields those that are Python's.

    ready:  whether the line of this number would now go to `reader` first, as it is; asked after each line that was
            yielded. While it would not, all lines are yielded.
    keep:   is given the number of the first of some lines that were taken, and their text, for evidence
    """

    def __init__(
        self,
        reader: FtraceText,
        account: Account,
        ready: Callable[[int], bool],
        keep: Callable[[int, bytes], object] | None = None,
        store: RowStore | None = None,
    ) -> None:
        self._reader, self._account, self._ready, self._keep = reader, account, ready, keep
        self._buffer = _Buffer()
        self._store = store or RowStore()
        self._param = self._store.param
        self._param["line"] = 1
        self._nr_yielded = 0  # since the rows were last handed over

    def lines(self, pieces: Iterable[bytes]) -> Iterator[Physical]:
        """Yield the lines that are Python's, in order."""
        for piece in pieces:
            nbytes = self._buffer.fill(piece)
            if nbytes:
                yield from self._whole_lines(nbytes, last=False)
        if b"\n" in self._buffer.rest:
            yield from self._whole_lines(self._buffer.fill(b""), last=True)
        if self._buffer.rest:
            rest = self._buffer.rest
            yield int(self._param["line"][0]), rest[:MAX_LINE], len(rest) > MAX_LINE
        self._flush()

    def _flush(self) -> None:
        self._nr_yielded = 0
        if self._reader.builder is not None:
            self._store.flush(self._reader.builder)

    def _whole_lines(self, nbytes: int, *, last: bool) -> Iterator[Physical]:
        param = self._param
        param["at"], param["end"] = 0, nbytes
        while int(param["at"][0]) < nbytes:
            builder = self._reader.builder
            if builder is None or not self._ready(int(param["line"][0])):
                yield self._next_line(self._buffer.text.index(b"\n", int(param["at"][0])) + 1)
                continue
            why = self._run(builder)
            at, after = int(param["at"][0]), int(param["next"][0])
            if why == PYTHONS and after == nbytes and nbytes - at <= MAX_BULK_LINE and not last:
                self._buffer.put_back(at, nbytes)  # the loop wants to see what follows it
                return
            if why == PYTHONS:
                yield self._next_line(after)
            else:
                self._store.make_way(why, builder)

    def _next_line(self, after: int) -> Physical:
        """Step over the line at `at`, which ends before `after`."""
        self._nr_yielded += 1
        if self._nr_yielded >= MAX_YIELDED:
            self._flush()
        param = self._param
        number, at = int(param["line"][0]), int(param["at"][0])
        param["line"], param["at"] = number + 1, after
        cut = after - 1 - at > MAX_LINE
        return number, bytes(self._buffer.text[at : at + MAX_LINE if cut else after - 1]), cut

    def _run(self, builder: EventBuilder) -> int:
        """Run the loop over lines that are the reader's; returns why it stopped."""
        param, stream, store = self._param, self._reader.stream, self._store
        store.take_over(builder, self._reader.payloads)
        param["segment"], param["newest"] = builder.segment, stream.newest
        line, at = int(param["line"][0]), int(param["at"][0])
        why = int(run_loop(store.address(self._buffer.array), 0))
        store.hand_words(builder)
        taken = int(param["line"][0]) - line
        if taken:
            self._taken(line, taken)
            if self._keep is not None:
                self._keep(line, bytes(memoryview(self._buffer.text)[at : int(param["at"][0])]))
        return why

    def _taken(self, line: int, taken: int) -> None:
        """Do for the lines taken what the desk and the reader would have done."""
        reader, account, param = self._reader, self._account, self._param
        reader.skipped(line + taken - 1)
        reader.stream.read_elsewhere(int(param["newest"][0]), self._store.last_of_cpus())
        account.lines += taken
        account.events += taken
        account.kinds[reader.kind] += taken
        if param["had_tgid"][0]:
            reader.variants.add("tgid column")
        if param["had_no_flags"][0]:
            reader.variants.add("no flags")
