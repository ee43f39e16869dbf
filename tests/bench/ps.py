# SPDX-License-Identifier: Apache-2.0
"""How long a process list takes over a network, by program, by vectored pages, and page by page:

    bench-ps ──► delay ──TCP──► dom0-proxy over a memory image with that many processes
"""

import contextlib
import json
import pathlib
import statistics
import subprocess
import tempfile

import guests
import lab
import wire

BENCH = lab.BUILD / "tests" / "bench" / "bench-ps"
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


@contextlib.contextmanager
def serving(folder, count, agent_key):
    """dom0-proxy over an image with that many processes, and its port."""
    image, log_path = folder / "image.raw", folder / "proxy.log"
    run(BENCH, "image", lab.profile("6.1"), count, image)
    port = guests.free_port()
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [lab.PROXY, "--backend", "image", "--image", image, "--image-format", "raw", "--key",
             agent_key, "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        if not wire.wait_for_agent(("127.0.0.1", port), 30):
            raise SystemExit(f"bench: {log_path.read_text().strip()}")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def listed(count, port, key, delay_us, rounds, slow_rounds):
    """What bench-ps prints."""
    return json.loads(run(BENCH, "list", lab.profile("6.1"), count, port, key, delay_us, rounds,
                          slow_rounds))


@contextlib.contextmanager
def folder_with_keys():
    """A folder, the IDS's key and the agent's."""
    with tempfile.TemporaryDirectory(prefix="sevmon-bench-") as made:
        folder = pathlib.Path(made)
        run(lab.SEVMON, "keygen", folder / "ids", folder / "agent")
        yield folder, folder / "ids", folder / "agent"


def measure(options):
    """Rows: processes, delay in us, and what bench-ps printed."""
    rows = []
    rounds = 1 if options.quick else ROUNDS
    with folder_with_keys() as (folder, key, agent_key):
        for count in COUNTS[:1] if options.quick else COUNTS:
            with serving(folder, count, agent_key) as port:
                for delay in DELAYS_US[:1] if options.quick else DELAYS_US:
                    slow = LONG if options.quick or count * max(delay, 100) >= 400_000 else SLOW_ROUNDS
                    rows.append((count, delay, listed(count, port, key, delay, rounds, slow)))
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
