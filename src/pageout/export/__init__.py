# SPDX-License-Identifier: GPL-2.0-or-later
"""Events written for other programs: ftrace text, Parquet, Perfetto's protobuf.

A room of its own above `events`: what everybody reads events with must not bring in protobuf, and nothing but the
command line needs a writer.
"""
