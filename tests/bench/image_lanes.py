# SPDX-License-Identifier: Apache-2.0
"""Pages through shared memory beside the same over TCP, natively: reads.py has a drawing."""

import figures
import reads

MIB = 256
# Longer than either end takes to look as seldom as it ever does.
SILENCE_MS = 100


def measure(options):
    rounds, singles, silent, requests = (2, 20, 2, 10) if options.quick else (15, 400, 10, 120)
    with reads.native(8 if options.quick else MIB) as paths:
        ways = {"tcp": paths.tcp, "shm": paths.lane}
        steady = reads.latency(paths.key, paths.memory, rounds, singles, ways.values())
        after = reads.latency(paths.key, paths.memory, rounds, silent, ways.values(), SILENCE_MS)
        bulk = reads.bulk(paths.key, paths.memory, rounds, requests, 15, 16, ways.values())
    rows = []
    for what, samples in (
            ("one page, half within", {way: reads.medians(steady[ways[way]]) for way in ways}),
            ("one page, 99 % within", {way: [figures.quantile(times, 0.99)
                                             for times in steady[ways[way]]] for way in ways}),
            ("one page after silence", {way: reads.medians(after[ways[way]]) for way in ways}),
            ("15 pages a request, 16 in flight", {way: bulk[ways[way]] for way in ways})):
        rows.append(figures.row("tcp", f"TCP: {what}", "us/page", samples["tcp"]))
        rows.append(figures.row("shm", f"shared memory: {what}", "us/page", samples["shm"],
                                tcp=samples["tcp"]))
    return {"rows": rows}


def lines(measured):
    return figures.lines("One agent over a memory image, wall time", measured["rows"])
