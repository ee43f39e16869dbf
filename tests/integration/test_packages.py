# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: what lintian says of them, and their lives in a clean root file system.

    scripts/package ── .deb ── chroot of Debian 12: apt install, upgrade, remove, purge
    (That a machine boots from them is test_disk's.)
"""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

import debian
import lab
from guests import ROOT

OLD_VERSION = "0.0.9~git1"
NAMES = {"xen-hypervisor-sevmon", "dom0-proxy", "sevmon", "libsevmon0", "libsevmon-dev"}
TOML = "etc/dom0-proxy/dom0-proxy.toml"
GRUB_CFG = "etc/default/grub.d/sevmon.cfg"

# What installing and removing any package changes.
BOOKKEEPING = re.compile(r"(var/lib/(dpkg|apt|systemd/deb-systemd-helper-.*)|var/log|var/cache|tmp|"
                         r"etc/(passwd|group|shadow|gshadow)-|etc/ld\.so\.cache|"
                         r"etc/\.pwd\.lock)(/|$)")


def build(version=None):
    """{package: .deb}, as scripts/package makes them."""
    arguments = ["--version", version] if version else []
    folder = lab.last_line("package", *arguments)
    found = {path.name.split("_")[0]: path for path in folder.glob("*.deb")}
    assert set(found) == NAMES, found
    return found


def field(deb, name):
    return subprocess.check_output(["dpkg-deb", "-f", deb, name], text=True).strip()


def files(root):
    """{path: mode} of all that is in a root and would have to go again."""
    found = {}
    for folder, folders, names in os.walk(root.path):
        for name in folders + names:
            path = pathlib.Path(folder, name)
            inside = str(path.relative_to(root.path))
            if not BOOKKEEPING.match(inside):
                found[inside] = path.lstat().st_mode
    return found


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.new = build()
        cls.tar = debian.root_tar("packages", debian.RUNTIME + debian.DEVELOPMENT + ("systemd",))

    def setUp(self):
        self.root = debian.Root(self.tar)
        self.addCleanup(self.root.close)

    def apt(self, root, verb, *names):
        return root.run("apt-get", "-y", "-o", "Dpkg::Options::=--force-confold",
                        verb, *names).stdout

    def install(self, root, debs):
        for deb in debs.values():
            shutil.copy(deb, root / "tmp")
        out = self.apt(root, "install", "--allow-downgrades", *(f"/tmp/{deb.name}" for deb in debs.values()))
        for deb in debs.values():
            (root / "tmp" / deb.name).unlink()
        return out

    def version(self, root, name):
        return root.run("dpkg-query", "-W", "-f", "${Version}", name, check=False).stdout

    def test_lintian(self):
        changes = next(next(iter(self.new.values())).parent.glob("*.changes"))
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning",
                               "--show-overrides", changes], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_life(self):
        """Install an old version, configure it, upgrade, remove, purge: nothing is left."""
        root = self.root
        before = files(root)
        accounts = [(root / f"etc/{name}").read_text() for name in ("passwd", "group")]

        old = build(OLD_VERSION)
        self.install(root, old)
        self.assertEqual(self.version(root, "dom0-proxy"), OLD_VERSION)
        self.check_installed(root)
        edited = (root / TOML).read_text().replace("0.0.0.0:7100", "127.0.0.1:7199")
        (root / TOML).write_text(edited)
        (root / "boot/sevmon/agent.key").write_bytes(b"a key")

        self.install(root, self.new)
        for name, deb in self.new.items():
            self.assertEqual(self.version(root, name), field(deb, "Version"))
        self.assertEqual((root / TOML).read_text(), edited)
        self.assertEqual((root / "boot/sevmon/agent.key").read_bytes(), b"a key")
        self.check_installed(root)

        self.apt(root, "remove", *NAMES)
        left = set(files(root)) - set(before)
        for gone in ("usr/sbin/dom0-proxy", "boot/sevmon/xen.gz", "usr/bin/sevmon"):
            self.assertNotIn(gone, left)
        for kept in (TOML, GRUB_CFG, "boot/sevmon/agent.key"):
            self.assertIn(kept, left)

        root.run("dpkg", "--purge", *sorted(NAMES))
        self.assertEqual(files(root), before)
        after = [(root / f"etc/{name}").read_text() for name in ("passwd", "group")]
        self.assertEqual(after, accounts)

    def check_installed(self, root):
        for path in ("boot/sevmon/xen.gz", "boot/sevmon/xen.efi", "etc/grub.d/09_sevmon", GRUB_CFG,
                     "usr/sbin/dom0-proxy", "usr/libexec/dom0-proxy-helper", TOML,
                     "lib/systemd/system/dom0-proxy.service", "usr/bin/sevmon",
                     "lib/systemd/system/sevmon-watch@.service", "lib/udev/rules.d/60-sevmon.rules",
                     "usr/share/bash-completion/completions/sevmon", "usr/include/sevmon/wire.h",
                     "usr/share/man/man1/sevmon.1.gz", "usr/share/man/man8/dom0-proxy.8.gz",
                     "usr/lib/x86_64-linux-gnu/pkgconfig/libsevmon.pc"):
            self.assertTrue((root / path).exists(), path)
        for words in (["id", "dom0-proxy"], ["getent", "group", "xenctl"],
                      ["getent", "group", "sevmon"], ["sevmon", "--version"],
                      ["dom0-proxy", "--check-config", "-c", f"/{TOML}"]):
            root.run(*words)
        wants = root / "etc/systemd/system/multi-user.target.wants/dom0-proxy.service"
        self.assertTrue(wants.is_symlink())

    def test_device_is_nobodys_after_purge(self):
        """The group goes; the device must not be left to whoever gets its number next."""
        self.install(self.root, {"dom0-proxy": self.new["dom0-proxy"]})
        node = self.root / "dev/xen/privcmd"
        node.parent.mkdir(exist_ok=True)
        os.mknod(node, 0o660 | stat.S_IFCHR, os.makedev(1, 3))
        self.root.run("chown", "root:xenctl", "/dev/xen/privcmd")
        node.chmod(0o660)
        self.apt(self.root, "purge", "dom0-proxy")
        self.assertEqual((node.stat().st_gid, stat.S_IMODE(node.stat().st_mode)), (0, 0o600))

    def test_changed_configuration_is_kept(self):
        """Both sides changed it: the user's stays, and purging takes the other, too."""
        before = files(self.root)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            subprocess.run(["dpkg-deb", "-R", self.new["dom0-proxy"], folder / "tree"], check=True)
            control = folder / "tree/DEBIAN/control"
            control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {OLD_VERSION}",
                                      control.read_text()))
            with open(folder / "tree" / TOML, "a") as settings:
                settings.write("# an older version's last line\n")
            older = folder / "older.deb"
            subprocess.run(["dpkg-deb", "-b", folder / "tree", older], check=True,
                           capture_output=True)
            self.install(self.root, {"dom0-proxy": older})
        with open(self.root / TOML, "a") as settings:
            settings.write("# the administrator's\n")
        mine = (self.root / TOML).read_text()
        self.install(self.root, {"dom0-proxy": self.new["dom0-proxy"]})
        self.assertEqual((self.root / TOML).read_text(), mine)
        self.assertTrue((self.root / (TOML + ".dpkg-dist")).exists())
        self.apt(self.root, "purge", "dom0-proxy")
        self.assertEqual(files(self.root), before)

    def test_grub_entries(self):
        """09_sevmon with GRUB's own functions replaced by ones that need no disk."""
        (self.root / "usr/share/grub").mkdir()
        (self.root / "usr/share/grub/grub-mkconfig_lib").write_text(
            'grub_quote() { sed "s/\'/\'\\\\\\\\\'\'/g"; }\nsave_default_entry() { :; }\n'
            'grub_warn() { echo "warning: $*"; }\ngrub_file_is_not_garbage() { [ -f "$1" ]; }\n'
            'make_system_path_relative_to_its_root() { echo "$1"; }\n'
            'uses_abstraction() { false; }\n'
            'prepare_grub_to_access_device() { echo "set root=$1"; }\n')
        self.install(self.root, {"xen": self.new["xen-hypervisor-sevmon"]})
        for release, dom0 in (("6.1.0-9-amd64", True), ("6.1.0-56-amd64", True),
                              ("6.12-cloud-amd64", False)):
            (self.root / f"boot/vmlinuz-{release}").touch()
            (self.root / f"boot/initrd.img-{release}").touch()
            (self.root / f"boot/config-{release}").write_text("CONFIG_XEN_DOM0=y\n" * dom0)
        line = (f". /{GRUB_CFG}; export GRUB_DEVICE=/dev/vda1 GRUB_DEVICE_BOOT=hd0 "
                "GRUB_CMDLINE_LINUX=net.ifnames=0; exec /etc/grub.d/09_sevmon")
        without = self.root.run("sh", "-c", line).stdout
        self.assertIn("warning: no /boot/sevmon/agent.key", without)
        self.assertNotIn("module2 --nounzip /boot/sevmon/agent.key", without)
        (self.root / "boot/sevmon/agent.key").touch()
        out = self.root.run("sh", "-c", line).stdout
        self.assertEqual(re.findall(r"--id '(\S+)'", out),
                         ["sevmon", "sevmon-6.1.0-56-amd64", "sevmon-6.1.0-9-amd64"])
        first = out.split("submenu")[0]
        self.assertRegex(first, r"multiboot2 /boot/sevmon/xen.gz placeholder ")
        self.assertRegex(first, r"module2 /boot/vmlinuz-6.1.0-56-amd64 placeholder "
                                r"root=/dev/vda1 ro net.ifnames=0")
        self.assertIn("module2 --nounzip /boot/initrd.img-6.1.0-56-amd64\n", first)
        self.assertIn("module2 --nounzip /boot/sevmon/agent.key\n", first)
        self.assertNotIn("cloud", out)


