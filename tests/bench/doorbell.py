# SPDX-License-Identifier: Apache-2.0
"""What a doorbell would be worth to shared memory, in QEMU's software emulation: how long an interrupt
of an ivshmem-doorbell device takes to arrive, beside what a first read waits for without one.

    this ── eventfd ──► QEMU ──MSI-X──► Xen ──► Dom0's kernel, which writes a word to shared memory
    bench-reads ═══ file ═══ ivshmem ═══ agent, which looks

Xen takes no doorbell, so Dom0 does, of the fifth device. What a driver in Xen would save of that way is
its last part, from Xen's handler to Dom0's.
"""

import array
import mmap
import os
import pathlib
import socket
import struct
import tempfile
import threading
import time

import dom0
import dom0_paths
import figures
import lab
import reads

MODULE = pathlib.Path(__file__).resolve().parent / "guest-modules" / "doorbell.c"
ROUNDS, EACH, SILENCE_S = 5, 40, 0.1
SPIN_NS, SLEEP_S = 50_000, 0.0001  # as libsevmon looks for an answer
SHM_BYTES = 1 << 20


class Server:
    """QEMU's docs/specs/ivshmem-spec.txt, 'Device's client-server protocol', for one client of one
    vector: ringing is ours alone."""

    def __init__(self, folder):
        self.path = folder / "doorbell"
        self.memory_file = os.memfd_create("doorbell")
        os.truncate(self.memory_file, SHM_BYTES)
        self.memory = mmap.mmap(self.memory_file, SHM_BYTES)
        self.words = memoryview(self.memory).cast("I")
        self.bell = os.eventfd(0)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(1)
        threading.Thread(target=self.greet, daemon=True).start()

    def greet(self):
        self.peer, _ = self.listener.accept()
        for number, fd in ((0, None), (0, None), (-1, self.memory_file), (0, self.bell)):
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd else []
            self.peer.sendmsg([struct.pack("<q", number)], rights)

    def ring(self, value, patience_s=5):
        """Until Dom0's handler ran, in us."""
        self.words[0] = value
        start = time.monotonic_ns()
        os.eventfd_write(self.bell, 1)
        while self.words[1] != value:
            waited = time.monotonic_ns() - start
            if waited > patience_s * 1e9:
                raise SystemExit("bench: nobody takes the doorbell's interrupt")
            if waited > SPIN_NS:
                time.sleep(SLEEP_S)
        return (time.monotonic_ns() - start) / 1000


def devices(server):
    return [*dom0_paths.xen_devices(), "-chardev", f"socket,path={server.path},id=doorbell",
            "-device", "ivshmem-doorbell,chardev=doorbell,vectors=1"]


def read_one(paths, silence_ms):
    return reads.latency(paths.key, paths.memory, 1, EACH, [paths.lane], silence_ms)[paths.lane][0]


def measure(options):
    add = f"{lab.last_line('build-module', MODULE)}=/doorbell.ko"
    with tempfile.TemporaryDirectory() as folder:
        server = Server(pathlib.Path(folder))
        with dom0_paths.boot(options, more=devices(server), adds=[add]) as paths:
            paths.guest.shell("insmod /doorbell.ko")
            rings, first, steady = [], [], []
            for _ in range(ROUNDS):
                for _ in range(EACH):
                    time.sleep(SILENCE_S)
                    rings.append(server.ring(len(rings) + 1))
                first += read_one(paths, int(SILENCE_S * 1000))
                steady += read_one(paths, 0)
    return {"kind": dom0.kind(options), "rows": [
        figures.row("ring", "from the doorbell to the handler, in silence", "us/ring", rings),
        figures.row("first", "shared memory: one page, in silence", "us/read", first),
        figures.row("steady", "shared memory: one page, steadily", "us/read", steady)]}


def lines(measured):
    return figures.lines(f"{measured['kind']} Dom0 in QEMU (emulated), {SILENCE_S:g} s of silence",
                         measured["rows"])
