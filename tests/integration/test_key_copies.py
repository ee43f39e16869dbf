# SPDX-License-Identifier: Apache-2.0
"""A Xen that, once booted, looks through all RAM for the keys: the boot module, what relocation left
behind, the agent's own. Exactly one copy of each key may be there, the agent's.

    QEMU: key module ──► Xen (--debug-scan) ──► "sevmon: scan: key N: 1 copies in … frames"
"""

import re
import unittest

import lab


class KeyCopies(unittest.TestCase):
    def check(self, name, **options):
        scanning = lab.xen("--debug-scan")
        with lab.start_dom0(name, xen_path=scanning, **options) as guest:
            console = guest.console()
        self.assertIn("sevmon: scan: 1 of 1 planted copies", console, "the scan is blind")
        found = re.findall(r"sevmon: scan: key (\d+): (\d+) copies in (\d+) frames", console)
        self.assertEqual([(key, copies) for key, copies, _ in found], [("0", "1")], found)
        self.assertGreater(int(found[0][2]), 50_000, "too few frames to be all of RAM")

    def test_pv(self):
        self.check("scan-pv")

    def test_pvh(self):
        self.check("scan-pvh", pvh=True)
