# SPDX-License-Identifier: Apache-2.0
"""Virtual machines for the tests: start one, talk to it, end it. Python's standard library only."""

import atexit
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("SEVMON_CACHE", ROOT / ".cache"))
LOGS = CACHE / "logs"

# No wait for a guest is longer: a machine with other work to do takes several times as long as an
# idle one. A wait ends early when its guest dies.
PATIENCE_S = float(os.environ.get("SEVMON_PATIENCE", "300"))
SHELL_PORT = 7101
PROXY_PORT = 7100


class GuestError(Exception):
    """A guest died, panicked, or did not do what it was asked in time."""


_handed_out = set()


def free_port():
    """A TCP port on 127.0.0.1 that nobody listens on, and another each time: a guest's ports are
    chosen before QEMU listens on the first."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port


class Guest:
    """A running QEMU. Its console goes to a file; use it as a context manager."""

    def __init__(self, name, command, ports=None, life_s=1800):
        """`ports`: guest port -> port on 127.0.0.1. `timeout` ends the QEMU whatever happens."""
        LOGS.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.ports = ports or {}
        self.console_path = LOGS / f"console-{name}.log"
        with open(self.console_path, "wb") as console:
            self.process = subprocess.Popen(
                ["timeout", "--kill-after=5", str(life_s)] + [str(word) for word in command],
                stdin=subprocess.PIPE, stdout=console, stderr=subprocess.STDOUT)
        atexit.register(self.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def console(self):
        return self.console_path.read_text(errors="replace")

    def check_alive(self):
        """QEMU's exit code says nothing (a Xen panic ends it with 0): look at the console."""
        text = self.console()
        for bad in ("Panic on CPU", "Kernel panic", "FATAL TRAP", "soft lockup"):
            if bad in text:
                raise GuestError(f"{self.name}: '{bad}' on the console; see {self.console_path}")
        if self.process.poll() is not None:
            raise GuestError(f"{self.name}: ended early; see {self.console_path}\n{text[-1500:]}")

    def wait_for(self, what, condition, patience_s=None, interval_s=0.3):
        """Ask `condition` until it returns something true; return that."""
        end = time.monotonic() + (patience_s or PATIENCE_S)
        while True:
            result = condition()
            if result:
                return result
            self.check_alive()
            if time.monotonic() > end:
                raise GuestError(f"{self.name}: no {what} in {patience_s or PATIENCE_S:.0f} s; see"
                                 f" {self.console_path}\n{self.console()[-1500:]}")
            time.sleep(interval_s)

    def xen_key(self, key):
        """One of Xen's debug keys, as from a keyboard at the host; what it prints is on the console."""
        for word in (3 * b"\x01\x01", key.encode(), 3 * b"\x01\x01"):  # ^A ^A: one, through QEMU
            self.process.stdin.write(word)
            self.process.stdin.flush()
            time.sleep(1)  # all at once is too much for an emulated serial port

    def wait_console(self, pattern, patience_s=None):
        return self.wait_for(f"'{pattern}' on the console",
                             lambda: re.search(pattern, self.console()), patience_s)

    def try_shell(self, line, timeout_s):
        """One command through the guest's test shell; None when there is no answer (yet)."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[SHELL_PORT]), timeout_s) as peer:
                peer.settimeout(timeout_s)
                peer.sendall(line.encode() + b"\n")
                data = b""
                while chunk := peer.recv(1 << 16):
                    data += chunk
        except OSError:
            return None
        match = re.search(rb"\nexit (\d+)\n$", data)
        return (int(match[1]), data[:match.start()]) if match else None

    def wait_shell(self):
        """QEMU's user network accepts connections for a guest that does not listen yet: only an
        answer counts."""
        self.wait_for("answer from the shell", lambda: self.try_shell("echo up", 3))

    def shell(self, line, timeout_s=120, check=True):
        """Output (bytes) of a shell command line in the guest."""
        answer = self.try_shell(line, timeout_s)
        if answer is None:
            self.check_alive()
            raise GuestError(f"{self.name}: no answer to '{line}'")
        code, output = answer
        if check and code != 0:
            raise GuestError(f"{self.name}: '{line}' ended with {code}: {output[-500:]!r}")
        return output

    def file(self, path):
        return self.shell(f"cat {path}")

    def processes(self):
        """What ps would say: list of dicts with pid, ppid, uid, state, start_ticks, name."""
        return parse_processes(self.shell(STAT_COMMAND).decode(errors="replace"),
                               self.shell(UID_COMMAND).decode())


STAT_COMMAND = "cat /proc/[0-9]*/stat 2>/dev/null; true"
UID_COMMAND = "grep -H ^Uid: /proc/[0-9]*/status 2>/dev/null; true"


def parse_processes(stat, uids):
    """From what the two commands print."""
    uid_of = {int(m[1]): int(m[2])
              for m in re.finditer(r"/proc/(\d+)/status:Uid:\s+(\d+)\s", uids)}
    found = []
    for line in stat.splitlines():
        match = re.match(r"(\d+) \((.*)\) (.*)$", line)
        if match and int(match[1]) in uid_of:
            fields = match[3].split()
            found.append({"pid": int(match[1]), "name": match[2], "state": fields[0],
                          "ppid": int(fields[1]), "start_ticks": int(fields[19]),
                          "uid": uid_of[int(match[1])]})
    return found


def forwards(guest_ports):
    return {port: free_port() for port in guest_ports}


def kernel_dir(flavour="6.1"):
    return pathlib.Path(subprocess.check_output([ROOT / "scripts/fetch-kernel", flavour],
                                                text=True).strip())


def make_initramfs(name, kernel, modules=(), adds=(), programs=()):
    out = CACHE / "initramfs" / f"{name}.gz"
    command = [ROOT / "scripts/make-initramfs", "-o", out, "--kernel", kernel]
    for module in modules:
        command += ["--module", module]
    for source, path in adds:
        command += ["--add", f"{source}={path}"]
    for program in programs:
        command += ["--program", program]
    subprocess.run([str(word) for word in command], check=True)
    return out


def start_linux(name, kernel, initramfs, *, cpu="max,-la57", nic="e1000e", memory_mb=256,
                arguments="", options=(), life_s=1800):
    """A plain Linux guest, with the test shell and QEMU's machine protocol (see qmp())."""
    ports = forwards([SHELL_PORT])
    qmp = pathlib.Path(tempfile.mkdtemp(prefix="sevmon-")) / "qmp"
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-m", str(memory_mb),
               "-smp", "1", "-nographic", "-no-reboot", "-kernel", kernel / "vmlinuz",
               "-initrd", initramfs, "-append",
               f"console=ttyS0 quiet panic=-1 sevmon.shell={SHELL_PORT} {arguments}",
               "-netdev", "user,id=net0,hostfwd="
               f"tcp:127.0.0.1:{ports[SHELL_PORT]}-:{SHELL_PORT}",
               "-device", f"{nic},netdev=net0",
               "-qmp", f"unix:{qmp},server=on,wait=off", *options]
    guest = Guest(name, command, ports, life_s)
    guest.qmp_path = qmp
    return guest


def qmp(guest, command, timeout_s=120, **arguments):
    """One command of QEMU's machine protocol; returns its answer."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(timeout_s)
        peer.connect(str(guest.qmp_path))
        lines = peer.makefile("rw")

        def execute(name, **words):
            lines.write(json.dumps({"execute": name, "arguments": words}) + "\n")
            lines.flush()
            while True:
                answer = json.loads(lines.readline())
                if "error" in answer:
                    raise GuestError(f"{guest.name}: {name}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]

        lines.readline()  # the greeting
        execute("qmp_capabilities")
        return execute(command, **arguments)
