# SPDX-License-Identifier: Apache-2.0
"""What docs/dom0-powers.md says that root of Dom0 cannot do, tried by root of Dom0.

    test ──► shell in Dom0 ──► dom0-powers ──raw hypercalls, ports, PCI──► Xen
      └──── afterwards: sevmon status ──────────────────────────────────────┘ (agent)

A method here is the test that the table names; it runs for a PV and a PVH Dom0.
"""

import re
import time
import unittest

import guests
import lab
import xen_memory


class Powers:
    NAME = None
    PVH = False

    @classmethod
    def setUpClass(cls):
        # Two devices that nobody drives, with tables of MSI-X. Root may look everywhere, and Xen
        # says all that it has to.
        unused = ["-device", "virtio-rng-pci,disable-legacy=on"]
        cls.guest = lab.start_dom0(cls.NAME, pvh=cls.PVH, options=2 * unused,
                                   kernel_args="iomem=relaxed",
                                   xen_args="guest_loglvl=warning")
        cls.addClassCleanup(cls.guest.stop)
        cls.ids = lab.ids(cls.guest)

    def tearDown(self):
        self.guest.check_alive()

    def powers(self, group):
        output = self.guest.shell(f"dom0-powers {group}", timeout_s=300, check=False).decode()
        self.assertIn("dom0-powers: OK", output)

    def refused(self, group):
        """And Xen and its agent live."""
        self.powers(group)
        self.ids.ok("--development", "status")

    def test_platform_op(self):
        self.refused("platform_op")

    def test_sysctl(self):
        self.refused("sysctl")

    def test_domctl(self):
        self.refused("domctl")

    def test_memory_op(self):
        self.refused("memory_op")

    def test_physdev_op(self):
        self.refused("physdev_op")

    def test_named_devices(self):
        """Xen 4.20 believed whose functions they are, and freed what was still in its lists."""
        self.refused("named_devices")

    def test_device_ports(self):
        """A device's ports, laid over those by which Xen configures all devices."""
        self.refused("device_ports")

    def test_hypercalls(self):
        self.refused("hypercalls")

    def test_ram(self):
        """Frames of RAM, Xen's trampoline below 1 MiB among them, as if they were a device's."""
        if self.PVH:
            self.skipTest("a PVH Dom0 has no operation that maps a machine's frame")
        self.refused("ram")

    def test_devices(self):
        self.refused("devices")

    def test_msix(self):
        """Xen writes a device's table where Dom0 has laid it: not in RAM, nor in Xen's devices."""
        if self.PVH:
            self.skipTest("see test_bars")
        self.refused("msix")
        self.assertNotIn("Xen WARN", self.guest.console())

    def test_a_device_without_msix_has_none_to_release(self):
        """Xen took what lay at address 0 in Dom0's memory for the state of its table."""
        if self.PVH:
            self.skipTest("a PVH Dom0 has no such operation")
        self.refused("no_msix")

    def test_bars(self):
        """What Xen does beside such a table for a PVH Dom0, and in it."""
        if not self.PVH:
            self.skipTest("a PV Dom0 has no base address that Xen emulates")
        self.refused("bars")
        self.assertIn("unable to enable entry 0: -1", self.guest.console())
        self.assertNotIn("Xen WARN", self.guest.console())

    def test_pci(self):
        self.refused("pci")

    def test_ports(self):
        self.refused("ports")

    def test_clock(self):
        """Xen's: the machine's own is behind a closed port."""
        before = time.time()
        seen = float(self.guest.shell("date +%s"))
        self.assertLess(abs(seen - before), 60)

    def test_allowed(self):
        """What Dom0 needs."""
        self.powers("allowed")
        self.assertIn("sevmon: on", self.guest.console())
        self.ids.ok("ps")

    def test_zz_sleep(self):
        """The last one: the agent's keys are gone, Dom0 goes on, and then powers off."""
        self.powers("sleep")
        outcome = self.ids("status")
        self.assertEqual(outcome.code, 3, outcome)
        self.guest.shell("(sleep 1; poweroff -f) >/dev/null 2>&1 &")
        self.guest.process.wait(guests.PATIENCE_S)


class PvDom0Powers(Powers, unittest.TestCase):
    NAME = "powers-pv"

    def tearDown(self):
        if "sleep" not in self.id():
            super().tearDown()


class PvhDom0Powers(PvDom0Powers):
    NAME = "powers-pvh"
    PVH = True


class Q35(unittest.TestCase):
    """A PV Dom0 where configuration shows in memory, too, of which Xen is told nothing."""
    refused, powers, tearDown = Powers.refused, Powers.powers, Powers.tearDown

    @classmethod
    def setUpClass(cls):
        cls.guest = lab.start_dom0("powers-q35", options=["-M", "q35"],
                                   kernel_args="iomem=relaxed", xen_args="mmcfg=off")
        cls.addClassCleanup(cls.guest.stop)
        cls.ids = lab.ids(cls.guest)

    def test_configuration_memory(self):
        self.refused("configuration_memory")

    def test_device_ports(self):
        self.refused("device_ports")

    def test_pci(self):
        self.refused("pci")


class PvhQ35(unittest.TestCase):
    """Nor may a PVH Dom0 have Xen go where configuration shows, whatever the firmware's map says."""

    def test_configuration_memory(self):
        if not lab.FULL:
            self.skipTest("with --full: a boot to look at one line")
        with lab.start_dom0("powers-q35-pvh", pvh=True, options=["-M", "q35"]) as guest:
            where = guest.shell("cat /proc/iomem").decode()
            first, last = (int(each, 16) // xen_memory.PAGE for each in
                           re.search("([0-9a-f]+)-([0-9a-f]+) : PCI (?:MMCONFIG|ECAM)", where).groups())
            guest.xen_key("q")
            ranges = guest.wait_console(r"I/O Memory +\{ ([^}]+)\}")[1]
            reached = [[int(end, 16) for end in (each.split("-") * 2)[:2]]
                       for each in ranges.strip().split(", ")]
            self.assertGreater(len(reached), 3)
            self.assertEqual([each for each in reached if each[0] <= last and each[1] >= first], [])
            lab.ids(guest).ok("--development", "status")


class Restart(unittest.TestCase):
    """Memory may stay as it is: whatever boots next finds no keys there."""

    def test_no_keys_are_left(self):
        with lab.start_dom0("powers-restart", monitor=True, options=["-no-shutdown"]) as guest:
            xen = xen_memory.XenMemory(guest, 768)
            secret = xen.translate(xen.xen_root(), xen.symbol("boot_secret"))[0]
            self.assertNotEqual(xen.physical(secret, 32), bytes(32))
            self.assertEqual(self.copies(xen), 1)
            guest.try_shell("reboot -f", 5)
            guest.wait_for("restart", lambda: guests.qmp(guest, "query-status")["status"]
                           == "shutdown")
            self.assertEqual(self.copies(xen), 0)
            self.assertEqual(xen.physical(secret, 32), bytes(32))

    @staticmethod
    def copies(xen):
        """Of the key, in all of the machine's memory."""
        return xen.physical(0, xen.frames * xen_memory.PAGE).count(lab.keys()[1].read_bytes()[-32:])
