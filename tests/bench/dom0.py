# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of the whole, in QEMU's software emulation:

    bench-remote, sevmon ──TCP──► dom0-proxy ──hypercall──► agent     what is measured
           └─────────────TCP──► tcp-echo                              what the way alone costs
                                hypercall-bench ──────────► agent, Xen
"""

import json
import subprocess
import time

import figures
import guests
import lab
from figures import row

ECHO_PORT = 7102
REMOTE = lab.BUILD / "tests" / "bench" / "bench-remote"
GUEST_TOOLS = lab.BUILD / "tests" / "bench" / "guest"

HYPERCALL_ROUNDS, CALLS = 20, 500
PAGE_ROUNDS, FRAMES = 11, 24
PS_ROUNDS = 9


def initramfs(adds):
    out = guests.CACHE / "initramfs" / "bench.gz"
    tools = [word for name in ("hypercall-bench", "lane-echo", "tcp-echo", "work")
             for word in ("--program", GUEST_TOOLS / name)]
    lab.last_line("make-dom0", lab.BUILD, "-o", out, *tools,
                  *(word for add in adds for word in ("--add", add)))
    return out


def boot(asked, adds=(), **how):
    """`asked`: scripts/bench's options; `adds`: SOURCE=PATH for its initramfs; `how`: for
    start_machine()."""
    lab.XEN_RELEASE = asked.release
    guest = lab.start_dom0(f"bench-{kind(asked).lower()}", pvh=asked.pvh,
                           initramfs=initramfs(adds), more_ports=[ECHO_PORT], **how)
    guest.shell(f"tcp-echo {ECHO_PORT} >/dev/null 2>&1 &")
    return guest


def remote(*words):
    done = subprocess.run([REMOTE, *map(str, words)], capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return done.stdout


def hypercalls(guest):
    session = remote("session", guest.ports[guests.PROXY_PORT], lab.keys()[1]).strip()
    text = guest.shell(f"hypercall-bench {HYPERCALL_ROUNDS} {CALLS} {session}", timeout_s=170)
    times = {}
    for line in text.decode().split("\n"):
        if line:
            kind, ns = line.split()
            times.setdefault(kind, []).append(float(ns) / 1000)
    return [
        row("null", "null hypercall (xen_version)", "us/call", times["null"]),
        row("hello", "HELLO to CHALLENGE", "us/call", times["hello"], null=times["null"]),
        row("forged_request", "refuse a forged REQUEST", "us/call", times["forged_request"],
            null=times["null"]),
    ]


def pages(guest):
    ports = guest.ports
    return json.loads(remote("pages", ports[guests.PROXY_PORT], ports[ECHO_PORT], lab.keys()[1],
                             lab.profile("6.1"), FRAMES, PAGE_ROUNDS))["rows"]


def process_list(guest):
    """`sevmon ps`, and an echo of as many frames in as many waves, in turn."""
    sevmon = lab.ids(guest, profile=lab.profile("6.1"))
    ours, echoes = [], []
    for turn in range(PS_ROUNDS + 1):
        start = time.monotonic()
        stats = sevmon.ok("--json", "--stats", "ps").json["stats"]
        wall_us = (time.monotonic() - start) * 1e6
        # Two of the round trips are the handshake's.
        echo_ns = int(remote("echo", guest.ports[ECHO_PORT], stats["requests"],
                             stats["round_trips"] - 2))
        if turn:
            ours.append(wall_us)
            echoes.append(echo_ns / 1000)
    ps = row("ps", "sevmon ps", "us/run", ours, ps_echo=echoes)
    ps["stats"] = stats
    return [ps, row("ps_echo", "TCP echo of as many frames and waves", "us/run", echoes)]


def kind(options):
    return "PVH" if options.pvh else "PV"


def measure(options):
    with boot(options) as guest:
        return {"kind": kind(options),
                "rows": hypercalls(guest) + pages(guest) + process_list(guest)}


def lines(measured):
    return figures.lines(f"{measured['kind']} Dom0 in QEMU (emulated), wall time",
                         measured["rows"])
