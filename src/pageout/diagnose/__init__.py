# SPDX-License-Identifier: GPL-2.0-or-later
"""What went wrong, from whatever was read: findings with the lines that prove them.

`explain.explain` is the door: it gives every rule the whole `case.Case` and ranks what they say. A rule concludes only
from what stands in the files; what it would need besides is said as unknown, with the command that captures it
(`capture`). "I cannot tell, because ..." is a finding too: a wrong confident answer is the worst outcome.
"""
