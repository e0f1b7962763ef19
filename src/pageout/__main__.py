# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pageout`: the same as the `pageout` command."""

from pageout.cli.app import entry

entry()
