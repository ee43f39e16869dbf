# SPDX-License-Identifier: Apache-2.0
"""The whole of SEVmonitor but Xen, natively:

    image of a real kernel ──► dom0-proxy --backend image ──TCP──► sevmon
    (ELF, raw, LiME; KASLR)    (the agent core, in process)        (profile of the vmlinuz)
"""

import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

import guests
import images
import lab
import truth


class ImageTests:
    """For one variant of kernel and paging; the classes below name it."""

    VARIANT = None

    @classmethod
    def setUpClass(cls):
        cls.image = images.image(cls.VARIANT)
        lab.profiles()

    def ids(self, form="elf", profiles=None):
        return lab.Sevmon(f"image:{self.image.path(form)}", profiles=profiles or lab.profiles())

    def check_ps(self, form):
        ours = self.ids(form).result("ps")["processes"]
        truth.check_processes(self, ours, self.image.truth["before"]["processes"],
                              self.image.truth["after"]["processes"])

    def test_ps_from_elf(self):
        self.check_ps("elf")

    def test_ps_from_raw(self):
        self.check_ps("raw")

    def test_ps_from_lime(self):
        self.check_ps("lime")

    def test_modules(self):
        """By program, by pages, and both: what /proc/modules said."""
        self.assertEqual(self.image.truth["before"]["modules"],
                         self.image.truth["after"]["modules"])
        for method in ("program", "pages", "both"):
            found = self.ids().ok("--json", "--stats", "modules", "--method", method).json
            ours = found["result"]
            self.assertEqual((ours["method"], ours["notes"]), (method, []))
            truth.check_modules(self, ours["modules"], self.image.truth["before"]["modules"])
            print(f"{self.VARIANT.name}: {len(ours['modules'])} modules, {method}: "
                  f"{found['stats']['list_round_trips']} round trips, {ours['program']}")

    def test_module_that_was_unlinked(self):
        """The second of the list is taken out of it, as a rootkit does it: the others still know it."""
        ids = self.ids("raw")
        first = ids.read_pointer("modules")
        hidden = ids.read_pointer(hex(first))
        after = ids.read_pointer(hex(hidden))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "image.raw"
            shutil.copyfile(self.image.path("raw"), path)
            with open(path, "r+b") as image:
                for place, value in ((first, after), (after + 8, first)):
                    image.seek(int(ids.result("translate", hex(place))["physical"], 16))
                    image.write(struct.pack("<Q", value))
            altered = lab.Sevmon(f"image:{path}", profiles=lab.profiles())
            name = truth.parse_modules(self.image.truth["before"]["modules"])[1]["name"]
            for method in ("program", "pages", "both"):
                outcome = altered("--json", "modules", "--method", method)
                self.assertEqual(outcome.code, 1, outcome)
                result = outcome.json["result"]
                self.assertEqual([note["kind"] for note in result["notes"]], ["hidden-from-list"])
                self.assertEqual([m["name"] for m in result["modules"] if not m["in_list"]], [name])

    def test_os_version(self):
        version = self.ids().result("os-version")
        self.assertEqual(version["banner"], self.image.truth["before"]["version"])

    def test_slide(self):
        """Randomised, found, and the same as in the guest's own kallsyms."""
        kernel = self.ids().result("os-version")["kernel"]
        self.assertNotEqual(int(kernel["slide"], 16), 0, "this boot was not randomised: try again")
        self.assertEqual(kernel["levels"], self.VARIANT.levels)
        address = int(self.ids().result("translate", "_stext")["address"], 16)
        self.assertEqual(address, self.image.truth["before"]["stext"])
        self.assertEqual(self.ids().read("linux_banner", 13), b"Linux version")

    def test_translation_is_clean(self):
        for form in ("elf", "raw"):
            result = self.ids(form).result("check", "translation")
            self.assertTrue(result["complete"], result)
            self.assertGreater(len(result["page_tables"]), 5)

    def test_command_line(self):
        pointer = self.ids().read_pointer("saved_command_line")
        line = self.image.truth["before"]["cmdline"].encode()
        self.assertEqual(self.ids().read(hex(pointer), len(line)), line)

    def test_dump_is_an_image_like_it(self):
        """Dumped again, as a core and as LiME: the same processes; and in the core the addresses
        that /proc/kallsyms had."""
        with tempfile.TemporaryDirectory() as folder:
            for form in ("elf", "lime"):
                path = pathlib.Path(folder) / form
                result = self.ids("elf").result("dump", path, "--format", form)
                self.assertEqual(result["virtual_addresses"], form == "elf")
                copy = lab.Sevmon(f"image:{path}", profiles=lab.profiles())
                self.assertEqual(copy.result("ps")["processes"],
                                 self.ids("elf").result("ps")["processes"])
            headers = subprocess.run(["readelf", "-lW", pathlib.Path(folder) / "elf"],
                                     capture_output=True, text=True, check=True).stdout
            self.assertIn(f"{self.image.truth['before']['stext'] & ~0x1fffff:#x}", headers)
            notes = subprocess.run(["readelf", "-nW", pathlib.Path(folder) / "elf"],
                                   capture_output=True, text=True, check=True).stdout
            for owner in ("CORE", "QEMU", "VMCOREINFO", "SEVMON"):
                self.assertIn(owner, notes)

    def test_output_that_is_no_file_stays_what_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "device"
            path.symlink_to("/dev/null")
            self.ids().ok("read", "linux_banner", 16, "-o", path)
            self.assertTrue(path.is_char_device())

    def test_wrong_profile_names_both(self):
        other = "6.12-cloud" if self.VARIANT.flavour == "6.1" else "6.1"
        outcome = self.ids(profiles=lab.profile(other))("ps")
        self.assertEqual(outcome.code, 3, outcome)
        for flavour in ("6.1", "6.12-cloud"):
            release = (guests.kernel_dir(flavour) / "release").read_text().strip()
            self.assertIn(release, outcome.err, outcome)
        self.assertEqual(outcome.out, "", outcome)


class Linux61FourLevels(ImageTests, unittest.TestCase):
    VARIANT = images.VARIANTS[0]


class Linux61FiveLevels(ImageTests, unittest.TestCase):
    VARIANT = images.VARIANTS[1]


class Linux612Cloud(ImageTests, unittest.TestCase):
    VARIANT = images.VARIANTS[2]


class Refusals(unittest.TestCase):
    def test_no_image(self):
        outcome = lab.Sevmon("image:/nonexistent", profiles=lab.profiles())("ps")
        self.assertIn(outcome.code, (2, 3), outcome)
        self.assertIn("/nonexistent", outcome.err)

    def test_image_without_a_kernel(self):
        with tempfile.NamedTemporaryFile(suffix=".raw") as blank:
            blank.truncate(16 << 20)
            outcome = lab.Sevmon(f"image:{blank.name}", profiles=lab.profiles())("ps")
        self.assertEqual(outcome.code, 3, outcome)
        self.assertEqual(outcome.out, "", outcome)
