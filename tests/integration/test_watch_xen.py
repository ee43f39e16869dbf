# SPDX-License-Identifier: Apache-2.0
"""sevmon watch of a real Dom0, over a restart of its proxy and a reboot of all of it:

    sevmon watch ──► Line ──► dom0-proxy ──► agent in Xen          (first boot)
                        └───► dom0-proxy ──► agent in Xen          (second boot)
"""

import unittest

import lab
from guests import PROXY_PORT
from watching import Line, Watching


class WatchOfDom0(unittest.TestCase):
    def test_proxy_restart_and_reboot(self):
        first = lab.start_dom0("watch-1")
        self.addCleanup(first.stop)
        with Line(("127.0.0.1", first.ports[PROXY_PORT])) as line, \
                Watching(line.relay.connect, "--interval", "100ms", "--deadline", "30s",
                         "--silence", "10m", "--ps", "3s", profiles=lab.profiles()) as watch:
            watch.wait("connected")
            found = watch.wait("analysis")
            self.assertGreater(len(found["result"]["processes"]), 30, found)

            # Xen keeps the session's place: another connection, the same boot.
            pid = first.shell("pidof dom0-proxy").split()[0].decode()
            command = first.shell(f"tr '\\0' ' ' < /proc/{pid}/cmdline").decode().strip()
            first.shell(f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; "
                        f"{command} > /dev/null 2>&1 < /dev/null &")
            watch.wait("lost")
            watch.wait("connected", count=2)
            lists = len(watch.events("analysis"))
            watch.wait("analysis", count=lists + 2)
            self.assertEqual(watch.events("alert"), [])

            first.stop()
            watch.wait("lost", count=2)
            second = lab.start_dom0("watch-2")
            self.addCleanup(second.stop)
            line.relay.upstream = ("127.0.0.1", second.ports[PROXY_PORT])
            watch.wait("alert", "reboot")
            # While the machine started it may have been told that no list was finished.
            def is_list(event):
                return "result" in event

            lists = len([event for event in watch.events("analysis") if is_list(event)])
            last = watch.wait("analysis", count=lists + 2, where=is_list)
            self.assertGreater(len(last["result"]["processes"]), 30, last)
            second.check_alive()
            code, totals = watch.stop()
            raised = {kind for kind, count in totals["alerts"].items() if count}
            self.assertEqual((code, raised), (1, {"reboot"}), watch.events("alert"))
