# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording as a whole: what was traced, sampled and said of one run, read from a folder or a .zip, and measured."""
