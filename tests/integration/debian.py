# SPDX-License-Identifier: Apache-2.0
"""Root file systems of Debian 12, made by mmdebstrap, and programs run in them. Needs root."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from guests import CACHE

MIRROR = os.environ.get("SEVMON_MIRROR", "http://deb.debian.org/debian")
SECURITY = os.environ.get("SEVMON_SECURITY_MIRROR", "http://deb.debian.org/debian-security")
# With the updates: packages that were built here can need libraries as new as the ones here.
SOURCES = [f"deb {MIRROR} bookworm main", f"deb {MIRROR} bookworm-updates main",
           f"deb {SECURITY} bookworm-security main"]

# What our packages depend on, so that apt installs them without a network.
RUNTIME = ("libbpf1", "libbz2-1.0", "liblz4-1", "liblzma5", "liblzo2-2", "libseccomp2", "libssl3", "libstdc++6",
           "libxencall1", "libzstd1", "zlib1g")
# What a program needs to be linked with libsevmon.a.
DEVELOPMENT = ("libbpf-dev", "libbz2-dev", "liblz4-dev", "liblzma-dev", "liblzo2-dev", "libssl-dev",
               "libzstd-dev", "zlib1g-dev")
SYSTEMD = ("systemd", "systemd-sysv", "udev", "dbus", "iproute2", "kmod", "busybox-static")

# A network with QEMU's fixed addresses, and the tests' way in.
UNITS = {
    "test-shell.service": """[Unit]
Description=the tests' shell
[Service]
ExecStart=/bin/busybox nc -ll -p 7101 -e /usr/local/bin/remote-line
[Install]
WantedBy=multi-user.target
""",
    "test-network.service": """[Unit]
Description=network of the tests
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/modprobe e1000e
ExecStart=/bin/sh -c 'until ip link show eth0; do sleep 0.2; done'
ExecStart=/sbin/ip addr add 10.0.2.15/24 dev eth0
ExecStart=/sbin/ip link set eth0 up
[Install]
WantedBy=multi-user.target
""",
}


def root_tar(name, packages, hook=""):
    """A tar of a minimal Debian with these packages, made once. `hook`: a shell line that runs
    before they are installed, with the root in $1."""
    key = hashlib.sha256(f"{packages} {hook} {SOURCES}".encode()).hexdigest()[:8]
    tar = CACHE / f"debian-{name}-{key}.tar"
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        part = tar.with_suffix(f".{os.getpid()}.tar")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
        if hook:
            command.append(f"--essential-hook={hook}")
        command += ["bookworm", part, *SOURCES]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"mmdebstrap: {done.stderr[-2000:]}"
        part.rename(tar)
    return tar


class Root:
    """An unpacked root file system in a directory that goes away with `close`."""

    def __init__(self, tar):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-root-"))
        subprocess.run(["tar", "-xf", tar, "-C", self.path], check=True)
        self.path.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        shutil.rmtree(self.path)

    def run(self, *command, check=True, environment=()):
        """A program in the root; returns what subprocess.run() does, both outputs in stdout."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                       "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", **dict(environment)}
        done = subprocess.run(["chroot", self.path, *command], env=environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-3000:]}"
        return done

    def __truediv__(self, name):
        return self.path / str(name).lstrip("/")

    def add_test_units(self, root_of_sources):
        for name, text in UNITS.items():
            (self / "etc/systemd/system" / name).write_text(text)
        line = self / "usr/local/bin/remote-line"
        shutil.copy(root_of_sources / "scripts/lib/guest-remote-line", line)
        line.chmod(0o755)
        subprocess.run(["systemctl", f"--root={self.path}", "enable", *UNITS], check=True,
                       capture_output=True)
