# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules by what they look at. Each module's RULES is what `explain` runs: functions from a Case to findings."""
