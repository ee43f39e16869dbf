# SPDX-License-Identifier: Apache-2.0
"""Xen's own view of the machine's pages, seen from outside the virtual machine.

    test ──QMP──► QEMU: stop, registers, physical memory ──► Xen's frame table ──► who owns which
                                                             page, with how many references

Nothing is added to Xen for it, so it is the Xen that ships that is looked at; and Dom0 cannot
lie, because it is not asked.
"""

import re
import struct
import subprocess
import tempfile
import time

import guests
import lab

PAGE = 4096
FRAME_TABLE = 0xFFFF82E000000000  # Xen 4.17, asm-x86/config.h
XEN_TEXT = range(0xFFFF82D040000000, 0xFFFF82D080000000)
PAGE_INFO = struct.Struct("<8xQQI4x")  # count_info, type_info, owner: asm-x86/mm.h
REFERENCES = (1 << 57) - 1  # PGC_count_mask
STATE_FREE = 3 << 58  # PGC_state, PGC_state_free
XEN_HEAP = 1 << 62  # PGC_xen_heap
ALLOCATED = 1 << 63  # PGC_allocated


def monitor(guest, line):
    return guests.qmp(guest, "human-monitor-command", **{"command-line": line})


class Snapshot:
    """The frame table at one moment."""

    def __init__(self, entries, domid_of):
        self.frames = entries  # by machine frame: (count_info, type_info, owner)
        self.free = sum(count & STATE_FREE == STATE_FREE for count, _, _ in entries)
        owners = {owner for count, _, owner in entries
                  if count & ALLOCATED and not count & STATE_FREE and owner}
        self.owners = {owner: domid_of(owner) for owner in owners}

    def owned_by(self, domid):
        """Machine frames of a domain's own memory (not Xen's heap that is shared with it)."""
        mine = {owner for owner, found in self.owners.items() if found == domid}
        return [frame for frame, (count, _, owner) in enumerate(self.frames)
                if owner in mine and count & ALLOCATED and not count & (STATE_FREE | XEN_HEAP)]

    def xen_frames(self):
        """In use, and no domain's: Xen's image, its heap, its tables."""
        return [frame for frame, (count, _, owner) in enumerate(self.frames)
                if not count & STATE_FREE and (count & XEN_HEAP or owner not in self.owners)]

    def references(self, frame):
        return self.frames[frame][0] & REFERENCES

    def references_of(self, domid):
        return sum(self.references(frame) for frame in self.owned_by(domid))


class XenMemory:
    def __init__(self, guest, memory_mb):
        self.guest = guest
        self.frames = memory_mb << 8
        self.root = None
        symbols = subprocess.check_output(["nm", lab.xen().with_name("xen-syms")], text=True)
        self.symbol = lambda name: int(re.search(rf"^([0-9a-f]+) \w {name}$", symbols, re.M)[1], 16)

    def physical(self, address, count):
        with tempfile.NamedTemporaryFile() as out:
            guests.qmp(self.guest, "pmemsave", val=address, size=count, filename=out.name)
            return out.read()

    def translate(self, root, address):
        """(physical address, bytes up to the end of its page), or None."""
        table = root
        for shift in (39, 30, 21, 12):
            entry, = struct.unpack("<Q", self.physical(table + (address >> shift & 511) * 8, 8))
            if not entry & 1:
                return None
            table = entry & 0x000FFFFFFFFFF000
            if shift == 12 or (shift < 39 and entry & 0x80):
                size = 1 << shift
                return (table & ~(size - 1)) + address % size, size - address % size
        return None

    def xen_root(self):
        """Xen's idle page table: found once, in a moment when a CPU runs Xen, or a PV guest."""
        if self.root:
            return self.root
        end = time.monotonic() + guests.PATIENCE_S
        while time.monotonic() < end:
            guests.qmp(self.guest, "stop")
            try:
                text = monitor(self.guest, "info registers -a")
                for rip, cr3 in zip(re.findall(r"RIP=([0-9a-f]+)", text),
                                    re.findall(r"CR3=([0-9a-f]+)", text)):
                    root = int(cr3, 16) & ~0xFFF
                    found = self.translate(root, self.symbol("idle_pg_table"))
                    if found and self.translate(found[0], FRAME_TABLE):
                        self.root = found[0]
                        return self.root
            finally:
                guests.qmp(self.guest, "cont")
            time.sleep(0.05)
        raise guests.GuestError(f"{self.guest.name}: no CPU was ever seen in Xen")

    def virtual(self, address, count):
        data = b""
        while len(data) < count:
            found = self.translate(self.xen_root(), address + len(data))
            if not found:
                raise guests.GuestError(f"{address + len(data):#x} is not mapped in Xen")
            data += self.physical(found[0], min(found[1], count - len(data)))
        return data

    def domid_of(self, owner):
        """`owner` is the frame of a struct domain, which starts with its number."""
        return struct.unpack("<H", self.physical(owner * PAGE, 2))[0]

    def rcu_readers(self):
        """For each CPU, of the first eight, that is there: in how many read-side sections it is now."""
        offsets = struct.unpack("<8Q", self.virtual(self.symbol("__per_cpu_offset"), 64))
        counter = self.symbol("per_cpu__rcu_lock_cnt")
        places = [(counter + offset) % (1 << 64) for offset in offsets]
        there = [place for place in places if self.translate(self.xen_root(), place)]
        return [struct.unpack("<I", self.virtual(place, 4))[0] for place in there]

    def snapshot(self):
        self.xen_root()
        guests.qmp(self.guest, "stop")
        try:
            table = self.virtual(FRAME_TABLE, self.frames * PAGE_INFO.size)
            return Snapshot(list(PAGE_INFO.iter_unpack(table)), self.domid_of)
        finally:
            guests.qmp(self.guest, "cont")
