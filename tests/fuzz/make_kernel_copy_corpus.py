#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz target kernel_copy: files without their digests. Run in tests/fuzz."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus" / "kernel_copy"
CORPUS.mkdir(parents=True, exist_ok=True)
PAGE = b"\x90" * 4096


def copy(places, pages, version=1, parts=None):
    head = b"SEVMCOPY" + struct.pack("<II", version, len(places) if parts is None else parts)
    origin = bytes(range(32)) + b"\x11" * 16 + struct.pack("<QQ", 0x6000000, 12345)
    return head + origin + b"".join(struct.pack("<QQ", *place) for place in places) + PAGE * pages


TEXT, CONSTANTS = 0xffffffff81000000, 0xffffffff81e00000
SEEDS = {
    "one": copy([(TEXT, 1)], 1),
    "two": copy([(TEXT, 1), (CONSTANTS, 1)], 2),
    "none": copy([], 0),
    "short": copy([(TEXT, 2)], 1),
    "long": copy([(TEXT, 1)], 2),
    "many": copy([(TEXT, 1 << 60)], 1),
    "within": copy([(TEXT + 8, 1)], 1),
    "version": copy([(TEXT, 1)], 1, version=2),
    "parts": copy([(TEXT, 1)], 1, parts=5),
}
for name, data in SEEDS.items():
    (CORPUS / name).write_bytes(data)
