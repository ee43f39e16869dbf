# SPDX-License-Identifier: Apache-2.0
"""What being monitored costs a Dom0, in QEMU's software emulation: work of its own while nobody asks its
agent anything, and while an IDS watches it, in turns."""

import contextlib
import subprocess

import dom0
import dom0_paths
import figures
import lab
import standing
from figures import row

ROUNDS = 5
STANDING = ("750-1250", 50)  # every so many ms, and what a run may pause for


@contextlib.contextmanager
def watched(connect):
    """`sevmon watch` at its usual rate, once it has its first answer."""
    process = subprocess.Popen(
        [lab.SEVMON, "--connect", connect, "--key", lab.keys()[1], "--profile", lab.profiles(),
         "watch"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if not process.stdout.readline():
            raise SystemExit(f"bench: sevmon watch over {connect} ended with {process.wait(30)}")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextlib.contextmanager
def listed(sevmon):
    """A standing list of its processes."""
    name = sevmon.result("program", "schedule", standing.PROGRAM, "--every", STANDING[0], "--pause",
                         STANDING[1])["program"]
    try:
        yield
    finally:
        sevmon.ok("program", "unschedule", name)
        standing.results(sevmon)


def kinds(paths):
    tcp = lab.ids(paths.guest, profile=lab.profile("6.1"))
    return (("watch_tcp", "watched over TCP", lambda: watched(tcp.options[1])),
            ("watch_shm", "watched over shared memory", lambda: watched(paths.lane)),
            ("standing", "beside a standing list at 1 Hz", lambda: listed(tcp)))


def load_rows(paths, load, title):
    guest, times = paths.guest, standing.times_for(paths.guest, load)
    alone, beside = [], {name: [] for name, _, _ in kinds(paths)}
    for _ in range(ROUNDS):
        alone.append(standing.work(guest, load, times))
        for name, _, monitored in kinds(paths):
            with monitored():
                beside[name].append(standing.work(guest, load, times))
    yield row(f"{load}_alone", f"{title}, alone", "us/run", alone)
    for name, how, _ in kinds(paths):
        yield row(f"{load}_{name}", f"  {how}", "us/run", beside[name], alone=alone)


def measure(options):
    with dom0_paths.boot(options) as paths:
        rows = [found for load, title in standing.LOADS for found in load_rows(paths, load, title)]
    return {"kind": dom0.kind(options), "rows": rows}


def lines(measured):
    return figures.lines(f"{measured['kind']} Dom0 in QEMU (emulated), its own work",
                         measured["rows"])
