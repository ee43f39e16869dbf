# SPDX-License-Identifier: Apache-2.0
"""A running `sevmon watch`, and a proxy over an image that it can watch."""

import json
import signal
import subprocess
import threading
import time

import guests
import lab
import wire

# No wait is longer; a busy machine takes long for what an idle one does at once.
PATIENCE_S = 120


class Watching:
    """`sevmon watch` and the events that it has printed; a context manager that ends it."""

    def __init__(self, connect, *options, key=None, profiles=None):
        self.command = [lab.SEVMON, "--json", "--connect", connect, "--key", key or lab.keys()[1],
                        *(["--profile", profiles] if profiles else []), "watch", *options]
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen([str(word) for word in self.command],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()

    def events(self, event=None, kind=None):
        with self.changed:
            return [line for line in self.lines if "event" in line
                    and event in (None, line["event"]) and kind in (None, line.get("kind"))]

    def wait(self, event, kind=None, count=1, where=lambda event: True):
        """Until there are so many of these events; the last of them."""
        def those():
            return [line for line in self.events(event, kind) if where(line)]

        end = time.monotonic() + PATIENCE_S
        while len(found := those()) < count:
            with self.changed:
                self.changed.wait(0.5)
            if self.process.poll() is not None and len(those()) < count:
                raise AssertionError(f"the watch has ended: {self.process.stderr.read()}")
            if time.monotonic() > end:
                raise AssertionError(f"no {event} {kind or ''} ({count}): {self.lines[-10:]}")
        return found[count - 1]

    def stop(self, number=signal.SIGTERM):
        """(exit code, totals)"""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.end()

    def end(self):
        code = self.process.wait(PATIENCE_S)
        self.reader.join(10)
        return code, self.lines[-1].get("result", self.lines[-1])


class Proxy:
    """dom0-proxy over an image, always on the same port, so that it can end and come back."""

    def __init__(self, name, image, *options):
        self.name = name
        self.image = image
        self.options = options
        self.port = guests.free_port()
        self.address = ("127.0.0.1", self.port)
        self.process = None

    def start(self, key=None):
        self.stop()
        with open(guests.LOGS / f"{self.name}-proxy.log", "ab") as log:
            self.process = subprocess.Popen(
                [lab.PROXY, "--backend", "image", "--image", self.image.path("elf"), "--key",
                 key or lab.keys()[0], "--listen", f"127.0.0.1:{self.port}", *self.options],
                stdout=log, stderr=log)
        if not wire.wait_for_agent(self.address, PATIENCE_S):
            raise RuntimeError(f"dom0-proxy does not answer; see {log.name}")
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
        self.process = None


class Line:
    """A network between a watch and an agent: `mode` says what it does to whole frames.

    "pass", "silent" (swallows both ways), "cut" (ends connections), or what tamper() of wire.Relay
    may be.
    """

    def __init__(self, address):
        self.mode = "pass"
        self.relay = wire.Relay(address, self._tamper)

    def __enter__(self):
        self.relay.__enter__()
        return self

    def __exit__(self, *what):
        self.relay.__exit__(*what)

    def _tamper(self, direction, unit):
        mode = self.mode
        if mode == "pass":
            return [unit]
        if mode == "silent":
            return []
        if mode == "cut":
            return None
        return mode(direction, unit)


def flip(way, kind):
    """A tamper() that alters a bit of the tag of every such frame."""
    def tamper(direction, unit):
        if direction == way and unit[16:17] == bytes([kind]):
            return [unit[:-1] + bytes([unit[-1] ^ 1])]
        return [unit]
    return tamper


def cut_requests(direction, unit):
    if direction == "up" and unit[16:17] == bytes([wire.REQUEST]):
        return None
    return [unit]


def repeat_requests(direction, unit):
    if direction == "up" and unit[16:17] == bytes([wire.REQUEST]):
        return [unit, unit]
    return [unit]
