# SPDX-License-Identifier: Apache-2.0
"""Strangers flood the proxy; a second IDS keeps its connection, makes new ones, and every one of its
requests is answered in time.

    flood.py, from ten addresses ──┐
    sevmon watch, sevmon status ───┴──► dom0-proxy --backend image
"""

import unittest

import flooding
import images
import lab
from watching import Proxy

REQUESTS = 100


class FloodTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = flooding.folder()
        cls.addClassCleanup(folder.cleanup)
        agent, first, cls.second = flooding.two_keys(folder.name)
        cls.proxy = Proxy("flood", images.image(images.VARIANTS[0])).start(key=agent)
        cls.addClassCleanup(cls.proxy.stop)
        cls.initiate = flooding.genuine_initiate(cls.proxy.address, first, folder.name)

    def check(self, kind):
        with flooding.Flood(kind, self.proxy.address, self.initiate, flooding.SOURCES):
            second = flooding.second_ids(self.proxy.address, self.second, REQUESTS)
            # Newcomers get in, too.
            ids = lab.Sevmon(f"tcp:127.0.0.1:{self.proxy.port}", self.second)
            for _ in range(3):
                ids.ok("--development", "status")
        self.check_second(kind, *second)

    def check_second(self, kind, code, totals, times, lines):
        allowed = {"tampered"} if kind == "garbage" else set()  # forged requests are seen
        raised = {kind for kind, count in totals["alerts"].items() if count}
        self.assertLessEqual(raised, allowed, lines)
        self.assertIn(code, (0, 1))
        self.assertEqual(totals["connections"], 1, lines)
        self.assertEqual(totals["unanswered"], 0)
        self.assertEqual(len(times), totals["answers"])
        self.assertGreaterEqual(totals["answers"] + totals["skipped"], REQUESTS - 1)

    def test_connections(self):
        self.check("connections")

    def test_garbage(self):
        self.check("garbage")

    def test_replays(self):
        self.check("replays")

    def test_half_open(self):
        self.check("half_open")

    def test_unread(self):
        self.check("unread")

    def test_connections_from_the_same_address(self):
        """The strangers share the second IDS's address, and so its share of places. Who has shown a
        key keeps his; a newcomer would have to be faster than eight strangers."""
        with flooding.second_watch(self.proxy.address, self.second, REQUESTS) as watch:
            watch.wait("answer")
            with flooding.Flood("connections", self.proxy.address, self.initiate, ["127.0.0.1"]):
                self.check_second("connections", *flooding.result(watch))
