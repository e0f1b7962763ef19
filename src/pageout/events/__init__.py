# SPDX-License-Identifier: GPL-2.0-or-later
"""Events, whoever recorded them: ring records of a simulated run or the text of a kernel, as arrays by tracepoint.

`encode` writes ring records as ftrace text and is compiled: import it where a trace is written, nowhere else.
`recording` holds a ring's records, `tables` what the readers read. Importing this package or those two does not import
numba.
"""
