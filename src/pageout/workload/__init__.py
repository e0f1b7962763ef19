# SPDX-License-Identifier: GPL-2.0-or-later
"""From a file a user wrote (a fio job, a scenario) to the Scenario the machine runs."""
