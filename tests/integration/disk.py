# SPDX-License-Identifier: Apache-2.0
"""A Debian on a disk that boots by itself: GRUB (BIOS), Debian's kernel, systemd, apt.

    sector 0: GRUB's boot.img, partitions │ 1: its core.img │ 2048: ext4, the root file system

No loop device and no grub-install: mke2fs fills the file system from a directory, and GRUB's two
images are written where grub-install would put them.
"""

import shutil
import struct
import subprocess

import debian
from guests import ROOT

PACKAGES = debian.SYSTEMD + ("linux-image-amd64", "initramfs-tools", "grub-pc-bin", "grub2-common",
                             "e2fsprogs", "libstdc++6", "libxencall1", "libseccomp2", "libssl3")
# What initramfs-tools puts in by itself would be several times as much for GRUB to read.
HOOK = ('mkdir -p "$1/etc/initramfs-tools/conf.d" && '
        'echo MODULES=list >"$1/etc/initramfs-tools/conf.d/sevmon" && '
        'printf "virtio_pci\\nvirtio_blk\\next4\\n" >>"$1/etc/initramfs-tools/modules"')
SECTOR = 512
FIRST_SECTOR = 2048
SIZE_MB = 2048

# As Debian's installer would leave it, but for the terminal: the tests read a serial port.
GRUB_DEFAULTS = """GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX="net.ifnames=0"
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_TERMINAL=serial
"""
# Until update-grub runs for the first time, in the booted system.
FIRST_GRUB_CFG = """linux /boot/vmlinuz-{release} root=LABEL=sevmon-root ro net.ifnames=0 console=ttyS0 quiet
initrd /boot/initrd.img-{release}
boot
"""


def partition_table(sectors):
    """One active Linux partition, from FIRST_SECTOR to the end."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST_SECTOR,
                        sectors - FIRST_SECTOR)
    return entry + bytes(48) + b"\x55\xaa"


def make(path, prepare):
    """A disk image at `path`; `prepare(root)` puts what a test needs into the root first."""
    with debian.Root(debian.root_tar("disk", PACKAGES, HOOK)) as root:
        root.add_test_units(ROOT)
        (root / "etc/default/grub").write_text(GRUB_DEFAULTS)
        (root / "etc/fstab").write_text("LABEL=sevmon-root / ext4 defaults 0 1\n")
        (root / "etc/hostname").write_text("watched\n")
        grub = root / "boot/grub"
        grub.mkdir(exist_ok=True)
        release = next(root.path.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")
        (grub / "grub.cfg").write_text(FIRST_GRUB_CFG.format(release=release))
        modules = root / "usr/lib/grub/i386-pc"
        shutil.copytree(modules, grub / "i386-pc", dirs_exist_ok=True)
        prepare(root)
        core = root / "tmp/core.img"
        root.run("grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o",
                 "/tmp/core.img", "biosdisk", "part_msdos", "ext2")
        boot_images = (modules / "boot.img").read_bytes(), core.read_bytes()
        core.unlink()
        with open(path, "wb") as disk:
            disk.truncate(SIZE_MB << 20)
        # GRUB 2.06 cannot read the two newest features.
        subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-L", "sevmon-root", "-O",
                        "^metadata_csum_seed,^orphan_file", "-E",
                        f"offset={FIRST_SECTOR * SECTOR}", "-d", root.path, path,
                        f"{SIZE_MB - 1}M"], check=True, capture_output=True)
    boot, core = boot_images
    assert len(core) < (FIRST_SECTOR - 1) * SECTOR
    with open(path, "r+b") as disk:
        disk.write(boot[:440])
        disk.seek(446)
        disk.write(partition_table((SIZE_MB << 20) // SECTOR))
        disk.write(core)
