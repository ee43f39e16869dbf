# SPDX-License-Identifier: Apache-2.0
"""Commands about a real kernel over shared memory, natively:

    image of a kernel ──► dom0-proxy --lanes FILE ──[ FILE ]── sevmon --connect shm:FILE
"""

import pathlib
import subprocess
import tempfile
import unittest

import images
import lab
import truth
import watching


class SharedMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = images.image(images.VARIANTS[0])
        lab.profiles()
        cls.folder = tempfile.TemporaryDirectory(prefix="sevmon-lanes-")
        cls.lanes = pathlib.Path(cls.folder.name) / "lanes"
        cls.server = subprocess.Popen(
            [lab.PROXY, "--backend", "image", "--image", cls.image.path("elf"), "--key",
             lab.keys()[0], "--lanes", cls.lanes], stderr=subprocess.PIPE)
        cls.server.stderr.readline()  # it serves

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.wait(60)
        cls.server.stderr.close()
        cls.folder.cleanup()

    def ids(self):
        return lab.Sevmon(f"shm:{self.lanes}", lab.keys()[1], lab.profiles())

    def in_process(self):
        return lab.Sevmon(f"image:{self.image.path('elf')}", profiles=lab.profiles())

    def test_ps(self):
        for method in ("program", "pages", "both"):
            ours = self.ids().result("ps", "--method", method)["processes"]
            truth.check_processes(self, ours, self.image.truth["before"]["processes"],
                                  self.image.truth["after"]["processes"])

    def test_os_version(self):
        version = self.ids().result("os-version")
        self.assertEqual(version["banner"], self.image.truth["before"]["version"])

    def test_other_commands_say_what_they_say_without(self):
        for words in (("translate", "_stext"), ("read", "linux_banner", 64),
                      ("check", "translation"), ("vcpu", 0)):
            with self.subTest(words=words):
                self.assertEqual(self.ids().result(*words), self.in_process().result(*words))

    def test_watch_with_process_lists(self):
        with watching.Watching(f"shm:{self.lanes}", "--interval", "20ms", "--ps", "1s",
                               profiles=lab.profiles()) as watch:
            watch.wait("connected")
            watch.wait("analysis", count=2)
            code, totals = watch.stop()
        self.assertEqual(code, 0, totals)
