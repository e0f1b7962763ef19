# SPDX-License-Identifier: GPL-2.0-or-later
"""A function over events says which tracepoints it needs; without them it raises, it never answers 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from pageout.vocabulary.errors import MissingEventError

if TYPE_CHECKING:
    from pageout.events.tables import Events

P = ParamSpec("P")
R = TypeVar("R")


class Needing(Generic[P, R]):
    """A function of events with the tracepoints it needs; `a|b`: one of them is enough."""

    def __init__(self, function: Callable[Concatenate[Events, P], R], events: tuple[str, ...]) -> None:
        self.function = function
        self.events = events
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__

    def __call__(self, events: Events, *args: P.args, **kwargs: P.kwargs) -> R:
        """Raise MissingEventError, or return what the function says of these events."""
        missing = self.missing(events)
        if missing:
            raise MissingEventError(
                f"{self.__name__}: the trace has no {', '.join(missing)}: not recorded, or it never happened"
            )
        return self.function(events, *args, **kwargs)

    def missing(self, events: Events) -> list[str]:
        """Return the needs these events do not meet, as they were declared."""
        return [need for need in self.events if not any(name in events for name in need.split("|"))]

    def or_none(self, events: Events, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Return what the function says, None if it lacks a tracepoint."""
        return None if self.missing(events) else self.function(events, *args, **kwargs)


def needs(*events: str) -> Callable[[Callable[Concatenate[Events, P], R]], Needing[P, R]]:
    """Declare the tracepoints a function needs."""

    def wrap(function: Callable[Concatenate[Events, P], R]) -> Needing[P, R]:
        return Needing(function, events)

    return wrap


def recorded(events: Events, names: Iterable[str]) -> list[Any]:
    """Return those of these tracepoints that occurred."""
    return [name for name in names if name in events]
