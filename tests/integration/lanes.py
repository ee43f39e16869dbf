# SPDX-License-Identifier: Apache-2.0
"""Lanes of shared memory as docs/protocol.md has them, from the IDS's side: a client of our own, for
frames that no honest client sends and bytes that none writes."""

import mmap
import os
import random
import time

import wire

MAGIC = 0x454e414c4d564553
LANE_BYTES = 1 << 20
AGENT, IDS = 0, 128  # the two ends' lines in a lane
MAGIC_AT, VERSION_AT, LANES_AT, ACCEPTED_AT, REQUEST_HEAD_AT, RESPONSE_TAIL_AT = 0, 8, 12, 16, 20, 24
CLAIM_AT, REQUEST_TAIL_AT, RESPONSE_HEAD_AT = 0, 4, 8
REQUEST_RING, RESPONSE_RING = (0x10000, 0x10000), (0x80000, 0x80000)
ALIGN = 16


def record_bytes(frame_bytes):
    return (wire.ENVELOPE.size + frame_bytes + ALIGN - 1) // ALIGN * ALIGN


class Lane:
    """One lane of the file, claimed. Not locked: a test may well take another's."""

    def __init__(self, path, index=0):
        self.file = os.open(path, os.O_RDWR)
        self.memory = mmap.mmap(self.file, LANE_BYTES, offset=index * LANE_BYTES)
        # An index is stored in one go; struct would write it byte by byte.
        self.words = memoryview(self.memory).cast("I")
        self.request_tail = self.response_head = 0

    def close(self):
        self.words.release()
        self.memory.close()
        os.close(self.file)

    def get(self, at):
        return self.words[at // 4]

    def set(self, at, value):
        self.words[at // 4] = value & 0xffffffff

    def wait(self, condition, patience_s=5):
        end = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > end:
                return False
        return True

    def claim(self, patience_s=5):
        """True when the agent has accepted."""
        claim = random.randrange(1, 1 << 32)
        self.request_tail = self.response_head = 0
        self.set(IDS + CLAIM_AT, 0)
        self.set(IDS + REQUEST_TAIL_AT, 0)
        self.set(IDS + RESPONSE_HEAD_AT, 0)
        self.set(IDS + CLAIM_AT, claim)
        return self.wait(lambda: self.get(AGENT + ACCEPTED_AT) == claim, patience_s)

    def is_served(self):
        return self.get(AGENT + ACCEPTED_AT) != 0

    def put(self, record):
        """Append bytes to the request ring, whatever they are."""
        base, size = REQUEST_RING
        for i, byte in enumerate(record):
            self.memory[base + (self.request_tail + i) % size] = byte
        self.request_tail += len(record)
        self.set(IDS + REQUEST_TAIL_AT, self.request_tail)

    def send(self, frame, tag=1):
        envelope = wire.ENVELOPE.pack(len(frame), tag, 0, 0)
        self.put((envelope + frame).ljust(record_bytes(len(frame)), b"\0"))

    def receive(self, patience_s=5):
        """(tag, status, frame), or None when nothing came."""
        base, size = RESPONSE_RING
        if not self.wait(lambda: self.get(AGENT + RESPONSE_TAIL_AT) != self.response_head & 0xffffffff,
                         patience_s):
            return None
        take = lambda at, count: bytes(self.memory[base + (at + i) % size] for i in range(count))
        count, tag, status, _ = wire.ENVELOPE.unpack(take(self.response_head, wire.ENVELOPE.size))
        frame = take(self.response_head + wire.ENVELOPE.size, count)
        self.response_head += record_bytes(count)
        self.set(IDS + RESPONSE_HEAD_AT, self.response_head)
        return tag, status, frame


def hello_frame():
    return wire.hello(b"\xff" * 16)[wire.ENVELOPE.size:]
