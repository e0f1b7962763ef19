# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures into tables, sentences and plots. Knows documents (design: names of the figures), never the engine."""
