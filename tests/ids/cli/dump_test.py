# SPDX-License-Identifier: Apache-2.0
"""`sevmon dump` of memory images: what is in the file, whatever interrupted its making. Arguments:
the binary, the source tree."""

import json
import os
import pathlib
import pty
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import jsonschema

SEVMON = sys.argv[1]
SOURCE = pathlib.Path(sys.argv[2])
SCHEMA = json.loads((SOURCE / "ids/share/sevmon.schema.json").read_text())
PAGE = 4096
MIB = 1 << 20
CHUNK = 16 * MIB


def lime(ranges):
    """A LiME file of {address: bytes}."""
    return b"".join(struct.pack("<IIQQQ", 0x4C694D45, 1, at, at + len(data) - 1, 0) + data
                    for at, data in sorted(ranges.items()))


def join(pieces):
    """{address: bytes} with adjacent pieces made one."""
    joined = {}
    last = None
    for at, data in sorted(pieces):
        if last is not None and last + len(joined[last]) == at:
            joined[last] += data
        else:
            last = at
            joined[at] = data
    return joined


def parse_lime(data):
    pieces, at = [], 0
    while at < len(data):
        magic, version, first, last, zero = struct.unpack_from("<IIQQQ", data, at)
        assert (magic, version, zero) == (0x4C694D45, 1, 0)
        pieces.append((first, data[at + 32:at + 32 + last - first + 1]))
        at += 32 + last - first + 1
    return join(pieces)


