# SPDX-License-Identifier: Apache-2.0
"""sevmon watch over an image, with everything happening to it that it is to notice:

    sevmon watch ──► Line: silent, slow, cut, altered ──► dom0-proxy --backend image
                                                           ended, started again, with another key
"""

import os
import signal
import subprocess
import tempfile
import time
import unittest

import images
import lab
import watching
import wire
from watching import Line, Proxy, Watching

# Where something is to be late, and where nothing is, not even on a busy machine.
FAST = ("--interval", "50ms", "--deadline", "2s", "--silence", "3s")
CALM = ("--interval", "50ms", "--deadline", "20s")


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.proxy = Proxy("watch", images.image(images.VARIANTS[0])).start()
        cls.addClassCleanup(cls.proxy.stop)

    def setUp(self):
        if not self.proxy.process:
            self.proxy.start()

    def line(self):
        return self._enter(Line(self.proxy.address))

    def _enter(self, manager):
        self.addCleanup(manager.__exit__, None, None, None)
        return manager.__enter__()

    def watch(self, line, *options, **more):
        watch = self._enter(Watching(line.relay.connect, *(options or CALM), **more))
        watch.wait("connected")
        return watch

    def check_only(self, watch, *kinds):
        """These alerts and no others, and the exit code and totals that follow from them."""
        code, totals = watch.stop()
        raised = {event["kind"] for event in watch.events("alert")}
        self.assertEqual(raised, set(kinds), watch.lines)
        self.assertEqual(code, 1 if kinds else 0)
        self.assertEqual({kind for kind, count in totals["alerts"].items() if count}, set(kinds))
        self.assertFalse(any(totals["standing"].values()), totals)
        return totals

    def test_quiet(self):
        watch = self.watch(self.line(), "-v", *CALM)
        watch.wait("answer", count=40)
        totals = self.check_only(watch)
        self.assertEqual(totals["connections"], 1)

    def test_network_that_cuts(self):
        """New connection, same boot: nothing to be alarmed at, and nothing goes unsaid."""
        line = self.line()
        watch = self.watch(line, "-v", *CALM)
        line.mode = "cut"
        watch.wait("lost")
        line.mode = "pass"
        watch.wait("connected", count=2)
        watch.wait("answer")
        totals = self.check_only(watch)
        self.assertEqual(totals["connections"], 2)

    def test_network_that_lets_only_handshakes_through(self):
        """Without one answer nothing is known, however short the watch."""
        line = self.line()
        line.mode = watching.cut_requests
        watch = self.watch(line)
        watch.wait("lost")
        code, totals = watch.stop()
        self.assertEqual((code, totals["answers"]), (3, 0))
        self.assertGreater(totals["unanswered"], 0)

    def test_network_that_falls_silent(self):
        line = self.line()
        watch = self.watch(line, *FAST)
        line.mode = "silent"
        watch.wait("alert", "late")
        watch.wait("alert", "silence")
        line.mode = "pass"
        cleared = watch.wait("cleared", "silence")
        self.assertGreaterEqual(cleared["lasted_ns"], 3e9)
        watch.wait("cleared", "late")
        self.check_only(watch, "late", "silence")

    def test_answers_that_come_late(self):
        line = self.line()
        watch = self.watch(line, *FAST[:4], "--silence", "1m")
        slow = []

        def delay(direction, unit):
            if direction == "down" and unit[16:17] == bytes([wire.RESPONSE]) and not slow:
                slow.append(unit)
                time.sleep(2.5)
            return [unit]

        line.mode = delay
        watch.wait("alert", "late")
        watch.wait("cleared", "late")
        self.check_only(watch, "late")  # the late answer itself is authentic

    def test_altered_answers(self):
        line = self.line()
        watch = self.watch(line, *FAST)
        line.mode = watching.flip("down", wire.RESPONSE)
        watch.wait("alert", "tampered")
        line.mode = "pass"
        watch.wait("cleared", "tampered")
        code, totals = watch.stop()
        self.assertEqual(code, 1)
        self.assertGreater(totals["unverified"], 0)

    def test_altered_requests(self):
        """Only the agent can see that, and says so in its next sealed answer."""
        line = self.line()
        watch = self.watch(line, "-v", *CALM)
        watch.wait("answer")  # what the agent had counted before
        line.mode = watching.flip("up", wire.REQUEST)
        watch.wait("alert", "refused")
        line.mode = "pass"
        self.assertIn("forged", watch.wait("alert", "tampered")["text"])
        watch.wait("cleared", "tampered")
        self.check_only(watch, "refused", "tampered")

    def test_replayed_requests(self):
        line = self.line()
        watch = self.watch(line, "-v", *CALM)
        watch.wait("answer")  # what the agent had counted before
        line.mode = watching.repeat_requests
        self.assertIn("replayed", watch.wait("alert", "tampered")["text"])
        line.mode = "pass"
        watch.wait("cleared", "tampered")
        # The notice for the copy may come before the answer, and then ends the wait for it.
        raised = {event["kind"] for event in watch.events("alert")}
        self.assertLessEqual(raised, {"tampered", "refused"}, watch.lines)
        self.assertEqual(watch.stop()[0], 1)

    def test_reboot(self):
        """The agent lives in this proxy: another proxy is another boot."""
        line = self.line()
        watch = self.watch(line)
        self.proxy.stop()
        watch.wait("lost")
        self.proxy.start()
        watch.wait("alert", "reboot")
        watch.wait("connected", count=2)
        code, totals = watch.stop()
        self.assertEqual((code, totals["alerts"]["reboot"]), (1, 1))

    def test_key_that_changes(self):
        with tempfile.TemporaryDirectory() as folder:
            mine, fresh, agent = (os.path.join(folder, name) for name in ("ids", "new", "agent"))
            with open(mine, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(lab.keys()[1].read_bytes())
            subprocess.run([lab.SEVMON, "keygen", fresh, agent], check=True, capture_output=True)
            watch = self.watch(self.line(), *FAST, key=mine)
            self.proxy.start(key=agent)
            self.addCleanup(self.proxy.stop)
            watch.wait("alert", "tampered")  # whoever answers is not the agent of this key
            os.replace(fresh, mine)
            watch.wait("alert", "reboot")
            watch.wait("cleared", "tampered")
            self.assertEqual(watch.stop()[0], 1)

    def test_key_file_that_vanishes(self):
        with tempfile.TemporaryDirectory() as folder:
            mine = os.path.join(folder, "ids")
            with open(mine, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(lab.keys()[1].read_bytes())
            line = self.line()
            watch = self.watch(line, key=mine)
            os.rename(mine, mine + "-")
            line.mode = "cut"
            watch.wait("lost")
            line.mode = "pass"
            watch.wait("alert", "key")
            os.rename(mine + "-", mine)
            watch.wait("cleared", "key")
            code, totals = watch.stop()
            self.assertEqual((code, totals["standing"]["key"]), (1, False))

    def test_both_signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            watch = self.watch(self.line())
            self.assertEqual(watch.stop(number)[0], 0)

    # -- analyses within the constant rate

    def shape(self, *options):
        """Directions and sizes of all that a run puts on the wire, and its process lists."""
        line = self.line()
        watch = self._enter(Watching(line.relay.connect, "--interval", "50ms", "--deadline", "20s",
                                     "--count", "60", *options, profiles=lab.profiles()))
        code, totals = watch.end()
        self.assertEqual(code, 0, watch.lines)
        with line.relay.lock:
            units = [(way, len(unit)) for way, unit in line.relay.units]
        return units, totals, watch.events("analysis")

    def test_analyses_do_not_show(self):
        plain, _, none = self.shape()
        busy, totals, lists = self.shape("--ps", "1s")
        self.assertEqual(none, [])
        self.assertGreater(len(lists), 0, totals)
        ours = {process["pid"]: process["name"] for process in lists[0]["result"]["processes"]}
        alone = lab.Sevmon(f"tcp:127.0.0.1:{self.proxy.port}", lab.keys()[1],
                           lab.profiles()).result("ps")["processes"]
        self.assertEqual(ours, {process["pid"]: process["name"] for process in alone})
        self.assertEqual(plain, busy)
        self.assertEqual({size for way, size in busy[4:] if way == "up"}, {16 + wire.REQUEST_BYTES})
        self.assertEqual({size for way, size in busy[4:] if way == "down"},
                         {16 + wire.RESPONSE_BYTES[1]})

    # -- places at the agent

    def test_watch_takes_one_place_however_often_it_connects(self):
        """Six connections that end without a word, within ten seconds: more than the agent has
        places. Another command still finds one at once."""
        self.proxy.start()  # with counters of its own
        line = self.line()
        watch = self.watch(line)
        for count in range(2, 7):
            line.mode = "cut"
            watch.wait("lost", count=count - 1)
            line.mode = "pass"
            watch.wait("connected", count=count)
        status = lab.Sevmon(f"tcp:127.0.0.1:{self.proxy.port}", lab.keys()[1]).result(
            "--development", "status")
        self.assertEqual(status["agent"]["counters"].get("refused", 0), 0)
        self.check_only(watch)

    def test_clients_that_die_lock_nobody_out(self):
        """Four that were killed hold every place for ten seconds; a fifth waits for one."""
        for _ in range(4):
            with Watching(f"tcp:127.0.0.1:{self.proxy.port}", "-v", *CALM) as watch:
                watch.wait("answer", count=2)
                watch.process.send_signal(signal.SIGKILL)
                watch.process.wait()
        lab.Sevmon(f"tcp:127.0.0.1:{self.proxy.port}", lab.keys()[1]).ok("--development", "status")
