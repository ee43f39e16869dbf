# SPDX-License-Identifier: Apache-2.0
"""The IDS in a virtual machine of its own, as on a real host:

    ┌ QEMU: Xen, PV Dom0 ┐   Ethernet over a    ┌ QEMU: Linux, IDS ┐
    │ agent, dom0-proxy  ├──── Unix socket ─────┤ sevmon, key,     │
    │ 10.9.0.1           │                      │ profile 10.9.0.2 │
    └────────────────────┘                      └──────────────────┘

or with memory that both of them map, ivshmem, in place of the cable.
"""

import json
import pathlib
import re
import tempfile
import unittest

import guests
import lab
import truth


def ids_machine(name, script, modules, options):
    """What a virtual machine with sevmon, a key and a profile says until `script` ends there."""
    here = pathlib.Path(__file__).parent
    kernel = guests.kernel_dir()
    initramfs = guests.make_initramfs(
        name, kernel, modules,
        adds=[(here / script, "/bin/ids-session"), (lab.keys()[1], "/ids.key"),
              (lab.profile("6.1"), "/kernel.profile")], programs=[lab.SEVMON])
    command = [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic",
        "-no-reboot", "-kernel", kernel / "vmlinuz", "-initrd", initramfs, "-append",
        "console=ttyS0 quiet panic=-1 sevmon.ip=10.9.0.2 sevmon.run=/bin/ids-session", *options]
    with guests.Guest(f"two-vms-{name}", command) as ids:
        ids.wait_console(r"guest: exit \d+")
        text = ids.console().replace("\r", "")
    return dict(re.findall(r"=== ([a-z-]+)\n(.*?)=== end 0\n", text, re.S))


class TwoVirtualMachines(unittest.TestCase):
    def test_ps_from_another_virtual_machine(self):
        link = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-")) / "link"
        with lab.start_dom0("two-vms-dom0", link=link, kernel_args="sevmon.ip=10.9.0.1") as dom0:
            dom0.wait_for("link", link.exists)
            said = ids_machine("ids", "guest_ids_session", ["e1000e"], [
                "-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={link}",
                "-device", "e1000e,netdev=net0"])
            dom0.check_alive()
        before = guests.parse_processes(said["stat-before"], said["uids-before"])
        after = guests.parse_processes(said["stat-after"], said["uids-after"])
        self.compare(said, before, after, said["version"].splitlines()[0])

    def test_ps_through_shared_memory(self):
        """Which two machines have: no network, and no root in the one of the IDS."""
        with tempfile.NamedTemporaryFile(prefix="sevmon-", dir="/dev/shm") as file:
            file.truncate(1 << 20)
            with lab.start_dom0("two-vms-shm", shm=file.name) as dom0:
                before = dom0.processes()
                said = ids_machine("ids-shm", "guest_ids_shm", [], [
                    "-object", f"memory-backend-file,id=shm,share=on,mem-path={file.name},size=1M",
                    "-device", "ivshmem-plain,memdev=shm"])
                version = dom0.file("/proc/version").decode().splitlines()[0]
                self.compare(said, before, dom0.processes(), version)

    def compare(self, said, before, after, banner):
        ours = json.loads(said["ps"])["result"]["processes"]
        truth.check_processes(self, ours, before, after)
        version = json.loads(said["os-version"])["result"]["banner"]
        self.assertEqual(version, banner)
