# SPDX-License-Identifier: Apache-2.0
"""Images of real kernels, and what an intruder made of them (tests/ids/hostile): the IDS ends, with an
answer or an error about what it read, and stays small; and it finds what leads the kernel's addresses
elsewhere."""

import subprocess
import unittest

import images
import lab


class HostileImageTests:
    """For one variant of kernel and paging; the classes below name it."""

    VARIANT = None

    def run_over(self, program, *options):
        image = images.image(self.VARIANT)
        done = subprocess.run([lab.HOSTILE / program, image.path("elf"),
                               lab.profile(self.VARIANT.flavour), *options],
                              capture_output=True, text=True, timeout=1500)
        print("\n".join(f"    {line}" for line in done.stdout.splitlines()))
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        self.assertIn("Fail: 0\n", done.stdout)

    def test_altered(self):
        self.run_over("hostile-image", "--runs", "2000" if lab.FULL else "100")

    def test_redirected(self):
        self.run_over("redirected-image")


class Linux61FourLevels(HostileImageTests, unittest.TestCase):
    VARIANT = images.VARIANTS[0]


class Linux61FiveLevels(HostileImageTests, unittest.TestCase):
    VARIANT = images.VARIANTS[1]


class Linux612Cloud(HostileImageTests, unittest.TestCase):
    VARIANT = images.VARIANTS[2]
