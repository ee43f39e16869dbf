#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the agent's fuzz targets to tests/fuzz/corpus/agent_*."""
import pathlib
import struct
import uuid

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def item(kind, size=0, arg=0, address=0):
    return struct.pack("<BBHIQ", kind, 0, size, arg, address)


def body(*items, domid=0xFFFF, vcpu=0, kind=0, levels=0, root=0):
    head = struct.pack("<HHBBHQQQ", domid, vcpu, kind, levels, len(items), root, 0, 0)
    return (head + b"".join(items)).ljust(976, b"\0")


def raw(frame):
    return b"\0" + struct.pack("<H", len(frame)) + frame


def shake(connection=0, size_class=0, zero=0):
    return bytes([1, connection, size_class, zero])


def silence(seconds):
    return b"\2" + struct.pack("<I", min(int(seconds * 1e9) // 64, 2**32 - 1))


def request(data):
    return b"\3" + data


def altered(mask, data):
    return b"\4" + mask.ljust(16, b"\0") + data


def frames():
    banner = 0xFFFFFFFF81000000
    hello = bytes([1, 1]) + bytes(14) + b"\x10" * 16 + bytes(112)
    everything = body(
        item(1, 16, 0, banner), item(1, 8, 0, 0x1000), item(2, 4096, 0, 0x1000000),
        item(3, 0, 0, banner), item(4), item(6), item(7), item(9), item(1, 0), item(5))
    write("agent_frame", "hello", raw(hello))
    write("agent_frame", "lengths", b"".join(raw(hello[:n]) for n in (0, 1, 15, 16, 143, 144)))
    write("agent_frame", "everything", shake(1, 2) + request(everything))
    write("agent_frame", "no-space", shake(1, 0) + request(everything))
    write("agent_frame", "refusals", shake() + b"".join(request(b) for b in (
        body(domid=3), body(item(1, 1, 0, banner), vcpu=9), body(kind=2),
        body(item(1, 1, 0, banner), kind=1, levels=5, root=2**60), b"\xff" * 976)))
    write("agent_frame", "rekey-close", shake(1) + request(body()) + shake(1) + request(body()) +
          request(body(item(8))) + request(body()))
    write("agent_frame", "expiry", shake(1) + request(body()) + silence(200) + request(body()))
    write("agent_frame", "headers", shake(1) + altered(bytes([0, 0, 0, 1]), body()) +
          altered(bytes([0, 0, 1]), body()) + altered(bytes([0, 0, 0, 0, 1]), body()) +
          altered(bytes(8) + b"\1\4", body()) + altered(b"", body()))
    write("agent_frame", "connections", b"".join(shake(i) + request(body()) for i in range(6)))
    write("agent_frame", "bad-payload", shake(1, 3) + shake(1, 255) + shake(1, 0, 3))


def handshakes():
    hello = bytes([1, 1]) + bytes(14) + b"\x77" * 16 + bytes(112)
    write("agent_handshake", "genuine", bytes(144) + hello)
    for at in (0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 143):
        write("agent_handshake", f"byte-{at}", bytes(at) + b"\1" + bytes(143 - at) + hello)


def walks():
    def entry(frame, index, value):
        return struct.pack("<HQ", frame << 9 | index, value)

    def walk(gva, root=0, five=False):
        # The number is taken modulo nine.
        number = next(n for n in range(9) if (0x8000 | (0x4000 if five else 0) | n) % 9 == root)
        return struct.pack("<HQ", 0x8000 | (0x4000 if five else 0) | number, gva)

    def to(frame, flags=3):
        return (0x100 + frame) << 12 | flags

    gva = 0xFFFFFFFF81234567
    tables = (entry(0, 511, to(1)) + entry(1, 510, to(2)) + entry(2, 9, to(3)) +
              entry(3, 0x34, to(4)))
    write("agent_walk", "4k", b"\0" + tables + walk(gva) + walk(gva + 4096))
    write("agent_walk", "2m-1g", b"\0" + tables + entry(2, 9, to(256, 0x83)) +
          walk(gva) + entry(1, 510, 1 << 30 | 0x83) + walk(gva))
    write("agent_walk", "bad-table", b"\0" + entry(0, 511, to(1, 0x83)) + walk(gva))
    write("agent_walk", "five", b"\0" + entry(4, 511, to(0)) + tables + walk(gva, 4, True) +
          walk(1 << 57, 4, True))
    write("agent_walk", "c-bit", b"\1" + entry(0, 511, to(1) | 1 << 47) + walk(gva))
    write("agent_walk", "xen", b"\2" + tables + walk(0xFFFF800000000000) +
          walk(0xFFFF87FFFFFFFFFF) + walk(0xFFFF880000000000))
    write("agent_walk", "loop-hole", b"\0" + entry(0, 511, to(0)) + walk(2**64 - 1) +
          entry(0, 0, to(9)) + walk(0) + walk(0, 8) + walk(1 << 47))


def key_file(count, version=1, agent=b"\xa9" * 16):
    entries = b"".join(bytes([0x10 + i]) * 16 + bytes([0x50 + i]) * 32 for i in range(count))
    return b"SEVMONKY" + struct.pack("<HHI", version, count, 0) + agent + entries


def keyfiles():
    for count in (0, 1, 2, 8, 9):
        write("agent_keyfile", f"{count}-entries", key_file(count))
    write("agent_keyfile", "trailing", key_file(1) + b"\0")
    write("agent_keyfile", "truncated", key_file(2)[:-1])
    write("agent_keyfile", "version", key_file(1, version=2))
    write("agent_keyfile", "zero-agent", key_file(1, agent=bytes(16)))
    write("agent_keyfile", "repeated", key_file(2)[:-48] + key_file(1)[-48:])


def secrets():
    area_guid = uuid.UUID("1e74f542-71dd-4d66-963e-ef4287ff173b")
    keys_guid = uuid.UUID("d8a8fdc8-6eb7-4c6c-a544-25f6fbd1b9b2")
    other_guid = uuid.UUID("736869e5-84f0-4973-92ec-06879ce3da0b")

    def entry(guid, data=b"", more=0):
        return guid.bytes_le + struct.pack("<I", 20 + len(data) + more) + data

    def area(name, *entries, more=0, guid=area_guid):
        write("agent_secret", name, entry(guid, b"".join(entries), more))

    ours, other = entry(keys_guid, key_file(2)), entry(other_guid, b"passphrase")
    area("ours", ours)
    area("between", other, ours, entry(other_guid))
    area("none", other)
    area("empty")
    area("deleted", entry(uuid.UUID(int=0), key_file(1)), ours)
    area("twice", ours, ours)
    area("padded", ours, bytes(12))
    area("dirty-padding", ours, b"\1" * 12)
    area("no-data", entry(keys_guid))
    area("reaches-over", entry(other_guid, b"", 1), ours)
    area("too-long", ours, more=1)
    area("entry-below-head", entry(other_guid, b"", -1), ours)
    area("entry-of-nothing", entry(other_guid, b"", -20), ours)
    area("longest", ours, entry(other_guid, b"", 2**32 - 21))
    area("other-guid", ours, guid=other_guid)
    write("agent_secret", "truncated", entry(area_guid, ours)[:-1])


if __name__ == "__main__":
    frames()
    handshakes()
    walks()
    keyfiles()
    secrets()
