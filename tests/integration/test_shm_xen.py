# SPDX-License-Identifier: Apache-2.0
"""Shared memory past Dom0: the IDS reads a Xen whose Dom0 has no part in it, or is no more.

    test ──► sevmon ──► file ═══ ivshmem ═══ Xen (agent)
      └────► shell in Dom0: what of the device does Dom0 reach?
"""

import os
import pathlib
import random
import re
import tempfile
import time
import unittest

import guests
import lab
import lanes
import truth
import xen_memory

LANES = 4


class Shm:
    """A Dom0 and what it shares; each test has its own lane."""

    NAME = None
    PVH = False
    MORE = ()  # devices

    @classmethod
    def setUpClass(cls):
        cls.path = cls.make_file()
        cls.guest = lab.start_dom0(f"shm-{cls.NAME}", pvh=cls.PVH, shm=cls.path, options=cls.MORE)
        cls.addClassCleanup(cls.guest.stop)

    @staticmethod
    def make_file():
        """On /dev/shm, where a real host would have it, too."""
        handle, path = tempfile.mkstemp(prefix="sevmon-", dir="/dev/shm")
        os.truncate(handle, LANES * lanes.LANE_BYTES)
        os.close(handle)
        unittest.addModuleCleanup(os.unlink, path)
        return pathlib.Path(path)

    def place(self):
        """The device's (address in PCI, address of its memory), as Xen said when it booted."""
        said = re.search(r"sevmon: (\S+): (\d+) lanes in shared memory at 0x([0-9a-f]+)",
                         self.guest.console())
        self.assertEqual(int(said[2]), LANES)
        return said[1], int(said[3], 16)

    def check_served(self, lane):
        """A HELLO gets its CHALLENGE."""
        lane.send(lanes.hello_frame(), tag=77)
        tag, status, frame = lane.receive() or self.fail("no answer")
        self.assertEqual((tag, status), (77, 0))
        self.assertEqual(frame[0], 2)

    def claimed(self, index):
        lane = lanes.Lane(self.path, index)
        self.addCleanup(lane.close)
        self.assertTrue(lane.claim(), "the agent did not accept")
        return lane

    def test_dom0_cannot_configure_the_device(self):
        device, _ = self.place()
        folder = f"/sys/bus/pci/devices/{device}"
        config = self.guest.file(f"{folder}/config")
        self.assertEqual(config[:4], b"\xf4\x1a\x10\x11", "it can be seen")
        resources = self.guest.file(f"{folder}/resource").split()
        self.assertEqual({int(word, 16) for word in resources[:18]}, {0}, "Linux found no memory")
        for offset in (0x04, 0x10, 0x18, 0x1c):  # memory on and off, base addresses
            self.guest.shell(rf"printf '\000\000\000\000' | dd of={folder}/config bs=1 count=4 "
                             f"seek={offset} conv=notrunc", check=False)
        self.assertEqual(self.guest.file(f"{folder}/config")[:64], config[:64])
        self.check_served(self.claimed(0))

    def test_dom0_cannot_map_the_memory(self):
        lane = self.claimed(0)
        _, memory = self.place()
        said = self.guest.shell(f"map-probe {memory:x}").decode()
        self.assertIn("map-probe: done", said)
        self.assertNotIn(b"SEVMLANE".hex(), said)
        if not self.PVH:
            ways = dict(re.findall(r"^(\S+) (\S+)$", said, re.M))
            self.assertEqual(set(ways.values()) - {"done"}, {"refused"}, said)
        self.check_served(lane)

    def test_dom0_cannot_take_the_device_out_and_in(self):
        """By which Xen would make it Dom0's."""
        lane = self.claimed(0)
        device, memory = self.place()
        self.guest.shell(f"echo 1 >/sys/bus/pci/devices/{device}/remove; "
                         "echo 1 >/sys/bus/pci/rescan", check=False)
        self.assertEqual(self.guest.file(f"/sys/bus/pci/devices/{device}/vendor"), b"0x1af4\n")
        self.guest.shell(f"dmesg | grep -F '{device}: Failed to delete'")
        said = self.guest.shell(f"map-probe {memory:x}").decode()
        self.assertIn("map-probe: done", said)
        self.assertNotIn(b"SEVMLANE".hex(), said)
        self.check_served(lane)

    def test_whatever_is_written_costs_a_lane_at_most(self):
        """Somebody scribbles over all of the shared memory, control pages and rings."""
        end = time.monotonic() + 10
        memory = lanes.Lane(self.path, 1)
        self.addCleanup(memory.close)
        noise = random.Random(1)
        wrote = 0
        while time.monotonic() < end:
            at = noise.choice((lanes.IDS, lanes.AGENT, lanes.REQUEST_RING[0]))
            memory.claim(0.05)
            for _ in range(50):
                memory.set(at + 4 * noise.randrange(16), noise.getrandbits(32))
                wrote += 1
        self.guest.check_alive()
        self.check_served(self.claimed(1))
        lab.ids(self.guest).ok("--development", "status")

    def lanes_share(self, seconds):
        """What serving lanes takes of one CPU, by Xen's own account."""
        ids = lab.ids(self.guest)

        def now():
            agent = ids.result("--development", "status")["agent"]
            return agent["lanes"]["cpu_ns"], agent["uptime_ns"]

        before = now()
        time.sleep(seconds)
        after = now()
        return (after[0] - before[0]) / (after[1] - before[1])

    def test_a_client_that_takes_no_answers_costs_nothing(self):
        """It asks as long as there is room for requests, and then is just there."""
        lane = self.claimed(3)
        record = lanes.record_bytes(len(lanes.hello_frame()))
        sent = 0
        while lane.wait(lambda: lane.request_tail + record - lane.get(lanes.AGENT +
                        lanes.REQUEST_HEAD_AT) <= lanes.REQUEST_RING[1], 5):
            lane.send(lanes.hello_frame())
            sent += 1
        self.assertGreater(sent, 1000)
        # Each look that stayed for a while took 200 us of 450; one that does not takes some of 250.
        share = self.lanes_share(3)
        print(f"a lane that is blocked: {share:.2%} of a CPU")
        self.assertLess(share, 0.2)
        self.check_served(self.claimed(3))

    def test_processes_are_those_of_the_relay(self):
        """And reads, over a path on which Dom0 does nothing."""
        past, through = lab.ids_past_dom0(self.path), lab.ids(self.guest)
        before = self.guest.processes()
        ours = past.result("ps")["processes"]
        truth.check_processes(self, ours, before, self.guest.processes())
        banner = past.result("os-version")["banner"]
        self.assertEqual(banner, through.result("os-version")["banner"])
        where = f"{self.symbol('linux_banner'):#x}"
        self.assertEqual(past.read(where, 100), through.read(where, 100))
        agent = past.result("--development", "status")["agent"]
        self.assertEqual(agent["lanes"]["served"], LANES)
        self.assertTrue(agent["features"]["shared_memory"])

    def symbol(self, name):
        text = self.guest.file("/proc/kallsyms").decode()
        return int(re.search(rf"^([0-9a-f]+) \S {name}$", text, re.M)[1], 16)

    def test_two_lanes_at_once(self):
        one, two = self.claimed(2), self.claimed(3)
        for _ in range(20):
            one.send(lanes.hello_frame(), tag=1)
            two.send(lanes.hello_frame(), tag=2)
            self.assertEqual(two.receive()[0], 2)
            self.assertEqual(one.receive()[0], 1)

    def test_zz_lanes_end_with_the_agent(self):
        """The last one: Dom0 asks for sleep. A client is told, and its lane is not looked at again."""
        lane = self.claimed(0)
        self.guest.shell("dom0-powers sleep")
        self.assertTrue(lane.wait(lambda: not lane.is_served()), "still served")
        self.assertEqual(lane.get(lanes.AGENT + lanes.MAGIC_AT), 0)
        self.assertFalse(lane.claim(1))
        self.guest.check_alive()


