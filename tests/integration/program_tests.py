# SPDX-License-Identifier: Apache-2.0
"""Programs in a real Xen: a list in one round trip, and a program that never ends."""

import pathlib
import struct
import threading

import lab

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = lab.BUILD / "ids" / "programs"
RECORD = struct.Struct("<5Q3i7I16s")  # struct sevmon_process_record
TRAILER = struct.Struct("<3Q2Ii4x")   # struct sevmon_processes_trailer
DONE = 1


def records(result):
    """Records by pid, and the trailer, of what processes.bpf.c gives."""
    data = bytes.fromhex(result)
    assert len(data) % RECORD.size == TRAILER.size, len(data)
    rows = list(RECORD.iter_unpack(data[:-TRAILER.size]))
    return rows, TRAILER.unpack(data[-TRAILER.size:])


class ProgramTests:
    """Mixed into what a Dom0 is tested for."""

    def run_program(self, ids, *words):
        return ids.result("program", "run", *words)

    def test_program_lists_the_processes(self):
        before = {p["pid"]: p for p in self.guest.processes()}
        found = self.run_program(self.ids, PROGRAMS / "processes.bpf.o")
        after = {p["pid"]: p for p in self.guest.processes()}
        self.assertEqual(found["state"], "done")
        rows, trailer = records(found["result"])
        self.assertEqual(trailer[3], DONE, trailer)
        self.assertEqual(trailer[4], len(rows))
        ours = {row[5]: row for row in rows}
        self.assertEqual(len(ours), len(rows), "a pid appears twice")
        for pid, truth in before.items():
            if pid not in after or after[pid]["start_ticks"] != truth["start_ticks"]:
                continue
            self.assertIn(pid, ours)
            row = ours[pid]
            both = (truth, after[pid])
            self.assertIn(row[7], [t["ppid"] for t in both])
            self.assertIn(row[8], [t["uid"] for t in both])
            self.assertEqual(row[3] * 100 // 10**9, truth["start_ticks"])
        self.assertFalse(self.run_program(self.ids, PROGRAMS / "processes.bpf.o")["loaded"],
                         "another session of the same IDS finds it loaded")

    def test_program_that_never_ends(self):
        """Dom0 answers meanwhile, and the machine is as before."""
        options = ["-I", ROOT / "ids" / "include", "-I", ROOT / "common" / "include"]
        outcomes = []

        def run():
            outcomes.append(self.ids("--json", "program", "run", HERE / "programs/endless.bpf.c",
                                     *options, "--budget", "50000000"))

        runner = threading.Thread(target=run)
        runner.start()
        answered = 0
        while runner.is_alive():
            self.assertEqual(self.guest.shell("echo $((6 * 7))").strip(), b"42")
            answered += 1
        runner.join()
        self.assertEqual(outcomes[0].code, 3, outcomes[0])
        found = outcomes[0].json["result"]
        self.assertEqual(found["state"], "over budget")
        self.assertGreater(found["slices"], 20)
        self.assertGreater(found["result_bytes"], 13 * 4096, "the result is full")
        self.assertGreater(answered, 1)
        print(f"a program without end: {found['slices']} slices in {found['run_ns'] / 1e6:.0f} ms, "
              f"{answered} commands answered beside it")
        self.test_program_lists_the_processes()
