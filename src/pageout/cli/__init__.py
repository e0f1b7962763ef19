# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: one module per verb, a door (`app`) that turns every ending into one line and an exit status."""
