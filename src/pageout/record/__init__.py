# SPDX-License-Identifier: GPL-2.0-or-later
"""Records a real machine: its own tracefs instance, samples, settings, what the command said; a bundle of it all."""