class PvShm(Shm, unittest.TestCase):
    NAME = "pv"


class PvhShm(Shm, unittest.TestCase):
    NAME = "pvh"
    PVH = True
    MORE = ("-device", "virtio-rng-pci,disable-legacy=on")

    def test_dom0_cannot_lay_another_devices_memory_over_it(self):
        """Xen maps for a PVH Dom0 what a device's base address says, which Dom0 writes."""
        self.lay_over("0x010601", 0x24)  # AHCI

    def test_dom0_cannot_lay_an_msix_table_over_it(self):
        """In whose page Xen itself reads and writes for Dom0."""
        self.lay_over("0x00ff00", 0x14)  # virtio-rng

    def lay_over(self, kind, register):
        """A 32-bit base address of the one device of that class, and back."""
        self.check_served(self.claimed(0))
        _, memory = self.place()
        before = self.guest.shell(f"map-probe {memory:x}")
        self.assertNotIn(b"SEVMLANE".hex().encode(), before)
        found = self.guest.shell(f"grep -l {kind} /sys/bus/pci/devices/*/class").split()
        config = str(pathlib.Path(found[0].decode()).parent / "config")
        was = self.guest.file(config)
        base = was[register:register + 4]
        self.assertTrue(any(base) and not base[0] & 0xf, "a 32-bit base address")

        def write(offset, value):
            text = "".join(rf"\{byte:03o}" for byte in value)
            self.guest.shell(rf"printf '{text}' | dd of={config} bs=1 count={len(value)} "
                             f"seek={offset} conv=notrunc")

        try:
            write(0x04, bytes(2))
            write(register, memory.to_bytes(4, "little"))
            write(0x04, b"\x02\x00")
            self.assertEqual(self.guest.file(config)[register:register + 4],
                             memory.to_bytes(4, "little"))
            self.assertEqual(self.guest.shell(f"map-probe {memory:x}"), before)
        finally:
            write(0x04, bytes(2))
            write(register, base)
            write(0x04, was[0x04:0x06])
        self.check_served(self.claimed(0))


