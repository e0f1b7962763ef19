# SPDX-License-Identifier: GPL-2.0-or-later
"""The words everything else speaks in: errors, units, tracepoints, counters, scenarios. Imports nothing heavy."""
