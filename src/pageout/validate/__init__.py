# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings, of a machine or of a run, held against the model: could a kernel that computes as ours have said this?"""
