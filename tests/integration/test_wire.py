# SPDX-License-Identifier: Apache-2.0
"""A hostile relay in the path. Whatever it does, sevmon gives the right bytes or an error: never
wrong bytes, never half of them.

    sevmon ──► Relay: replays, reorders, truncates, flips, drops, swaps ──► dom0-proxy ──► agent
                                                                            --backend image
"""

import itertools
import random
import re
import socket
import subprocess
import time
import unittest

import guests
import images
import lab
import wire

PLACE, COUNT = "_stext", 300_000  # five requests of fifteen pages


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = images.image(images.VARIANTS[0])
        cls.proxy = None
        cls.addClassCleanup(cls.stop)
        cls.start()
        cls.truth = cls.ids.read(PLACE, COUNT)
        found = cls.ids.result("translate", PLACE)
        cls.place = found["address"]
        # Found once, without a relay in the path, so that each run is short.
        cls.root = f"frame:{found['root_frame']}:{found['levels']}"

    @classmethod
    def start(cls):
        """A fresh agent. One that lost clients without a word keeps their connections for ten
        seconds and is "busy" meanwhile: a refusal, but not the one that a test is about."""
        cls.stop()
        port = guests.free_port()
        cls.address = ("127.0.0.1", port)
        with open(guests.LOGS / "wire-proxy.log", "ab") as log:
            cls.proxy = subprocess.Popen(
                ["timeout", "900", lab.PROXY, "--backend", "image", "--image",
                 cls.image.path("elf"), "--key", lab.keys()[0], "--listen", f"127.0.0.1:{port}"],
                stdout=log, stderr=log)
        if not wire.wait_for_agent(cls.address, 60):
            raise RuntimeError(f"dom0-proxy does not answer; see {log.name}")
        cls.ids = lab.Sevmon(f"tcp:127.0.0.1:{port}", lab.keys()[1], lab.profiles())

    @classmethod
    def stop(cls):
        if cls.proxy:
            cls.proxy.terminate()
            cls.proxy.wait(20)

    def setUp(self):
        self.start()

    def read_through(self, tamper, count=COUNT, timeout="1500ms"):
        """One read with a hostile relay in the path; checks that it is right or refused."""
        with wire.Relay(self.address, tamper) as relay:
            outcome, data = lab.sevmon_through(relay).try_read(
                self.place, count, "--root", self.root, "--timeout", timeout)
        if outcome.code == 0:
            self.assertEqual(data, self.truth[:count], "wrong bytes")
        else:
            self.assertEqual(outcome.code, 3, outcome)
            self.assertIsNone(data, "an error, and bytes")
            self.assertRegex(outcome.err, r"sevmon: \S", "an error without a message")
            self.assertEqual(len(re.findall("\n", outcome.err.strip())), 0, outcome.err)
            self.assertNotIn("no free connection", outcome.err)
            self.start()
        return outcome

    # -- what a sound channel survives

    def test_untouched(self):
        self.assertEqual(self.read_through(None).code, 0)

    def test_requests_replayed(self):
        """Every frame to the agent three times. A request is answered once."""
        seen = []

        def tamper(direction, unit):
            if direction == "up" and unit[16:17] == bytes([wire.REQUEST]):
                return [unit] * 3
            if direction == "down":
                if len(unit) == wire.ENVELOPE.size:
                    return []  # the notices for the copies
                seen.append(unit[16:32])
            return [unit]

        self.assertEqual(self.read_through(tamper).code, 0)
        answers = [header for header in seen if header[0] == wire.RESPONSE]
        self.assertGreater(len(answers), 4)
        self.assertEqual(len(answers), len(set(answers)))

    def test_answers_replayed(self):
        """Every answer again after each later one."""
        old = []

        def tamper(direction, unit):
            if direction == "up" or unit[16:17] != bytes([wire.RESPONSE]):
                return [unit]
            old.append(unit)
            return [*old[:-1], unit, *old]

        self.assertEqual(self.read_through(tamper).code, 0)

    def test_answers_reordered(self):
        """All answers are held until every request is answered, then sent the last one first."""
        held = []
        asked = [0]

        def tamper(direction, unit):
            if unit[16:17] == bytes([wire.REQUEST]):
                asked[0] += 1
            if direction == "up" or unit[16:17] != bytes([wire.RESPONSE]):
                return [unit]
            held.append(unit)
            if len(held) < asked[0]:
                return []
            out, held[:], asked[0] = held[::-1], [], 0
            return out

        self.assertEqual(self.read_through(tamper, timeout="5s").code, 0)

    def test_answers_with_swapped_envelopes(self):
        """Tags of the envelope that point to other requests."""
        def tamper(direction, unit):
            if direction == "down" and unit[16:17] == bytes([wire.RESPONSE]):
                size, tag, status, zero = wire.ENVELOPE.unpack(unit[:16])
                return [wire.ENVELOPE.pack(size, tag ^ 1, status, zero) + unit[16:]]
            return [unit]

        self.read_through(tamper)

    # -- what it refuses

    def test_answers_dropped(self):
        for victim in (0, 1, 3):
            count = itertools.count()

            def tamper(direction, unit):
                if direction == "down" and unit[16:17] == bytes([wire.RESPONSE]):
                    return [] if next(count) == victim else [unit]
                return [unit]

            with self.subTest(dropped=victim):
                self.assertEqual(self.read_through(tamper).code, 3)

    def test_answers_of_another_session(self):
        """Answers that are authentic, but another client's."""
        recorded = []

        def record(direction, unit):
            if direction == "down" and unit[16:17] == bytes([wire.RESPONSE]):
                recorded.append(unit)
            return [unit]

        self.assertEqual(self.read_through(record).code, 0)
        supply = itertools.cycle(recorded)

        def tamper(direction, unit):
            if direction == "down" and unit[16:17] == bytes([wire.RESPONSE]):
                return [next(supply)]
            return [unit]

        self.assertEqual(self.read_through(tamper).code, 3)

    def test_recorded_session_replayed_to_the_agent(self):
        """A whole recorded conversation, said again by somebody else: it is not taken."""
        with wire.Relay(self.address) as relay:
            lab.sevmon_through(relay).ok("--development", "status")
            said = [unit for direction, unit in relay.units if direction == "up"]
        with socket.create_connection(self.address, 10) as peer:
            peer.settimeout(10)
            for unit in said:
                peer.sendall(unit)
                answer = wire.receive_unit(peer)
                if unit[16] == wire.HELLO:
                    self.assertEqual(answer[16], wire.CHALLENGE)
                else:
                    self.assertEqual(len(answer), wire.ENVELOPE.size, "a replay was answered")

    def flip(self, direction, kind, bit):
        def tamper(way, unit):
            if way == direction and unit[16:17] == bytes([kind]):
                data = bytearray(unit)
                data[16 + bit // 8] ^= 1 << bit % 8
                return [bytes(data)]
            return [unit]
        return tamper

    def test_bits_flipped(self):
        """In each type of frame: header, random part, body, tag. Nothing may come of it."""
        rng = random.Random(1)
        sizes = {wire.HELLO: 144, wire.CHALLENGE: 144, wire.INITIATE: 144, wire.ACCEPT: 144,
                 wire.REQUEST: wire.REQUEST_BYTES, wire.RESPONSE: wire.RESPONSE_BYTES[2]}
        for kind, size in sizes.items():
            direction = "up" if kind in (wire.HELLO, wire.INITIATE, wire.REQUEST) else "down"
            ends = [0, 1, 2, 3, 4, 8, 15, 16, 27, 28, size - 16, size - 1]
            places = sorted({p for p in ends if p < size} | {rng.randrange(size)})
            for place in places:
                bit = place * 8 + rng.randrange(8)
                with self.subTest(kind=kind, byte=place):
                    outcome = self.read_through(self.flip(direction, kind, bit), 4096, "300ms")
                    if kind in (wire.INITIATE, wire.ACCEPT, wire.REQUEST, wire.RESPONSE):
                        self.assertEqual(outcome.code, 3, outcome)

    def test_truncated(self):
        """Frames cut short, in an envelope that says so, and streams that just end."""
        def cut(kind, keep, honest):
            def tamper(_, unit):
                if unit[16:17] != bytes([kind]):
                    return [unit]
                if not honest:
                    return [unit[:16 + keep]]
                size, tag, status, zero = wire.ENVELOPE.unpack(unit[:16])
                return [wire.ENVELOPE.pack(keep, tag, status, zero) + unit[16:16 + keep]]
            return tamper

        for kind, size in ((wire.CHALLENGE, 144), (wire.ACCEPT, 144), (wire.REQUEST, 1020),
                           (wire.RESPONSE, 62012)):
            for keep in (0, 1, 15, 16, 28, size // 2, size - 16, size - 1):
                for honest in (True, False):
                    with self.subTest(kind=kind, keep=keep, honest=honest):
                        outcome = self.read_through(cut(kind, keep, honest), 4096, "300ms")
                        self.assertEqual(outcome.code, 3, outcome)

    def test_random_envelopes(self):
        """Sizes, statuses and reserved fields at random, in both directions."""
        rng = random.Random(2)
        for direction in ("up", "down"):
            for _ in range(12):
                size = rng.choice([0, 1, 15, 16, 143, 145, 1021, 62013, 1 << 31, (1 << 32) - 1])
                status = rng.choice([0, 1, 2, 3, 8, 9, -1, -(1 << 31)])
                zero = rng.choice([0, 1, 1 << 31])

                def tamper(way, unit):
                    if way != direction or unit[16:17] not in (b"\x05", b"\x06"):
                        return [unit]
                    tag = wire.ENVELOPE.unpack(unit[:16])[1]
                    return [wire.ENVELOPE.pack(size, tag, status, zero) + unit[16:]]

                with self.subTest(direction=direction, size=size, status=status, zero=zero):
                    self.read_through(tamper, 4096, "300ms")

    def test_cut(self):
        for direction, kind in (("up", wire.HELLO), ("down", wire.ACCEPT), ("up", wire.REQUEST),
                                ("down", wire.RESPONSE)):
            def tamper(way, unit):
                return None if way == direction and unit[16:17] == bytes([kind]) else [unit]

            with self.subTest(direction=direction, kind=kind):
                self.assertEqual(self.read_through(tamper).code, 3)

    # -- what shows

    def test_shape(self):
        """Present and absent, one item and many: the same sizes."""
        shapes = {}
        for place, count in ((self.place, 1), (self.place, 4096), ("0x0", 16),
                             ("0xffffc00000000000", 4096)):
            with wire.Relay(self.address) as relay:
                lab.sevmon_through(relay)("read", place, count, "--root", self.root)
                shapes[place, count] = [(way, len(unit)) for way, unit in relay.units][:6]
        self.assertEqual(len({str(shape) for shape in shapes.values()}), 1, shapes)

    def test_agent_survives(self):
        """After garbage of all kinds the agent still answers."""
        rng = random.Random(3)
        for _ in range(200):
            with socket.create_connection(self.address, 10) as peer:
                frame = rng.randbytes(rng.choice([16, 144, 1020]))
                peer.sendall(wire.ENVELOPE.pack(len(frame), 0, 0, 0) + frame)
        time.sleep(0.5)
        self.assertEqual(self.ids.read(PLACE, 4096), self.truth[:4096])
