# SPDX-License-Identifier: Apache-2.0
"""Pages through shared memory beside the same over TCP, natively:

    bench-lanes ──[ lanes in /dev/shm ]──┐
        └────────── TCP ───────────────┴─► dom0-proxy over a memory image
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import figures

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
MIB = 256


def measure(options):
    """What bench-lanes printed."""
    sys.path.insert(0, str(INTEGRATION))
    import guests
    import lab
    import wire
    mib = 8 if options.quick else MIB
    with tempfile.TemporaryDirectory(prefix="sevmon-bench-", dir="/dev/shm") as made:
        folder = pathlib.Path(made)
        image, lanes = folder / "image.raw", folder / "lanes"
        with open(image, "wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1 << 20))
        subprocess.run([lab.SEVMON, "keygen", folder / "ids", folder / "agent"], check=True,
                       capture_output=True)
        port = guests.free_port()
        process = subprocess.Popen(
            [lab.PROXY, "--backend", "image", "--image", image, "--image-format", "raw", "--key",
             folder / "agent", "--listen", f"127.0.0.1:{port}", "--lanes", lanes],
            stderr=subprocess.DEVNULL)
        try:
            if not wire.wait_for_agent(("127.0.0.1", port), 30):
                raise SystemExit("bench: dom0-proxy does not answer")
            done = subprocess.run(
                [lab.BUILD / "tests" / "bench" / "bench-lanes", str(port), lanes, folder / "ids",
                 str(mib * 256), "2" if options.quick else "15"], capture_output=True, text=True)
        finally:
            process.terminate()
            process.wait(30)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return {"rows": json.loads(done.stdout)["rows"]}


def lines(measured):
    return figures.lines("One agent over a memory image, wall time", measured["rows"])
