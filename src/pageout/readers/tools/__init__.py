# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of monitoring tools: `vmstat 1`, `iostat`, `sar`, `pidstat`, `dstat`, `iotop`, `top`, `free`.

`columns` has what they share: a header names the columns, rows are joined again where a mailer cut them.
"""
