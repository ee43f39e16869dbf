# SPDX-License-Identifier: Apache-2.0
"""The runner itself: what it does when the emulator loses a machine, and what it must not take for
that. Needs no machine."""

import contextlib
import io
import sys
import types
import unittest
import unittest.mock

import guests
import lab
import run

# What Xen printed of a Dom0 that QEMU had left in Xen's own state.
LOST = """(XEN) d0v0 Triple fault - invoking HVM shutdown action 1
(XEN) RIP:    e008:[<ffff82d0402906b5>]
(XEN) RFLAGS: 0000000000000246   CONTEXT: hvm guest (d0v0)
(XEN) rax: 000000003ff29000   rbx: 00000000000014f0   rcx: 0000000000000000
(XEN) ds: 0000   es: 0000   fs: 0000   gs: 0000   ss: 0000   cs: e008
"""


def fails_at_first(console, setups):
    """A test file whose machine has `console`, and whose test passes the second time."""

    class Case(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            setups.append(len(setups))
            guests.started.append(types.SimpleNamespace(name="a", console=lambda: console))

        def test_it(self):
            self.assertGreater(len(setups), 1)

    module = types.ModuleType("test_of_runner")
    module.Case = Case
    return module


class Runner(unittest.TestCase):
    def run_with(self, console, **options):
        """How often the class was set up, and the counts."""
        setups, total = [], run.Lines()
        module = fails_at_first(console, setups)
        with unittest.mock.patch.dict(sys.modules, {"test_of_runner": module}), \
                unittest.mock.patch.object(guests, "started", []), \
                contextlib.redirect_stdout(io.StringIO()) as out, \
                contextlib.redirect_stderr(io.StringIO()):
            run.run("of_runner", "", total, **options)
        return len(setups), total.ok, total.bad, out.getvalue()

    def test_lost_machine_is_started_again(self):
        setups, ok, bad, out = self.run_with(LOST)
        self.assertEqual((setups, ok, bad), (2, 1, 0))
        self.assertIn("AGAIN of_runner: the emulator lost a", out)

    def test_last_loss_counts(self):
        self.assertEqual(self.run_with(LOST, tries=1)[:3], (1, 0, 1))

    def test_other_failures_are_not_repeated(self):
        for console in ("", LOST.replace("e008", "0010"), "(XEN) Panic on CPU 0:\n"):
            with self.subTest(console=console):
                self.assertEqual(self.run_with(console)[:3], (1, 0, 1))

    def test_what_counts_as_lost(self):
        self.assertTrue(lab.lost_by_the_emulator(LOST))
        self.assertFalse(lab.lost_by_the_emulator(LOST.replace("cs: e008", "cs: 0010")))
        self.assertFalse(lab.lost_by_the_emulator(LOST.replace("Triple fault", "crash")))
