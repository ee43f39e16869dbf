# SPDX-License-Identifier: Apache-2.0
"""A PVH Dom0: page tables hold guest frames, which Xen maps to machine frames.

    QEMU (emulating SVM) ── Xen (agent) ── Linux 6.1, PVH: see dom0_tests.py
"""

import unittest

from dom0_tests import Dom0Tests


class PvhDom0(Dom0Tests, unittest.TestCase):
    NAME = "pvh"
    PVH = True
    CALLS = 50_000  # an emulated SVM exit takes four times as long as a PV one
