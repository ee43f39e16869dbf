# SPDX-License-Identifier: Apache-2.0
"""Where figures were taken, and with what: they mean nothing without it."""

import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What the agent, OpenSSL and their baselines could use, if the CPU has it.
FLAGS = ("aes", "pclmulqdq", "ssse3", "avx2", "avx512f", "vaes", "vpclmulqdq", "sha_ni", "rdrand")


def said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except FileNotFoundError:
        return "none"
    return done.stdout.strip().split("\n")[0]


def cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    has = set(re.search(r"flags\s*: (.*)", text)[1].split())
    return {"cpu": model[1] if model else "unknown", "cores": os.cpu_count(),
            "flags": {flag: flag in has for flag in FLAGS}}


def about():
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    return {**cpu(), "kernel": platform.release(), "compiler": said("c++", "--version"),
            "openssl": said("openssl", "version"),
            "qemu": said("qemu-system-x86_64", "--version"),
            "commit": said("git", "rev-parse", "--short=12", "HEAD") +
                      (" and changes" if changed else ""),
            "load": os.getloadavg()[0]}


def lines(facts):
    flags = facts["flags"]
    yield (f"{facts['cpu']}, {facts['cores']} cores, load {facts['load']:.1f}; Linux "
           f"{facts['kernel']}; " + " ".join(name if there else f"no-{name}"
                                             for name, there in flags.items()))
    yield f"{facts['compiler']}; {facts['openssl']}; {facts['qemu']}"
    yield f"commit {facts['commit']}"
