# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast and how large the engine is, beside its peers. `python -m bench` runs all of it."""
