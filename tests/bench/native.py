# SPDX-License-Identifier: Apache-2.0
"""What the agent core costs by itself, in a process: the rows of bench-native."""

import json
import os
import pathlib
import subprocess

import figures

PARTS = (("_15", "Natively, 15 pages to a message"), ("_1", "Natively, 1 page to a message"),
         ("_bpf", "Natively, programs; per thousand of their instructions"),
         ("", "Natively, whole calls"))


def run(*words):
    program = pathlib.Path(os.environ["SEVMON_BUILD"]) / "tests" / "bench" / "bench-native"
    done = subprocess.run([program, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(options):
    return run(*(["--quick"] if options.quick else []))


def part_of(name):
    return next(suffix for suffix, _ in PARTS if name.endswith(suffix))


def lines(measured):
    over = f" over {measured['pages'] * 4 // 1024} MiB of distinct pages" if measured["pages"] else ""
    yield f"natively: {measured['rounds']} rounds{over}, CPU time of the thread"
    for suffix, title in PARTS:
        rows = [row for row in measured["rows"] if part_of(row["id"]) == suffix]
        if rows:
            yield ""
            yield from figures.lines(title, rows)