class WithoutDom0(unittest.TestCase):
    """Nobody in Dom0 is there to relay anything."""

    def test_dom0_hangs(self):
        path = Shm.make_file()
        with lab.start_dom0("shm-hang", shm=path) as guest:
            lane = lanes.Lane(path)
            self.assertTrue(lane.claim())
            guest.try_shell("insmod /hang.ko", 3)
            self.assertIsNone(guest.try_shell("echo up", 3), "it does not hang")
            Shm.check_served(self, lane)
            lane.close()
            self.check_that_it_is_read(path, "insmod")

    def test_dom0_crashes(self):
        path = Shm.make_file()
        with lab.start_dom0("shm-crash", shm=path, xen_args="sevmon-hold=20", monitor=True,
                            options=["-no-shutdown"]) as guest:
            lane = lanes.Lane(path)
            self.assertTrue(lane.claim())
            guest.try_shell("echo c > /proc/sysrq-trigger", 3)
            self.wait_console(guest, "Dom0 crashed: it can be read for 20 s")
            Shm.check_served(self, lane)
            lane.close()
            self.check_that_it_is_read(path, "init")
            self.wait_console(guest, "rebooting machine")
            end = time.monotonic() + guests.PATIENCE_S
            while guests.qmp(guest, "query-status")["status"] != "shutdown":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.2)
            memory = xen_memory.XenMemory(guest, 768).physical(0, 768 << 20)
            self.assertEqual(memory.count(lab.keys()[1].read_bytes()[-32:]), 0, "keys are left")

    def check_that_it_is_read(self, path, name):
        """By a sevmon that connects now, on another lane than the test's."""
        past = lab.ids_past_dom0(path)
        self.assertIn(name, [each["name"] for each in past.result("ps")["processes"]])
        past.ok("os-version")

    def wait_console(self, guest, text):
        """Guest.wait_for() takes a crash for the end of a test."""
        end = time.monotonic() + guests.PATIENCE_S
        while text not in guest.console():
            self.assertLess(time.monotonic(), end, guest.console()[-1500:])
            time.sleep(0.2)

    def test_without_shared_memory_it_restarts_at_once(self):
        with lab.start_dom0("shm-none") as guest:
            guest.try_shell("echo c > /proc/sysrq-trigger", 3)
            self.wait_console(guest, "rebooting machine")
            self.assertNotIn("it can be read", guest.console())
