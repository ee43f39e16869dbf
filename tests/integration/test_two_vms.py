# SPDX-License-Identifier: Apache-2.0
"""The IDS in a virtual machine of its own, as on a real host:

    ┌ QEMU: Xen, PV Dom0 ┐   Ethernet over a    ┌ QEMU: Linux, IDS ┐
    │ agent, dom0-proxy  ├──── Unix socket ─────┤ sevmon, key,     │
    │ 10.9.0.1           │                      │ profile 10.9.0.2 │
    └────────────────────┘                      └──────────────────┘
"""

import json
import pathlib
import re
import tempfile
import unittest

import guests
import lab
import truth


class TwoVirtualMachines(unittest.TestCase):
    def test_ps_from_another_virtual_machine(self):
        here = pathlib.Path(__file__).parent
        kernel = guests.kernel_dir()
        initramfs = guests.make_initramfs(
            "ids", kernel, ["e1000e"],
            adds=[(here / "guest_ids_session", "/bin/ids-session"), (lab.keys()[1], "/ids.key"),
                  (lab.profile("6.1"), "/kernel.profile")], programs=[lab.SEVMON])
        link = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-")) / "link"
        with lab.start_dom0("two-vms-dom0", link=link, kernel_args="sevmon.ip=10.9.0.1") as dom0:
            dom0.wait_for("link", link.exists)
            command = [
                "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic",
                "-no-reboot", "-kernel", kernel / "vmlinuz", "-initrd", initramfs, "-append",
                "console=ttyS0 quiet panic=-1 sevmon.ip=10.9.0.2 sevmon.run=/bin/ids-session",
                "-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={link}",
                "-device", "e1000e,netdev=net0"]
            with guests.Guest("two-vms-ids", command) as ids:
                ids.wait_console(r"guest: exit \d+")
                text = ids.console().replace("\r", "")
            dom0.check_alive()
        self.compare(dict(re.findall(r"=== ([a-z-]+)\n(.*?)=== end 0\n", text, re.S)))

    def compare(self, said):
        before = guests.parse_processes(said["stat-before"], said["uids-before"])
        after = guests.parse_processes(said["stat-after"], said["uids-after"])
        ours = json.loads(said["ps"])["result"]["processes"]
        truth.check_processes(self, ours, before, after)
        version = json.loads(said["os-version"])["result"]["banner"]
        self.assertEqual(version, said["version"].splitlines()[0])
