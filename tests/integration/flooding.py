# SPDX-License-Identifier: Apache-2.0
"""A flood (flood.py) in processes of its own, and a second IDS beside it."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import lab
import wire
from watching import Line, Watching

HERE = pathlib.Path(__file__).resolve().parent
# Ten sources of eight connections: more than the proxy has places (64).
SOURCES = [f"127.0.1.{number}" for number in range(1, 11)]
KINDS = ("connections", "garbage", "replays", "half_open", "unread")


def two_keys(folder):
    """(agent's file with two entries, the first IDS's, the second IDS's)"""
    agent, first, second = (pathlib.Path(folder) / name for name in ("agent", "first", "second"))
    for mine in (first, second):
        subprocess.run([lab.SEVMON, "keygen", mine, agent], check=True, capture_output=True)
    return agent, first, second


def genuine_initiate(address, key, folder):
    """An INITIATE that the agent took, in a file."""
    path = pathlib.Path(folder) / "initiate"
    with Line(address) as line:
        lab.Sevmon(line.relay.connect, key).ok("--development", "status")
        path.write_bytes(line.relay.frames("up", wire.INITIATE)[0])
    return path


class Flood:
    def __init__(self, kind, address, initiate, sources=SOURCES):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "flood.py", kind, f"{address[0]}:{address[1]}", *sources],
            stdin=subprocess.PIPE, env={**os.environ, "FLOOD_INITIATE": str(initiate)})

    def __enter__(self):
        time.sleep(1)  # to get going
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def second_watch(address, key, requests, interval="20ms"):
    """A second IDS, which makes so many requests."""
    return Watching(f"tcp:{address[0]}:{address[1]}", "-v", "--interval", interval, "--deadline",
                    "5s", "--count", str(requests), key=key)


def result(watch):
    """(exit code, totals, each answer's time in ns, all lines), once it has ended."""
    code, totals = watch.end()
    return code, totals, [e["took_ns"] for e in watch.events("answer")], watch.lines


def second_ids(address, key, requests, interval="20ms"):
    """result() of a second_watch()."""
    with second_watch(address, key, requests, interval) as watch:
        return result(watch)


def folder():
    return tempfile.TemporaryDirectory(prefix="sevmon-flood-")
