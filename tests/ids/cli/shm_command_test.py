# SPDX-License-Identifier: Apache-2.0
"""The sevmon binary over shared memory that dom0-proxy serves: the same answers as without, one lane
for each client, agents that are not there or go. Arguments: sevmon, the source tree, dom0-proxy."""

import json
import mmap
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import command_test
from command_test import PAGE, ROOT, SEVMON, TEXT_GVA, TEXT_PAGES

PROXY = sys.argv[3]
LANE = 1 << 20
PATIENCE_S = 60


class Server:
    """dom0-proxy over the image; a context manager that ends it."""

    def __init__(self, image, keys, lanes):
        self.process = subprocess.Popen(
            [PROXY, "--backend", "image", "--image-format", "raw", "--image", image, "--key", keys,
             "--lanes", lanes], stderr=subprocess.PIPE)
        self.said = self.process.stderr.readline().decode()  # once it serves

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGTERM)

    def stop(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        self.process.stderr.close()


class SharedMemory(unittest.TestCase):
    # As in command_test.py.
    run_sevmon = command_test.Command.run_sevmon
    expect = command_test.Command.expect
    expect_json = command_test.Command.expect_json
    expect_error = command_test.Command.expect_error

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.image_path = self.dir / "guest.raw"
        self.memory = command_test.make_image(self.image_path)
        self.image = ["--connect", f"image:{self.image_path}"]
        self.lanes = self.dir / "lanes"
        self.key, self.keys = self.dir / "ids.key", self.dir / "agent.keys"
        self.expect(0, "keygen", self.key, self.keys)
        self.shm = ["--connect", f"shm:{self.lanes}", "--key", self.key]

    def serve(self):
        server = Server(self.image_path, self.keys, self.lanes)
        self.addCleanup(server.stop, signal.SIGKILL)
        return server

    def write_lanes(self, lanes=1):
        """As an agent that is gone leaves it."""
        page = struct.pack("<QII", int.from_bytes(b"SEVMLANE", "little"), 1, lanes)
        self.lanes.write_bytes(page.ljust(LANE, b"\0") * lanes)

    # ---- The same as without -----------------------------------------------------------------

    def test_answers_are_those_of_the_image(self):
        with self.serve() as server:
            self.assertIn("4 lanes in ", server.said)
            for command in (["translate", "--root", ROOT, hex(TEXT_GVA)],
                            ["translate", "--root", ROOT, "0x0"],
                            ["read", "--root", ROOT, hex(TEXT_GVA), "100"],
                            ["read", "--physical", "0x20000", "64"], ["vcpu", "0"]):
                with self.subTest(command=command):
                    image = self.run_sevmon("--json", *self.image, *command)
                    shm = self.run_sevmon("--json", *self.shm, *command)
                    self.assertEqual(shm.returncode, image.returncode, shm)
                    for done in (image, shm):
                        done.document = json.loads(done.stdout)
                        done.document.pop("target", None)
                    self.assertEqual(shm.document.get("result"), image.document.get("result"))
            status = self.expect_json(0, *self.shm, "--development", "status")["result"]
            self.assertEqual(status["channel"]["connect"], f"shm:{self.lanes}")

    def test_many_pages(self):
        """More than its rings hold at once, in order."""
        with self.serve():
            for _ in range(3):
                text = self.dir / "text"
                self.expect(0, *self.shm, "read", "--root", ROOT, hex(TEXT_GVA + 8 * PAGE),
                            (TEXT_PAGES - 8) * PAGE, "-o", text)
                start = (command_test.TEXT_FRAME + 8) * PAGE
                self.assertEqual(text.read_bytes(), self.memory[start:])
                text.unlink()

    def test_configuration(self):
        config = self.dir / "sevmon.toml"
        config.write_text(f'connect = "shm:{self.lanes}"\nkey = "{self.key}"\n')
        with self.serve():
            self.expect(0, "--config", config, "--development", "status")

    # ---- Clients -----------------------------------------------------------------------------

    def hold_lanes(self, count):
        """`count` watches, connected."""
        held = []
        for _ in range(count):
            watch = subprocess.Popen([SEVMON, "--json", *map(str, self.shm), "watch"],
                                     stdout=subprocess.PIPE)
            self.addCleanup(watch.wait)
            self.addCleanup(watch.kill)
            self.addCleanup(watch.stdout.close)
            self.assertEqual(json.loads(watch.stdout.readline())["event"], "connected")
            held.append(watch)
        return held

    def test_each_client_has_a_lane_and_a_dead_ones_is_free(self):
        self.write_lanes(2)
        with self.serve() as server:
            self.assertIn("2 lanes in ", server.said)
            held = self.hold_lanes(2)
            self.expect_error(3, "have all of its lanes (2)", *self.shm, "status")
            held[0].kill()
            held[0].wait()
            self.expect(0, *self.shm, "--development", "status")

    def test_second_key(self):
        """Two connections of one confined process."""
        other = self.dir / "other.key"
        self.expect(0, "keygen", other, self.dir / "other-agent.keys")
        with self.serve():
            done = self.expect(0, "--connect", f"shm:{self.lanes}", "--key", other, "--key",
                               self.key, "--development", "--timeout", "1s", "status")
            self.assertIn(b"ids.key works, not ", done.stderr)

    def test_watch_outlives_the_agent(self):
        first = self.serve()
        watch = subprocess.Popen(
            [SEVMON, "--json", "--verbose", *map(str, self.shm), "watch", "--interval", "20ms",
             "--deadline", "500ms", "--silence", "600ms"], stdout=subprocess.PIPE)
        self.addCleanup(watch.kill)
        guard = threading.Timer(PATIENCE_S, watch.kill)
        guard.start()
        self.addCleanup(guard.cancel)

        def wait_for(event, kind=None):
            for line in watch.stdout:
                found = json.loads(line)
                if found.get("event") == event and found.get("kind") == kind:
                    return found
            self.fail(f"no {event}")

        wait_for("connected")
        wait_for("answer")
        first.stop(signal.SIGTERM)  # says that it goes
        self.assertIn("gave up this lane", str(wait_for("lost")))
        second = self.serve()
        wait_for("connected")
        wait_for("answer")
        second.stop(signal.SIGKILL)  # does not
        wait_for("alert", "silence")
        self.serve()
        wait_for("connected")
        wait_for("answer")
        watch.send_signal(signal.SIGTERM)
        totals = json.loads(watch.stdout.read().splitlines()[-1])["result"]
        watch.stdout.close()
        watch.wait(PATIENCE_S)
        self.assertGreaterEqual(totals["connections"], 3)

    def test_confined_before_the_first_byte(self):
        """As /proc shows the process that waits for its claim to be taken."""
        self.write_lanes()
        with subprocess.Popen([SEVMON, *map(str, self.shm), "--timeout", "60s", "status"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with open(self.lanes, "r+b") as file, mmap.mmap(file.fileno(), LANE) as memory:
                end = time.monotonic() + PATIENCE_S
                while memory[128:132] == bytes(4) and time.monotonic() < end:
                    time.sleep(0.01)
            status = dict(line.split(":\t", 1) for line in pathlib.Path(
                f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in line)
            process.kill()
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        if os.geteuid() == 0:
            self.assertEqual(set(status["Uid"].split()), {"65534"})

    # ---- What is not there -------------------------------------------------------------------

    def test_what_is_no_lane_of_an_agents(self):
        missing = ["--connect", f"shm:{self.dir}/none", "--key", self.key, "status"]
        self.expect_error(3, "i/o", *missing)
        self.expect_error(3, "unsupported", "--connect", "shm:/dev/zero", "--key", self.key, "status")
        self.expect_error(3, "truncated", "--connect", f"shm:{self.key}", "--key", self.key, "status")
        self.expect_error(2, "no key", "--connect", f"shm:{self.lanes}", "status")
        self.expect_error(2, "shm:FILE", "--connect", "shm:", "--key", self.key, "status")
        self.lanes.write_bytes(bytes(LANE))
        self.expect_error(3, "no agent", *self.shm, "status")
        self.assertEqual(self.lanes.read_bytes(), bytes(LANE), "somebody else's file")

    def test_an_agent_that_is_gone(self):
        self.write_lanes()
        self.expect_error(3, "nothing serves shm:", *self.shm, "--timeout", "300ms", "status")

    def test_a_file_that_is_cut(self):
        with self.serve() as server:
            watch, = self.hold_lanes(1)
            server.stop(signal.SIGKILL)
            os.truncate(self.lanes, 0)
            lost = json.loads(watch.stdout.readline())
            self.assertIn("was cut", str(lost))
            watch.send_signal(signal.SIGTERM)
            totals = json.loads(watch.stdout.read().splitlines()[-1])["result"]
            self.assertEqual(watch.wait(PATIENCE_S), 0 if totals["answers"] else 3)

    # ---- dom0-proxy --lanes ------------------------------------------------------------------

    def refusal(self, *options):
        done = subprocess.run([PROXY, *map(str, options)], stderr=subprocess.PIPE, check=False,
                              timeout=PATIENCE_S)
        return done.returncode, done.stderr.decode()

    def test_proxy_refuses(self):
        image = ["--backend", "image", "--image", self.image_path, "--key", self.keys]
        with self.serve():
            self.assertEqual(self.lanes.stat().st_mode & 0o777, 0o600)
            code, why = self.refusal(*image, "--lanes", self.lanes)
            self.assertEqual(code, 3)
            self.assertIn("another process serves it", why)
            self.expect(0, *self.shm, "--development", "status")
        small = self.dir / "small"
        small.write_bytes(bytes(LANE - 1))
        self.assertRegex(self.refusal(*image, "--lanes", small)[1], "no room for a lane")
        link = self.dir / "link"
        link.symlink_to(self.lanes)
        self.assertEqual(self.refusal(*image, "--lanes", link)[0], 3)
        code, why = self.refusal("--listen", "127.0.0.1:0", "--lanes", self.lanes)
        self.assertEqual(code, 2)
        self.assertTrue(re.search("image backend", why), why)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
