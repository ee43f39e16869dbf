# SPDX-License-Identifier: Apache-2.0
"""bench-reads, what it reads from natively, and figures of what it prints:

    bench-reads ──[ lanes in /dev/shm ]──┐
        ├───────────── TCP ──────────────┴─► dom0-proxy over a memory image
        ├──[ the agent in its process ]────► that image
        └── TCP, [ lanes ] ────────────────► tcp-echo, lane-echo: no agent
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

import guests
import lab
import wire
from figures import quantile, summary

BENCH = lab.BUILD / "tests" / "bench"
PAGE_BYTES = 4096


def run(*words):
    """Its report: {path: [[us, ...] of each round]}."""
    done = subprocess.run([str(word) for word in (BENCH / "bench-reads", *words)],
                          capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return {path: [[ns / 1000 for ns in round] for round in rounds]
            for path, rounds in json.loads(done.stdout).items()}


def latency(key, memory, rounds, reads, paths, silence_ms=0):
    return run("latency", key, memory, rounds, reads, silence_ms, *paths)


def bulk(key, memory, rounds, requests, pages, depth, paths):
    """Microseconds per page."""
    report = run("bulk", key, memory, rounds, requests, pages, depth, *paths)
    return {path: [us / (requests * pages) for us, in times] for path, times in report.items()}


def mb_per_s(us_per_page):
    return PAGE_BYTES / us_per_page


# ---- Figures ----

def one_page(rounds):
    """p50 and p99 over all rounds."""
    samples = [us for round in rounds for us in round]
    return {"p50_us": quantile(samples, 0.5), "p99_us": quantile(samples, 0.99),
            "reads": len(samples)}


def medians(rounds):
    return [quantile(samples, 0.5) for samples in rounds]


def ratio(ours, theirs):
    """Round by round."""
    return summary([a / b for a, b in zip(ours, theirs)])


# ---- Natively ----

MAGIC = b"SEVMLANE"  # of a lane that is served


def listens(port):
    """Not by connecting to it: before somebody listens, such a connection can take the port itself."""
    table = pathlib.Path("/proc/net/tcp").read_text().split("\n")[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
               for line in table if line)


def wait_until(condition, patience_s=30):
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("bench: an echo does not start")
        time.sleep(0.02)


class Native:
    """Paths to an image of `mib` MiB, and to echoes."""

    def __init__(self, folder, mib, sparse):
        self.folder, self.memory = folder, mib * 256
        self.image, self.key = folder / "image.raw", folder / "ids"
        with open(self.image, "wb") as file:
            for _ in range(0 if sparse else mib):
                file.write(os.urandom(1 << 20))
            file.truncate(mib << 20)
        subprocess.run([lab.SEVMON, "keygen", self.key, folder / "agent"], check=True,
                       capture_output=True)
        self.processes, self.proxy = [], None
        self.memcpy, self.gcm = f"memcpy:{self.image}", f"aes-gcm:{self.image}"
        self.in_process, self.lane = f"image:{self.image}", f"shm:{folder / 'lanes'}"

    def start(self, *words):
        self.processes.append(subprocess.Popen([str(word) for word in words],
                                               stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def serve(self):
        port = guests.free_port()
        self.tcp = f"tcp:{port}"
        self.proxy = self.start(
            lab.PROXY, "--backend", "image", "--image", self.image, "--image-format", "raw",
            "--key", self.folder / "agent", "--listen", f"127.0.0.1:{port}", "--lanes",
            self.folder / "lanes")
        if not wire.wait_for_agent(("127.0.0.1", port), 30):
            raise SystemExit("bench: dom0-proxy does not answer")

    def echo(self):
        lanes = self.folder / "echo"
        with open(lanes, "wb") as file:
            file.truncate(4 << 20)
        self.lane_echo, self.tcp_echo = f"shm-echo:{lanes}", f"tcp-echo:{self.start_tcp_echo()}"
        self.start(BENCH / "guest" / "lane-echo", lanes)
        wait_until(lambda: lanes.open("rb").read(8) == MAGIC)

    def start_tcp_echo(self):
        """Its port. One that was free may be somebody's by now."""
        for _ in range(5):
            port = guests.free_port()
            process = self.start(BENCH / "guest" / "tcp-echo", port, "127.0.0.1")
            wait_until(lambda: process.poll() is not None or listens(port))
            if process.poll() is None:
                return port
        raise SystemExit("bench: tcp-echo does not start")

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def native(mib, *, sparse=False, folder="/dev/shm"):
    with tempfile.TemporaryDirectory(prefix="sevmon-bench-", dir=folder) as made:
        paths = Native(pathlib.Path(made), mib, sparse)
        try:
            paths.serve()
            paths.echo()
            yield paths
        finally:
            paths.stop()
