# SPDX-License-Identifier: Apache-2.0
"""A thousand connections to one dom0-proxy, each with a request under way at any time.

    bench-crowd ══1,000══► dom0-proxy --backend image
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import images
import lab
from watching import Proxy

CONNECTIONS = 1000
ANSWERS = 20  # of one connection, on average
IDS = 8
MOST_BYTES = 200_000_000
# The crowd's own, and those of the handshakes before it.
CONFIG = f"""[limits]
connections = {CONNECTIONS + 100}
connections_per_source = {CONNECTIONS + 100}
"""


class CrowdTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="sevmon-crowd-")
        cls.addClassCleanup(folder.cleanup)
        folder = pathlib.Path(folder.name)
        cls.agent = folder / "agent"
        cls.keys = [folder / f"ids{number}" for number in range(IDS)]
        for key in cls.keys:
            subprocess.run([lab.SEVMON, "keygen", key, cls.agent], check=True, capture_output=True)
        (folder / "proxy.toml").write_text(CONFIG)
        cls.proxy = Proxy("crowd", images.image(images.VARIANTS[0]), "--config",
                          folder / "proxy.toml").start(key=cls.agent)
        cls.addClassCleanup(cls.proxy.stop)

    def crowd(self, connections):
        done = subprocess.run(
            [lab.BUILD / "tests/bench/bench-crowd", str(self.proxy.port), str(connections),
             str(ANSWERS), *self.keys], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.proxy.process.pid}/fd"))

    def test_each_is_answered(self):
        self.crowd(1)
        before = self.descriptors()
        report = self.crowd(CONNECTIONS)
        self.assertEqual(report["connections"], CONNECTIONS)
        self.assertGreaterEqual(report["answers"], CONNECTIONS * ANSWERS)
        self.assertGreaterEqual(report["fewest_of_one"], ANSWERS // 4, report)
        status = pathlib.Path(f"/proc/{self.proxy.process.pid}/status").read_text()
        most_kib = int(status.split("VmHWM:")[1].split()[0])
        self.assertLess(most_kib * 1024, MOST_BYTES)
        # And nothing is left of them.
        self.crowd(1)
        self.assertLessEqual(self.descriptors(), before + 1)
