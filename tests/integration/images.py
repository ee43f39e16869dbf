# SPDX-License-Identifier: Apache-2.0
"""Memory images of plain Debian kernels with address randomisation on, and what the guests said of
themselves when they were taken. Made once and kept in the cache.

    QEMU ── Linux, busybox, some odd processes
      │ 1. /proc through the test shell   2. stop   3. dump ELF, raw   4. cont   5. /proc again
      └──► FOLDER/{image.elf, image.raw, image.lime, truth.json}
"""

import json
import shutil
import struct

import guests
from guests import CACHE

MEMORY_MB = 256

# Processes whose names, owners and states try the parser and the reader of credentials.
ODD_PROCESSES = r"""
mkfifo /tmp/never; printf '#!/bin/sh\nread x < /tmp/never\n' > '/tmp/a) R (b';
cp '/tmp/a) R (b' /tmp/0123456789abcdefgh; chmod +x /tmp/*;
printf 'root:x:0:0::/:/bin/sh\none:x:1234:1234::/:/bin/sh\nno:x:65534:1::/:/bin/sh\n' > /etc/passwd;
'/tmp/a) R (b' & su one -c 'exec sleep 99999' & su no -c 'exec /tmp/0123456789abcdefgh' &
sh -c 'sleep 0 & exec sleep 99998' & sleep 1
""".replace("\n", " ")


class Variant:
    def __init__(self, name, flavour, nic, module, levels, vmcoreinfo):
        self.name = name
        self.flavour = flavour
        self.nic = nic
        self.module = module
        self.levels = levels
        self.cpu = "max" if levels == 5 else "max,-la57"
        self.vmcoreinfo = vmcoreinfo


VARIANTS = (
    Variant("6.1-4-levels", "6.1", "e1000e", "e1000e", 4, True),
    Variant("6.1-5-levels", "6.1", "e1000e", "e1000e", 5, False),
    Variant("6.12-cloud-4-levels", "6.12-cloud", "virtio-net-pci", "virtio_net", 4, False),
)


class Image:
    def __init__(self, variant, folder):
        self.variant = variant
        self.folder = folder
        self.truth = json.loads((folder / "truth.json").read_text())

    def path(self, form):
        return self.folder / f"image.{form}"


def raw_to_lime(raw_path, lime_path, hole=(0xA0000, 0x100000)):
    """LiME: for each range of RAM a header (magic, version 1, first, last address, reserved), then
    its bytes. The legacy hole is left out, as LiME does."""
    raw = raw_path.read_bytes()
    with open(lime_path, "wb") as out:
        for first, end in ((0, hole[0]), (hole[1], len(raw))):
            out.write(struct.pack("<IIQQQ", 0x4C694D45, 1, first, end - 1, 0))
            out.write(raw[first:end])


def gather(guest):
    """What the guest says of itself; its clock ticks since boot included."""
    return {"processes": guest.processes(),
            "modules": guest.file("/proc/modules").decode(),
            "version": guest.file("/proc/version").decode().strip(),
            "cmdline": guest.file("/proc/cmdline").decode().rstrip("\n"),
            "stext": int(guest.shell("grep ' _stext$' /proc/kallsyms").split()[0], 16)}


def make(variant, folder):
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    kernel = guests.kernel_dir(variant.flavour)
    initramfs = guests.make_initramfs(f"plain-{variant.flavour}", kernel,
                                      # virtio_net uses others, which use others.
                                      sorted({variant.module, "virtio_net", "qemu_fw_cfg"}))
    options = ("-device", "vmcoreinfo") if variant.vmcoreinfo else ()
    with guests.start_linux(f"image-{variant.name}", kernel, initramfs, cpu=variant.cpu,
                            nic=variant.nic, memory_mb=MEMORY_MB, options=options) as guest:
        guest.wait_shell()
        guest.shell(ODD_PROCESSES)
        guest.wait_for("process of another user", lambda: any(
            p["uid"] == 65534 and p["name"] == "0123456789abcde" for p in guest.processes()), 60)
        before = gather(guest)
        guests.qmp(guest, "stop")
        guests.qmp(guest, "dump-guest-memory", paging=False, protocol=f"file:{part}/image.elf")
        guests.qmp(guest, "pmemsave", val=0, size=MEMORY_MB << 20, filename=f"{part}/image.raw")
        guests.qmp(guest, "cont")
        after = gather(guest)
    (part / "image.elf").chmod(0o644)
    (part / "image.raw").chmod(0o644)
    raw_to_lime(part / "image.raw", part / "image.lime")
    (part / "truth.json").write_text(json.dumps({"before": before, "after": after}, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def image(variant):
    release = (guests.kernel_dir(variant.flavour) / "release").read_text().strip()
    folder = CACHE / "images" / f"{variant.name}-{release}-with-modules"
    if not (folder / "truth.json").exists():
        make(variant, folder)
    return Image(variant, folder)
