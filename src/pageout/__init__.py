# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout: a page-by-page simulator of Linux memory reclaim and writeback."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pageout.machine.policy import policy
    from pageout.machine.simulate import simulate

__version__ = "0.1.0"
__all__ = ["__version__", "policy", "simulate"]

_HOMES = {"policy": "pageout.machine.policy", "simulate": "pageout.machine.simulate"}


def __getattr__(name: str) -> Any:
    """Bring in the engine when it is first asked for: `import pageout` alone stays light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pageout' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
