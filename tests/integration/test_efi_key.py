# SPDX-License-Identifier: Apache-2.0
"""The agent's keys from an EFI secret area, as an SEV VM's owner has them injected.

    OVMF ── loader.efi: area with two IDSs' keys, table ── xen.efi (agent) ── Linux 6.1, PV
              │                                               │ takes the keys, wipes, denies
              └── control page, not the agent's               ▼
    host: QEMU's memory, read whole     Dom0's root: /dev/mem, privcmd     two sevmons at once
"""

import pathlib
import re
import struct
import subprocess
import tempfile
import threading
import unittest

import efi
import guests
import lab

RAM = 768 << 20  # of scripts/run-dom0's PV machine


def keygen(ids, agent):
    subprocess.run([lab.SEVMON, "keygen", ids, agent], check=True, capture_output=True)


def psk_of(ids):
    return pathlib.Path(ids).read_bytes()[-32:]


class Keys:
    """Two IDSs and their agent; and what the owner would boot it with next."""

    def __init__(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-keys-"))
        self.agent, self.first, self.second = (folder / name for name in ("agent", "1st", "2nd"))
        keygen(self.first, self.agent)
        keygen(self.second, self.agent)
        self.module, self.module_ids = folder / "module", folder / "module-ids"
        keygen(self.module_ids, self.module)
        # Next: the first one's key is another, the second is revoked, a third comes.
        self.next_agent, self.rotated, self.third = (
            folder / name for name in ("next-agent", "rotated", "3rd"))
        self.next_agent.touch(mode=0o600)
        self.next_agent.write_bytes(self.agent.read_bytes())
        keygen(self.rotated, self.next_agent)
        keygen(self.third, self.next_agent)
        for gone in (self.first, self.second):
            subprocess.run([lab.SEVMON, "revoke", gone, self.next_agent], check=True,
                           capture_output=True)

    def mixed(self):
        """The first IDS's id with the second's key."""
        path = self.first.with_name("mixed")
        path.touch(mode=0o600)
        path.write_bytes(self.first.read_bytes()[:-32] + psk_of(self.second))
        return path


class EfiTests:
    """What holds for each kind of memory that firmware puts the area into."""

    PVH = False

    @classmethod
    def boot(cls, name, secret, **options):
        cls.guest = efi.start(name, secret, pvh=cls.PVH, **options)
        cls.addClassCleanup(cls.guest.stop)

    def ids(self, *keys):
        ids = lab.ids(self.guest, key=keys[0])
        for key in keys[1:]:
            ids.options += ["--key", str(key)]
        return ids

    def refused(self, *keys):
        outcome = self.ids(*keys)("--timeout", "2s", "os-version")
        self.assertEqual(outcome.code, 3, outcome)
        self.assertEqual(outcome.out, "")
        return outcome.err

    def check_wiped_and_denied(self, keys):
        area, control = efi.addresses(self.guest)
        self.assertEqual(efi.memory(self.guest, area, efi.PAGE), bytes(efi.PAGE))
        # The test's own check: its ways in do work where nobody closed them.
        seen = efi.probe(self.guest, control)
        readable = {way for way, what in seen.items() if what is not None}
        self.assertIn("mem-map", readable, seen)
        for way in readable:
            self.assertTrue(seen[way].startswith(b"sevmon control page"), seen)
        if not self.PVH:
            self.assertTrue(any(way.startswith("foreign") for way in readable), seen)
        seen = efi.probe(self.guest, area)
        # A PVH Dom0 may map any address; where nothing is behind it, it reads ones.
        nothing = (None, b"\xff" * 48) if self.PVH else (None,)
        self.assertEqual({way for way, what in seen.items() if what not in nothing}, set(), seen)
        self.guest.check_alive()

    def test_ports(self):
        """Without a boot module, too; and this chipset is another one."""
        output = self.guest.shell("dom0-powers ports", check=False).decode()
        self.assertIn("dom0-powers: OK", output)

    def test_fw_cfg(self):
        """QEMU's device writes where Dom0 says, past every IOMMU: here its signature, into a page
        that is Dom0's to write."""
        _, control = efi.addresses(self.guest)
        access, aim = control + 0x800, control + 0x900
        efi.write(self.guest, access, struct.pack(">IIQ", 8 | 2, 4, aim))  # select 0, read
        self.assertEqual(efi.memory(self.guest, access, 4), b"\0\0\0\x0a", "the test's own check")
        before = efi.memory(self.guest, aim, 4)
        output = self.guest.shell(f"fw-cfg-probe {access:#x}", check=False).decode()
        self.assertEqual(efi.memory(self.guest, aim, 4), before)
        self.assertIn("fw-cfg-probe: OK", output)

    def check_one_copy(self, keys):
        """In all of the machine's memory, as the host would see it without SEV."""
        memory = efi.memory(self.guest, 0, RAM)
        for key in keys:
            self.assertEqual(memory.count(psk_of(key)), 1, key)


class PvDom0(EfiTests, unittest.TestCase):
    """Reserved memory; and a boot module with other keys, which is not used."""

    @classmethod
    def setUpClass(cls):
        cls.keys = Keys()
        cls.boot("efi-pv", efi.Secret(efi.key_area(cls.keys.agent)), agent_key=cls.keys.module,
                 xen_args="loglvl=all")

    def test_status(self):
        found = self.ids(self.keys.first).result("--development", "status")
        self.assertEqual(found["agent"]["key_source"], "EFI secret")
        self.assertEqual(found["agent"]["keys"], 2)
        self.assertNotIn("key-source", {lack["id"] for lack in found["production"]["lacking"]})
        self.assertEqual(found["channel"]["key"], str(self.keys.first))

    def test_console(self):
        console = self.guest.console()
        self.assertIn("sevmon: on: keys from EFI secret area", console)
        self.assertIn("sevmon: keys from boot module (development only): not used", console)
        self.refused(self.keys.module_ids)

    def test_two_at_once(self):
        """Each its own process list, again and again, beside the other."""
        found = []

        def run(key):
            ids = self.ids(key)
            for _ in range(3):
                found.append(len(ids.result("ps")["processes"]))

        threads = [threading.Thread(target=run, args=(key,))
                   for key in (self.keys.first, self.keys.second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), 6)
        self.assertGreater(min(found), 30)

    def test_one_keys_id_with_the_others_key(self):
        self.refused(self.keys.mixed())

    def test_second_key_file(self):
        """The agent has not changed its key yet: the old file works, and sevmon says so."""
        outcome = self.ids(self.keys.rotated, self.keys.first).ok("os-version")
        self.assertRegex(outcome.err, rf"key {self.keys.first} works, not {self.keys.rotated}")

    def test_wiped_and_denied(self):
        self.check_wiped_and_denied(self.keys)

    def test_one_copy(self):
        self.check_one_copy([self.keys.first, self.keys.second])

    def test_runtime_services(self):
        """Code and tables that Xen calls: Dom0's root reads them, and writes in vain."""
        _, control = efi.addresses(self.guest)
        self.assertTrue(efi.changes(self.guest, control), "the test's own check: its way in works")
        for kind in (efi.RUNTIME_CODE, efi.RUNTIME_DATA):
            places = efi.described(self.guest, kind)
            self.assertTrue(places, f"no memory of type {kind}")
            for first, last in places:
                self.assertFalse(efi.changes(self.guest, first), hex(first))
                self.assertFalse(efi.changes(self.guest, last & -efi.PAGE), hex(last))
        self.guest.check_alive()


class BootServicesData(EfiTests, unittest.TestCase):
    """Memory that Xen takes for free; and the boot after the keys changed."""

    @classmethod
    def setUpClass(cls):
        cls.keys = Keys()
        secret = efi.Secret(efi.key_area(cls.keys.next_agent),
                            flags=efi.BASE_IS_RELATIVE | efi.BOOT_SERVICES_DATA)
        cls.boot("efi-bs", secret)

    def test_rotated(self):
        """Both files at hand: the new one works. The old one alone does no more."""
        ids = self.ids(self.keys.first, self.keys.rotated)
        outcome = ids.ok("os-version")
        self.assertRegex(outcome.err, rf"key {self.keys.rotated} works, not {self.keys.first}")
        self.assertEqual(self.ids(self.keys.rotated).ok("os-version").err, "")
        self.refused(self.keys.first)

    def test_revoked(self):
        """Refused as any stranger is: nothing tells that the agent ever knew this id."""
        revoked, stranger = self.refused(self.keys.second), self.refused(self.keys.mixed())
        self.assertIn("it has no such key", revoked)
        self.assertEqual(revoked, stranger)
        self.ids(self.keys.third).ok("os-version")

    def test_wiped_and_denied(self):
        self.check_wiped_and_denied(self.keys)

    def test_one_copy(self):
        self.check_one_copy([self.keys.rotated, self.keys.third])


class HostileTables(unittest.TestCase):
    """Xen boots, says why there is no agent, and touches nothing."""

    def boot(self, name, secret):
        with efi.start(f"efi-{name}", secret, wait=False) as guest:
            guest.wait_console(r"Serial input to DOM0")
            return guest.console()

    def check(self, name, secret, why, off="the key file is not valid"):
        console = self.boot(name, secret)
        self.assertRegex(console, r"\(XEN\) sevmon: EFI secret area 0x[0-9a-f]+.*: " + why)
        self.assertIn(f"(XEN) sevmon: off: {off}", console)
        self.assertNotIn("sevmon: on", console)

    def cases(self):
        area = efi.key_area(lab.keys()[0])
        table = efi.Secret
        yield "wrapping", table(area, base=2**64 - 4096, size=8192, flags=0), "it is out of range"
        yield "wrong-guid", table(efi.area(guid=efi.OTHER)), "it does not begin as one"
        yield "truncated", table(area, size=len(area) - 1), "malformed"
        if not lab.FULL:
            return
        yield "empty", table(area, size=0), "it is empty"
        yield "huge", table(area, size=2**64 - 1), "it is too large"
        yield "one-over", table(area, size=0x10001, pages=32), "it is too large"
        yield "unaligned", table(area, base=8), "it is not aligned"
        yield "not-memory", table(area, base=0xd0000000, flags=0), "it is not in memory"
        yield "beyond", table(area, base=2**45, flags=0), "it is out of range"
        yield "low", table(area, base=0x8000, flags=0), "it is out of range"
        yield "two-keys", table(efi.area(efi.entry(efi.KEYS, b""), efi.entry(efi.KEYS, b""))), \
            "malformed"
        yield "none", table(efi.area(efi.entry(efi.OTHER, b"a disk's"))), "no entry"

    def test_tables(self):
        for name, secret, why in self.cases():
            with self.subTest(table=name):
                self.check(name, secret, why)


    def test_of_no_use_and_denied(self):
        """A mistake in the table: what is there may be somebody's secrets all the same."""
        secret = efi.Secret(efi.key_area(lab.keys()[0]), size=0x10001, pages=32)
        with efi.start("efi-denied", secret, wait=False) as guest:
            guest.wait_shell()
            self.assertIn("it is too large", guest.console())
            area, control = efi.addresses(guest)
            self.assertIsNotNone(efi.probe(guest, control)["mem-map"], "the test's own check")
            self.assertEqual(set(efi.probe(guest, area).values()), {None})

    def test_in_use(self):
        """An area over Xen itself or over the kernel that it starts: where those were a boot ago, and
        so are again."""
        area = efi.key_area(lab.keys()[0])
        console = self.boot("before-in-use", efi.Secret(area, size=0))
        for name, place in (("xen", r"Xen image load base address: 0x([0-9a-f]+)"),
                            ("kernel", r"vmlinuz: 0x([0-9a-fA-F]+)-")):
            # Two MiB into Xen, where its code begins.
            base = int(re.search(place, console)[1], 16) + 0x200000 * (name == "xen")
            with self.subTest(over=name):
                self.check(f"over-{name}", efi.Secret(area, base=base, flags=0), "it is in use")


class ScanOfXens(unittest.TestCase):
    """The build that looks for keys in all RAM before Dom0 runs finds the agent's own."""

    def test_scan(self):
        if not lab.FULL:
            self.skipTest("with --full: it needs a second build of Xen")
        keys = Keys()
        scanning = lab.xen("--debug-scan").with_name("xen.efi")
        secret = efi.Secret(efi.key_area(keys.agent),
                            flags=efi.BASE_IS_RELATIVE | efi.BOOT_SERVICES_DATA)
        with efi.start("efi-scan", secret, xen_path=scanning) as guest:
            found = re.findall(r"sevmon: scan: key (\d+): (\d+) copies", guest.console())
        self.assertEqual(found, [("0", "1"), ("1", "1")])


class PvhDom0(EfiTests, unittest.TestCase):
    PVH = True

    @classmethod
    def setUpClass(cls):
        if not lab.FULL:
            raise unittest.SkipTest("with --full: nested virtualisation is slow")
        cls.keys = Keys()
        cls.boot("efi-pvh", efi.Secret(efi.key_area(cls.keys.agent)))

    def test_ps(self):
        for key in (self.keys.first, self.keys.second):
            self.assertGreater(len(self.ids(key).result("ps")["processes"]), 30)

    def test_wiped_and_denied(self):
        self.check_wiped_and_denied(self.keys)
