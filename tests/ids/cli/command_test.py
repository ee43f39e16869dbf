# SPDX-License-Identifier: Apache-2.0
"""Runs the sevmon binary: exit codes, error lines, JSON against its schema, manual and completions
against --help. Arguments: the binary, the source tree."""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import jsonschema

SEVMON = sys.argv[1]
SOURCE = pathlib.Path(sys.argv[2])
SCHEMA = json.loads((SOURCE / "ids/share/sevmon.schema.json").read_text())
WATCH_SCHEMA = json.loads((SOURCE / "ids/share/sevmon-watch.schema.json").read_text())
PAGE = 4096
TEXT_GVA = 0xFFFFFFFF81000000
TEXT_FRAME = 0x20
TEXT_PAGES = 300  # more than one chunk of `read`
HOLE = 7          # this page of the text is not mapped
ROOT = "frame:0x1"


def make_image(path):
    """Flat physical memory: tables in frames 1 to 4, text pages that hold their own number."""
    memory = bytearray((TEXT_FRAME + TEXT_PAGES) * PAGE)

    def entry(frame, index, value):
        struct.pack_into("<Q", memory, frame * PAGE + index * 8, value)

    entry(1, 511, 0x2000 | 0x63)
    entry(2, 510, 0x3000 | 0x63)
    entry(3, 8, 0x4000 | 0x63)
    for page in range(TEXT_PAGES):
        if page != HOLE:
            entry(4, page, ((TEXT_FRAME + page) << 12) | 0x163 | 1 << 63)
        struct.pack_into("<Q", memory, (TEXT_FRAME + page) * PAGE, page + 1)
    pathlib.Path(path).write_bytes(memory)
    return memory


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.dir = pathlib.Path(cls.scratch.name)
        cls.image_path = cls.dir / "guest.raw"
        cls.memory = make_image(cls.image_path)
        cls.image = ["--connect", f"image:{cls.image_path}"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_sevmon(self, *arguments, env=None):
        full = {"PATH": os.environ["PATH"], "HOME": str(self.dir / "home"), **(env or {})}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH"):
            if name in os.environ:
                full[name] = os.environ[name]
        return subprocess.run([SEVMON, *map(str, arguments)], capture_output=True, env=full,
                              timeout=60, check=False)

    def expect(self, code, *arguments, env=None):
        done = self.run_sevmon(*arguments, env=env)
        self.assertEqual(done.returncode, code, done)
        return done

    def expect_error(self, code, word, *arguments, env=None):
        """One line on stderr, nothing on stdout; and the same as a document."""
        done = self.expect(code, *arguments, env=env)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, done)
        self.assertTrue(lines[0].startswith("sevmon: "), done)
        self.assertIn(word, lines[0])
        self.assertEqual(done.stdout, b"")
        document = self.expect_json(code, *arguments, env=env)
        self.assertIn(word, document["error"]["code"] + ": " + document["error"]["message"])

    def expect_json(self, code, *arguments, env=None):
        done = self.expect(code, "--json", *arguments, env=env)
        document = json.loads(done.stdout)
        jsonschema.validate(document, SCHEMA)
        self.assertEqual(document["exit"], code)
        return document

    # ---- Usage -------------------------------------------------------------------------------

    def test_bad_arguments_exit_2(self):
        for arguments in (
            [], ["no-such-command"], ["ps", "--no-such-option"], ["ps", "extra"],
            ["ps", "--method", "paged"],
            ["ps", "--threads", "--method", "both"], ["ps", "--atomic", "--method", "pages"],
            ["modules", "extra"], ["modules", "--method", "standing"],
            ["modules", "--atomic", "--method", "pages"],
            ["read"], ["read", "0x0"], ["translate"], ["profile"], ["profile", "build"],
            ["profile", "no-such"], ["keygen"], ["keygen", "a"], ["vcpu", "-1"], ["vcpu", "x"],
            ["vcpu", "0x1"], ["status", "--connect"],
        ):
            with self.subTest(arguments=arguments):
                self.expect_error(2, "usage", *arguments)

    def test_bad_values_exit_2(self):
        for arguments in (
            ["status"],  # no target
            ["status", "--connect", "tcp"], ["status", "--connect", "udp:a:1"],
            ["status", "--connect", "tcp:"], ["status", "--connect", "tcp:host"],
            ["status", "--connect", "tcp::1"], ["status", "--connect", "tcp:host:"],
            ["status", "--connect", "tcp:127.0.0.1:7100"],  # no key
            ["ps", *self.image],  # no profile
            ["ps", "--connect", "foo"],
            ["status", *self.image, "--timeout", "0"], ["status", *self.image, "--timeout", "-1"],
            ["status", *self.image, "--timeout", "1d"],
            ["status", *self.image, "--timeout", "3601s"],
            ["status", *self.image, "--timeout", "99999999999999999999"],
            ["status", *self.image, "--color", "blue"],
            ["status", *self.image, "--domain", "dom1"],
            ["status", *self.image, "--domain", "32752"],
            ["status", *self.image, "--domain", "-1"],
        ):
            with self.subTest(arguments=arguments):
                self.expect_error(2, "usage", *arguments)

    def test_bad_places_and_lengths_exit_2(self):
        for place, length in (("ffffffff81000000", "1"), ("0x", "1"), ("0x1 ", "1"), ("", "1"),
                              ("0x12345678901234567", "1"), ("0x0", "0"), ("0x0", "-1"),
                              ("0x0", "4k"), ("0xffffffffffffffff", "2"), ("0x1", "0xffffffffffffffff"),
                              ("0x0", "17M")):
            with self.subTest(place=place, length=length):
                self.expect_error(2, "usage", *self.image, "read", "--root", ROOT, "--", place,
                                  length)

    def test_bad_roots_exit_2(self):
        for root in ("1", "vcpu:", "vcpu:-1", "vcpu:65535", "vcpu:99999999999999999999", "frame:1",
                     "frame:0x", "frame:0x1:", "frame:0x1:3", "frame:0x1:6", "frame:0x1:4:4",
                     "frame:0x10000000000"):
            with self.subTest(root=root):
                self.expect_error(2, "usage", *self.image, "translate", "--root", root, "0x0")

    def test_error_lines_cannot_write_to_the_terminal(self):
        done = self.expect(2, *self.image, "translate", "--root", ROOT, "\x1b[2J\n")
        self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertNotIn(b"\x1b", done.stderr)

    def test_help_and_version(self):
        self.assertIn(b"read", self.expect(0, "--help").stdout)
        self.assertIn(b"LENGTH", self.expect(0, "read", "--help").stdout)
        self.assertRegex(self.expect(0, "--version").stdout, rb"^\d+\.\d+\.\d+\n$")

    # ---- Configuration -----------------------------------------------------------------------

    def write_config(self, text):
        path = self.dir / "sevmon.toml"
        path.write_text(text)
        return ["--config", path]

    def test_configuration_gives_defaults(self):
        config = self.write_config(f'connect = "image:{self.image_path}"\ndevelopment = true\n')
        self.expect(0, *config, "status")
        self.expect_error(3, "i/o", *config, "--connect", f"image:{self.dir}/none", "status")
        home = self.dir / "xdg/sevmon"
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.toml").write_text(f'connect = "image:{self.image_path}"\n')
        self.expect(3, "status", env={"XDG_CONFIG_HOME": str(self.dir / "xdg")})

    def test_bad_configuration_names_file_and_line(self):
        for text, line in (("a = 1\n", 1), ("\nconect = 'x'\n", 2), ("connect = 1\n", 1),
                           ("development = 'yes'\n", 1), ("[x]\n", 1), ("connect = \n", 1),
                           ("timeout = 'x'\n", 1), ("color = 'x'\n", 1), ("domain = 'x'\n", 1)):
            with self.subTest(text=text):
                self.expect_error(2, f"sevmon.toml:{line}: ", *self.write_config(text), "status")
        self.expect_error(2, "cannot be read", "--config", self.dir / "none.toml", "status")

    # ---- Targets -----------------------------------------------------------------------------

    def test_unreachable_targets_exit_3(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        key = self.dir / "unreachable.key"
        self.expect(0, "keygen", key, self.dir / "unreachable-agent.keys")
        self.expect_error(3, "connection", "--connect", f"tcp:127.0.0.1:{port}", "--key", key,
                          "status")
        self.expect_error(3, "i/o", "--connect", f"image:{self.dir}/none", "status")

    def test_silent_target_times_out(self):
        key = self.dir / "silent.key"
        self.expect(0, "keygen", key, self.dir / "silent-agent.keys")
        with socket.create_server(("127.0.0.1", 0)) as server:
            connections = []  # kept open, and closed at the end
            threading.Thread(target=lambda: connections.append(server.accept()),
                             daemon=True).start()
            address = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            done = self.expect(3, "--connect", address, "--key", key, "--timeout", "200ms",
                               "status")
            self.assertIn(b"sevmon: timeout: ", done.stderr)
            for connection, _ in connections:
                connection.close()

    def count_connections(self, notice, *options):
        """(how it ended, how often sevmon connected) at a relay that answers all with `notice`."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            connections = []

            def serve():
                while True:
                    try:
                        peer = server.accept()[0]
                    except OSError:
                        return
                    connections.append(peer)
                    head = peer.recv(16, socket.MSG_WAITALL)
                    if notice and len(head) == 16:
                        tag = struct.unpack_from("<I", head, 4)[0]
                        peer.sendall(struct.pack("<IIiI", 0, tag, notice, 0))

            threading.Thread(target=serve, daemon=True).start()
            done = self.expect(3, "--connect", f"tcp:127.0.0.1:{server.getsockname()[1]}",
                               *options, "--timeout", "300ms", "status")
            for peer in connections:
                peer.close()
            return done, len(connections)

    def test_second_key_only_when_the_first_is_refused(self):
        first, second = self.dir / "1st.key", self.dir / "2nd.key"
        for key in (first, second):
            self.expect(0, "keygen", key, self.dir / "two-agent.keys")
        both = ("--key", first, "--key", second)
        no_agent = 2
        done, connections = self.count_connections(no_agent, *both)
        self.assertEqual(connections, 2, done)
        self.assertIn(f"neither with {first} (".encode(), done.stderr)
        self.assertIn(f"nor with {second}: ".encode(), done.stderr)
        self.assertEqual(self.count_connections(no_agent, "--key", second)[1], 1)
        done, connections = self.count_connections(None, *both)
        self.assertEqual(connections, 1, done)
        self.assertIn(b"sevmon: timeout: ", done.stderr)
        # Both must be usable, before anybody is asked.
        missing = self.dir / "missing.key"
        self.assertEqual(self.count_connections(no_agent, "--key", first, "--key", missing)[1], 0)

    def test_confined_before_the_first_answer(self):
        """As /proc shows the process that waits for its first byte."""
        key = self.dir / "confined.key"
        self.expect(0, "keygen", key, self.dir / "confined-agent.keys")
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            with subprocess.Popen([SEVMON, "--connect", address, "--key", key, "--timeout", "60s",
                                   "status"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                connection, _ = server.accept()
                self.assertEqual(len(connection.recv(160, socket.MSG_WAITALL)), 160)  # its hello
                status = dict(line.split(":\t", 1) for line in pathlib.Path(
                    f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in line)
                limits = pathlib.Path(f"/proc/{process.pid}/limits").read_text()
                owner = os.stat(f"/proc/{process.pid}/mem").st_uid
                connection.close()
                self.assertEqual(process.wait(60), 3)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        self.assertGreater(int(status["VmLck"].split()[0]), 0)
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertEqual(owner, 0, "nobody of its own rights can look into it: proc(5), dumpable")
        if os.geteuid() == 0:
            self.assertEqual(set(status["Uid"].split()), {"65534"})
            self.assertEqual(int(status["CapEff"], 16), 0)

    def test_unusable_keys_exit_2(self):
        key = self.dir / "short.key"
        key.write_bytes(b"SEVMONKY")
        key.chmod(0o600)
        self.expect_error(2, "key", "--connect", "tcp:127.0.0.1:1", "--key", key, "status")

    PROGRAM = ["-I", SOURCE / "ids/include", "-I", SOURCE / "common/include"]

    def test_programs_are_compiled_and_verified(self):
        source = SOURCE / "ids/programs/template.bpf.c"
        made = self.dir / "made.bpf.o"
        document = self.expect_json(0, "program", "build", source, "-o", made, *self.PROGRAM)
        self.assertEqual(document["result"]["file"], str(made))
        self.assertEqual(made.read_bytes()[:4], b"\x7fELF")
        # By default beside the source.
        copy = self.dir / "copy.bpf.c"
        copy.write_text(source.read_text())
        self.expect(0, "program", "build", copy, *self.PROGRAM)
        self.assertTrue((self.dir / "copy.bpf.o").exists())
        # Without a kernel there is nothing to link for.
        self.expect_error(2, "no profile", "program", "verify", made)
        self.expect_error(2, "no profile", "profile", "types", "-o", self.dir / "none.h")
        for kernel in filter(None, os.environ.get("SEVMON_TEST_VMLINUZ", "").split(":")):
            self.verify_for(kernel, made, source)

    def verify_for(self, kernel, made, source):
        profile = self.dir / "test.profile"
        self.expect(0, "profile", "build", kernel, "-o", profile)
        known = ["--profile", profile]
        text = self.expect(0, *known, "program", "verify", made, "--listing").stdout.decode()
        self.assertIn("call append", text)
        self.assertIn("runs", text)
        first = self.expect_json(0, *known, "program", "verify", made, "--listing")["result"]
        self.assertTrue(first["passed"] and first["complete"])
        self.assertTrue(any(line["instruction"] == "call read" for line in first["listing"]))
        second = self.expect_json(0, *known, "program", "verify", source, *self.PROGRAM)["result"]
        self.assertEqual(first["program"], second["program"])
        header = self.dir / "vmlinux.h"
        self.expect_json(0, *known, "profile", "types", "-o", header)
        self.assertEqual(self.expect(0, *known, "profile", "types").stdout, header.read_bytes())
        self.expect_json(2, *known, "profile", "types")  # a document and a header do not mix
        # The kernel's own types, all of them.
        walker = self.dir / "walker.bpf.c"
        walker.write_text("""#include "vmlinux.h"
#include <sevmon/program.bpf.h>
extern const struct task_struct init_task __ksym;
SEVMON_PROGRAM long walker(const void *input, __u64 bytes) {
  const struct mm_struct *mm = BPF_CORE_READ(&init_task, active_mm);
  __u64 pages = BPF_CORE_READ(mm, total_vm);
  return sevmon_append_struct(&pages);
}
""")
        self.expect(0, *known, "program", "verify", walker, *self.PROGRAM)
        walker.write_text(walker.read_text().replace("total_vm", "pgd").replace(
            "&pages)", "(char *)pages)"))
        done = self.expect_json(1, *known, "program", "verify", walker, *self.PROGRAM)["result"]
        self.assertFalse(done["passed"])
        self.assertEqual(done["findings"][0]["line"], 7)

    def test_what_is_no_program_is_refused(self):
        bad = self.dir / "bad.bpf.c"
        bad.write_text("int broken(")
        done = self.expect(3, "program", "build", bad)
        self.assertIn(b"does not take", done.stderr)
        bad.write_text("int fine(void) { return 1; }\n")
        self.assertIn(b"SEC", self.expect(3, "program", "build", bad).stderr)
        self.expect_error(3, "i/o", "program", "build", self.dir / "nowhere.bpf.c")
        self.expect_error(2, "sources end in .c", "program", "build", self.dir / "x.o")
        # No clang anywhere.
        self.expect_error(3, "no clang", "program", "build", bad, env={"PATH": str(self.dir)})

    def test_unusable_profiles_exit_3(self):
        profile = self.dir / "bad.profile"
        profile.write_bytes(b"nonsense")
        for command in (["ps"], ["modules"], ["os-version"], ["check", "translation"], ["translate", "linux_banner"],
                        ["read", "linux_banner", "1"], ["vcpu", "--symbols"]):
            with self.subTest(command=command):
                self.expect(3, *self.image, "--profile", profile, *command)
                self.expect_json(3, *self.image, "--profile", profile, *command)
        self.expect(3, "profile", "show", profile)
        self.expect(3, "profile", "build", profile)
        empty = self.dir / "empty"
        empty.mkdir(exist_ok=True)
        self.expect_error(3, "not found", *self.image, "--profile", empty, "ps")

    # ---- Commands on an image ----------------------------------------------------------------

    def test_keygen(self):
        agent = self.dir / "agent.keys"
        first = self.expect_json(0, "keygen", self.dir / "a.key", agent)["result"]
        second = self.expect_json(0, "keygen", self.dir / "b.key", agent)["result"]
        self.assertEqual(first["agent_id"], second["agent_id"])
        self.assertNotEqual(first["ids_id"], second["ids_id"])
        self.assertEqual((self.dir / "a.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual(agent.stat().st_size, 32 + 2 * 48)
        self.assertNotEqual(self.run_sevmon("keygen", self.dir / "a.key", agent).returncode, 0)
        self.assertEqual(agent.stat().st_size, 32 + 2 * 48)

    def test_revoke(self):
        agent = self.dir / "revoking.keys"
        ids = [self.expect_json(0, "keygen", self.dir / f"r{i}.key", agent)["result"]["ids_id"]
               for i in range(3)]
        before = agent.read_bytes()
        entries = [before[32 + 48 * i:80 + 48 * i] for i in range(3)]
        gone = self.expect_json(0, "revoke", ids[1], agent)["result"]
        self.assertEqual(gone, {"agent_key_file": str(agent), "ids_id": ids[1]})
        self.assertEqual(agent.read_bytes(),
                         before[:10] + b"\2\0" + before[12:32] + entries[0] + entries[2])
        self.assertEqual(agent.stat().st_mode & 0o777, 0o600)
        self.expect_error(3, ids[0], "revoke", ids[1], agent)
        self.expect(0, "revoke", self.dir / "r0.key", agent)
        last = agent.read_bytes()
        self.assertEqual(last[32:], entries[2])
        self.expect_error(2, "only key", "revoke", ids[2], agent)
        self.expect_error(3, "", "revoke", "no-such.key", agent)
        self.expect_error(3, "", "revoke", ids[2][:-1] + "x", agent)
        self.assertEqual(agent.read_bytes(), last)

    def test_keys_of_the_configuration(self):
        config = self.dir / "keys.toml"
        key = self.dir / "config.key"
        self.expect(0, "keygen", key, self.dir / "config-agent.keys")
        for text, word in ((f'key = ["{key}", "{key}", "{key}"]', "array"), ("key = []", "array"),
                           ("key = 7", "array"), ("key = [7]", "strings")):
            config.write_text(text + "\n")
            self.expect_error(2, word, "--config", config, "--connect", "tcp:127.0.0.1:1", "status")
        for text in (f'key = "{key}"', f'key = ["{key}", "{key}"]'):
            config.write_text(text + "\n")
            self.expect_error(3, "", "--config", config, "--connect", "tcp:127.0.0.1:1", "status")
        self.expect(2, "--key", key, "--key", key, "--key", key, "--connect", "tcp:127.0.0.1:1",
                    "status")

    def test_status_is_3_unless_development(self):
        document = self.expect_json(3, *self.image, "status")
        production = document["result"]["production"]
        self.assertFalse(production["ready"])
        lacking = {lack["id"] for lack in production["lacking"]}
        self.assertLessEqual({"agent-not-xen", "key-source", "agent-sev", "iommu"}, lacking)
        self.assertEqual(len(document["warnings"]), len(lacking))
        self.expect_json(0, *self.image, "status", "--development")
        done = self.expect(3, *self.image, "status")
        self.assertEqual(done.stderr.count(b"sevmon: warning: "), len(lacking))

    def test_translate(self):
        page = 5
        result = self.expect_json(0, *self.image, "translate", "--root", ROOT,
                                  hex(TEXT_GVA + page * PAGE + 0x123))["result"]
        self.assertEqual(int(result["physical"], 16), (TEXT_FRAME + page) * PAGE + 0x123)
        self.assertEqual(len(result["entries"]), 4)
        self.assertEqual((result["writable"], result["executable"], result["user"],
                          result["global"]), (True, False, False, True))
        result = self.expect_json(3, *self.image, "translate", "--root", ROOT,
                                  hex(TEXT_GVA + HOLE * PAGE))["result"]
        self.assertFalse(result["mapped"])
        self.assertIn("not mapped", result["status"])
        self.expect_json(3, *self.image, "translate", "--root", ROOT, "0x800000000000")

    def test_read_hex_dump(self):
        done = self.expect(0, *self.image, "read", "--root", ROOT, hex(TEXT_GVA + 2 * PAGE - 3), 20)
        rows = done.stdout.decode().splitlines()
        self.assertEqual(rows[0], "ffffffff81001ff0  " + "   " * 8 + " " + "   " * 5 +
                         "00 00 00  |             ...|")
        self.assertTrue(rows[1].startswith("ffffffff81002000  03 00 00 00"), rows)

    def test_read_json(self):
        result = self.expect_json(0, *self.image, "read", "--root", ROOT, hex(TEXT_GVA),
                                  "2K")["result"]
        self.assertEqual(bytes.fromhex(result["hex"]),
                         bytes(self.memory[TEXT_FRAME * PAGE:][:2048]))

    def test_read_to_a_file_in_chunks(self):
        out = self.dir / "out.bin"
        start = TEXT_GVA + (HOLE + 1) * PAGE + 5
        length = (TEXT_PAGES - HOLE - 1) * PAGE - 10
        self.expect_json(0, *self.image, "read", "--root", ROOT, hex(start), length, "-o", out)
        gpa = (TEXT_FRAME + HOLE + 1) * PAGE + 5
        self.assertEqual(out.read_bytes(), bytes(self.memory[gpa:gpa + length]))
        piped = self.expect(0, *self.image, "read", "--root", ROOT, hex(start), length, "-o", "-")
        self.assertEqual(piped.stdout, out.read_bytes())
        self.expect_json(2, *self.image, "read", "--root", ROOT, hex(start), 1, "-o", "-")

    def test_read_physical(self):
        result = self.expect_json(0, *self.image, "read", "--physical", hex(TEXT_FRAME * PAGE),
                                  16)["result"]
        self.assertEqual(result["hex"], bytes(self.memory[TEXT_FRAME * PAGE:][:16]).hex())
        self.expect_error(3, "not mapped", *self.image, "read", "--physical",
                          hex(len(self.memory)), 1)
        self.expect_error(2, "usage", *self.image, "read", "--physical", "linux_banner", 1)

    def test_read_of_what_is_absent(self):
        out = self.dir / "absent.bin"
        arguments = [*self.image, "read", "--root", ROOT, hex(TEXT_GVA + (HOLE - 1) * PAGE), "12K",
                     "-o", out]
        self.expect_error(3, hex(TEXT_GVA + HOLE * PAGE), *arguments)
        self.assertFalse(out.exists())
        self.assertEqual([p for p in self.dir.iterdir() if p.name.startswith("absent")], [])
        document = self.expect_json(3, *arguments, "--zero-fill")
        self.assertEqual(document["result"]["missing_bytes"], PAGE)
        gpa = (TEXT_FRAME + HOLE - 1) * PAGE
        self.assertEqual(out.read_bytes(), bytes(self.memory[gpa:gpa + PAGE]) + bytes(PAGE) +
                         bytes(self.memory[gpa + 2 * PAGE:gpa + 3 * PAGE]))

    def test_stats(self):
        document = self.expect_json(0, *self.image, "--stats", "read", "--root", ROOT,
                                    hex(TEXT_GVA), 8)
        self.assertEqual(document["stats"]["round_trips"], 3)  # hello, handshake, read
        self.assertEqual(document["stats"]["requests"], 1)
        done = self.expect(0, *self.image, "--stats", "read", "--root", ROOT, hex(TEXT_GVA), 8)
        self.assertIn(b"round trips 3", done.stderr)

    def test_full_disk_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([SEVMON, *self.image, "translate", "--root", ROOT,
                                   hex(TEXT_GVA)], stdout=full, stderr=subprocess.PIPE,
                                  timeout=60, check=False)
        self.assertEqual(done.returncode, 3)

    def test_no_colour_where_there_is_no_terminal(self):
        self.assertNotIn(b"\x1b", self.expect(3, *self.image, "status").stdout)

    # ---- Watch -------------------------------------------------------------------------------

    def watch(self, code, *arguments, env=None):
        """Its lines: events, and the document at the end."""
        done = self.expect(code, "--json", *arguments, env=env)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        jsonschema.validate(lines[-1], SCHEMA)
        for line in lines[:-1]:
            jsonschema.validate(line, WATCH_SCHEMA)
        self.assertEqual(lines[-1]["exit"], code)
        return lines[:-1], lines[-1]["result"]

    def test_watch(self):
        events, totals = self.watch(0, *self.image, "watch", "--interval", "10ms", "--count", "20")
        self.assertEqual([event["event"] for event in events], ["connected"])
        self.assertEqual((totals["slots"], totals["connections"]), (20, 1))
        self.assertGreater(totals["answers"], 0)
        self.assertEqual(set(totals["alerts"].values()), {0})
        events, _ = self.watch(0, "-v", *self.image, "watch", "--interval", "10ms", "--duration",
                               "200ms")
        self.assertIn("answer", [event["event"] for event in events])
        text = self.expect(0, *self.image, "watch", "--interval", "10ms", "--count", "3").stdout
        self.assertRegex(text.decode().splitlines()[0], r"^20\d\d-\S+Z connected: ")
        self.assertIn("alerts: none", text.decode().splitlines()[-1])

    def test_watch_in_the_journal(self):
        text = self.expect(0, *self.image, "watch", "--interval", "10ms", "--count", "3",
                           env={"JOURNAL_STREAM": "1:2"}).stdout
        self.assertTrue(text.startswith(b"<5>connected: "), text)

    def test_watch_of_nobody(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"tcp:127.0.0.1:{closed.getsockname()[1]}"
        key = self.dir / "watch.key"
        self.expect(0, "keygen", key, self.dir / "watch-agent.keys")
        events, totals = self.watch(
            3, "--connect", address, "--key", key, "watch", "--interval", "20ms", "--deadline",
            "50ms", "--silence", "100ms", "--duration", "500ms")
        self.assertEqual([(event["event"], event.get("kind")) for event in events],
                         [("lost", None), ("alert", "silence")])
        self.assertTrue(totals["standing"]["silence"])

    def test_watch_that_cannot_begin(self):
        for arguments in (["--interval", "9ms"], ["--interval", "61s"], ["--interval", "0"],
                          ["--deadline", "61s"], ["--silence", "2s"], ["--count", "-1"],
                          ["--duration", "x"], ["--ps", "0"]):
            with self.subTest(arguments=arguments):
                self.expect_error(2, "usage", *self.image, "watch", *arguments)
        self.expect_error(2, "connect", "--connect", "foo", "watch")
        self.expect_error(2, "no profile", *self.image, "watch", "--ps", "1s")
        self.expect(3, "--connect", "tcp:127.0.0.1:1", "--key", self.dir / "none.key", "watch")

    def test_watch_by_a_method(self):
        watch = (*self.image, "watch")
        self.expect_error(2, "of process lists; add --ps", *watch, "--method", "standing")
        for method in ("program", "both", "x"):
            self.expect_error(2, "pages or standing", *watch, "--ps", "1s", "--method", method)
        for period in ("399ms", "57601s"):
            self.expect_error(2, "400ms to 16h", *watch, "--ps", period, "--method", "standing")
        # Then it is the profile that is missing.
        for period in ("400ms", "16h"):
            self.expect_error(2, "no profile", *watch, "--ps", period, "--method", "standing")
        self.expect_error(2, "no profile", *watch, "--ps", "399ms", "--method", "pages")

    def test_watch_ends_with_a_summary(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with subprocess.Popen([SEVMON, "--json", *self.image, "watch", "--interval", "1m"],
                                  stdout=subprocess.PIPE) as running:
                running.stdout.readline()
                running.send_signal(number)
                rest = running.stdout.read().splitlines()
            self.assertEqual(json.loads(rest[-1])["result"]["slots"], 1)

    def test_watch_ends_at_once_with_a_second_signal(self):
        """While it waits for an answer that does not come: by default for two seconds, here longer."""
        key = self.dir / "stuck.key"
        self.expect(0, "keygen", key, self.dir / "stuck-agent.keys")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            with subprocess.Popen(
                    [SEVMON, "--connect", f"tcp:127.0.0.1:{silent.getsockname()[1]}", "--key", key,
                     "watch", "--deadline", "30s"], stdout=subprocess.DEVNULL) as running:
                connection, _ = silent.accept()
                connection.recv(1)
                for _ in range(2):
                    running.send_signal(signal.SIGTERM)
                    time.sleep(0.5)
                try:
                    self.assertEqual(running.wait(10), -signal.SIGTERM)
                finally:
                    running.kill()
                    connection.close()

    def test_watch_with_nowhere_to_write_ends(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([SEVMON, *self.image, "watch", "--interval", "10ms"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(done.returncode, 3)

    # ---- What people read --------------------------------------------------------------------

    def options_of(self, *command):
        text = self.expect(0, *command, "--help").stdout.decode()
        return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}

    def test_manual_and_completions_have_every_option(self):
        share = SOURCE / "ids/share"
        manual = (share / "sevmon.1").read_text().replace("\\-", "-")
        completions = {name: (share / "completions" / name).read_text()
                       for name in ("sevmon.bash", "_sevmon", "sevmon.fish")}
        commands = ([], ["keygen"], ["revoke"], ["status"], ["profile", "build"], ["profile", "show"],
                    ["profile", "types"], ["program", "build"], ["program", "verify"],
                    ["program", "run"], ["program", "list"], ["program", "unload"],
                    ["os-version"], ["ps"], ["modules"], ["read"], ["dump"], ["translate"], ["vcpu"],
                    ["watch"], ["check", "translation"])
        for command in commands:
            for word in [*command, *self.options_of(*command)]:
                self.assertIn(word, manual)
                for name, text in completions.items():
                    plain = word.lstrip("-") if name.endswith("fish") else word
                    self.assertIn(plain, text, name)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
