# SPDX-License-Identifier: Apache-2.0
"""A hostile relay in the path. Whatever it does, sevmon gives the right bytes or an error: never
wrong bytes, never half of them.

    sevmon ──► Relay: replays, reorders, truncates, flips, drops, swaps ──► dom0-proxy ──► agent
                                                                            --backend image
"""

import concurrent.futures
import itertools
import random
import re
import socket
import subprocess
import threading
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

    # -- in time, and over time

    def test_delayed(self):
        """Answers that come late but in time, and one that comes when nobody waits any more."""
        def late(seconds, victim=None):
            count = itertools.count()

            def tamper(direction, unit):
                if direction == "down" and unit[16:17] == bytes([wire.RESPONSE]):
                    if victim in (None, next(count)):
                        time.sleep(seconds)
                return [unit]
            return tamper

        self.assertEqual(self.read_through(late(0.2), timeout="30s").code, 0)
        outcome = self.read_through(late(4, victim=0), 4096, "700ms")
        self.assertEqual(outcome.code, 3, outcome)
        self.assertIn("timeout", outcome.err)

    def test_everything_twice(self):
        """Every frame of either direction, handshakes too; not the notices that come of it."""
        def tamper(direction, unit):
            return [] if len(unit) == wire.ENVELOPE.size else [unit, unit]

        self.assertEqual(self.read_through(tamper, timeout="30s").code, 0)

    def test_two_idses_swapped(self):
        """Two of them at once, each with the other's answers under its own tags."""
        answers = [[], []]
        swapping = threading.Event()

        def swap(mine):
            def tamper(direction, unit):
                if direction == "up" or unit[16:17] != bytes([wire.RESPONSE]):
                    return [unit]
                answers[mine].append(unit[16:])
                return [unit[:16] + answers[1 - mine][-1]] if swapping.is_set() else [unit]
            return tamper

        relays = [wire.Relay(self.address, swap(mine)) for mine in (0, 1)]
        with relays[0], relays[1]:
            # So that both have something to swap from the start, whichever comes first.
            for relay in relays:
                lab.sevmon_through(relay).ok("read", self.place, 4096, "--root", self.root)
            swapping.set()
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                runs = [pool.submit(lab.sevmon_through(relay).try_read, self.place, COUNT, "--root",
                                    self.root, "--timeout", "1500ms") for relay in relays]
            for outcome, data in (run.result() for run in runs):
                self.assertEqual(outcome.code, 3, outcome)
                self.assertIsNone(data)
                self.assertIn("forged", outcome.err)

    def test_recorded_run_after_a_reboot(self):
        """What an IDS was answered before the agent's reboot, to one that asks after it."""
        with wire.Relay(self.address) as relay:
            lab.sevmon_through(relay).ok("read", self.place, 4096, "--root", self.root)
            said = {kind: relay.frames("up", kind) for kind in (wire.INITIATE, wire.REQUEST)}
            old = {kind: relay.frames("down", kind)
                   for kind in (wire.CHALLENGE, wire.ACCEPT, wire.RESPONSE)}
        self.start()
        for kinds in ((wire.CHALLENGE, wire.ACCEPT, wire.RESPONSE), (wire.CHALLENGE,),
                      (wire.ACCEPT,), (wire.RESPONSE,)):
            def tamper(direction, unit):
                if direction == "up" or unit[16:17] == b"" or unit[16] not in kinds:
                    return [unit]
                return [unit[:16] + old[unit[16]][0]]

            with self.subTest(kinds=kinds):
                self.assertEqual(self.read_through(tamper, 4096, "400ms").code, 3)
        with socket.create_connection(self.address, 10) as peer:
            peer.settimeout(30)
            for frame in said[wire.INITIATE] + said[wire.REQUEST]:
                peer.sendall(wire.ENVELOPE.pack(len(frame), 1, 0, 0) + frame)
                self.assertEqual(len(wire.receive_unit(peer)), wire.ENVELOPE.size)

    def test_junk_without_end(self):
        """Nothing right ever comes, and the stream never pauses."""
        def tamper(direction, unit):
            if direction == "up" or unit[16:17] != bytes([wire.RESPONSE]):
                return [unit]
            return [unit[:16] + unit[16:-1] + bytes([unit[-1] ^ 1])] * 200

        outcome = self.read_through(tamper, 4096, "500ms")
        self.assertEqual(outcome.code, 3, outcome)
        self.assertIn("forged", outcome.err)

    # -- floods

    def test_flood_of_handshakes(self):
        """HELLOs and forged INITIATEs from several connections, beside an IDS that reads."""
        stop = threading.Event()
        rng = random.Random(4)
        sent = []

        def flood():
            while not stop.is_set():
                try:
                    with socket.create_connection(self.address, 10) as peer:
                        peer.settimeout(10)
                        for _ in range(50):
                            kind = rng.choice([wire.HELLO, wire.INITIATE])
                            frame = bytes([kind, 1]).ljust(16, b"\0") + rng.randbytes(128)
                            peer.sendall(wire.ENVELOPE.pack(len(frame), 1, 0, 0) + frame)
                            wire.receive_unit(peer)
                            sent.append(kind)
                            if stop.is_set():
                                break
                except OSError:
                    pass

        threads = [threading.Thread(target=flood) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                data = self.ids.read(self.place, COUNT, "--root", self.root, "--timeout", "60s")
                self.assertEqual(data, self.truth)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertGreater(len(sent), 20)

    def test_half_open_connections(self):
        """As many as one machine may have, half an envelope in each, from elsewhere and from the
        IDS's own address: who has asked nothing that was answered gives its place to the next."""
        def half_open(source, count):
            peers = []
            for _ in range(count):
                peers.append(socket.create_connection(self.address, 10, (source, 0)))
                peers[-1].sendall(b"\x10\0\0")
            return peers

        def is_open(peer):
            peer.settimeout(2)
            try:
                return bool(peer.recv(1))
            except TimeoutError:
                return True
            except ConnectionResetError:
                return False

        others = half_open("127.0.0.2", 8)
        self.assertEqual(self.ids.read(self.place, 4096, "--root", self.root), self.truth[:4096])
        self.assertTrue(is_open(others[0]))  # another source's places are its own
        own = half_open("127.0.0.1", 8)
        self.assertEqual(self.ids.read(self.place, 4096, "--root", self.root), self.truth[:4096])
        self.assertFalse(is_open(own[0]), "the oldest should have lost its place")
        for peer in others + own:
            peer.close()

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
