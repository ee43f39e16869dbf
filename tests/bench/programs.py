# SPDX-License-Identifier: Apache-2.0
"""The agent's interpreter beside C and DPDK's interpreter: those rows of bench-native alone."""

import pathlib
import subprocess
import tempfile

from native import lines, run

__all__ = ["lines", "measure"]

HERE = pathlib.Path(__file__).resolve().parent


def other_interpreter(folder):
    """Compile DPDK's into `folder`. Returns the shared object's path."""
    fetched = subprocess.run([HERE.parents[1] / "scripts" / "fetch-dpdk"], capture_output=True,
                             text=True)
    if fetched.returncode:
        raise SystemExit(f"bench: {fetched.stderr.strip()}")
    root = pathlib.Path(fetched.stdout.strip())
    include, libraries = root / "usr/include", root / "usr/lib/x86_64-linux-gnu"
    made = pathlib.Path(folder) / "dpdk_interpreter.so"
    # The search path is for the libraries that DPDK's own need, too (not its newer form, RUNPATH).
    done = subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-mssse3", "-o", made, HERE / "dpdk_interpreter.c",
         "-include", include / "x86_64-linux-gnu/dpdk/rte_config.h",
         *(f"-I{include / part}" for part in ("dpdk", "x86_64-linux-gnu/dpdk", ".")),
         f"-L{libraries}", "-l:librte_bpf.so.23", "-l:librte_eal.so.23", "-Wl,--disable-new-dtags",
         f"-Wl,-rpath,{libraries}", f"-Wl,-rpath-link,{libraries}"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return made


def measure(_options):
    with tempfile.TemporaryDirectory(prefix="sevmon-bench-") as folder:
        return run("--programs", str(other_interpreter(folder)))
