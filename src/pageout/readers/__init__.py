# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever people have at hand, read: traces become events, snapshots become facts, each line is accounted for.

`read.read_input` is the door. It undresses a file (`source`: compression; `dress`: mail and log prefixes) into lines
and offers each to the recognisers, one module a format. A recogniser claims the lines that are its own; a line nobody
claims is unread and counted as such. Large traces go through compiled loops first; what these leave comes the same way.
"""
