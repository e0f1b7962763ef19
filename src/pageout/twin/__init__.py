# SPDX-License-Identifier: GPL-2.0-or-later
"""A recorded machine's twin: its scenario, what it predicts, how far to trust it. Plain Python, nothing compiled."""
