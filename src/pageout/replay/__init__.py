# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was recorded back to what the machine was asked to do."""