def parse_core(data):
    """Segments, and notes by owner."""
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    kind, machine = struct.unpack_from("<HH", data, 16)
    assert (kind, machine) == (4, 62)
    table, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    pieces, notes = [], {}
    for i in range(count):
        what, _, offset, _, address, stored, in_memory, _ = struct.unpack_from(
            "<IIQQQQQQ", data, table + i * size)
        content = data[offset:offset + stored]
        assert stored == in_memory == len(content)
        if what == 1:
            pieces.append((address, content))
            continue
        assert (what, i) == (4, 0)  # the notes are first, where crash and makedumpfile look
        while content:
            owner, text, _ = struct.unpack_from("<III", content)
            name = content[12:12 + owner - 1].decode()
            at = 12 + (owner + 3) // 4 * 4
            notes[name] = content[at:at + text]
            content = content[at + (text + 3) // 4 * 4:]
    return join(pieces), notes


class Dump(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.dir = pathlib.Path(cls.scratch.name)
        generator = random.Random(1)
        # Holes of all sorts: within a chunk, over chunks, and pages alone behind the long one.
        cls.memory = {0x1000: generator.randbytes(20 * PAGE),
                      0x40000: generator.randbytes(3 * PAGE),
                      CHUNK - 5 * PAGE: generator.randbytes(10 * PAGE),
                      3 * CHUNK: generator.randbytes(CHUNK + 3 * PAGE),
                      7 * CHUNK + 5 * PAGE: generator.randbytes(PAGE),
                      7 * CHUNK + 70 * PAGE: generator.randbytes(100 * PAGE)}
        cls.image = cls.dir / "holes.lime"
        cls.image.write_bytes(lime(cls.memory))
        cls.frames = sum(map(len, cls.memory.values())) // PAGE

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def setUp(self):
        self.out = self.dir / (self.id().rsplit(".", 1)[1] + ".out")
        self.part = pathlib.Path(f"{self.out}.part")
        self.state = pathlib.Path(f"{self.part}.state")

    def command(self, *arguments, image=None):
        return [SEVMON, "--connect", f"image:{image or self.image}", *map(str, arguments)]

    def run_sevmon(self, code, *arguments, image=None, **more):
        done = subprocess.run(self.command(*arguments, image=image), capture_output=True,
                              timeout=120, check=False, **more)
        self.assertEqual(done.returncode, code, done)
        return done

    def dump(self, code, *arguments, **more):
        done = self.run_sevmon(code, "--json", "dump", self.out, *arguments, **more)
        document = json.loads(done.stdout)
        jsonschema.validate(document, SCHEMA)
        return document

    def refused(self, code, word, *arguments, **more):
        error = self.dump(code, *arguments, **more)["error"]
        self.assertIn(word, error["code"] + ": " + error["message"])

    def limited(self, most_bytes):
        """Like a disk that is full then."""
        return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                         (most_bytes, most_bytes))}

    def test_core(self):
        result = self.dump(0)["result"]
        pieces, notes = parse_core(self.out.read_bytes())
        self.assertEqual(pieces, self.memory)
        self.assertEqual((result["pages_written"], result["complete"], result["segments"]),
                         (self.frames, True, len(self.memory)))
        self.assertEqual(result["pages_absent"], result["pages_asked"] - self.frames)
        self.assertEqual([int(hole["address"], 16) for hole in result["holes"]],
                         [0, *[at + len(data) for at, data in sorted(self.memory.items())][:-1]])
        said = json.loads(notes["SEVMON"])
        self.assertEqual(said["holes"], result["holes"])
        self.assertLessEqual(0 < said["first_ns"], said["last_ns"])
        self.assertEqual(self.out.stat().st_mode & 0o777, 0o600)
        self.assertFalse(self.part.exists() or self.state.exists())

    def test_lime(self):
        self.dump(0, "--format", "lime")
        self.assertEqual(parse_lime(self.out.read_bytes()), self.memory)
        piped = self.run_sevmon(0, "dump", "-", "--format", "lime")
        self.assertEqual(piped.stdout, self.out.read_bytes())

    def test_zstd(self):
        for form, parse in (("lime", parse_lime), ("elf", lambda data: parse_core(data)[0])):
            self.dump(0, "--format", form, "--zstd", "--force")
            plain = subprocess.run(["zstd", "-dc", self.out], capture_output=True, check=True)
            self.assertEqual(parse(plain.stdout), self.memory)
            subprocess.run(["zstd", "-qt", self.out], check=True)

    def test_dumps_are_images_again(self):
        for form in ("elf", "lime"):
            first = self.dir / f"again.{form}"
            self.run_sevmon(0, "dump", first, "--format", form)
            self.dump(0, "--format", "lime", "--force", image=first)
            self.assertEqual(parse_lime(self.out.read_bytes()), self.memory, form)

    def test_ranges(self):
        ranges = ("--range", f"{CHUNK - 6 * PAGE:#x}:8K", "--range", "0x41800:0x1000", "--range",
                  "0x2000:0x1000", "--range", "0x2000:1")
        result = self.dump(0, *ranges)["result"]
        pieces, _ = parse_core(self.out.read_bytes())
        self.assertEqual(pieces, {0x2000: self.memory[0x1000][PAGE:2 * PAGE],
                                  0x41000: self.memory[0x40000][PAGE:3 * PAGE],
                                  CHUNK - 5 * PAGE: self.memory[CHUNK - 5 * PAGE][:PAGE]})
        self.assertEqual((result["pages_asked"], result["pages_absent"]), (5, 1))

    def test_bad_arguments_exit_2(self):
        for arguments in (["--range", "0x1000"], ["--range", "1000:1"], ["--range", "0x1000:0"],
                          ["--range", "sym:1"], ["--range", "0x10000000000000:1"],
                          ["--range", "0xfffffffffffff:2"], ["--format", "raw"],
                          ["--resume", "--force"]):
            with self.subTest(arguments=arguments):
                self.refused(2, "usage", *arguments)
                self.assertFalse(self.part.exists())
        self.run_sevmon(2, "dump", "-")
        self.run_sevmon(2, "--json", "dump", "-", "--format", "lime")
        self.run_sevmon(2, "dump", "-", "--format", "lime", "--resume")
        self.run_sevmon(2, "dump", "/dev/null")

    def test_a_terminal_is_no_file(self):
        ours, theirs = pty.openpty()
        done = subprocess.run(self.command("dump", "-", "--format", "lime"), stdout=theirs,
                              stderr=subprocess.PIPE, timeout=60, check=False)
        os.close(ours)
        os.close(theirs)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(b"terminal", done.stderr)

    def test_nothing_is_overwritten_unasked(self):
        self.out.write_bytes(b"precious")
        self.refused(2, "--force")
        self.assertEqual(self.out.read_bytes(), b"precious")
        self.dump(0, "--force")
        self.assertEqual(parse_core(self.out.read_bytes())[0], self.memory)
        self.out.unlink()
        self.refused(2, "nothing to resume", "--resume")
        self.refused(3, "--resume goes on", **self.limited(20 * MIB))
        self.refused(2, "unfinished")
        self.assertTrue(self.part.exists())

    def test_a_full_disk_says_what_can_be_resumed(self):
        self.refused(3, f"{self.part} has", **self.limited(10 * MIB))
        self.assertFalse(self.out.exists())
        self.dump(0, "--resume")
        self.assertEqual(parse_core(self.out.read_bytes())[0], self.memory)

    def test_resumed_at_every_cut(self):
        generator = random.Random(2)
        whole = {}
        for form in ("elf", "lime"):
            for compressed in ([], ["--zstd"]):
                arguments = ["--format", form, *compressed]
                self.dump(0, *arguments, "--force")
                whole[form, bool(compressed)] = self.out.read_bytes()
                self.out.unlink()
                size = len(whole[form, bool(compressed)])
                # Where the disk is full, and what of the state was not written any more.
                for limit in [size - PAGE, *(generator.randrange(5 * MIB, size) for _ in range(3))]:
                    self.refused(3, "--resume", *arguments, **self.limited(limit))
                    lines = self.state.read_bytes()
                    cut = generator.randrange(lines.index(b"\n") + 1, len(lines) + 1)
                    self.state.write_bytes(lines[:cut])
                    with self.part.open("ab") as part:
                        part.write(b"of a chunk that was not done")
                    self.dump(0, "--resume", *arguments)
                    got = self.out.read_bytes()
                    self.out.unlink()
                    if form == "elf":  # its note has the times
                        # ZSTD_compressBound(4 MiB) and an empty frame's header
                        header = 4 * MIB + (16 * 1024 + 8 if compressed else 0)
                        self.assertEqual(got[header:], whole[form, bool(compressed)][header:])
                        self.assertNotEqual(got[header:header + PAGE], bytes(PAGE))
                    else:
                        self.assertEqual(got, whole[form, bool(compressed)])

    def test_resumed_after_each_death(self):
        generator = random.Random(3)
        for _ in range(15):
            with subprocess.Popen(self.command("dump", self.out), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as dump:
                time.sleep(generator.uniform(0, 0.15))
                dump.send_signal(generator.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            time.sleep(0.02)  # for the child that would have named it
            if self.part.exists() and self.state.exists() and self.state.stat().st_size > 0:
                self.dump(0, "--resume")
            elif not self.out.exists():
                self.dump(0, "--force")
            self.assertEqual(parse_core(self.out.read_bytes())[0], self.memory)
            self.out.unlink()

    def test_more_pieces_than_a_core_can_have(self):
        pieces = self.dir / "pieces.lime"
        count = 65_001
        pieces.write_bytes(lime({2 * i * PAGE: i.to_bytes(4, "little") * (PAGE // 4)
                                 for i in range(count)}))
        self.refused(3, "too large", image=pieces)
        self.dump(0, "--force", "--format", "lime", image=pieces)
        self.assertEqual(len(parse_lime(self.out.read_bytes())), count)

    def test_an_interrupted_dump_says_so(self):
        # A frame far up: 1 TiB of frames to ask for.
        far = self.dir / "far.lime"
        far.write_bytes(lime({0: bytes(PAGE), 1 << 51: bytes(PAGE)}))
        with subprocess.Popen(self.command("--json", "dump", self.out, image=far),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
            time.sleep(1)
            dump.send_signal(signal.SIGINT)
            out, _ = dump.communicate(timeout=60)
        document = json.loads(out)
        jsonschema.validate(document, SCHEMA)
        self.assertEqual((dump.returncode, document["exit"]), (3, 3))
        self.assertFalse(document["result"]["complete"])
        self.assertIn("1 TiB", document["warnings"][0])
        self.assertIn("interrupted", document["warnings"][1])
        self.assertFalse(self.out.exists())
        self.dump(0, "--force", "--range", f"{1 << 51:#x}:4K", image=far)
        self.assertEqual(parse_core(self.out.read_bytes())[0], {1 << 51: bytes(PAGE)})

    def test_only_the_same_is_resumed(self):
        self.refused(3, "--resume", **self.limited(10 * MIB))
        other = self.dir / "other.lime"
        changed = dict(self.memory)
        changed[0x40000] = bytes(3 * PAGE)
        changed[3 * CHUNK] = bytes(CHUNK + 3 * PAGE)
        other.write_bytes(lime(changed))
        self.refused(3, "another memory image", "--resume", image=other)
        self.refused(3, "begun as elf", "--resume", "--format", "lime")
        self.refused(3, "begun as elf without --zstd", "--resume", "--zstd")
        self.refused(3, "other ranges", "--resume", "--range", "0x0:64M")
        self.refused(3, "domain", "--resume", "--domain", "0")
        lines = self.state.read_bytes()
        for bad in (b"", b"x" * 100, lines[:lines.index(b"\n")], b"0" + lines[1:] if
                    lines[:1] != b"0" else b"1" + lines[1:]):
            self.state.write_bytes(bad)
            self.refused(3, "malformed", "--resume")
        self.state.write_bytes(lines)
        whole = self.part.read_bytes()
        self.part.write_bytes(whole[:4 * MIB])
        self.refused(3, "shorter", "--resume")
        self.part.write_bytes(whole)
        self.dump(0, "--resume")
        self.assertEqual(parse_core(self.out.read_bytes())[0], self.memory)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