class Development(unittest.TestCase):
    """libsevmon-dev from where it was unpacked: each header alone, and a program with either
    library."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-dev-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name, deb in build().items():
            if name.startswith("libsevmon"):
                subprocess.run(["dpkg-deb", "-x", deb, cls.folder], check=True)
        libraries = cls.folder / "usr/lib/x86_64-linux-gnu"
        cls.environment = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(cls.folder),
                           "PKG_CONFIG_PATH": str(libraries / "pkgconfig"),
                           "LD_LIBRARY_PATH": str(libraries)}

    def pkg_config(self, *words):
        return subprocess.check_output(["pkg-config", *words, "libsevmon"], text=True,
                                       env=self.environment).split()

    def test_headers_compile_alone(self):
        flags = self.pkg_config("--cflags")
        headers = sorted((self.folder / "usr/include/sevmon").iterdir())
        self.assertGreater(len(headers), 5)
        for header in headers:
            with self.subTest(header=header.name):
                language = "c" if header.suffix == ".h" else "c++"
                standard = "-std=c11" if language == "c" else "-std=c++20"
                subprocess.run(["g++" if language == "c++" else "gcc", standard, "-fsyntax-only",
                                "-Wall", "-Wextra", "-Werror", "-x", language, "-", *flags],
                               input=f"#include <sevmon/{header.name}>\n", text=True, check=True)

    def test_program(self):
        source = ("#include <cstdio>\n#include <sevmon/profile.hpp>\n"
                  "int main() { std::puts(sevmon::ids::Profile::load(\"/nonexistent\") ? \"\" : \"none\"); }\n")
        for kind, words in (("shared", ["--libs"]), ("static", ["--libs", "--static"])):
            with self.subTest(kind=kind):
                program = self.folder / kind
                libraries = self.pkg_config(*words)
                if kind == "static":
                    libraries = [str(self.folder / "usr/lib/x86_64-linux-gnu/libsevmon.a")
                                 if word == "-lsevmon" else word for word in libraries]
                subprocess.run(["g++", "-std=c++20", "-x", "c++", "-", "-x", "none", "-o", program,
                                *self.pkg_config("--cflags"), *libraries], input=source, text=True,
                               check=True)
                done = subprocess.run([program], env=self.environment, capture_output=True,
                                      text=True)
                self.assertEqual((done.returncode, done.stdout), (0, "none\n"))
