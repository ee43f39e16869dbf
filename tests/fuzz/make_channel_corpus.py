#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz targets response, envelope, ids_key and ids_handshake: run in tests/fuzz."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def item(kind, size=0, arg=0, address=0):
    return struct.pack("<BBHIQ", kind, 0, size, arg, address)


def request(items, kind=0, levels=0, root=0):
    head = struct.pack("<HHBBHQ16x", 0xFFFF, 0, kind, levels, len(items), root)
    return (head + b"".join(items)).ljust(976, b"\0")


def response(results, used, n=5, status=0, count=None, data=b""):
    head = struct.pack("<QQQHHBBHHHI16x", n, 1, 2, 0, 0, 4, 1, status,
                       len(results) if count is None else count, 0, used)
    table = b"".join(struct.pack("<HBBI", s, level, 0, size) for s, level, size in results)
    return head + table.ljust(59 * 8, b"\0") + data


READ = item(1, 64, 0, 0xFFFF888000001000)
ITEMS = [READ, item(3), item(4, arg=1), item(7)]
write("response", "empty", request([]) + response([], 0))
write("response", "read", request([READ]) + response([(0, 1, 64)], 64, data=b"\1" * 64))
write("response", "absent", request([READ]) + response([(1, 2, 64)], 64))
write("response", "absent-with-data", request([READ]) + response([(1, 2, 64)], 64, data=b"\1" * 64))
write("response", "several", request(ITEMS)
      + response([(0, 1, 64), (1, 4, 64), (9, 0, 0), (0, 0, 256)], 384))
write("response", "shifted", request(ITEMS)
      + response([(0, 1, 64), (1, 4, 0), (9, 0, 0), (0, 0, 256)], 320))
write("response", "refused", request([READ]) + response([], 0, status=3, count=1))
write("response", "most", request([item(2, 1, 0, i) for i in range(59)], 1, 5, 7)
      + response([(4, 0, 1)] * 59, 58 * 8 + 1))
write("response", "no-space", request([item(2, 4096), READ]) + response([(0, 0, 4096), (7, 0, 0)], 4096))
write("response", "truncated", request([READ])[:975])


def envelope(size, status=0, zero=0):
    return struct.pack("<IIiI", size, 9, status, zero)


write("envelope", "frame", envelope(144))
write("envelope", "largest", envelope(62012))
write("envelope", "over", envelope(62013))
write("envelope", "notice", envelope(0, 3))
write("envelope", "notice-with-frame", envelope(16, 3))
write("envelope", "reserved", envelope(16, 0, 1))
write("envelope", "hello", struct.pack("<BB14x", 1, 1) + bytes(128))
write("envelope", "challenge", struct.pack("<BB14x", 2, 1) + bytes([1]).ljust(16, b"\0")
      + bytes([2]).ljust(16, b"\0") + bytes(96))
write("envelope", "request", struct.pack("<BBBBIQ", 5, 1, 2, 0, 7, 8) + bytes(1004))


def key(count=1, zero=0, entries=1):
    head = b"SEVMONKY" + struct.pack("<HHI", 1, count, zero) + b"A" * 16
    return head + b"".join(bytes([i + 1]) * 16 + bytes([i + 101]) * 32 for i in range(entries))


write("ids_key", "one", key())
write("ids_key", "two", key(2, entries=2))
write("ids_key", "none", key(0, entries=0))
write("ids_key", "reserved", key(zero=1))
write("ids_key", "truncated", key()[:-1])
write("ids_key", "trailing", key() + b"\0")
write("ids_key", "no-psk", key()[:48] + bytes(32))


def raw(frame):
    return b"\0" + struct.pack("<H", len(frame)) + frame


def notice(code):
    return b"\1" + struct.pack("<i", code)


def wait(ms):
    return b"\2" + struct.pack("<H", ms)


def answer(where=0, by=0):
    return b"\3" + struct.pack("<HB", where, by)


def accept(where, byte):
    return b"\4" + bytes([where, byte])


write("ids_handshake", "genuine", answer() + answer())
write("ids_handshake", "silence", wait(500) + wait(500))
write("ids_handshake", "challenge-twice", answer() + answer() + answer())
write("ids_handshake", "challenge-changed", b"".join(answer(at, 1) for at in (0, 1, 4, 16, 32, 48, 64)))
write("ids_handshake", "accept-changed",
      answer() + b"".join(answer(at, 128) for at in (0, 1, 8, 16, 32, 64, 143)) + answer())
write("ids_handshake", "accept-truncated", answer() + raw(bytes([4, 1]) + bytes(141)))
write("ids_handshake", "no-session", accept(4, 0) + answer() + answer())
write("ids_handshake", "full", accept(0, 2) + accept(4, 0) + (answer() + answer() + wait(800)) * 3)
write("ids_handshake", "malformed", accept(0, 1) + accept(4, 0) + answer() + answer())
write("ids_handshake", "reserved", accept(31, 1) + answer() + answer())
for code in (-1, 1, 2, 3, 4, 5, 6, 7, 8, 9):
    write("ids_handshake", f"notice-{code}", notice(code) + answer() + answer() + notice(code))
write("ids_handshake", "rejected-until-the-end", (answer() + notice(1) + wait(60)) * 9)
write("ids_handshake", "lengths", b"".join(raw(bytes([4, 1]).ljust(n, b"\0")[:n]) for n in
                                           (0, 1, 15, 16, 143, 144, 145)))
