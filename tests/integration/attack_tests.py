# SPDX-License-Identifier: Apache-2.0
"""What root in Dom0 tries against the agent, from inside, on two CPUs; and what Xen holds before and
after, seen from outside (xen_memory.py).

    hypercall-fuzz ──arbitrary arguments──► hypercall ──► agent ──► references, mappings
    walk-race      ──changing tables──────►                              │
    frame-check    ──frames of others─────►      test ──QMP──► QEMU ──► Xen's frame table
"""

import functools
import re

import guests
import lab
import truth
import xen_memory

MEMORY_MB = {False: 768, True: 1024}  # scripts/run-dom0


@functools.lru_cache
def initramfs():
    proxy = lab.BUILD / "dom0-proxy"
    return guests.make_initramfs(
        "attack", guests.kernel_dir(), ["xen-privcmd", "xen-gntdev", "e1000e"],
        adds=[(guests.ROOT / "scripts/lib/dom0-start", "/etc/start")],
        programs=[proxy / "dom0-proxy", proxy / "dom0-proxy-helper",
                  *(lab.TOOLS / tool for tool in ("hypercall-fuzz", "walk-race", "frame-check",
                                                "debug-registers"))])


class AttackTests:
    NAME = None
    PVH = False
    # Calls: random, mutated, sealed; victims. And with --full.
    CALLS = (100_000, 100_000, 20_000, 200)
    FULL_CALLS = (1_000_000, 1_000_000, 200_000, 2_000)
    ROUNDS = 10_000

    @classmethod
    def setUpClass(cls):
        # One test makes a domain: what Dom0 may not do otherwise (docs/dom0-powers.md).
        cls.guest = lab.start_dom0(cls.NAME, pvh=cls.PVH, smp=2, monitor=True,
                                   xen_args="sevmon-guests",
                                   initramfs=initramfs(), life_s=7200)
        cls.addClassCleanup(cls.guest.stop)
        cls.ids = lab.ids(cls.guest)
        cls.memory = xen_memory.XenMemory(cls.guest, MEMORY_MB[cls.PVH])
        cls.key = lab.keys()[1].read_bytes()[32:80].hex()

    def tearDown(self):
        self.guest.check_alive()

    def tool(self, line, timeout_s=3600):
        output = self.guest.shell(f"{line} 2>&1", timeout_s=timeout_s, check=False).decode()
        self.assertRegex(output, rf"{line.split()[0]}: OK", output)
        return output

    def check_ps(self):
        before = self.guest.processes()
        ours = self.ids.result("ps")
        after = self.guest.processes()
        truth.check_processes(self, ours["processes"], before, after)

    # -- the hypercall

    def fuzz(self, seed, random, mutated, sealed, killed):
        return self.tool(f"hypercall-fuzz --seed {seed} --random {random} --mutated {mutated} "
                         f"--key {self.key} --sealed {sealed} --killed {killed} --foreign")

    def test_arbitrary_calls(self):
        """Each answer is one of the ABI's, most are foreseen; Xen holds afterwards what it held."""
        self.fuzz(7, 2000, 2000, 200, 5)  # Dom0's kernel has allocated what it needs for this
        before = self.memory.snapshot()
        output = self.fuzz(1, *(self.FULL_CALLS if lab.FULL else self.CALLS))
        print(re.sub(r"(?m)^", "    ", output.rstrip()))
        after = self.guest.wait_for("end of the other domain", lambda: self.settled(before))
        self.check_references(before, after)
        for size in (144, 4668, 16956):
            self.assertRegex(output, rf" {size}=[1-9]", f"no answer of {size} bytes was seen")
        self.check_ps()

    def settled(self, before):
        """The frame table, once no domain is there that was not before."""
        now = self.memory.snapshot()
        return now if set(now.owners.values()) == set(before.owners.values()) else None

    def check_references(self, before, after):
        """Dom0's processes come and go, and each mapping of a PV guest is a reference: not exact, but
        one that is lost in every thousandth call would show. (See also the next test.)"""
        self.assertEqual(len(before.owned_by(0)), len(after.owned_by(0)))
        lost = before.free - after.free
        grown = after.references_of(0) - before.references_of(0)
        most = max(after.references(frame) - before.references(frame)
                   for frame in before.owned_by(0))
        print(f"    references of Dom0's pages: {before.references_of(0)}, then {grown:+}; of one "
              f"page {most:+} at most; free pages of Xen {before.free}, then {-lost:+}")
        self.assertLess(abs(lost), 32, "Xen's memory")
        self.assertLess(grown, 500)
        self.assertLess(most, 50)

    def test_references_of_one_page(self):
        """Exactly: a page that nothing else happens to, and the tables above it. (A CPU holds its top
        table, the second one here, while the process runs there.)"""
        self.guest.shell(f"frame-check --key {self.key} hold 2000 >/tmp/hold 2>&1 &")
        line = self.guest.wait_for("page to hold", lambda: re.search(
            rb"frames: (.*)\n", self.guest.file("/tmp/hold")))[1].decode()
        frames = [int(word, 16) for word in line.split()]
        self.assertGreaterEqual(len(frames), 4)
        counts = []
        for _ in range(3):
            self.guest.shell("touch /tmp/hold.go")
            self.guest.wait_for("reads", lambda: self.guest.try_shell("test ! -e /tmp/hold.go", 30)
                                == (0, b""))
            taken = self.memory.snapshot()
            counts.append([self.references_of_frame(taken, frame) for frame in frames])
        self.guest.shell("kill $(pidof frame-check)")
        self.assertNotIn(b"FAILED", self.guest.file("/tmp/hold"))
        print(f"    references after each 10,000 reads: {counts}")
        for later in counts[1:]:
            for i, (now, first) in enumerate(zip(later, counts[0])):
                self.assertLessEqual(abs(now - first), max(self.SLACK, 2 if i == 1 else 0), counts)

    # By how many references Dom0 itself may move what references_of_frame() counts.
    SLACK = 0

    def references_of_frame(self, taken, frame):
        raise NotImplementedError

    def test_debug_registers(self):
        """Of the vCPU that calls, those that it has set, not those of its last exit."""
        self.tool(f"debug-registers --key {self.key}")

    # -- memory

    def forbidden(self):
        """Frames of others, as Dom0's page tables would name them."""
        return []

    def test_frames_of_others(self):
        """Foreign, granted and device pages; then their domain can go, and no CPU of Xen's counts itself
        a reader of domains any longer: it was let go of each time."""
        output = self.tool(f"frame-check --key {self.key} not-ours")
        domid = int(re.search(r"domain=(\d+) destroyed", output)[1])
        self.guest.wait_for("end of the other domain", lambda: domid not in
                            self.memory.snapshot().owners.values())
        self.guest.wait_for("end of readers", lambda: not any(self.memory.rcu_readers()), 30)

    def scan(self):
        """The frames that the agent reads as Dom0's, of all there are and some more."""
        self.tool(f"frame-check --key {self.key} scan /tmp/bits")
        bits = self.guest.file("/tmp/bits")
        return {8 * i + j for i, byte in enumerate(bits) if byte for j in range(8) if byte >> j & 1}

    def test_walks_beside_changes(self):
        forbidden = self.forbidden()
        rounds = self.ROUNDS * (10 if lab.FULL else 1)
        output = self.tool(f"walk-race --key {self.key} --rounds {rounds} "
                           + " ".join(map(hex, forbidden)))
        print(re.sub(r"(?m)^", "    ", output.rstrip()))
        self.check_ps()
