# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the built programs, keys, profiles, a Dom0, and sevmon as a function."""

import atexit
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import jsonschema

import guests
import wire
from guests import CACHE, PROXY_PORT, ROOT, SHELL_PORT

FULL = False
XEN_RELEASE = "4.17"
BUILD = pathlib.Path(os.environ.get("SEVMON_BUILD", CACHE / "build" / "release"))
# Whose relay Dom0 runs: the usual one, or the static one (-Dstatic_proxy).
RELAY_BUILD = pathlib.Path(os.environ.get("SEVMON_RELAY_BUILD", BUILD))
SEVMON = BUILD / "ids" / "cli" / "sevmon"
PROXY = BUILD / "dom0-proxy" / "dom0-proxy"
# The same, built with the address and undefined sanitizers.
SANITIZED = pathlib.Path(os.environ.get("SEVMON_SANITIZED", CACHE / "build" / "clang-asan"))
HOSTILE = SANITIZED / "tests" / "ids" / "hostile"
TOOLS = BUILD / "tests" / "integration" / "guest-tools"


class Outcome:
    """What one run of sevmon did."""

    def __init__(self, arguments, code, out, err):
        self.arguments = arguments
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return (f"sevmon {' '.join(self.arguments)}: exit {self.code}\n"
                f"stdout: {self.out[-1500:]}\nstderr: {self.err[-1500:]}")


