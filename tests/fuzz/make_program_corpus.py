#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz target agent_program: each helper, good and bad, and loops."""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus" / "agent_program"
GVA = 0xFFFFFFFF81000000
INPUT, MAP, DATA = 2 << 32, 3 << 32, 4 << 32
EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)


def imm64(register, value):
    low, high = struct.unpack("<ii", struct.pack("<Q", value))
    return struct.pack("<BBhi", 0x18, register, 0, low) + struct.pack("<BBhi", 0, 0, 0, high)


def call(helper, *arguments):
    code = b"".join(imm64(register, value) for register, value in enumerate(arguments, 1))
    return code + struct.pack("<BBhi", 0x85, 0, 0, helper)


def seed(name, code, budget=60000, given=b"\x01" * 16):
    CORPUS.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).write_bytes(struct.pack("<HB", budget, len(given)) + given + code)


append = call(6, MAP, 64)
places = {"there": GVA + 4090, "hole": GVA + 0x2000, "foreign": GVA + 0x4000, "xen": 0xFFFF800000000000,
          "not-canonical": 1 << 60, "end": (1 << 64) - 8}
for name, place in places.items():
    seed(f"read-{name}", call(1, MAP, 64, place) + append + EXIT)
    seed(f"string-{name}", call(4, MAP, 64, place) + append + EXIT)
    seed(f"translate-{name}", call(5, MAP, place) + append + EXIT)
seed("read-physical", call(2, MAP, 64, 0x1003000) + append + EXIT)
seed("read-user", call(3, MAP, 64, GVA, GVA) + append + EXIT)
seed("vcpu-state", call(7, MAP - 0, 0) + EXIT)
seed("time", call(8) + EXIT)
seed("append-input", struct.pack("<BBhi", 0x85, 0, 0, 6) + EXIT)
seed("append-constants", call(6, DATA, 16) + EXIT)
seed("append-for-ever", call(6, MAP, 256) + struct.pack("<BBhi", 0x05, 0, -6, 0) + EXIT)
seed("read-for-ever", call(1, MAP, 256, GVA) + struct.pack("<BBhi", 0x05, 0, -8, 0) + EXIT)
seed("into-constants", call(1, DATA, 8, GVA) + EXIT)
seed("beyond-the-map", call(1, MAP + 250, 8, GVA) + EXIT)
seed("beyond-all", call(1, 9 << 32, 8, GVA) + EXIT)
seed("too-many-bytes", call(1, MAP, 4097, GVA) + EXIT)
seed("no-such-helper", call(9) + EXIT)
seed("nothing-set", EXIT)
seed("local-function", struct.pack("<BBhi", 0x85, 0x10, 0, 1) + EXIT + append + EXIT)
