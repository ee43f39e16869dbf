#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of proxy_envelope, proxy_config, image_elf, image_lime and image_raw: make_proxy_corpus.py DIR"""
import pathlib
import struct
import sys

root = pathlib.Path(sys.argv[1])


def seed(target, name, content):
    folder = root / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def envelope(size, tag=1, status=0, zero=0):
    return struct.pack("<IIiI", size, tag, status, zero)


seed("proxy_envelope", "frame", envelope(144))
seed("proxy_envelope", "largest", envelope(1020, 0xFFFFFFFF))
seed("proxy_envelope", "too-large", envelope(1021))
seed("proxy_envelope", "reserved", envelope(144, zero=1))
seed("proxy_envelope", "notice", envelope(0, status=3))
seed("proxy_envelope", "ipc-request", struct.pack("<QiI", 7, 0, 16) + bytes(16))
seed("proxy_envelope", "ipc-error", struct.pack("<QiI", 7, -74, 0))
seed("proxy_envelope", "ipc-short", struct.pack("<QiI", 7, 0, 17) + bytes(16))

FULL = b"""listen = ["0.0.0.0:7100", "[::1]:7101"]
backend = "image"
[xen]
helper = "/run/h"
[image]
file = "/a"
format = "raw"
key = "/k"
threads = 3
[limits]
connections = 10
frames = 6
bytes = 65537
[deadlines]
idle_ms = 1
drain_ms = 5
[log]
level = "debug"
"""
seed("proxy_config", "full", FULL)
seed("proxy_config", "empty", b"\n")
seed("proxy_config", "unknown", b"[limits]\nframe = 1\n")
seed("proxy_config", "type", b'limits.frames = "1"\n')
seed("proxy_config", "syntax", b"listen = [[[[\n")
seed("proxy_config", "quoted", b'"limits.frames" = 1\n')


def note(owner, kind, content):
    name = owner + b"\0"
    pad = lambda data: data + bytes(-len(data) % 4)
    return struct.pack("<III", len(name), len(content), kind) + pad(name) + pad(content)


def elf(notes, loads, phnum=None, trailer=b""):
    count = len(loads) + 1
    offset = 64 + 56 * count
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    shoff = offset + len(notes) + sum(len(c) for _, c in loads) if trailer else 0
    head += struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, shoff, 0, 64, 56,
                        count if phnum is None else phnum, 64, 1 if trailer else 0, 0)
    table = struct.pack("<IIQQQQQQ", 4, 0, offset, 0, 0, len(notes), len(notes), 0)
    offset += len(notes)
    for gpa, content in loads:
        table += struct.pack("<IIQQQQQQ", 1, 0, offset, 0, gpa, len(content), len(content), 0)
        offset += len(content)
    return head + table + notes + b"".join(c for _, c in loads) + trailer


cpu = struct.pack("<II", 1, 440) + bytes(384) + struct.pack("<6Q", 0x80050033, 0, 0, 0x1000, 0x20, 0)
info = b"KERNELOFFSET=1a000000\nNUMBER(phys_base)=-4096\nBUILD-ID=" + b"ab" * 20 + b"\n"
notes = note(b"CORE", 1, bytes(336)) + note(b"QEMU", 0, cpu) + note(b"VMCOREINFO", 0, info)
page = bytes(512)  # the readers do not care for whole pages
seed("image_elf", "qemu", elf(notes, [(0, page), (0x100000, page)]))
seed("image_elf", "overlap", elf(b"", [(0, page), (0x100, page), (0x80, page)]))
seed("image_elf", "no-memory", elf(notes, []))
seed("image_elf", "xnum", elf(notes, [(0, page)], 0xFFFF, bytes(44) + struct.pack("<I", 2) + bytes(16)))
seed("image_elf", "short-note", elf(notes[:-40], [(0, page)]))
seed("image_elf", "truncated", elf(notes, [(0, page)])[:-1])


def lime(first, last, content, version=1):
    return struct.pack("<IIQQQ", 0x4C694D45, version, first, last, 0) + content


seed("image_lime", "two", lime(0x1000, 0x11FF, page) + lime(0x4000, 0x41FF, page))
seed("image_raw", "two-pages", bytes(8192))
seed("image_raw", "no-whole-page", bytes(4095))
seed("image_raw", "empty", b"")
seed("image_raw", "kdump", b"KDUMP   ".ljust(4096, b"\0"))
seed("image_raw", "elf", b"\x7fELF".ljust(4096, b"\0"))
seed("image_raw", "lime", lime(0, 4095, bytes(4096)))
seed("image_lime", "reversed", lime(1, 0, page))
seed("image_lime", "whole-space", lime(0, 2**64 - 1, page))
seed("image_lime", "version", lime(0, 511, page, 2))
seed("image_lime", "short", lime(0, 511, page)[:-1])
