# SPDX-License-Identifier: Apache-2.0
"""Shared memory past Dom0 beside TCP through it, in the same run, in QEMU's software emulation
(dom0_paths.py has a drawing), and what each takes of Dom0's CPU time."""

import subprocess
import time

import dom0
import dom0_paths
import figures
import lab
import reads
from figures import number, quantile, row
from standing import times_for, work

ROUNDS, READS = 15, 60
SILENT_S, SILENT_ROUNDS = 10, 6
BULK_FRAMES, BULK_ROUNDS = 24, 11
COST_READS, COST_PAUSE_MS, COST_ROUNDS = 50, 40, 5
BUSY_READS, IDLE_S = 400, 10


# ---- What is taken of Dom0's CPU ----

def taken_us(paths, counter, act):
    """How much `counter` grows meanwhile, and how long that was, both in us."""
    start, before = time.monotonic(), counter()
    act()
    return (counter() - before) / 1000, (time.monotonic() - start) * 1e6


def accounts(paths):
    """As Xen and Dom0's kernel count it: per read in steady use, and in silence."""
    def lanes_ns():
        return paths.status()["lanes"]["cpu_ns"]

    def busy(path):
        return lambda: reads.latency(paths.key, paths.memory, 1, BUSY_READS // 2, [path])

    found = {}
    for name, path, counter in (("shm", paths.lane, lanes_ns), ("tcp", paths.tcp, paths.relay_ns)):
        found[f"{name}_read_us"] = taken_us(paths, counter, busy(path))[0] / BUSY_READS
        us, wall_us = taken_us(paths, counter, lambda: time.sleep(IDLE_S))
        found[f"{name}_idle_share"] = us / wall_us
    # A client that holds its lane and says nothing.
    us, wall_us = taken_us(paths, lanes_ns, lambda: reads.latency(
        paths.key, paths.memory, 1, 1, [paths.lane], IDLE_S * 1000))
    found["shm_client_idle_share"] = us / wall_us
    return found


def cost_rows(paths):
    """Work in Dom0 alone, and beside reads at a fixed pace over each address in turn."""
    guest = paths.guest
    times = times_for(guest, "cpu")
    alone = []
    beside = {"tcp": [], "shm": []}
    for _ in range(COST_ROUNDS):
        alone.append(work(guest, "cpu", times))
        for name, path in (("tcp", paths.tcp), ("shm", paths.lane)):
            reader = subprocess.Popen(
                [str(word) for word in (reads.BENCH / "bench-reads", "latency", paths.key,
                                        paths.memory, 1, COST_READS, COST_PAUSE_MS, path)],
                stdout=subprocess.DEVNULL)
            beside[name].append(work(guest, "cpu", times))
            reader.wait(60)
    yield row("work", "work in Dom0, alone", "us/run", alone)
    for name, took in beside.items():
        yield row(f"work_{name}", f"work in Dom0, beside {COST_READS} reads by {name}", "us/run",
                  took, alone=alone)


# ---- All of it ----

def measure(options):
    with dom0_paths.boot(options) as paths:
        ways = (paths.lane, paths.tcp)
        steady = reads.latency(paths.key, paths.memory, ROUNDS, READS, ways)
        silent = reads.latency(paths.key, paths.memory, SILENT_ROUNDS, 1, ways, SILENT_S * 1000)
        bulk = reads.bulk(paths.key, paths.memory, BULK_ROUNDS, BULK_FRAMES, 15, 16, ways)
        counted = accounts(paths)
        rows = [row("tcp_bulk", "pages over TCP through Dom0, 15 to a frame", "us/page",
                    bulk[paths.tcp]),
                row("shm_bulk", "pages over shared memory, 15 to a frame", "us/page",
                    bulk[paths.lane], tcp_bulk=bulk[paths.tcp]), *cost_rows(paths)]
        status = paths.status()
    return {"kind": dom0.kind(options), "steady": compare(steady, *ways),
            "silent": compare(silent, *ways), "rows": rows, "taken": counted,
            "share": status["lanes"]["cpu_ns"] / status["uptime_ns"]}


def compare(report, shm, tcp):
    return {"shm": reads.one_page(report[shm]), "tcp": reads.one_page(report[tcp]),
            "times": reads.ratio(reads.medians(report[tcp]), reads.medians(report[shm]))}


def latency_lines(title, found):
    for name, key in (("shared memory", "shm"), ("TCP through Dom0", "tcp")):
        one = found[key]
        yield (f"  {title}, {name:36}{number(one['p50_us']):>8}{number(one['p99_us']):>10}"
               f"{one['reads']:>8}")
    times = found["times"]
    yield (f"      = {number(times['median'])} x faster in the median "
           f"({number(times['p10'])} .. {number(times['p90'])})")


def lines(measured):
    yield f"{'one page, us':55}{'p50':>8}{'p99':>10}{'reads':>8}"
    yield from latency_lines("steadily", measured["steady"])
    yield from latency_lines(f"after {SILENT_S} s of silence", measured["silent"])
    taken = measured["taken"]
    yield "CPU time taken of Dom0, by Xen's and its kernel's own accounts"
    yield (f"  shared memory: {number(taken['shm_read_us'])} us a read; silent: "
           f"{100 * taken['shm_idle_share']:.2f} % of a CPU, with a client "
           f"{100 * taken['shm_client_idle_share']:.2f} %")
    yield (f"  TCP: {number(taken['tcp_read_us'])} us a read, without the kernel's network; silent: "
           f"{100 * taken['tcp_idle_share']:.2f} %")
    yield f"lanes took {100 * measured['share']:.1f} % of one CPU over the whole run"
    yield from figures.lines(f"{measured['kind']} Dom0 in QEMU (emulated)", measured["rows"])
