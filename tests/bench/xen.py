# SPDX-License-Identifier: Apache-2.0
"""What a page costs inside Xen, by Xen's own clock: xen-hypercall/xen/bench.c, in QEMU with a PV Dom0."""

import re
import time

import figures

PATIENCE_S = 900
ROUND = re.compile(r"sevmon: bench: (\d+) pages: AES-GCM alone (\d+) us, "
                   r"walk, seal and copy out (\d+) us")


def measure(options):
    import lab
    if options.pvh:
        raise SystemExit("bench: --xen needs a PV Dom0: it reads through the map of all memory that "
                         "Linux has at the same place in each")
    lab.XEN_RELEASE = options.release
    with lab.start_dom0("bench-xen", xen_path=lab.xen("--debug-bench")) as guest:
        until = time.monotonic() + PATIENCE_S
        while "sevmon: bench: over" not in guest.console() and time.monotonic() < until:
            time.sleep(1)
        rounds = [tuple(map(int, found)) for found in ROUND.findall(guest.console())]
    if not rounds:
        raise SystemExit(f"bench: Xen measured nothing in {PATIENCE_S} s; see its console's log")
    alone = [gcm / pages for pages, gcm, _ in rounds]
    whole = [agent / pages for pages, _, agent in rounds]
    return {"pages": rounds[0][0], "rounds": len(rounds), "rows": [
        figures.row("gcm_15", "agent's AES-256-GCM alone", "us/page", alone),
        figures.row("walk_15", "walk 4 KiB pages + seal + copy out", "us/page", whole,
                    gcm_15=alone)]}


def lines(measured):
    yield (f"inside Xen in QEMU (emulated): {measured['rounds']} rounds over "
           f"{measured['pages'] * 4 // 1024} MiB of Dom0's distinct pages, 15 to a message")
    yield ""
    yield from figures.lines("PV Dom0 in QEMU (emulated)", measured["rows"])
