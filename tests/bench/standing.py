# SPDX-License-Identifier: Apache-2.0
"""What programs cost the system that they look at, in QEMU's software emulation: the pause of an atomic
list of its processes, and work of its own beside a standing one."""

import dom0
import figures
import lab
from figures import row

PROGRAM = lab.BUILD / "ids" / "programs" / "processes.bpf.o"
ROUNDS = 9
WORK_S = 2.0
# Milliseconds between two runs, and what a run may pause for.
RATES = (("1 Hz", "750-1250", 50), ("10 Hz", "60-140", 15))
LOADS = (("cpu", "arithmetic"), ("fork", "processes that end at once"))


def work(guest, kind, times):
    return int(guest.shell(f"work {kind} {times}", timeout_s=170)) / 1000


def times_for(guest, kind):
    """How often that is done in WORK_S."""
    times = 50
    while (took_us := work(guest, kind, times)) < 200_000:
        times *= 2
    return int(times * WORK_S * 1e6 / took_us)


def results(sevmon):
    return sevmon("--json", "program", "results").json["result"]["runs"]


def beside(guest, sevmon, kind, times, every, pause_ms):
    """The work while the list is a standing program; the runs of that."""
    name = sevmon.result("program", "schedule", PROGRAM, "--every", every, "--pause",
                         pause_ms)["program"]
    results(sevmon)
    took_us = work(guest, kind, times)
    sevmon.ok("program", "unschedule", name)
    return took_us, results(sevmon)


def load_rows(guest, sevmon, kind, title):
    times = times_for(guest, kind)
    alone, monitored = [], {rate: [] for rate, _, _ in RATES}
    pauses = {rate: [] for rate, _, _ in RATES}
    for _ in range(ROUNDS):
        alone.append(work(guest, kind, times))
        for rate, every, pause_ms in RATES:
            took_us, runs = beside(guest, sevmon, kind, times, every, pause_ms)
            monitored[rate].append(took_us)
            pauses[rate] += [run["paused_ns"] / 1000 for run in runs]
    yield row(f"{kind}_alone", f"{title}, alone", "us/run", alone)
    for rate, _, _ in RATES:
        yield row(f"{kind}_{rate}", f"{title}, beside a standing list at {rate}", "us/run",
                  monitored[rate], alone=alone)
        yield row(f"{kind}_{rate}_pause", "  its pauses", "us/pause", pauses[rate])


def atomic_row(sevmon):
    runs = [sevmon.result("program", "run", "--atomic", "--pause", 100, PROGRAM)
            for _ in range(4 * ROUNDS)]
    pauses = [run["paused_ns"] / 1000 for run in runs]
    return row("pause", "pause of an atomic list on demand", "us/pause", pauses)


def measure(options):
    with dom0.boot(options) as guest:
        sevmon = lab.ids(guest, profile=lab.profile("6.1"))
        rows = [atomic_row(sevmon)]
        for kind, title in LOADS:
            rows += load_rows(guest, sevmon, kind, title)
        longest = sevmon.result("--development", "status")["agent"]["longest"]
        processes = len(guest.processes())
    return {"kind": dom0.kind(options), "rows": rows, "longest": longest, "processes": processes}


def lines(measured):
    yield from figures.lines(f"{measured['kind']} Dom0 of {measured['processes']} processes",
                             measured["rows"])
    yield "longest: " + ", ".join(f"{name.removesuffix('_ns')} {ns / 1000:,.0f} us"
                                  for name, ns in measured["longest"].items())
