# SPDX-License-Identifier: Apache-2.0
"""Programs in a real Xen: a list in one round trip or at one instant, a program that never ends, and
programs that Xen runs by itself."""

import pathlib
import struct
import tempfile
import threading
import time

import lab
import truth
from watching import Watching

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = lab.BUILD / "ids" / "programs"
PROCESSES = PROGRAMS / "processes.bpf.o"
RECORD = struct.Struct("<5QI3i6I16s")  # struct sevmon_process_record
TRAILER = struct.Struct("<5Q5Ii")      # struct sevmon_processes_trailer
DONE = 1
INCLUDES = ["-I", ROOT / "ids/include", "-I", ROOT / "common/include"]


def records(result):
    """Records by pid, and the trailer, of what processes.bpf.c gives."""
    data = bytes.fromhex(result)
    assert len(data) % RECORD.size == TRAILER.size, len(data)
    rows = list(RECORD.iter_unpack(data[:-TRAILER.size]))
    return rows, TRAILER.unpack(data[-TRAILER.size:])


def changes_seen(guest, ids, *options):
    """How often a word changed under a program that reads it a thousand times, while the other CPU
    counts in it; and the run."""
    address = int(guest.file("/sys/module/spin/parameters/address"))
    found = ids.result("program", "run", HERE / "programs/twice.bpf.c", "-I", ROOT / "ids/include",
                       "-I", ROOT / "common/include", "--input", struct.pack("<Q", address).hex(),
                       *options)
    assert found["state"] == "done", found
    return found["r0"], found


class AtomicOnTwoCpus:
    """Mixed into a Dom0 with two CPUs."""

    def check_that_the_other_cpu_stands_still(self, guest):
        ids = lab.ids(guest)
        guest.shell("insmod /spin.ko")

        def wait_until_it_changes():
            guest.wait_for("change", lambda: changes_seen(guest, ids)[0])

        wait_until_it_changes()
        for _ in range(10):
            changes, found = changes_seen(guest, ids, "--atomic", "--pause", "100")
            self.assertEqual(changes, 0)
            self.assertGreater(found["paused_ns"], 0)
        wait_until_it_changes()
        guest.shell("rmmod spin")
        guest.check_alive()


def ring(rows, trailer):
    """Pids in the ring of tasks: a record is there for each id, and says where the ring goes on."""
    by_task = {row[0]: row for row in rows}
    pids, at = set(), trailer[2]
    while at in by_task and by_task[at][6] not in pids:
        pids.add(by_task[at][6])
        at = by_task[at][1]
    return pids


