#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds for module_records_fuzz: results as ids/programs/modules.bpf.c gives them."""

import pathlib
import struct

MODULE = 0xFFFFFFFFC0001000
LIST, USES, SYSFS, TREE = range(4)
DONE, NO_SPACE = 1, 2


def record(number, unread=0, name=b"name"):
    return struct.pack("<6QIiQ56s", MODULE + number * 0x1000, MODULE, MODULE, MODULE, 4096, 0, 0, 1,
                       unread, name)


def words(walk, count):
    return struct.pack("<15Q", walk, count, *(MODULE + i * 0x1000 for i in range(13)))


def trailer(records, end=DONE, walk=0, skip=0, tears=0, reason=0):
    return struct.pack("<2Q6I", 0, 0, end, walk, skip, records, tears, reason)


def runs(*results):
    return b"".join(struct.pack("<H", len(result)) + result for result in results)


SEEDS = {
    "none": runs(trailer(0)),
    "all": runs(record(0) + record(1) + words(USES, 12) + words(SYSFS, 2) + words(TREE, 13)
                + trailer(5)),
    "continued": runs(record(0) + trailer(1, NO_SPACE, LIST, 1), record(1),
                      trailer(0, NO_SPACE, SYSFS, 0), words(TREE, 13), trailer(0)),
    "torn": runs(trailer(0, tears=3, reason=2)),
    "unread": runs(record(0, unread=1) + trailer(1)),
    "no-end-of-name": runs(record(0, name=b"x" * 56) + trailer(1)),
    "out-of-order": runs(words(TREE, 1) + record(0) + trailer(2)),
    "stuck": runs(trailer(0, NO_SPACE, LIST, 0)),
    "for-ever": runs(*[words(TREE, 1)] * 80),
}

folder = pathlib.Path(__file__).resolve().parent / "corpus/module_records"
folder.mkdir(parents=True, exist_ok=True)
for name, data in SEEDS.items():
    (folder / name).write_bytes(data)
