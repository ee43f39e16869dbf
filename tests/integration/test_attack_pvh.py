# SPDX-License-Identifier: Apache-2.0
"""Attacks from inside a PVH Dom0: see attack_tests.py. Its frames are its own; Xen maps them."""

import re
import unittest

import guests
from attack_tests import AttackTests


def lost_by_the_emulator():
    """QEMU 7.2's software SVM sometimes, with two CPUs, leaves a guest in the host's state: Xen then
    finds a triple fault of a guest whose code segment is Xen's own (0xe008), at the instruction behind
    VMRUN, where no guest can be. Neither Xen nor the agent can bring that about."""
    console = (guests.LOGS / f"console-{PvhAttacks.NAME}.log").read_text(errors="replace")
    return re.search(r"Triple fault[^\0]*CONTEXT: hvm guest[^\0]*cs: e008", console) is not None


class PvhAttacks(AttackTests, unittest.TestCase):
    NAME = "attack-pvh"
    PVH = True
    CALLS = (20_000, 20_000, 4_000, 50)
    ROUNDS = 2_000

    def references_of_frame(self, taken, frame):
        """Of all pages: a frame here is a guest's, and the machine's is not known outside."""
        return taken.references_of(0)

    def test_every_frame(self):
        """As many frames as Dom0 owns pages: its P2M maps each of them once."""
        self.assertEqual(len(self.scan()), len(self.memory.snapshot().owned_by(0)))


del AttackTests
