# SPDX-License-Identifier: Apache-2.0
"""A device of PV Dom0's that writes into Xen: without an IOMMU it does, with one it is refused.

    test ──► shell in Dom0 ──► edu-dma ──registers──► QEMU's edu ──DMA──► [IOMMU] ──► Xen's memory
      └──── sevmon status: "none" and not ready, or "on"                    Xen says what is there

The aim is the text by which Xen names its compiler: harmless, and Xen itself says what it is.
"""

import re
import struct
import unittest

import lab

OLD, NEW = b"gcc (Debian", b"written, by"
XEN_VIRT_START = 0xffff82d040000000
EDU = ["-device", "edu,dma_mask=0xffffffffffffffff"]
IOMMU = ["-M", "q35", "-device", "intel-iommu,intremap=on"]


def text_address(guest):
    """Where it is in the machine's memory: from Xen's file, and what Xen says at boot."""
    image = lab.xen().with_name("xen-syms").read_bytes()
    table, count = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0]
    base = int(re.search(r"New Xen image base address: 0x([0-9a-f]+)", guest.console())[1], 16)
    for match in re.finditer(rb"\0" + re.escape(OLD), image):
        at = match.start() + 1
        for i in range(count):
            kind, _, offset, start, _, size = struct.unpack_from("<IIQQQQ", image, table + 56 * i)
            if kind == 1 and offset <= at < offset + size:
                return base + start + at - offset - XEN_VIRT_START
    raise AssertionError("Xen's file has no such text")


class Dma(unittest.TestCase):
    def attack(self, name, xen_args="", qemu=()):
        """(what edu-dma said, the agent's status)"""
        with lab.start_dom0(name, xen_args=xen_args, more=["--", *qemu, *EDU]) as guest:
            said = guest.shell(f"edu-dma {text_address(guest):#x} '{OLD.decode()}' "
                                f"'{NEW.decode()}'").decode()
            status = lab.ids(guest)("--json", "status")
            guest.check_alive()
            self.console = guest.console()
        return dict(re.findall(r"^edu-dma: (.*): (yes|no)$", said, re.M)) or said, status

    def test_without_iommu(self):
        """And the IDS knows: it does not call this protected."""
        said, status = self.attack("dma")
        self.assertEqual(said, {"own memory moved": "yes", "Xen's memory read": "yes",
                                "Xen's memory written": "yes"})
        self.assertEqual(status.code, 3, status)
        self.assertEqual(status.json["result"]["agent"]["iommu"], "none")
        self.assertIn("they can write into Xen", status.err)

    def test_with_iommu(self):
        said, status = self.attack("dma-iommu", "dom0-iommu=strict iommu=force", IOMMU)
        self.assertEqual(said, {"own memory moved": "yes", "Xen's memory read": "no",
                                "Xen's memory written": "no"})
        self.assertEqual(status.json["result"]["agent"]["iommu"], "on")
        self.assertNotIn("they can write into Xen", status.err)
        self.assertRegex(self.console, r"DMAR:\[DMA (Read|Write)\]")

    def test_with_iommu_and_a_virtio_device(self):
        """QEMU's takes addresses as the machine's, past the IOMMU, unless it is told: the IDS knows."""
        for name, options, iommu in (("virtio-modern", ",disable-legacy=on", "none"),
                                     ("virtio-platform", ",disable-legacy=on,iommu_platform=on",
                                      "on")):
            with self.subTest(device=name):
                _, status = self.attack(f"dma-{name}", "dom0-iommu=strict iommu=force",
                                        [*IOMMU, "-device", f"virtio-rng-pci{options}"])
                self.assertEqual(status.json["result"]["agent"]["iommu"], iommu)
                said = re.findall(r"sevmon: \S+: a virtio device that no IOMMU confines",
                                  self.console)
                self.assertEqual(len(said), iommu == "none")

    def test_with_iommu_that_leaves_devices_out(self):
        """As the host may say in the firmware's table: not protected, and the IDS knows."""
        _, status = self.attack("dma-bypass", "dom0-iommu=strict iommu=force",
                                [*IOMMU, "-M", "default_bus_bypass_iommu=true"])
        self.assertEqual(status.json["result"]["agent"]["iommu"], "none")
        self.assertRegex(self.console, r"sevmon: \S+: a device that has no IOMMU")

    def test_with_iommu_in_relaxed_mode(self):
        """A PV Dom0's default: all RAM is the devices', and the IDS knows."""
        said, status = self.attack("dma-relaxed", "dom0-iommu=none iommu=force", IOMMU)
        self.assertEqual(status.json["result"]["agent"]["iommu"], "none")
        self.assertEqual(said["own memory moved"], "yes")

    def test_with_iommu_without_interrupt_remapping(self):
        """A device's write to FEExxxxxh raises what it likes: not protected, and the IDS knows. (With
        iommu=force Xen does not even start.)"""
        said, status = self.attack("dma-no-intremap", "dom0-iommu=strict",
                                   ["-M", "q35", "-device", "intel-iommu,intremap=off"])
        self.assertEqual(said["Xen's memory written"], "no")
        self.assertEqual(status.code, 3, status)
        self.assertEqual(status.json["result"]["agent"]["iommu"], "none")