class Sevmon:
    """The command against one agent. `ids()` runs it; a test compares what comes back."""

    def __init__(self, connect, key=None, profiles=None):
        self.options = ["--connect", connect]
        if key:
            self.options += ["--key", str(key)]
        if profiles:
            self.options += ["--profile", str(profiles)]

    def __call__(self, *words, timeout_s=300):
        arguments = [*self.options, *map(str, words)]
        try:
            done = subprocess.run([SEVMON, *arguments], capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired as late:
            return Outcome(arguments, None, (late.stdout or b"").decode(errors="replace"),
                           f"still running after {timeout_s} s")
        return Outcome(arguments, done.returncode, done.stdout.decode(errors="replace"),
                       done.stderr.decode(errors="replace"))

    def ok(self, *words, **options):
        outcome = self(*words, **options)
        assert outcome.code == 0, outcome
        return outcome

    def result(self, *words):
        """What the command found, out of its JSON document."""
        document = self.ok("--json", *words).json
        jsonschema.validate(document, schema())
        return document["result"]

    def try_read(self, where, count, *options):
        """(outcome, bytes or None): memory through a file, as a user would."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "bytes"
            outcome = self("read", where, count, "-o", path, *options)
            return outcome, path.read_bytes() if path.exists() else None

    def read(self, where, count, *options):
        outcome, data = self.try_read(where, count, *options)
        assert outcome.code == 0, outcome
        return data

    def read_pointer(self, where):
        return int.from_bytes(self.read(where, 8), "little")


@functools.lru_cache
def schema():
    return json.loads((ROOT / "ids/share/sevmon.schema.json").read_text())


@functools.lru_cache
def keys():
    """(agent's key file, IDS's key file), fresh for each run of the tests."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # benches and soak have no run.py
    subprocess.run([SEVMON, "keygen", folder / "ids.key", folder / "agent.key"],
                   check=True, capture_output=True)
    return folder / "agent.key", folder / "ids.key"


@functools.lru_cache
def other_key():
    """A key that the agent does not have, under ids that it does: only the PSK differs."""
    data = bytearray(keys()[1].read_bytes())
    data[-1] ^= 1
    path = keys()[1].with_name("other.key")
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


@functools.lru_cache
def profiles():
    """A directory with the profiles of both kernels."""
    folder = CACHE / "profiles"
    folder.mkdir(exist_ok=True, parents=True)
    for flavour in ("6.1", "6.12-cloud"):
        profile(flavour)
    return folder


@functools.lru_cache
def profile(flavour):
    kernel = guests.kernel_dir(flavour)
    path = CACHE / "profiles" / f"{(kernel / 'release').read_text().strip()}.profile"
    path.parent.mkdir(exist_ok=True, parents=True)
    newest = max(SEVMON.stat().st_mtime, (kernel / "vmlinuz").stat().st_mtime)
    if not path.exists() or path.stat().st_mtime < newest:
        path.unlink(missing_ok=True)
        subprocess.run([SEVMON, "profile", "build", kernel / "vmlinuz", "-o", path], check=True,
                       capture_output=True)
    return path


def sha256_of(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def last_line(script, *arguments):
    """The path that a script prints."""
    done = subprocess.run([ROOT / "scripts" / script, *arguments], text=True, capture_output=True)
    assert done.returncode == 0, f"{script}: {done.stderr}"
    return pathlib.Path(done.stdout.split()[-1])


@functools.lru_cache
def xen(*options):
    """Xen's file; options of scripts/build-xen for another than the usual one."""
    return last_line("build-xen", "--release", XEN_RELEASE, *options) / "xen"


MODULES = ROOT / "tests/integration/guest-modules"


@functools.lru_cache
def dom0_initramfs():
    tools = [("--program", TOOLS / tool)
             for tool in ("dom0-powers", "edu-dma", "fpu-check", "hypercall-misuse",
                          "fw-cfg-probe", "hello-probe", "map-probe", "xen-memory")]
    modules = [("--add", f"{last_line('build-module', MODULES / f'{name}.c')}=/{name}.ko")
               for name in ("ghost", "hang", "hide", "redirect", "spin")]
    return last_line("make-dom0", RELAY_BUILD,
                     *(word for pair in tools + modules for word in pair))


def start_dom0(name, *, wait=True, link=None, **options):
    """Our Xen and a Dom0 with the relay, a test shell, and fresh keys; see start_machine()."""
    guest = start_machine(name, link=link, **options)
    if not wait or link:
        return guest
    try:
        address = ("127.0.0.1", guest.ports[PROXY_PORT])
        guest.wait_for("agent", lambda: wire.challenge_of(address, 2))
        guest.wait_shell()
        return guest
    except BaseException:
        guest.stop()
        raise


def start_machine(name, *, pvh=False, link=None, smp=1, xen_path=None, kernel_args="", xen_args="",
                  life_s=1800, initramfs=None, more_ports=(), agent_key=None, shm=None, more=(),
                  monitor=False, options=()):
    """`shm`: a file that Xen shares; `more`: words for scripts/run-dom0; `options`: words for QEMU;
    `monitor`: guests.qmp() works."""
    command = [ROOT / "scripts" / "run-dom0", "--xen", xen_path or xen(),
               "--kernel", guests.kernel_dir(), "--initrd", initramfs or dom0_initramfs(),
               "--key", keys()[0] if agent_key is None else agent_key,
               "--smp", smp, "--kernel-args", f"sevmon.shell={SHELL_PORT} {kernel_args}"]
    # Chosen late: others beside this choose, too.
    ports = {} if link else guests.forwards([PROXY_PORT, SHELL_PORT, *more_ports])
    if pvh:
        command.append("--pvh")
    if xen_args:
        command += ["--xen-args", xen_args]
    for inside, outside in ports.items():
        command += ["--forward", f"{outside}:{inside}"]
    if link:
        command += ["--link", link]
    if shm:
        command += ["--shm", shm]
    command += more
    if monitor or options:
        command += ["--", *options]
    if monitor:
        qmp = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-")) / "qmp"
        command += ["-qmp", f"unix:{qmp},server=on,wait=off"]
    guest = guests.Guest(name, command, ports, life_s)
    guest.qmp_path = qmp if monitor else None
    return guest


def ids(guest, key=None, profile=None):
    """sevmon, connected to a Dom0."""
    return Sevmon(f"tcp:127.0.0.1:{guest.ports[PROXY_PORT]}", key or keys()[1],
                  profile or profiles())


def ids_past_dom0(path):
    """sevmon, connected through a file that Xen shares."""
    return Sevmon(f"shm:{path}", keys()[1], profiles())


def sevmon_through(relay):
    return Sevmon(relay.connect, keys()[1], profiles())
