# SPDX-License-Identifier: Apache-2.0
"""A real Debian as Dom0, with the units that a package would install:

    QEMU ── Xen (agent) ── Linux 6.1 ── systemd ─┬─ dom0-proxy-helper.socket, .service: /dev/xen
                                                 └─ dom0-proxy.service: the network
    The root file system is made by mmdebstrap and is its own initramfs.
"""

import os
import shutil
import subprocess
import tempfile
import unittest
import pathlib

import debian
import guests
import lab
import truth
import wire
from guests import CACHE, PROXY_PORT, ROOT, SHELL_PORT

PACKAGES = ("systemd", "systemd-sysv", "udev", "dbus", "iproute2", "kmod", "libstdc++6",
            "libxencall1", "libseccomp2", "busybox-static")


def debian_root():
    """A tar of a minimal Debian, made once."""
    tar = CACHE / "debian-root.tar"
    if not tar.exists():
        part = tar.with_suffix(".part.tar")
        subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}",
                        "--dpkgopt=path-exclude=/usr/share/man/*",
                        "--dpkgopt=path-exclude=/usr/share/doc/*",
                        "--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm", part,
                        os.environ.get("SEVMON_MIRROR", "http://deb.debian.org/debian")],
                       check=True, capture_output=True)
        part.rename(tar)
    return tar


def make_initramfs():
    out = CACHE / "initramfs" / "systemd.gz"
    kernel = guests.kernel_dir()
    with tempfile.TemporaryDirectory(prefix="sevmon-root-") as folder:
        root = pathlib.Path(folder)
        subprocess.run(["tar", "-xf", debian_root(), "-C", root], check=True)
        root.chmod(0o755)
        # As a package would: programs, units, users, udev rules, module list.
        build = lab.BUILD
        subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", root],
                       check=True, capture_output=True)
        for module in ("drivers/xen/xen-privcmd", "drivers/net/ethernet/intel/e1000e/e1000e"):
            release = (kernel / "release").read_text().strip()
            path = pathlib.Path("lib/modules") / release / "kernel" / f"{module}.ko"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(kernel / path, root / path)
        subprocess.run(["/sbin/depmod", "-b", root, release], check=True, capture_output=True)
        for name, text in debian.UNITS.items():
            (root / "etc/systemd/system" / name).write_text(text)
        shutil.copy(ROOT / "scripts/lib/guest-remote-line", root / "usr/local/bin/remote-line")
        (root / "usr/local/bin/remote-line").chmod(0o755)
        (root / "init").symlink_to("/sbin/init")
        subprocess.run(["systemctl", f"--root={root}", "enable", "test-shell", "test-network",
                        "dom0-proxy-helper.socket", "dom0-proxy.service"], check=True,
                       capture_output=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(f"cd {root} && find . -print0 | cpio --null --quiet -o -H newc -R 0:0 |"
                       f" gzip -1 > {out}.part && mv {out}.part {out}", shell=True, check=True)
    return out


class DebianDom0(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ports = guests.forwards([PROXY_PORT, SHELL_PORT])
        command = [ROOT / "scripts/run-dom0", "--xen", lab.xen(), "--kernel", guests.kernel_dir(),
                   "--initrd", make_initramfs(), "--key", lab.keys()[0], "--xen-args",
                   "dom0_mem=1536M", "--kernel-args", "net.ifnames=0"]
        for inside, outside in cls.ports.items():
            command += ["--forward", f"{outside}:{inside}"]
        cls.guest = guests.Guest("systemd", [*command, "--", "-m", "2304"], cls.ports)
        cls.addClassCleanup(cls.guest.stop)
        address = ("127.0.0.1", cls.ports[PROXY_PORT])
        cls.guest.wait_for("agent", lambda: wire.challenge_of(address, 5))
        cls.guest.wait_shell()
        cls.ids = lab.ids(cls.guest)

    def test_ps(self):
        before = self.guest.processes()
        ours = self.ids.result("ps")["processes"]
        truth.check_processes(self, ours, before, self.guest.processes())
        self.assertIn("systemd", {process["name"] for process in ours})

    def test_units_are_up_and_hardened(self):
        for unit in ("dom0-proxy.service", "dom0-proxy-helper.service"):
            with self.subTest(unit=unit):
                self.assertEqual(self.guest.shell(f"systemctl is-active {unit}").strip(), b"active")
                pid = self.guest.shell(f"systemctl show -P MainPID {unit}").decode().strip()
                status = self.guest.file(f"/proc/{pid}/status").decode()
                self.assertRegex(status, r"Uid:\s+[1-9]")
                self.assertRegex(status, r"CapEff:\s+0+\n")
                self.assertRegex(status, r"CapBnd:\s+0+\n")
                self.assertRegex(status, r"NoNewPrivs:\s+1")
                self.assertRegex(status, r"Seccomp:\s+2")

    def test_network_process_has_no_device(self):
        pid = self.guest.shell("systemctl show -P MainPID dom0-proxy.service").decode().strip()
        self.assertNotIn(b"/dev/xen", self.guest.shell(f"ls -l /proc/{pid}/fd"))
        helper = self.guest.shell("systemctl show -P MainPID dom0-proxy-helper").decode().strip()
        self.assertIn(b"/dev/xen/privcmd", self.guest.shell(f"ls -l /proc/{helper}/fd"))

    def test_restart(self):
        self.guest.shell("systemctl restart dom0-proxy.service")
        self.ids.ok("os-version")
        self.guest.shell("systemctl restart dom0-proxy-helper.service")
        self.ids.ok("os-version")
