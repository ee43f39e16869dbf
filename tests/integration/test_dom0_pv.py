# SPDX-License-Identifier: Apache-2.0
"""A PV Dom0: page tables hold machine frames, Xen's own range lies in the same address space.

    QEMU ── Xen (agent) ── Linux 6.1, PV: see dom0_tests.py
"""

import unittest

import lab
from dom0_tests import Dom0Tests
from program_tests import AtomicOnTwoCpus


class PvDom0(Dom0Tests, unittest.TestCase):
    NAME = "pv"

    def test_xens_own_range(self):
        """In a PV guest's tables, but not the guest's to be read."""
        for place in ("0xffff800000000000", "0xffff82d040200000", "0xffff87ffffffff00"):
            with self.subTest(place=place):
                outcome, data = self.ids.try_read(place, 16)
                self.assertEqual(outcome.code, 3, outcome)
                self.assertIsNone(data)


    def test_redirection_in_every_page_table(self):
        """Where all tables agree, what Xen knows of where it put the kernel does not. (A PV kernel
        is mapped in pages of 4 KiB, so that one of them can be led elsewhere.)"""
        address = self.kallsyms("sys_call_table")
        findings = self.with_redirection(f"address={address:#x}")
        self.assertEqual([(f["id"], int(f["address"], 16), f["bytes"], f["master"])
                          for f in findings],
                         [("translation-redirected", address & ~0xfff, 4096, True)])


class PvDom0WithTwoCpus(unittest.TestCase):
    def test_one_frame_on_two_cpus(self):
        with lab.start_dom0("pv-smp2", smp=2) as guest:
            self.guest = guest
            self.address = ("127.0.0.1", guest.ports[7100])
            Dom0Tests.test_one_frame_given_twice_gets_one_answer(self)


class PvAtomicOnTwoCpus(AtomicOnTwoCpus, unittest.TestCase):
    def test_the_other_cpu_stands_still(self):
        with lab.start_dom0("pv-atomic", smp=2) as guest:
            self.check_that_the_other_cpu_stands_still(guest)
