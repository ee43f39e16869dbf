# SPDX-License-Identifier: Apache-2.0
"""A Dom0 that OVMF boots, with an EFI secret area such as an SEV VM has (efi-loader/loader.c)."""

import atexit
import functools
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import uuid

import guests
import lab
from guests import ROOT

AREA = uuid.UUID("1e74f542-71dd-4d66-963e-ef4287ff173b")
KEYS = uuid.UUID("d8a8fdc8-6eb7-4c6c-a544-25f6fbd1b9b2")
OTHER = uuid.UUID("736869e5-84f0-4973-92ec-06879ce3da0b")  # a disk's passphrase
PAGE = 4096
BASE_IS_RELATIVE, BOOT_SERVICES_DATA = 1, 2
RUNTIME_CODE, RUNTIME_DATA = 5, 6  # EFI_MEMORY_TYPE
MASK = 0xA5


@functools.lru_cache
def loader():
    out = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-efi-")) / "loader.efi"
    subprocess.run([ROOT / "tests/integration/efi-loader/build", out], check=True)
    return out


def entry(guid, data):
    return guid.bytes_le + struct.pack("<I", 20 + len(data)) + data


def area(*entries, guid=AREA):
    return entry(guid, b"".join(entries))


def key_area(agent_key):
    """What an owner would inject: the agent's keys between two secrets of others."""
    return area(entry(OTHER, b"not the agent's"), entry(KEYS, pathlib.Path(agent_key).read_bytes()),
                entry(OTHER, b""))


class Secret:
    """What the loader puts into memory, and what the table says about it."""

    def __init__(self, data, *, base=0, size=None, flags=BASE_IS_RELATIVE, pages=1):
        self.data = data
        self.table = struct.pack("<QQII", base, PAGE if size is None else size, flags, pages)

    def write(self, folder):
        (folder / "secret.bin").write_bytes(bytes(byte ^ MASK for byte in self.data))
        (folder / "table.bin").write_bytes(self.table)


def start(name, secret, *, agent_key=None, more=(), **options):
    """As lab.start_dom0(), through OVMF; `agent_key`: a boot module, too."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-efi-"))
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    folder, qmp = work / "esp", work / "qmp"
    (folder / "EFI/BOOT").mkdir(parents=True)
    shutil.copy(loader(), folder / "EFI/BOOT/BOOTX64.EFI")
    secret.write(folder)
    options.setdefault("xen_path", lab.xen().with_name("xen.efi"))
    guest = lab.start_dom0(name, agent_key=agent_key or "", more=[
        "--efi", folder, *more, "--", "-qmp", f"unix:{qmp},server=on,wait=off"], **options)
    guest.qmp_path = qmp
    return guest


def addresses(guest):
    """(area's, control page's) address in the machine's memory."""
    match = guest.wait_console(r"loader: area 0x([0-9A-Fa-f]+), control 0x([0-9A-Fa-f]+)")
    return int(match[1], 16), int(match[2], 16)


def memory(guest, address, count):
    """The machine's memory, as its host sees it."""
    with tempfile.TemporaryDirectory(prefix="sevmon-memory-") as folder:
        path = pathlib.Path(folder) / "memory"
        guests.qmp(guest, "pmemsave", timeout_s=600, val=address, size=count, filename=str(path))
        return path.read_bytes()


def probe(guest, address):
    """What Dom0's root sees of a page: {way: bytes, or None where it is refused}."""
    output = guest.shell(f"map-probe {address:x}").decode()
    assert "map-probe: done" in output, output
    return {way: None if what == "refused" else bytes.fromhex(what)
            for way, what in re.findall(r"^(\S+) (refused|[0-9a-f]+)$", output, re.M)}


def described(guest, kind):
    """[(first, last)]: memory of an EFI type, as Xen says at boot with loglvl=all."""
    return [(int(first, 16), int(last, 16)) for first, last in re.findall(
        rf"\(XEN\)  ([0-9a-f]+)-([0-9a-f]+) type={kind} attr=8", guest.console())]


def write(guest, address, data):
    """Dom0's root tries to."""
    escaped = "".join(f"\\{byte:03o}" for byte in data)
    guest.shell(f"printf '{escaped}' | dd of=/dev/mem bs=1 seek={address} conv=notrunc "
                "2>/dev/null; true")


def changes(guest, address):
    """Can Dom0's root write there? It tries with the page's last byte, and puts it back."""
    place = address + PAGE - 1
    before = memory(guest, place, 1)
    for byte in (before[0] ^ 0xFF, before[0]):
        write(guest, place, bytes([byte]))
        if byte != before[0]:
            written = memory(guest, place, 1)
    return written != before
