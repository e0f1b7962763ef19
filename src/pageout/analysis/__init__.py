# SPDX-License-Identifier: GPL-2.0-or-later
"""What recordings say: frames made of events, each naming the tracepoints it needs."""
