# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of /proc, /sys and cgroups as people paste them: one module a family, one snapshot a moment.

`files` has what they share: which file a line belongs to (`path:line`, a `cat` before it) and which snapshot.
"""
