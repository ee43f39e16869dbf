# SPDX-License-Identifier: Apache-2.0
"""How long a process list takes over a network, by program, by vectored pages, and page by page:

    bench-ps ──► delay ──TCP──► dom0-proxy over a memory image with that many processes
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
COUNTS = (120, 1000, 5000)
DELAYS_US = (0, 100, 1000, 10000)
ROUNDS = 5
# Page by page, for which a round can take minutes.
SLOW_ROUNDS, LONG = 3, 1
METHODS = (("program", "program"), ("pages", "our pages"), ("ring", "page by page, pid and name"),
           ("page_by_page", "page by page, all of it"))


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=3600)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return done.stdout


def serve(lab, wire, folder, image, key):
    """dom0-proxy over `image`, and its port."""
    import guests
    port = guests.free_port()
    with open(folder / "proxy.log", "ab") as log:
        process = subprocess.Popen(
            [lab.PROXY, "--backend", "image", "--image", image, "--image-format", "raw", "--key",
             key, "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log)
    if not wire.wait_for_agent(("127.0.0.1", port), 30):
        process.terminate()
        raise SystemExit(f"bench: {(folder / 'proxy.log').read_text().strip()}")
    return process, port


def measure(options):
    """Rows: processes, delay in us, and what bench-ps printed."""
    sys.path.insert(0, str(INTEGRATION))
    import lab
    import wire
    bench = lab.BUILD / "tests" / "bench" / "bench-ps"
    profile = lab.profile("6.1")
    rows = []
    with tempfile.TemporaryDirectory(prefix="sevmon-bench-") as made:
        folder = pathlib.Path(made)
        agent, mine = folder / "agent", folder / "ids"
        run(lab.SEVMON, "keygen", mine, agent)
        for count in COUNTS[:1] if options.quick else COUNTS:
            image = folder / "image.raw"
            run(bench, "image", profile, count, image)
            process, port = serve(lab, wire, folder, image, agent)
            try:
                for delay in DELAYS_US[:2] if options.quick else DELAYS_US:
                    slow = LONG if count * max(delay, 100) >= 400_000 else SLOW_ROUNDS
                    rows.append((count, delay, json.loads(
                        run(bench, "list", profile, count, port, mine, delay, ROUNDS,
                            slow))))
            finally:
                process.terminate()
                process.wait(30)
    return rows


def number(ms):
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def lines(rows):
    yield f"{'':34}{'round trips':>12}{'median, ms':>12}{'x program':>11}"
    for count, delay, found in rows:
        medians = {name: statistics.median(found[name]["ms"]) for name, _ in METHODS}
        trip = statistics.median(found["round_trip"]["ms"])
        yield (f"{count:,} processes, {delay / 1000:g} ms added (a round trip: {number(trip)} ms; rounds: "
               f"{len(found['program']['ms'])}, page by page {len(found['ring']['ms'])})")
        for name, title in METHODS:
            yield (f"  {title:32}{found[name]['round_trips']:>12,}{number(medians[name]):>12}"
                   f"{number(medians[name] / medians['program']):>11}")
    yield (f"once, besides: linking the program {number(statistics.median(f['link_ms'] for *_, f in rows))} "
           "ms; sending it, with 0 ms added, "
           f"{number(statistics.median(f['load_ms'] for _, d, f in rows if d == 0))} ms")
