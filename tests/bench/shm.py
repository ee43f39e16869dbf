# SPDX-License-Identifier: Apache-2.0
"""Shared memory past Dom0 beside TCP through it, in the same run, in QEMU's software emulation:

    bench-remote ═══ file ═══ ivshmem ═══ agent
          └──TCP──► dom0-proxy ──hypercall──┘

and what each takes from work that Dom0 does meanwhile.
"""

import json
import os
import subprocess
import tempfile

import dom0
import figures
import lab
from figures import number, quantile, row
from standing import times_for, work

BURSTS = 20  # of a hundred reads
SILENT_S, SILENT_READS = 10, 12
BULK_FRAMES, BULK_ROUNDS = 24, 11
COST_READS, COST_PAUSE_MS, COST_ROUNDS = 100, 20, 7


def remote(command, *words):
    """Microseconds of each sample, by address."""
    said = json.loads(dom0.remote(command, lab.keys()[1], lab.profile("6.1"), *words))
    return {address: [ns / 1000 for ns in samples] for address, samples in said.items()}


def latency_lines(title, shm, tcp):
    for name, samples in (("shared memory", shm), ("TCP through Dom0", tcp)):
        yield (f"  {title}, {name:36}{number(quantile(samples, 0.5)):>8}"
               f"{number(quantile(samples, 0.99)):>10}{number(min(samples)):>10}{len(samples):>8}")
    yield f"      = {number(quantile(tcp, 0.5) / quantile(shm, 0.5))} x faster in the median"


def cost_rows(guest, addresses):
    """Work in Dom0 alone, and beside reads at a fixed pace over each address in turn."""
    times = 2 * times_for(guest, "cpu")
    alone = []
    beside = {address: [] for address in addresses}
    for _ in range(COST_ROUNDS):
        alone.append(work(guest, "cpu", times))
        for address, took in beside.items():
            reader = subprocess.Popen(
                [dom0.REMOTE, "latency", lab.keys()[1], lab.profile("6.1"), str(COST_READS),
                 str(COST_PAUSE_MS), address], stdout=subprocess.DEVNULL)
            took.append(work(guest, "cpu", times))
            reader.wait(60)
    yield row("work", "work in Dom0, alone", "us/run", alone)
    for address, took in beside.items():
        kind = address.split(":")[0]
        yield row(f"work_{kind}", f"work in Dom0, beside {COST_READS} reads by {kind}", "us/run",
                  took, alone=alone)
        taken = [(b - a) / COST_READS for a, b in zip(alone, took)]
        yield row(f"taken_{kind}", "  CPU time that each read took from it", "us/read", taken)


def measure(options):
    handle, path = tempfile.mkstemp(prefix="sevmon-", dir="/dev/shm")
    os.truncate(handle, 4 << 20)
    os.close(handle)
    try:
        with dom0.boot(options.pvh, shm=path) as guest:
            shm, tcp = f"shm:{path}", f"tcp:{guest.ports[lab.PROXY_PORT]}"
            steady = remote("latency", BURSTS, 0, shm, tcp)
            silent = remote("latency", SILENT_READS, SILENT_S * 1000, shm, tcp)
            bulk = remote("bulk", BULK_FRAMES, BULK_ROUNDS, shm, tcp)
            rows = list(cost_rows(guest, (tcp, shm)))
            status = lab.ids(guest).result("--development", "status")["agent"]
    finally:
        os.unlink(path)
    pages = BULK_FRAMES * 15
    per_page = {kind: [us / pages for us in bulk[address]]
                for kind, address in (("shm", shm), ("tcp", tcp))}
    return {"kind": dom0.kind(options), "steady": (steady[shm], steady[tcp]), "silent": (silent[shm], silent[tcp]),
            "rows": [row("tcp_bulk", "pages over TCP through Dom0, 15 to a frame", "us/page",
                         per_page["tcp"]),
                     row("shm_bulk", "pages over shared memory, 15 to a frame", "us/page",
                         per_page["shm"], tcp_bulk=per_page["tcp"]), *rows],
            "share": status["lanes"]["cpu_ns"] / status["uptime_ns"]}


def lines(measured):
    yield f"{'one page, us':55}{'p50':>8}{'p99':>10}{'least':>10}{'reads':>8}"
    yield from latency_lines("steadily", *measured["steady"])
    yield from latency_lines(f"after {SILENT_S} s of silence", *measured["silent"])
    yield f"lanes took {100 * measured['share']:.1f} % of one CPU over the whole run"
    yield from figures.lines(f"{measured['kind']} Dom0 in QEMU (emulated)", measured["rows"])
