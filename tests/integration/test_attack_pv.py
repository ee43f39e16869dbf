# SPDX-License-Identifier: Apache-2.0
"""Attacks from inside a PV Dom0: see attack_tests.py. Its frames are the machine's, so Xen's frame
table says of each one what the agent must say."""

import threading
import unittest

from attack_tests import AttackTests

BALLOON = "/sys/devices/system/xen_memory/xen_memory0/target_kb"


class PvAttacks(AttackTests, unittest.TestCase):
    NAME = "attack-pv"

    def references_of_frame(self, taken, frame):
        return taken.references(frame)

    def forbidden(self):
        xens = self.memory.snapshot().xen_frames()
        return xens[:: len(xens) // 100 + 1]

    def test_every_frame(self):
        """What the agent reads is what Dom0 owns: not a frame less, not one more."""
        self.assertEqual(self.scan(), set(self.memory.snapshot().owned_by(0)))

    def test_ballooned_out(self):
        """Frames that Dom0 gives back while the agent reads all of memory, again and again."""
        all_kb = int(self.guest.file(BALLOON))
        before = self.memory.snapshot()
        scans = []
        stop = threading.Event()

        def scan_on():
            while not stop.is_set():
                scans.append(self.scan())

        other = threading.Thread(target=scan_on)
        other.start()
        try:
            for kb in (all_kb - (48 << 10), all_kb, all_kb - (48 << 10)):
                self.guest.shell(f"echo {kb} >{BALLOON}")
                self.guest.wait_for("balloon", lambda: abs(
                    len(self.memory.snapshot().owned_by(0)) * 4 - kb) < 1024)
        finally:
            stop.set()
            other.join()
        during = self.memory.snapshot()
        self.assertGreater(during.free, before.free + 10_000)
        self.assertGreater(len(scans), 0)
        owned = set(during.owned_by(0))
        self.assertEqual(self.scan(), owned)
        self.guest.shell(f"echo {all_kb} >{BALLOON}")
        self.guest.wait_for("balloon", lambda: len(self.memory.snapshot().owned_by(0)) ==
                            len(before.owned_by(0)))


del AttackTests
