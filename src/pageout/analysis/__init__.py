# SPDX-License-Identifier: GPL-2.0-or-later
"""What events and stacks say, as tables: functions on frames, each declaring the events it needs."""
