# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace written event by event, for tests."""

from pageout.events.tables import NULL, EventBuilder
from pageout.vocabulary.schema import WORD, event_of

MS = 1_000_000


class Trace:
    """Collects events as a reader would; what is not given is null."""

    def __init__(self):
        self.builder = EventBuilder()
        self.line = 0

    def emit(self, name, ms, pid=7, comm="dd", cpu=0, **fields):
        """Add an event of `ms` milliseconds."""
        kind = event_of(name)
        self.line += 1
        word = self.builder.word
        common = (int(ms * MS), self.line, self.builder.segment, cpu, pid, word(comm.encode()) if comm else NULL, NULL)
        unknown = set(fields) - {column.name for column in kind.columns}
        assert not unknown, unknown
        values = [
            NULL if (value := fields.get(column.name)) is None
            else word(str(value).encode()) if column.base == WORD else value
            for column in kind.columns
        ]  # fmt: skip
        self.builder.add(kind, common, values)
        return self.line

    def hole(self):
        """Lose events here."""
        self.builder.hole(self.line + 1)

    def events(self):
        """Return what was collected."""
        return self.builder.finish()
