# SPDX-License-Identifier: Apache-2.0
"""Attacks from inside a PVH Dom0: see attack_tests.py. Its frames are its own; Xen maps them."""

import unittest

from attack_tests import AttackTests


class PvhAttacks(AttackTests, unittest.TestCase):
    NAME = "attack-pvh"
    PVH = True
    CALLS = (20_000, 20_000, 4_000, 50)
    ROUNDS = 2_000

    # Seen: three, now and then. A read that kept its reference would make it 10,000.
    SLACK = 8

    def references_of_frame(self, taken, frame):
        """Of all pages: a frame here is a guest's, and the machine's is not known outside."""
        return taken.references_of(0)

    def test_every_frame(self):
        """As many frames as Dom0 owns pages: its P2M maps each of them once."""
        self.assertEqual(len(self.scan()), len(self.memory.snapshot().owned_by(0)))


del AttackTests
