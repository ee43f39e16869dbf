# SPDX-License-Identifier: Apache-2.0
"""Cost curves, natively: over the size of requests, how many are in flight, how many processes there
are, and how much memory."""

import pathlib
import subprocess
import time

import lab
import ps
import reads
from figures import number, summary

MARKDOWN = True
MIB = 256
PAGES = (1, 2, 3, 4, 5, 8, 12, 15)
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64)
PROCESSES = (10, 100, 1000, 10000)
MEMORY_MIB = (1024, 2048, 4096, 8192, 16384)
RANGES, RANGE_MIB = 16, 16
BAR = 40  # characters


# ---- Requests ----

def ways(paths):
    return {"in process": paths.in_process, "shared memory": paths.lane, "TCP": paths.tcp}


def request_points(paths, sizes, rounds, pages_in_all, shape):
    """`shape(x)`: pages in a request, requests in flight."""
    points = []
    for x in sizes:
        pages, depth = shape(x)
        found = reads.bulk(paths.key, paths.memory, rounds, max(pages_in_all // pages, depth), pages,
                           depth, ways(paths).values())
        points.append({"x": x, "us_per_page": {name: summary(found[path])
                                               for name, path in ways(paths).items()}})
    return points


# ---- Processes ----

def process_points(counts, rounds):
    points = []
    with ps.folder_with_keys() as (folder, key, agent_key):
        for count in counts:
            with ps.serving(folder, count, agent_key) as port:
                found = ps.listed(count, port, key, 0, rounds, 0)
            points.append({"x": count, **{
                way: {"ms": summary(found[way]["ms"]), "round_trips": found[way]["round_trips"]}
                for way in ("program", "pages")}})
    return points


# ---- Memory ----

def status_kib(pid, field):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(field + ":"))


def ranges(mib):
    """RANGES of RANGE_MIB, evenly over so much memory; all of it where it is less."""
    step = max(mib // RANGES, RANGE_MIB)
    return [f"{at << 20:#x}:{RANGE_MIB}M" for at in range(0, mib, step)]


def dumped(paths, mib, proxy, parts, part_mib):
    """A dump over TCP to nowhere: how long, and the most memory that either end had. The proxy maps the
    image, which is the system's cache, and no memory of its own."""
    start = time.monotonic()
    process = subprocess.Popen(
        [lab.SEVMON, "--connect", paths.tcp.replace("tcp:", "tcp:127.0.0.1:"), "--key", paths.key,
         "dump", "-", "--format", "lime", *(word for part in parts for word in ("--range", part))],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    ids_kib = proxy_kib = 0
    while process.poll() is None:
        ids_kib = max(ids_kib, status_kib(process.pid, "VmHWM"))
        proxy_kib = max(proxy_kib, status_kib(proxy.pid, "RssAnon"))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"bench: {process.stderr.read().decode().strip()}")
    seconds = time.monotonic() - start
    return {"x": mib, "seconds": seconds,
            "mb_per_s": len(parts) * (part_mib << 20) / seconds / 1e6,
            "ids_kib": ids_kib, "proxy_kib": proxy_kib}


def memory_points(sizes):
    # On a disk, and sparse: reading it takes cache, which is given back, and no memory.
    with reads.native(sizes[-1], sparse=True, folder=None) as paths:
        parts = [dumped(paths, mib, paths.proxy, ranges(mib), RANGE_MIB) for mib in sizes]
        whole = dumped(paths, sizes[-1], paths.proxy, [f"0x0:{sizes[-1]}M"], sizes[-1])
    return parts, whole


# ---- All of it ----

def measure(options):
    quick = options.quick
    rounds, pages = (1, 60) if quick else (7, 1920)
    with reads.native(8 if quick else MIB) as paths:
        pages_curve = request_points(paths, PAGES[::7] if quick else PAGES, rounds, pages,
                                     lambda x: (x, 16))
        flight_curve = request_points(paths, IN_FLIGHT[:2] if quick else IN_FLIGHT, rounds, pages,
                                      lambda x: (15, x))
    processes = process_points(PROCESSES[:1] if quick else PROCESSES, 1 if quick else 5)
    memory, whole = memory_points((16,) if quick else MEMORY_MIB)
    return {"pages_per_request": pages_curve, "in_flight": flight_curve, "processes": processes,
            "memory": memory, "all_memory": whole}


# ---- For people ----

def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "| ---: " + "| --- " * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def bar(value, most):
    return f"`{'#' * max(1, round(BAR * value / most))}`"


def request_lines(title, x_name, points):
    names = list(points[0]["us_per_page"])
    most = max(point["us_per_page"][name]["median"] for point in points for name in names)
    yield f"### {title}"
    yield ""
    yield from table([x_name, *(f"{name}, µs a page (p10 to p90)" for name in names),
                      f"{names[1]}, drawn"],
                     [[str(point["x"]), *(spread(point["us_per_page"][name]) for name in names),
                       bar(point["us_per_page"][names[1]]["median"], most)] for point in points])
    yield ""


def spread(found):
    return f"{number(found['median'])} ({number(found['p10'])} to {number(found['p90'])})"


def lines(measured):
    yield from request_lines("Pages in a request, 16 requests in flight", "pages",
                             measured["pages_per_request"])
    yield from request_lines("Requests in flight, 15 pages in each", "in flight",
                             measured["in_flight"])
    yield "### Processes in a list"
    yield ""
    yield from table(
        ("processes", "by program, ms (p10 to p90)", "µs a process", "round trips",
         "by pages, ms (p10 to p90)", "µs a process", "round trips"),
        [[f"{point['x']:,}", *(cell for way in ("program", "pages") for cell in (
            spread(point[way]["ms"]), number(1000 * point[way]["ms"]["median"] / point["x"]),
            str(point[way]["round_trips"])))] for point in measured["processes"]])
    yield ""
    yield (f"### Memory: `sevmon dump` over TCP, {RANGES} ranges of {RANGE_MIB} MiB evenly over so much"
           " of it")
    yield ""
    most = max(point["mb_per_s"] for point in measured["memory"])
    yield from table(
        ("MiB", "s", "MB/s", "drawn", "IDS, most resident, KiB", "proxy's own memory, KiB"),
        [[f"{point['x']:,}", number(point["seconds"]), number(point["mb_per_s"]),
          bar(point["mb_per_s"], most), f"{point['ids_kib']:,}", f"{point['proxy_kib']:,}"]
         for point in measured["memory"]])
    whole = measured["all_memory"]
    yield ""
    yield (f"All {whole['x']:,} MiB in one dump: {number(whole['seconds'])} s,"
           f" {number(whole['mb_per_s'])} MB/s; IDS {whole['ids_kib']:,} KiB, proxy"
           f" {whole['proxy_kib']:,} KiB.")
