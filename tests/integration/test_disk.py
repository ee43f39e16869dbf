# SPDX-License-Identifier: Apache-2.0
"""A machine as its owner would set it up: a Debian that boots from its disk gets our packages.

    disk: GRUB ─┬─ Linux ── apt-get install, key, update-grub, reboot
                └─ Xen (agent) ── the same Linux as Dom0 ── systemd ── dom0-proxy, its helper
"""

import base64
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import disk
import guests
import lab
import test_packages
import truth
import wire
from guests import PROXY_PORT, SHELL_PORT

UNITS = ("dom0-proxy.service", "dom0-proxy-helper.service")
# What `systemd-analyze security` may say at most; docs/operations.md has what it says.
HIGHEST_EXPOSURE = 1.9


class Machine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-disk-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.image = folder / "disk.img"
        debs = test_packages.build()
        disk.make(cls.image, lambda root: cls.prepare(root, debs, folder))
        cls.profile = folder / "kernel.profile"
        subprocess.run([lab.SEVMON, "profile", "build", folder / "vmlinuz", "-o", cls.profile],
                       check=True, capture_output=True)
        cls.boot()
        cls.addClassCleanup(cls.guest.stop)
        cls.install()
        cls.reboot()

    @staticmethod
    def prepare(root, debs, folder):
        for name in ("xen-hypervisor-sevmon", "dom0-proxy"):
            shutil.copy(debs[name], root / "root")
        # What an owner takes from Debian's signed package.
        shutil.copy(next(root.path.glob("boot/vmlinuz-*")), folder / "vmlinuz")

    @classmethod
    def boot(cls):
        ports = guests.forwards([PROXY_PORT, SHELL_PORT])
        network = "user,id=net0" + "".join(f",hostfwd=tcp:127.0.0.1:{outside}-:{inside}"
                                           for inside, outside in ports.items())
        cls.guest = guests.Guest("disk", [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,-smap,-la57", "-m", "1536",
            "-nographic", "-drive", f"file={cls.image},if=virtio,format=raw,cache=unsafe",
            "-netdev", network, "-device", "e1000e,netdev=net0"], ports, life_s=3000)
        cls.guest.wait_shell()

    @classmethod
    def install(cls):
        """docs/operations.md's steps."""
        shell = cls.guest.shell
        shell("apt-get install -y /root/*.deb", timeout_s=600)
        key = base64.b64encode(lab.keys()[0].read_bytes()).decode()
        shell(f"echo {key} | base64 -d >/root/agent.key")
        shell("install -m 600 /root/agent.key /boot/sevmon/agent.key && rm /root/agent.key")
        # The tests' console, and memory for Xen; not a step for everybody.
        shell("sed -i -e 's/^export SEVMON_XEN_OPTIONS=.*/export SEVMON_XEN_OPTIONS="
              "\"console=com1 com1=115200 dom0_mem=1024M\"/' "
              "-e 's/^export SEVMON_LINUX_OPTIONS=.*/export SEVMON_LINUX_OPTIONS="
              "\"console=hvc0\"/' /etc/default/grub.d/sevmon.cfg")
        shell("update-grub", timeout_s=600)

    @classmethod
    def reboot(cls):
        """Down and up again by itself, through GRUB's default entry."""
        before = cls.guest.file("/proc/sys/kernel/random/boot_id")
        cls.guest.try_shell("systemctl --no-block reboot", 60)

        def is_back():
            answer = cls.guest.try_shell("cat /proc/sys/kernel/random/boot_id", 5)
            return answer and answer[1] != before

        cls.guest.wait_for("reboot", is_back, patience_s=900)
        cls.guest.wait_for("agent", lambda: wire.challenge_of(
            ("127.0.0.1", cls.guest.ports[PROXY_PORT]), 5))
        cls.ids = lab.ids(cls.guest, profile=cls.profile)

    def main_pid(self, unit):
        return self.guest.shell(f"systemctl show -P MainPID {unit}").decode().strip()

    def state(self, unit):
        return self.guest.shell(f"systemctl is-active {unit}; true").decode().strip()

    def check_watched(self):
        before = self.guest.processes()
        ours = self.ids.result("ps")["processes"]
        truth.check_processes(self, ours, before, self.guest.processes())
        self.assertIn("systemd", {process["name"] for process in ours})

    def test_1_healthy(self):
        self.assertEqual(self.guest.file("/sys/hypervisor/type").strip(), b"xen")
        self.check_watched()
        for unit in UNITS:
            with self.subTest(unit=unit):
                status = self.guest.shell(f"systemctl --no-pager status {unit}").decode()
                self.assertRegex(status, r"Active: active \(running\)")
        self.assertEqual(self.guest.shell("systemctl is-enabled dom0-proxy.service").strip(),
                         b"enabled")
        failed = self.guest.shell("systemctl list-units --failed --plain --no-legend").decode()
        self.assertEqual(failed, "")

    def test_2_sandboxed(self):
        for unit in UNITS:
            with self.subTest(unit=unit):
                pid = self.main_pid(unit)
                status = self.guest.file(f"/proc/{pid}/status").decode()
                self.assertRegex(status, r"Uid:\s+[1-9]")
                for line in (r"CapEff:\s+0+\n", r"CapBnd:\s+0+\n", r"NoNewPrivs:\s+1",
                             r"Seccomp:\s+2"):
                    self.assertRegex(status, line)
                # Not even root could write where the service may not.
                into = f"nsenter -t {pid} -m "
                code, _ = self.guest.try_shell(into + "touch /etc/written", 60)
                self.assertNotEqual(code, 0)
                home = self.guest.shell(into + "ls -A /root")
                self.assertEqual(home, b"")
        proxy, helper = map(self.main_pid, UNITS)
        self.assertNotIn(b"/dev/xen", self.guest.shell(f"ls -l /proc/{proxy}/fd"))
        code, _ = self.guest.try_shell(f"nsenter -t {proxy} -m ls /dev/xen/privcmd", 60)
        self.assertNotEqual(code, 0)
        self.assertIn(b"/dev/xen/privcmd", self.guest.shell(f"ls -l /proc/{helper}/fd"))
        links = self.guest.shell(f"nsenter -t {helper} -n ip -o link").decode()
        self.assertEqual(re.findall(r"^\d+: (\w+)", links, re.M), ["lo"])

    def test_3_exposure(self):
        for unit in UNITS:
            with self.subTest(unit=unit):
                out = self.guest.shell(f"systemd-analyze --no-pager security {unit}").decode()
                score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", out)[1])
                print(f"systemd-analyze security {unit}: {score}")
                self.assertLessEqual(score, HIGHEST_EXPOSURE)

    def test_4_comes_back_after_a_kill(self):
        for unit in UNITS:
            with self.subTest(unit=unit):
                self.ids.ok("os-version")  # the helper starts with the first request
                before = self.main_pid(unit)
                self.guest.shell(f"kill -9 {before}")
                self.guest.wait_for(f"another {unit}", lambda: self.state(unit) == "active"
                                    and self.main_pid(unit) not in (before, "0"))
                self.ids.ok("os-version")

    def test_5_survives_a_reboot(self):
        self.reboot()
        self.assertEqual(self.guest.file("/sys/hypervisor/type").strip(), b"xen")
        self.check_watched()

    def test_6_purge_takes_the_entries(self):
        self.guest.shell("apt-get purge -y xen-hypervisor-sevmon dom0-proxy", timeout_s=600)
        grub_cfg = self.guest.file("/boot/grub/grub.cfg")
        self.assertNotIn(b"sevmon/xen", grub_cfg)
        code, _ = self.guest.try_shell("ls /boot/sevmon", 60)
        self.assertNotEqual(code, 0)
