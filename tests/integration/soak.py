# SPDX-License-Identifier: Apache-2.0
"""Load for a while, and does anything grow? Samples resident memory and descriptors of every process
that is watched (and Xen's free pages), and compares the last third of the time with the third before.
"""

import os
import pathlib
import re
import signal
import statistics
import threading
import time

import guests
import lab
from watching import Proxy, Watching

SAMPLE_S = 5
# What may come and go within a third of the time.
SLACK_KIB = 1024
SLACK_DESCRIPTORS = 2
SLACK_PAGES = 16


class Series:
    """One number over time."""

    def __init__(self, name, slack):
        self.name = name
        self.slack = slack
        self.values = []

    def thirds(self):
        size = max(len(self.values) // 3, 1)
        return self.values[size:2 * size], self.values[2 * size:]

    def grown(self):
        """By how much the last third lies over the one before. Medians: a `ps` that happens to run
        while a sample is taken is no growth."""
        before, after = self.thirds()
        return statistics.median(after) - statistics.median(before) if before and after else None

    @property
    def is_sound(self):
        return self.grown() is not None and self.grown() <= self.slack

    def row(self):
        return (f"{self.name:32} {self.values[0]:>10} {max(self.values):>10} {self.values[-1]:>10} "
                f"{self.grown():>+10.0f}  {'ok' if self.is_sound else 'GROWS'}")


def rss_kib(text):
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1])


class Native:
    """dom0-proxy over an image, and processes of this machine."""

    def __init__(self):
        import images
        self.proxy = Proxy("soak", images.image(images.VARIANTS[0])).start()
        self.connect = f"tcp:127.0.0.1:{self.proxy.port}"

    def samples(self, watch):
        for name, pid in (("dom0-proxy", self.proxy.process.pid), ("sevmon watch", watch.process.pid)):
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            yield f"{name}, resident KiB", SLACK_KIB, rss_kib(status)
            yield f"{name}, descriptors", SLACK_DESCRIPTORS, len(os.listdir(f"/proc/{pid}/fd"))

    def stop(self):
        self.proxy.stop()


class Xen:
    """A real Dom0; its processes, and Xen's free pages."""

    def __init__(self, life_s, busy=False):
        self.guest = lab.start_dom0("soak", life_s=life_s)
        self.connect = f"tcp:127.0.0.1:{self.guest.ports[guests.PROXY_PORT]}"
        if busy:
            self.guest.shell('sh -c "while sleep 0.01; do cat /proc/1/comm; ls /proc; done"'
                             " </dev/null >/dev/null 2>&1 &")

    def samples(self, watch):
        status = pathlib.Path(f"/proc/{watch.process.pid}/status").read_text()
        yield "sevmon watch, resident KiB", SLACK_KIB, rss_kib(status)
        yield ("sevmon watch, descriptors", SLACK_DESCRIPTORS,
               len(os.listdir(f"/proc/{watch.process.pid}/fd")))
        for name in ("dom0-proxy", "dom0-proxy-helper"):
            text = self.guest.shell(f"p=$(pidof {name}); cat /proc/$p/status; echo FD $(ls /proc/$p/fd"
                                    " | wc -l)").decode()
            yield f"{name}, resident KiB", SLACK_KIB, rss_kib(text)
            yield f"{name}, descriptors", SLACK_DESCRIPTORS, int(re.search(r"FD (\d+)", text)[1])
        text = self.guest.shell("xen-memory").decode()
        # Counted so that growth is what is bad, as with the others.
        found = re.search(r"free=(\d+) of (\d+)", text)
        yield "Xen, pages in use", SLACK_PAGES, int(found[2]) - int(found[1])
        self.guest.check_alive()

    def stop(self):
        self.guest.stop()


class Load:
    """Commands of a second kind, one after the other, with a rest between."""

    def __init__(self, connect, pause_s):
        self.ids = lab.Sevmon(connect, lab.keys()[1], lab.profiles())
        self.pause_s = pause_s
        self.done = 0
        self.failures = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        words = (("ps",), ("os-version",), ("read", "_stext", "1M", "-o", "/dev/null"),
                 ("--development", "status"))
        while not self.over.is_set():
            outcome = self.ids(*words[self.done % len(words)])
            self.done += 1
            # The target moves: a torn list, and nothing else on standard error, is no failure.
            if outcome.code not in (0, 3) or outcome.code == 3 and "is torn" not in str(outcome):
                self.failures.append(str(outcome))
            self.over.wait(self.pause_s)

    def stop(self):
        self.over.set()
        self.thread.join()


class Report:
    def __init__(self):
        self.series = {}
        self.seconds = 0.0
        self.commands = 0
        self.failures = []
        self.totals = {}
        self.lists = self.torn = 0

    def add(self, samples):
        for name, slack, value in samples:
            self.series.setdefault(name, Series(name, slack)).values.append(value)

    @property
    def is_sound(self):
        return (not self.failures and bool(self.series)
                and all(series.is_sound for series in self.series.values()))

    def lines(self):
        yield (f"{self.seconds / 60:.1f} minutes; watch: {self.totals['slots']} slots, "
               f"{self.totals['answers']} answers, {self.totals['unanswered']} unanswered, "
               f"{self.lists} process lists and {self.torn} torn ones, alerts "
               f"{ {k: n for k, n in self.totals['alerts'].items() if n} or 'none'}; "
               f"{self.commands} other commands, {len(self.failures)} failed")
        yield f"{'':32} {'first':>10} {'most':>10} {'last':>10} {'growth':>10}"
        for series in self.series.values():
            yield series.row()
        yield from self.failures[:5]


def soak(place, minutes, interval="50ms", pause_s=1.0, lists="2s", method="pages"):
    """Run for so long; a Report. Ends early when interrupted, and reports what there is."""
    report = Report()
    load = Load(place.connect, pause_s)
    start = time.monotonic()
    try:
        with Watching(place.connect, "--interval", interval, "--deadline", "20s", "--silence", "60s",
                      "--ps", lists, "--method", method, profiles=lab.profiles()) as watch:
            watch.wait("analysis")
            try:
                while time.monotonic() < start + 60 * minutes:
                    report.add(place.samples(watch))
                    report.seconds = time.monotonic() - start
                    time.sleep(min(SAMPLE_S, 60 * minutes / 12))
            except KeyboardInterrupt:
                pass
            code, report.totals = watch.stop(signal.SIGTERM)
            exits = [event["exit"] for event in watch.events("analysis")]
            report.lists, report.torn = exits.count(0), exits.count(3)
            # The target moves, so a torn list now and then is no failure; an alert is.
            if code not in (0, 3) or any(report.totals["alerts"].values()):
                found = [event for event in watch.events("analysis") if event["exit"] not in (0, 3)]
                report.failures.append(f"watch: exit {code}: {watch.events('alert')}, {found}")
    finally:
        load.stop()
        report.commands = load.done
        report.failures += load.failures
    return report
