# SPDX-License-Identifier: Apache-2.0
"""What must hold for a real Dom0, PV or PVH alike.

    sevmon ──TCP──► [QEMU's port forward] ──► dom0-proxy ──► helper ──hypercall──► agent in Xen
      ▲                                                                              │ walks
      └── compared with ◄── test shell (another port) ◄── Dom0's own /proc ◄── Dom0's memory
"""

import pathlib
import re
import struct
import tempfile
import threading
import zlib

import guests
import lab
import leak
import truth
import wire
from guests import PROXY_PORT
from program_tests import ProgramTests


class Dom0Tests(ProgramTests):
    NAME = None
    PVH = False
    CALLS = 300_000  # without --full

    @classmethod
    def setUpClass(cls):
        cls.guest = lab.start_dom0(cls.NAME, pvh=cls.PVH)
        cls.addClassCleanup(cls.guest.stop)
        cls.ids = lab.ids(cls.guest)
        cls.address = ("127.0.0.1", cls.guest.ports[PROXY_PORT])

    def tearDown(self):
        self.guest.check_alive()

    # -- what the guest says of itself

    def check_ps(self, ids):
        before = self.guest.processes()
        ours = ids.result("ps")
        after = self.guest.processes()
        self.assertEqual(ours["notes"], [])
        truth.check_processes(self, ours["processes"], before, after)

    def test_ps(self):
        self.check_ps(self.ids)

    def test_modules(self):
        """By program, by pages, and both: what /proc/modules says."""
        self.guest.shell("insmod /ghost.ko")
        try:
            text = self.guest.file("/proc/modules").decode()
            self.assertIn("ghost ", text)
            for words in (("program",), ("pages",), ("both",), ("program", "--atomic")):
                found = self.ids.ok("--json", "--stats", "modules", "--method", *words).json
                ours = found["result"]
                self.assertEqual((ours["method"], ours["fallback"], ours["notes"]),
                                 (words[0], None, []))
                truth.check_modules(self, ours["modules"], text)
                print(f"modules by {' '.join(words)}: {len(ours['modules'])}, "
                      f"{found['stats']['list_round_trips']} round trips, {ours['program']}")
                if words[0] == "program" and ours["passes"] == 1:
                    self.assertEqual(found["stats"]["list_round_trips"], 1)
        finally:
            self.guest.shell("rmmod ghost")

    def test_module_that_hides(self):
        """From the list of modules, from /sys/module, from both: by program and by pages alike."""
        self.guest.shell("insmod /ghost.ko")
        try:
            for hidden, kinds in ((1, {"hidden-from-list"}), (2, {"hidden-from-sysfs"}),
                                  (3, {"hidden-from-list", "hidden-from-sysfs"})):
                self.guest.shell(f"echo {hidden} > /sys/module/ghost/parameters/hidden")
                shown = b"ghost " in self.guest.file("/proc/modules")
                self.assertEqual(shown, not hidden & 1)
                for method in ("program", "pages", "both"):
                    with self.subTest(hidden=hidden, method=method):
                        outcome = self.ids("--json", "modules", "--method", method)
                        self.assertEqual(outcome.code, 1, outcome)
                        result = outcome.json["result"]
                        self.assertEqual({note["kind"] for note in result["notes"]}, kinds)
                        ghost = [m for m in result["modules"] if m["name"] == "ghost"]
                        self.assertEqual({note["address"] for note in result["notes"]},
                                         {ghost[0]["address"]})
                        self.assertEqual((ghost[0]["in_list"], ghost[0]["in_sysfs"],
                                          ghost[0]["in_tree"]),
                                         (not hidden & 1, not hidden & 2, True))
                        self.assertIn("hidden", self.ids("modules").out)
        finally:
            self.guest.shell("echo 0 > /sys/module/ghost/parameters/hidden; rmmod ghost")
        self.assertEqual(self.ids.result("modules")["notes"], [])

    def test_os_version(self):
        version = self.ids.result("os-version")
        self.assertEqual(version["banner"], self.guest.file("/proc/version").decode().strip())
        self.assertEqual(version["release"], self.guest.shell("uname -r").decode().strip())

    def test_command_line(self):
        line = self.guest.file("/proc/cmdline").rstrip(b"\n")
        pointer = self.ids.read_pointer("saved_command_line")
        self.assertEqual(self.ids.read(hex(pointer), len(line) + 1), line + b"\0")

    def kcore(self, address, count):
        """Kernel memory as /proc/kcore has it."""
        head = self.guest.shell("dd if=/proc/kcore bs=4096 count=1 2>/dev/null")
        table, entries = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
        for i in range(entries):
            kind, _, offset, start, _, size = struct.unpack_from("<IIQQQQ", head, table + 56 * i)
            if kind == 1 and start <= address and address + count <= start + size:
                return self.guest.shell(
                    f"dd if=/proc/kcore iflag=skip_bytes,count_bytes,fullblock bs=4096 "
                    f"skip={offset + address - start} count={count} 2>/dev/null")
        raise AssertionError(f"{address:#x} is not in /proc/kcore")

    def kallsyms(self, name):
        line = self.guest.shell(f"grep ' {name}$' /proc/kallsyms | head -n 1")
        return int(line.split()[0], 16)

    def test_known_data(self):
        """Text, read-only data and a table of pointers, byte for byte, over page borders."""
        for symbol, offset, count in (("_stext", 0, 200_000), ("linux_banner", 0, 180),
                                      ("sys_call_table", 0, 3600), ("_stext", 4090, 20)):
            with self.subTest(symbol=symbol, offset=offset):
                address = self.kallsyms(symbol)
                place = f"{symbol}+{offset}" if offset else symbol
                self.assertEqual(self.ids.read(place, count), self.kcore(address + offset, count))

    def test_translate(self):
        found = self.ids.result("translate", "linux_banner")
        self.assertEqual(int(found["address"], 16), self.kallsyms("linux_banner"))
        self.assertEqual(len(found["entries"]),
                         4 - {4096: 0, 2 << 20: 1, 1 << 30: 2}[found["page_bytes"]])
        # A PV kernel runs in ring 3: Xen makes its pages accessible there.
        self.assertEqual(found["user"], not self.PVH)
        data = self.ids.read(found["physical"], 64, "--physical")
        self.assertEqual(data, self.ids.read("linux_banner", 64))

    # -- all of it

    def test_dump(self):
        """A core of all memory: its processes are those that run, its kernel lies where it does."""
        if self.PVH and not lab.FULL:
            self.skipTest("512 MiB through an emulated PVH Dom0 take minutes: --full")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "dom0.core"
            before = self.guest.processes()
            pages = self.xen_pages_in_use()
            result = self.ids.ok("--json", "dump", path, timeout_s=900).json["result"]
            after = self.guest.processes()
            # Of 130,000 that went through it. Dom0's processes come and go meanwhile.
            self.assertLess(self.xen_pages_in_use() - pages, 16)
            self.assertTrue(result["complete"] and result["virtual_addresses"], result)
            self.assertGreater(result["vmcoreinfo_bytes"], 1000)
            self.assertGreater(result["last_ns"], result["first_ns"])
            self.assertEqual(result["boot_nonce"], self.boot_nonce())
            core = lab.Sevmon(f"image:{path}", profiles=lab.profiles())
            truth.check_processes(self, core.result("ps")["processes"], before, after)
            self.assertEqual(core.read("linux_banner", 64), self.ids.read("linux_banner", 64))
            self.check_core_addresses(path.read_bytes())

    def xen_pages_in_use(self):
        free, of = re.search(r"free=(\d+) of (\d+)", self.guest.shell("xen-memory").decode()).groups()
        return int(of) - int(free)

    def boot_nonce(self):
        return self.ids("--json", "--development", "status").json["result"]["agent"]["boot_nonce"]

    def check_core_addresses(self, core):
        """What gdb would read: virtual addresses of the kernel's image and of the direct map."""
        table, = struct.unpack_from("<Q", core, 32)
        count, = struct.unpack_from("<H", core, 56)
        loads = [struct.unpack_from("<IIQQQQ", core, table + 56 * i) for i in range(count)]

        def read(address, size):
            for kind, _, offset, start, _, held in loads:
                if kind == 1 and start <= address and address + size <= start + held:
                    return core[offset + address - start:][:size]
            raise AssertionError(f"{address:#x} is in no segment of the core")

        for name, size in (("linux_banner", 128), ("sys_call_table", 2048), ("_stext", 4096)):
            self.assertEqual(read(self.kallsyms(name), size), self.ids.read(name, size), name)
        # A pointer into the direct map, at constant data.
        line = self.ids.read_pointer("saved_command_line")
        self.assertEqual(read(line, 40), self.ids.read(hex(line), 40))

    # -- has it changed?

    def test_text_changes(self):
        """A static key patches the kernel's text: each place is found, and no other."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "dom0.text"
            taken = self.ids.result("check", "text", "--copy", path, "--take")
            self.assertGreater(taken["copy"]["pages"], 3000)
            check = ("check", "text", "--copy", path)
            self.assertEqual(self.ids.result(*check)["findings"], [])
            again = self.ids.ok("--json", "--stats", *check).json
            self.assertEqual(again["stats"]["loading_round_trips"], 0)
            self.assertEqual(again["stats"]["digest_round_trips"], 2, "text, constants")
            self.guest.shell("echo 1 > /proc/sys/kernel/sched_schedstats")
            changed = self.ids("--json", *check)
            self.guest.shell("echo 0 > /proc/sys/kernel/sched_schedstats")
            self.assertEqual(changed.code, 1, changed)
            found = changed.json["result"]
            self.assertTrue(found["complete"])
            for finding in found["findings"]:
                self.assertEqual(finding["id"], "text-changed")
                # Jumps and no-operations of 2 or 5 bytes, some side by side.
                self.assertLessEqual(finding["bytes"], 64, finding)
                self.assertNotEqual(finding["expected"], finding["found"])
            print(f"a static key: {len(found['findings'])} places in {found['differing']} of "
                  f"{found['pages']} pages")
            self.assertEqual(self.ids.result(*check)["findings"], [], "and back again")

    # -- what is not there

    def test_not_there(self):
        for place, why in (("0x0", "not mapped"), ("0xffffffffff5ff000", ""),
                           ("0x800000000000", "canonical")):
            with self.subTest(place=place):
                outcome, data = self.ids.try_read(place, 16)
                self.assertEqual(outcome.code, 3, outcome)
                self.assertIsNone(data)
                self.assertIn(why, outcome.err)

    def test_physical_that_is_not_ram(self):
        """The legacy VGA hole, and a frame far beyond everything."""
        for place in ("0xa0000", "0xfffffff000"):
            with self.subTest(place=place):
                outcome, data = self.ids.try_read(place, 16, "--physical")
                self.assertEqual(outcome.code, 3, outcome)
                self.assertIsNone(data)

    def test_no_such_domain(self):
        outcome = self.ids("--domain", "7", "read", "0x1000", "16", "--physical")
        self.assertEqual(outcome.code, 3, outcome)

    # -- what Xen says

    def test_status(self):
        outcome = self.ids("--json", "status")
        self.assertEqual(outcome.code, 3, "nothing here is fit for production")
        found = outcome.json["result"]
        self.assertIn("boot", found["agent"]["key_source"])
        # QEMU's machine for PVH has an IOMMU, and Xen is strict with it; that for PV has none.
        self.assertEqual(found["agent"]["iommu"], "on" if self.PVH else "none")
        self.assertFalse(found["production"]["ready"])
        self.assertIn("warning", outcome.err)
        self.assertEqual(self.ids("--development", "status").code, 0)
        self.assertEqual(found["agent"]["counters"]["forged"] if "forged" in
                         found["agent"]["counters"] else 0, 0)

    def test_boot_record(self):
        record = self.ids.result("--development", "status")["target"]["boot_record"]
        kernel = guests.kernel_dir() / "vmlinuz"
        self.assertEqual(record["kernel"]["sha256"], lab.sha256_of(kernel))
        self.assertEqual(record["kernel"]["bytes"], kernel.stat().st_size)
        self.assertEqual(record["initrd"]["sha256"], lab.sha256_of(lab.dom0_initramfs()))

    def test_vcpu(self):
        state = self.ids.result("vcpu", "--symbols")["vcpus"][0]
        self.assertTrue(state["flags"]["online"])
        self.assertEqual(state["flags"]["pv"], not self.PVH)
        self.assertEqual(int(state["entry_points"]["syscall64"]["address"], 16),
                         self.kallsyms("entry_SYSCALL_64" if self.PVH else "xen_entry_SYSCALL_64"))

    # -- page tables

    def check_translation(self):
        outcome = self.ids("--json", "check", "translation")
        self.assertIn(outcome.code, (0, 1), outcome)
        result = outcome.json["result"]
        self.assertEqual(outcome.code, 1 if result["findings"] else 0)
        return result

    def test_translation_is_clean(self):
        result = self.check_translation()
        self.assertEqual(result["findings"], [])
        self.assertEqual(result["vcpus"], int(self.guest.shell("grep -c ^processor /proc/cpuinfo")))
        self.assertGreater(len(result["page_tables"]), 3)
        self.assertTrue(result["complete"])

    def with_redirection(self, arguments):
        """What the check finds while the module is loaded; clean before and after."""
        self.assertEqual(self.check_translation()["findings"], [])
        self.guest.shell(f"insmod /redirect.ko {arguments}")
        try:
            return self.check_translation()["findings"]
        finally:
            self.guest.shell("rmmod redirect")
            self.assertEqual(self.check_translation()["findings"], [])

    def relay_pid(self):
        """The process that makes the hypercalls: an intruder shapes its page table with profit."""
        return int(self.guest.shell("pidof dom0-proxy-helper").split()[0])

    def test_redirection_in_the_relays_page_table(self):
        """Text, the table of system calls and a banner, led elsewhere in one process alone."""
        for symbol in ("linux_banner", "sys_call_table", "__x64_sys_read"):
            with self.subTest(symbol=symbol):
                address, pid = self.kallsyms(symbol), self.relay_pid()
                expected = int(self.ids.result("translate", symbol)["frame"], 16)
                findings = self.with_redirection(f"pid={pid} address={address:#x}")
                redirected = [f for f in findings if f["id"] == "translation-redirected"]
                self.assertEqual([int(f["address"], 16) for f in redirected],
                                 [address & ~0xfff], findings)
                self.assertEqual(redirected[0]["bytes"], 4096)
                self.assertEqual(int(redirected[0]["expected_frame"], 16), expected)
                self.assertNotEqual(int(redirected[0]["found_frame"], 16), expected)
                self.assertIn(pid, redirected[0]["pids"])
                self.assertFalse(redirected[0]["master"])
                self.assertIn("translation-copied-table", {f["id"] for f in findings})

    def test_tables_of_its_own_that_say_the_same(self):
        address, pid = self.kallsyms("linux_banner"), self.relay_pid()
        findings = self.with_redirection(f"pid={pid} address={address:#x} copy_only=1")
        self.assertIn("translation-copied-table", {f["id"] for f in findings})
        self.assertNotIn("translation-redirected", {f["id"] for f in findings})

    # -- several clients

    def test_ps_in_a_loop_beside_another_client(self):
        """One long read (minutes of pages) and ten process lists: neither disturbs the other."""
        stop = threading.Event()
        reads = []

        def long_lived():
            while not stop.is_set():
                reads.append(self.ids.try_read("_stext", 4 << 20))

        other = threading.Thread(target=long_lived)
        other.start()
        try:
            for _ in range(10):
                self.assertGreater(len(self.ids.result("ps")["processes"]), 30)
        finally:
            stop.set()
            other.join()
        self.assertGreater(len(reads), 0)
        for outcome, data in reads:
            self.assertEqual(outcome.code, 0, outcome)
            self.assertEqual(data, reads[0][1])

    # -- the wire

    def test_capture(self):
        """Nothing that was read, and nothing that says what was there, shows on the wire."""
        with wire.Relay(self.address) as relay:
            ids = lab.sevmon_through(relay)
            ids.ok("ps")
            ids.ok("os-version")
            text = ids.read("_stext", 64 << 10)
            seen = relay.bytes_seen()
        for known in (b"Linux version", b"dom0-proxy", b"kthreadd", b"busybox", b"kworker"):
            self.assertNotIn(known, seen)
        for at in range(0, len(text) - 16, 16):
            if len(set(text[at:at + 16])) > 4:
                self.assertNotIn(text[at:at + 16], seen)
        for direction, kind in (("up", wire.REQUEST), ("down", wire.RESPONSE)):
            bodies = b"".join(f[16:] for f in relay.frames(direction, kind))
            self.assertGreater(len(bodies), 1000)
            self.assertGreater(len(zlib.compress(bodies, 9)), 0.999 * len(bodies))

    def test_absent_looks_like_present(self):
        leak.check_in_clear(self, self.address, 10)

    def test_one_frame_given_twice_gets_one_answer(self):
        """The relay hands in every frame four times at once: the helper's workers race."""
        def fourfold(direction, unit):
            if direction == "up" and len(unit) > 16 and unit[16] == wire.REQUEST:
                return [unit] * 4
            # The notices for the copies that were refused would end the IDS's wait.
            return [] if direction == "down" and len(unit) == 16 else [unit]

        with wire.Relay(self.address, fourfold) as relay:
            ids = lab.sevmon_through(relay)
            for _ in range(3):
                ids.ok("ps")
            answers = [frame[4:16] for frame in relay.frames("down", wire.RESPONSE)]
            asked = {frame[4:16] for frame in relay.frames("up", wire.REQUEST)}
        self.assertGreater(len(answers), 5)
        self.assertEqual(len(answers), len(set(answers)), "a frame was answered twice")
        # On a slow machine sevmon does not wait for the answer to the request that closes: the last.
        missing = asked - set(answers)
        last = {session: max(n for of, n in map(wire.request_number, asked) if of == session)
                for session in {wire.request_number(header)[0] for header in asked}}
        for session, n in map(wire.request_number, missing):
            self.assertEqual(n, last[session], "a request was not answered")

    def test_wrong_key(self):
        outcome = lab.ids(self.guest, key=lab.other_key())("ps")
        self.assertEqual(outcome.code, 3, outcome)
        self.assertEqual(outcome.out, "")

    # -- the hypercall, from inside

    def tool(self, line, timeout_s=900):
        output = self.guest.shell(line, timeout_s=timeout_s, check=False).decode()
        self.assertRegex(output, rf"{re.split(' ', line)[0]}: OK", output)
        return output

    def test_key_cannot_be_read_back(self):
        self.tool("fw-cfg-probe")

    def test_hypercall_misuse(self):
        self.tool("hypercall-misuse")
        self.check_ps(self.ids)

    def test_vector_registers(self):
        """Hypercalls beside processes that check their registers."""
        self.tool(f"fpu-check --calls {300_000 if lab.FULL else self.CALLS}")

    def test_vector_registers_while_sevmon_reads(self):
        watch = threading.Thread(target=lambda: results.append(self.tool("fpu-check --watch 20")))
        results = []
        watch.start()
        while watch.is_alive():
            self.ids.ok("ps")
        watch.join()
        self.assertEqual(len(results), 1)