class ProgramTests:
    """Mixed into what a Dom0 is tested for."""

    def run_program(self, ids, *words):
        return ids.result("program", "run", *words)

    def test_program_lists_the_processes(self):
        before = {p["pid"]: p for p in self.guest.processes()}
        found = self.run_program(self.ids, PROCESSES)
        after = {p["pid"]: p for p in self.guest.processes()}
        self.assertEqual(found["state"], "done")
        rows, trailer = records(found["result"])
        self.assertEqual(trailer[5], DONE, trailer)
        self.assertEqual(trailer[6], len(rows))
        self.assertEqual(trailer[8], 0, trailer)
        ours = {row[6]: row for row in rows}
        self.assertEqual(len(ours), len(rows), "a pid appears twice")
        for pid, truth in before.items():
            if pid not in after or after[pid]["start_ticks"] != truth["start_ticks"]:
                continue
            self.assertIn(pid, ours)
            row = ours[pid]
            both = (truth, after[pid])
            self.assertIn(row[8], [t["ppid"] for t in both])
            self.assertIn(row[9], [t["uid"] for t in both])
            self.assertEqual(row[3] * 100 // 10**9, truth["start_ticks"])
        self.assertFalse(self.run_program(self.ids, PROCESSES)["loaded"],
                         "another session of the same IDS finds it loaded")

    def test_ps_by_program_takes_one_round_trip(self):
        """Connected, and with the program in the agent; and pages show the same."""
        self.ids.ok("ps")
        for _ in range(3):  # a process that comes or goes meanwhile costs another pass
            document = self.ids.ok("--json", "--stats", "ps").json
            stats, found = document["stats"], document["result"]
            self.assertEqual(found["method"], "program")
            self.assertEqual(stats["loading_round_trips"], 0)
            if found["passes"] == 1:
                break
        self.assertEqual(stats["list_round_trips"], 1, found)
        print(f"ps by program: {len(found['processes'])} processes, {stats['round_trips']} round "
              f"trips with connecting, {found['program']}")
        atomic = self.ids.result("ps", "--atomic")
        self.assertEqual(atomic["consistency"], "consistent", "of one instant")
        self.assertGreater(atomic["program"]["paused_ns"], 0)
        both = self.ids.ok("--json", "--stats", "ps", "--method", "both").json["result"]
        self.assertEqual(both["method"], "both")
        self.assertEqual(both["notes"], [])
        paged = self.ids.ok("--json", "--stats", "ps", "--method", "pages").json
        self.assertEqual(paged["result"]["method"], "pages")
        self.assertGreater(paged["stats"]["list_round_trips"], 1)

    def test_ps_without_a_place_for_its_program(self):
        """All four are taken by standing programs: pages show the processes, and a comparison that
        cannot be made is no good news."""
        for entry in self.ids.result("program", "list")["programs"]:
            self.ids.ok("program", "unload", entry["program"])
        names = [self.ids.result("program", "schedule", self.number_program(i), *INCLUDES,
                                 "--every", "60000-60000")["program"] for i in range(4)]
        try:
            before = self.guest.processes()
            found = self.ids.result("ps")
            truth.check_processes(self, found["processes"], before, self.guest.processes())
            self.assertEqual(found["method"], "pages")
            self.assertIn("all places", found["fallback"])
            both = self.ids("--json", "ps", "--method", "both")
            self.assertEqual(both.code, 3, both)
            self.assertIn("by pages, not by program", both.err)
        finally:
            for name in names:
                self.ids.ok("program", "unschedule", name)
                self.ids.ok("program", "unload", name)
        self.assertIsNone(self.ids.result("ps")["fallback"])

    def number_program(self, number):
        """A program that returns `number`."""
        path = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-")) / "number.bpf.c"
        path.write_text(f"#include <sevmon/program.bpf.h>\n"
                        f"SEVMON_PROGRAM long number(void) {{ return {number}; }}\n")
        return path

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

    # -- at one instant

    def test_atomic_run_pauses_the_target(self):
        before = {p["pid"]: p for p in self.guest.processes()}
        found = self.run_program(self.ids, "--atomic", "--pause", "100", PROCESSES)
        after = {p["pid"] for p in self.guest.processes()}
        self.assertEqual(found["state"], "done")
        self.assertFalse(found["truncated"])
        self.assertEqual(found["slices"], 1)
        self.assertGreater(found["paused_ns"], 0)
        self.assertGreaterEqual(self.longest()["pause_ns"], found["paused_ns"])
        rows, _ = records(found["result"])
        self.assertEqual({pid for pid in before if pid in after} - {row[6] for row in rows}, set())
        print(f"an atomic list of {len(rows)} processes: paused {found['paused_ns'] / 1e6:.1f} ms, "
              f"{found['cost']} instructions")

    def test_atomic_run_ends_with_its_pause(self):
        outcome = self.ids("--json", "program", "run", HERE / "programs/endless.bpf.c", "-I",
                           ROOT / "ids/include", "-I", ROOT / "common/include", "--atomic",
                           "--pause", "20", "--budget", "60000000")
        self.assertEqual(outcome.code, 3, outcome)
        found = outcome.json["result"]
        self.assertEqual(found["state"], "over the time of its pause")
        self.assertTrue(found["truncated"])
        self.assertEqual(found["slices"], 1)
        self.assertGreaterEqual(found["paused_ns"], 20e6)
        print(f"an atomic run without end: paused {found['paused_ns'] / 1e6:.2f} ms of 20")
        self.assertEqual(self.guest.shell("echo $((6 * 7))").strip(), b"42")

    # -- by Xen itself

    def longest(self):
        return self.ids.result("--development", "status")["agent"]["longest"]

    def collected(self, *options):
        outcome = self.ids("--json", "program", "results", *options)
        self.assertIn(outcome.code, (0, 1), outcome)
        return outcome.json["result"]

    def standing(self, *options):
        """While the list of processes is a standing program of ours; its name."""
        test = self

        class Standing:
            def __enter__(self):
                test.collected()
                found = test.ids.result("program", "schedule", PROCESSES, *options)
                self.name = found["program"]
                return self

            def __exit__(self, *_):
                test.ids.ok("program", "unschedule", self.name)
                test.collected()

        return Standing()

    def wait_for_runs(self, count):
        return self.guest.wait_for(
            f"{count} results",
            lambda: (lambda found: found if len(found["runs"]) >= count else None)(
                self.collected("--keep")))

    def test_standing_program_runs_without_a_request(self):
        with self.standing("--every", "200-600", "--pause", "50"):
            before = {p["pid"] for p in self.guest.processes()}
            found = self.wait_for_runs(6)
            after = {p["pid"] for p in self.guest.processes()}
            runs = found["runs"]
            self.assertEqual(found["gaps"], [])
            self.assertEqual(found["missing"], 0)
            first = runs[0]["number"]
            self.assertEqual([run["number"] for run in runs],
                             list(range(first, first + len(runs))))
            for run in runs:
                self.assertEqual(run["state"], "done", run)
                self.assertTrue(run["atomic"])
                self.assertGreater(run["paused_ns"], 0)
                rows, trailer = records(run["result"])
                self.assertEqual(trailer[5], DONE)
                self.assertLessEqual(before & after, {row[6] for row in rows})
                # All of one instant: both of the kernel's lists agree.
                self.assertEqual(ring(rows, trailer), {row[6] for row in rows})
            ends = [run["started_ns"] + run["run_ns"] for run in runs]
            starts = [run["started_ns"] for run in runs]
            between = [(start - end) / 1e6 for end, start in zip(ends, starts[1:])]
            self.assertGreaterEqual(min(between), 200)
            self.assertGreater(max(between) - min(between), 20, "drawn, not fixed")
            print(f"{len(runs)} standing runs, {min(between):.0f} to {max(between):.0f} ms apart, "
                  f"paused {max(run['paused_ns'] for run in runs) / 1e6:.1f} ms at most; longest: "
                  f"{self.longest()}")
            # What was collected is let go of, once.
            self.assertGreaterEqual(len(self.collected()["runs"]), len(runs))
            self.assertEqual([run["number"] for run in self.collected()["runs"]
                              if run["number"] <= runs[-1]["number"]], [])
        time.sleep(1)
        self.assertEqual(self.collected()["runs"], [], "unscheduled")

    def test_standing_program_sees_what_hides_from_requests(self):
        """A process that is in the list of tasks only while the relay makes a hypercall."""
        pid = int(self.guest.shell("sleep 1000 >/dev/null 2>&1 & echo $!"))
        try:
            self.guest.shell(f"insmod /hide.ko pid={pid}")
            on_demand = records(self.run_program(self.ids, PROCESSES)["result"])
            self.assertIn(pid, ring(*on_demand), "on demand all is well")
            self.assertIn(pid, {p["pid"] for p in self.ids.result("ps")["processes"]})
            with self.standing("--every", "200-600", "--pause", "50"):
                hidden = []
                for run in self.wait_for_runs(4)["runs"]:
                    rows, trailer = records(run["result"])
                    self.assertEqual((run["state"], trailer[5]), ("done", DONE))
                    self.assertIn(pid, {row[6] for row in rows}, "it has an id")
                    hidden.append(pid not in ring(rows, trailer))
                # A run can fall into a call that collects results, where it is there.
                self.assertGreater(sum(hidden), len(hidden) // 2, "not there when nobody looks")
            self.check_that_standing_lists_differ(pid)
        finally:
            self.guest.shell(f"rmmod hide; kill {pid}")

    def check_that_standing_lists_differ(self, pid):
        """One command says it, and leaves nothing behind in the agent."""
        outcome = self.ids("--json", "ps", "--method", "standing")
        self.assertEqual(outcome.code, 1, outcome)
        notes = outcome.json["result"]["notes"]
        self.assertEqual({note["pid"] for note in notes}, {pid}, notes)
        self.assertEqual({note["kind"] for note in notes}, {"hidden-from-tasks", "difference"})
        self.assertEqual(self.collected()["runs"], [])
        self.assertEqual({entry["max_ms"] for entry in
                          self.ids.result("program", "list")["programs"]}, {0})

    def watching(self, period):
        """A watch by lists that Xen makes by itself."""
        return Watching(f"tcp:{self.address[0]}:{self.address[1]}", "--interval", "100ms", "--deadline", "30s",
                        "--silence", "10m", "--ps", period, "--method", "standing",
                        profiles=lab.profiles())

    def check_that_nothing_stands(self):
        self.assertEqual({entry["max_ms"] for entry in
                          self.ids.result("program", "list")["programs"]}, {0})
        self.assertEqual(self.collected()["runs"], [])

    def test_watch_by_standing_lists_sees_what_hides_from_requests(self):
        """Of which its own are the only sign that somebody looks, several a second."""
        pid = int(self.guest.shell("sleep 1000 >/dev/null 2>&1 & echo $!"))
        try:
            self.guest.shell(f"insmod /hide.ko pid={pid}")
            with self.watching("600ms") as watch:
                found = watch.wait("analysis", where=lambda event: event["exit"] == 1)
                notes = found["result"]["notes"]
                self.assertEqual({(note["kind"], note["pid"]) for note in notes},
                                 {("hidden-from-tasks", pid)}, found)
                self.assertEqual(found["result"]["method"], "standing")
                code, _ = watch.stop()
            self.assertEqual(code, 1)
        finally:
            self.guest.shell(f"rmmod hide; kill {pid}")
        self.check_that_nothing_stands()

    def test_watch_by_standing_lists_of_a_busy_system(self):
        """Each list is of one instant, however fast processes come and go."""
        pid = self.guest.shell('sh -c "while :; do cat /proc/1/comm; done" '
                               "</dev/null >/dev/null 2>&1 & echo $!").decode().strip()
        try:
            with self.watching("600ms") as watch:
                for count in range(1, 11):
                    found = watch.wait("analysis", where=lambda event: "result" in event,
                                       count=count)
                    self.assertEqual(found["exit"], 0, found)
                    self.assertGreater(len(found["result"]["processes"]), 30)
                code, _ = watch.stop()
            # Xen is at no time late. The last list may be of a moment at which a process just came
            # or went, and no other one follows it.
            unknown = [event["error"]["message"] for event in watch.events("analysis")
                       if event["exit"]]
            self.assertEqual([text for text in unknown if "was to be made again" not in text], [])
            self.assertEqual(code, 3 if unknown else 0)
        finally:
            self.guest.shell(f"kill {pid}")
        self.check_that_nothing_stands()

    def test_watch_that_was_killed_goes_on_with_the_next(self):
        """Xen went on by itself: the next watch has those lists, and ends what the first began."""
        with self.watching("600ms") as watch:
            watch.wait("analysis", where=lambda event: "result" in event)
            watch.process.kill()
        waiting = [run["number"] for run in self.wait_for_runs(3)["runs"]]
        with self.watching("600ms") as watch:
            watch.wait("analysis", where=lambda event: "result" in event
                       and event["result"]["number"] > waiting[-1])
            self.assertEqual([event for event in watch.events("analysis") if event["exit"] == 1], [])
            watch.stop()
            lists = [event["result"] for event in watch.events("analysis") if "result" in event]
        # A list is made of as many runs as it had passes; the last one gives its number.
        listed = {number for found in lists
                  for number in range(found["number"] - found["passes"] + 1, found["number"] + 1)}
        self.assertLessEqual(set(waiting), listed, "what the first one left")
        ages = {found["number"]: found["age_ns"] for found in lists}
        oldest = min(ages)
        self.assertLessEqual(oldest, waiting[-1])
        self.assertGreater(ages[oldest], ages[max(ages)])
        self.assertGreater(ages[oldest], 600e6, "two runs came after it, 300 ms apart at least")
        self.check_that_nothing_stands()

    def test_watch_that_ends_has_looked_at_all(self):
        """Also at what Xen made since the last answer."""
        if self.PVH:
            self.skipTest("nothing in it depends on the kind of Dom0")
        pid = int(self.guest.shell("sleep 1000 >/dev/null 2>&1 & echo $!"))
        try:
            with self.watching("600ms") as watch:
                watch.wait("analysis", where=lambda event: "result" in event)
                before = len(watch.events("analysis"))
                self.guest.shell(f"insmod /hide.ko pid={pid}")
                begin = self.collected("--keep")["next_number"]
                self.guest.wait_for(
                    "three more runs",
                    lambda: self.collected("--keep")["next_number"] >= begin + 3)
                last = self.collected("--keep")["next_number"] - 1
                code, _ = watch.stop()
                lists = [event["result"] for event in watch.events("analysis")[before:]
                         if "result" in event]
            self.assertEqual(code, 1)
            self.assertGreaterEqual(max(found["number"] for found in lists), last)
        finally:
            self.guest.shell(f"rmmod hide; kill {pid}")
        self.check_that_nothing_stands()

    def test_watch_schedules_anew_what_somebody_else_ended(self):
        if self.PVH:
            self.skipTest("nothing in it depends on the kind of Dom0")
        with self.watching("600ms") as watch:
            watch.wait("analysis", where=lambda event: "result" in event)
            for entry in self.ids.result("program", "list")["programs"]:
                if entry["max_ms"]:
                    self.ids.ok("program", "unschedule", entry["program"])
            watch.wait("analysis", where=lambda event: event["exit"] == 3
                       and "scheduled again" in event["error"]["message"])
            lists = len([event for event in watch.events("analysis") if "result" in event])
            watch.wait("analysis", where=lambda event: "result" in event, count=lists + 2)
            code, _ = watch.stop()
        self.assertEqual(code, 3)
        self.check_that_nothing_stands()

    def test_standing_list_and_requests_agree(self):
        ours = self.ids.result("ps", "--method", "standing")
        self.assertEqual((ours["method"], ours["fallback"], ours["notes"]),
                         ("standing", None, []))
        self.assertGreater(len(ours["processes"]), 30)
