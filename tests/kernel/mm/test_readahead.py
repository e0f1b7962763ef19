# SPDX-License-Identifier: GPL-2.0-or-later
"""What readahead puts into the cache, beside what is there already."""

from tests.kernel.lab import FILE, lab

from pageout.engine import constants as c
from pageout.kernel.fs.folios import begins_folio
from pageout.kernel.mm.filemap import find_page
from pageout.kernel.mm.readahead import do_readahead


def test_a_page_behind_one_that_was_cached_begins_a_folio() -> None:
    m = lab(fs="xfs", exists=True, choices=(("write.folios", "xfs"),))
    m.page(index=5)
    m.enter("do_readahead", FILE, 0, 16)
    step = m.step(do_readahead)
    assert step.name == "submit_bio"
    begins = [i for i in range(16) if not m.flags(find_page(m.k, FILE, i)) & c.PG_FOLIO]
    assert begins == sorted({5, 6} | {i for i in range(16) if begins_folio(i, 0, 16)})
