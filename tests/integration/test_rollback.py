# SPDX-License-Identifier: Apache-2.0
"""A host that rolls the virtual machine back, and one that reboots it.

    sevmon ──► Relay: recorded, held ──► QEMU: savevm, loadvm ──► dom0-proxy ──► agent in Xen

The agent's memory, with its keys, windows and the generator in it, is then as it was; only what the
CPU gives it is new. An answer may be given twice, but never under one key and nonce: those follow
from the session's key, twelve random bytes of the frame, and n.
"""

import pathlib
import socket
import subprocess
import tempfile
import threading
import unittest
import zlib

import guests
import lab
import wire
import xen_memory

ROUNDS = 4  # times that one moment is gone back to


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def say(address, unit):
    """One unit to the relay, on a connection of its own; the answer's frame, b"" for a notice."""
    with socket.create_connection(address, 30) as peer:
        peer.settimeout(120)
        peer.sendall(unit)
        return wire.receive_unit(peer)[wire.ENVELOPE.size:]


class Rollback(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="sevmon-")
        cls.addClassCleanup(folder.cleanup)
        disk = pathlib.Path(folder.name) / "snapshots.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "2G"], check=True)
        cls.guest = cls.start("rollback", options=[
            "-drive", f"if=none,id=snapshots,format=qcow2,file={disk},cache=unsafe"])
        cls.addClassCleanup(cls.guest.stop)

    @classmethod
    def start(cls, name, **options):
        return lab.start_dom0(name, monitor=True, **options)

    @property
    def address(self):
        return "127.0.0.1", self.guest.ports[guests.PROXY_PORT]

    def monitor(self, line):
        self.assertEqual(xen_memory.monitor(self.guest, line).strip(), "")

    def answers_from_one_moment(self, kind):
        """sevmon reads memory that changes. At its first frame of this kind the machine's state is
        kept; the frame is given in once for sevmon, and then again and again from that state.
        The answers."""
        held = []
        lock = threading.Lock()

        def hold(direction, unit):
            with lock:
                if direction == "up" and unit[16:17] == bytes([kind]) and not held:
                    self.monitor(f"savevm moment-{kind}")
                    held.append(unit)
            return [unit]

        with wire.Relay(self.address, hold) as relay:
            ids = lab.sevmon_through(relay)
            self.assertEqual(ids("read", "jiffies_64", 8, "--timeout", "120s").code, 0)
            number = held[0][20:32]  # session and n: zero in a handshake
            answers = [frame for frame in relay.frames("down", kind + 1)
                       if frame[4:16] == number or kind == wire.INITIATE][:1]
        for _ in range(ROUNDS):
            self.monitor(f"loadvm moment-{kind}")
            answers.append(say(self.address, held[0]))
        self.guest.check_alive()
        self.assertEqual({len(frame) for frame in answers}, {len(answers[0])}, "an answer is missing")
        self.assertEqual({frame[:1] for frame in answers}, {bytes([kind + 1])})
        return answers

    def test_one_request_answered_twice(self):
        answers = self.answers_from_one_moment(wire.REQUEST)
        self.assertEqual(len({frame[:16] for frame in answers}), 1, "not the same session and n")
        self.assertEqual(len({frame[16:28] for frame in answers}), len(answers),
                         "two answers under one key and nonce")
        # Nearly all of the answers is alike. Of two under one key stream, their sum would show it.
        for i, first in enumerate(answers):
            for second in answers[:i]:
                both = xor(first[28:], second[28:])
                self.assertGreater(len(zlib.compress(both, 9)), 0.999 * len(both))

    def test_one_handshake_answered_twice(self):
        """The agent's half of the session's key is drawn anew, too."""
        answers = self.answers_from_one_moment(wire.INITIATE)
        self.assertEqual(len({frame[32:64] for frame in answers}), len(answers),
                         "one ephemeral key twice")

    def test_run_replayed_after_a_reboot(self):
        """All that an IDS said to one boot, said to the next: none of it is taken."""
        with wire.Relay(self.address) as relay:
            lab.sevmon_through(relay).ok("ps")
            said = [unit for direction, unit in relay.units if direction == "up"]
        self.assertGreater(len(said), 5)
        with self.start("rollback-next") as next_boot:
            address = "127.0.0.1", next_boot.ports[guests.PROXY_PORT]
            for unit in said:
                answer = say(address, unit)
                if unit[16] == wire.HELLO:
                    self.assertEqual(answer[0], wire.CHALLENGE)
                else:
                    self.assertEqual(answer, b"", "a frame of an earlier boot was taken")
            counters = lab.ids(next_boot).result("--development", "status")["agent"]["counters"]
            print(f"    {counters}")
            next_boot.check_alive()
