# SPDX-License-Identifier: Apache-2.0
"""The one table: what a page costs over each way to an agent, and at what rate pages come, each beside
its limit, which took turns with it: what the same bytes cost without an agent. reads.py and
dom0_paths.py have drawings."""

import dom0
import dom0_paths
import reads
from figures import number, summary

MARKDOWN = True
NATIVE_MIB = 256
# Rounds, reads of one page in each, requests of 15 pages in each, of which so many are in flight.
NATIVE, QEMU, QUICK = (9, 200, 120, 16), (9, 40, 24, 16), (2, 10, 8, 4)

HEAD = ("| way to the agent | one page, p50, µs | p99, µs | in bulk, MB/s | pages a second |"
        " one page, to its limit | in bulk, to its limit |\n"
        "| --- | ---: | ---: | ---: | ---: | --- | --- |")


def way(title, path, *limits):
    return {"title": title, "path": path,
            "limits": [{"title": of, "path": limit} for of, limit in limits]}


def native_ways(paths):
    return [
        way("an image's agent, in the IDS's process", paths.in_process,
            ("memcpy", paths.memcpy), ("AES-256-GCM alone", paths.gcm)),
        way("TCP on the loopback, to an image's agent", paths.tcp,
            ("TCP, nobody behind it", paths.tcp_echo), ("AES-256-GCM alone", paths.gcm)),
        way("shared memory, to an image's agent", paths.lane,
            ("shared memory, nobody behind it", paths.lane_echo),
            ("AES-256-GCM alone", paths.gcm))]


def qemu_ways(paths):
    return [
        way("TCP through Dom0, to Xen", paths.tcp, ("TCP to Dom0, nobody behind it",
                                                    paths.tcp_echo)),
        way("shared memory, to Xen", paths.lane, ("shared memory to Dom0, nobody behind it",
                                                  paths.lane_echo))]


class Measured:
    """All paths of some ways, read in turns."""

    def __init__(self, paths, ways, sizes):
        rounds, singles, requests, depth = sizes
        names = list(dict.fromkeys(path for one in ways for path in
                                   (one["path"], *(limit["path"] for limit in one["limits"]))))
        self.latency = reads.latency(paths.key, paths.memory, rounds, singles, names)
        self.bulk = reads.bulk(paths.key, paths.memory, rounds, requests, 15, depth, names)

    def figure(self, title, path):
        us = summary(self.bulk[path])
        return {"title": title, "path": path.split(":")[0],
                "one_page": reads.one_page(self.latency[path]), "bulk_us_per_page": us,
                "bulk_mb_per_s": reads.mb_per_s(us["median"]), "pages_per_s": 1e6 / us["median"]}

    def row(self, one):
        ours, bulk = reads.medians(self.latency[one["path"]]), self.bulk[one["path"]]
        limits = [{**self.figure(limit["title"], limit["path"]),
                   "one_page_times": reads.ratio(ours, reads.medians(self.latency[limit["path"]])),
                   "bulk_times": reads.ratio(bulk, self.bulk[limit["path"]])}
                  for limit in one["limits"]]
        return {**self.figure(one["title"], one["path"]), "limits": limits}


def rows(paths, ways, sizes):
    measured = Measured(paths, ways, sizes)
    return [measured.row(one) for one in ways]


def measure(options):
    with reads.native(8 if options.quick else NATIVE_MIB) as paths:
        parts = [{"where": "natively", "rows": rows(paths, native_ways(paths),
                                                    QUICK if options.quick else NATIVE)}]
    if options.quick:
        return {"parts": parts}
    with dom0_paths.boot_with_echo(options) as paths:
        agent = paths.status()
        parts.append({"where": f"a {dom0.kind(options)} Dom0 in QEMU (emulated), "
                               f"{agent['host']} {agent['host_version']}",
                      "rows": rows(paths, qemu_ways(paths), QEMU)})
    return {"parts": parts}


# ---- For people ----

def times(found):
    return (f"{number(found['median'])} × ({number(found['p10'])} to {number(found['p90'])})")


def cells(figure, *more):
    one = figure["one_page"]
    return "| " + " | ".join((figure["title"], number(one["p50_us"]), number(one["p99_us"]),
                              number(figure["bulk_mb_per_s"]), number(figure["pages_per_s"]),
                              *more)) + " |"


def lines(measured):
    yield HEAD
    for part in measured["parts"]:
        yield f"| **{part['where']}** | | | | | | |"
        for row in part["rows"]:
            yield cells({**row, "title": f"**{row['title']}**"}, "", "")
            for limit in row["limits"]:
                yield cells({**limit, "title": f"beside it: {limit['title']}"},
                            times(limit["one_page_times"]), times(limit["bulk_times"]))
