# SPDX-License-Identifier: Apache-2.0
"""What a relay can note of exchanges, whoever asks and whatever is asked:

    leak-client, sevmon ──► leak-relay ──► dom0-proxy over an image     on this machine
                        ──► leak-relay ──hypercall──► agent in Xen      inside Dom0
"""

import collections
import contextlib
import math
import random
import socket
import subprocess

import classifier
import guests
import images
import lab
import wire
from watching import Proxy

CLIENT = lab.BUILD / "tests" / "bench" / "leak-client"
RELAY = lab.BUILD / "tests" / "bench" / "guest" / "leak-relay"
RELAY_PORT, CONTROL_PORT = 7103, 7104  # in Dom0

Exchange = collections.namedtuple("Exchange", "connection kind up answer_kind down at_ns took_ns")


class Relay:
    """A running leak-relay."""

    def __init__(self, port, control_port):
        self.port = port
        self.control_port = control_port

    @property
    def connect(self):
        return f"tcp:127.0.0.1:{self.port}"

    def control(self, line):
        with socket.create_connection(("127.0.0.1", self.control_port), 60) as peer:
            peer.settimeout(600)
            peer.sendall(line.encode() + b"\n")
            data = b""
            while chunk := peer.recv(1 << 16):
                data += chunk
        return data.decode()

    def log(self):
        """What passed since the last call."""
        return [Exchange(*map(int, line.split())) for line in self.control("log").splitlines()]

    def slow(self, ns=0, bits=()):
        """From now on every REQUEST with a true bit takes so much longer."""
        self.control(f"slow {ns} {''.join('01'[bool(bit)] for bit in bits)}" if ns else "slow")


@contextlib.contextmanager
def over_image():
    """(relay, an address without it)"""
    proxy = Proxy("leak", images.image(images.VARIANTS[0])).start()
    ports = guests.free_port(), guests.free_port()
    process = subprocess.Popen([RELAY, *map(str, ports), str(proxy.port)])
    try:
        assert wire.wait_for_agent(("127.0.0.1", ports[0]), 60), "leak-relay does not answer"
        yield Relay(*ports), proxy.address
    finally:
        process.kill()
        process.wait()
        proxy.stop()


@contextlib.contextmanager
def in_dom0(pvh):
    out = guests.CACHE / "initramfs" / "leak.gz"
    lab.last_line("make-dom0", lab.BUILD, "-o", out, "--program", RELAY)
    with lab.start_dom0(f"leak-{'pvh' if pvh else 'pv'}", pvh=pvh, initramfs=out, life_s=5400,
                        more_ports=[RELAY_PORT, CONTROL_PORT]) as guest:
        guest.shell(f"leak-relay {RELAY_PORT} {CONTROL_PORT} </dev/null >/dev/console 2>&1 &")
        ports = guest.ports
        guest.wait_for("answer from leak-relay",
                       lambda: wire.challenge_of(("127.0.0.1", ports[RELAY_PORT]), 2))
        yield Relay(ports[RELAY_PORT], ports[CONTROL_PORT]), ("127.0.0.1", ports[guests.PROXY_PORT])
        guest.check_alive()


def client(mode, port, *words, schedule):
    done = subprocess.run([CLIENT, mode, str(port), lab.keys()[1], *map(str, words)],
                          input="".join(f"{line}\n" for line in schedule), text=True,
                          capture_output=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def shuffled(classes, count, seed=1):
    """`count` labels of each class, in random order."""
    labels = [label for label in classes for _ in range(count)]
    random.Random(seed).shuffle(labels)
    return labels


# ---- Single exchanges

ROW = ("request's size", "answer's size", "answer's time", "pause before", "pause after")


def seconds(ns):
    """Times spread over orders of magnitude."""
    return math.log(max(ns, 0) + 1000)


def rows_of(exchanges):
    """What shows of each: ROW."""
    rows = []
    for i, each in enumerate(exchanges):
        end_ns = each.at_ns + each.took_ns
        before = each.at_ns - exchanges[i - 1].at_ns - exchanges[i - 1].took_ns if i else 0
        after = exchanges[i + 1].at_ns - end_ns if i + 1 < len(exchanges) else 0
        rows.append((each.up, each.down, seconds(each.took_ns), seconds(before), seconds(after)))
    return rows


def requests_of(exchanges):
    found = [each for each in exchanges if each.kind == wire.REQUEST]
    assert all(each.answer_kind == wire.RESPONSE for each in found), "a request without an answer"
    return found


class Places:
    """Addresses of the target to ask for, and its page table."""

    def __init__(self, address):
        ids = lab.Sevmon(f"tcp:127.0.0.1:{address[1]}", lab.keys()[1], lab.profiles())
        found = ids.result("translate", "linux_banner")
        self.root = found["root_frame"].removeprefix("0x")
        self.data = int(found["address"], 16) & ~0xfff
        self.text = int(ids.result("translate", "_stext")["address"], 16) + 0x10000
        # In the range of the kernel's image, where nothing is loaded: below the same upper tables.
        start = self.text & ~0x3fffffff
        free = next(at for at in range(start + 0x3c000000, start, -0x4000000)
                    if "not mapped" in ids("read", hex(at), 16).err)
        self.absent = free, free + 0x100000


def reads(relay, places, classes, count, slow_ns=0, slow=None):
    """(rows, labels): `count` exchanges of each class, which is (pages, address). Those of the class
    `slow` take `slow_ns` longer."""
    labels = shuffled(classes, count)
    relay.log()
    relay.slow(slow_ns, [label == slow for label in labels])
    there = client("plain", relay.port, places.root,
                   schedule=["%d %x" % classes[label] for label in labels])
    relay.slow()
    for label in classes:
        # An image can lack a page among fifteen; that all are absent is what matters.
        answers = {int(line) for line, of in zip(there, labels) if of == label}
        assert len(answers) == 1 and (answers == {0}) == (classes[label][1] in places.absent), answers
    # The last request is the one that closes.
    return rows_of(requests_of(relay.log()))[:len(labels)], labels


# ---- Commands

RUN = ("frames up", "bytes up", "bytes down", "longest answer", "median answer", "all answers",
       "whole time", "waits")
COMMANDS = (("os-version",), ("--development", "status"), ("ps",), ("vcpu",),
            ("read", "linux_banner", "64"), ("translate", "_stext"),
            ("read", "_stext", "1M", "-o", "/dev/null"), ("check", "translation"))


def run_row(exchanges):
    """What shows of a whole run: RUN."""
    times = [each.took_ns for each in exchanges]
    whole_ns = exchanges[-1].at_ns - exchanges[0].at_ns
    gaps = [b.at_ns - a.at_ns - a.took_ns for a, b in zip(exchanges, exchanges[1:])]
    waits = sum(gap > 4 * classifier.quantile(gaps, 0.25) for gap in gaps)
    return (len(exchanges), sum(each.up for each in exchanges), sum(each.down for each in exchanges),
            seconds(max(times)), seconds(classifier.quantile(times, 0.5)), seconds(sum(times)),
            seconds(whole_ns), waits)


def commands(relay, count, kinds=COMMANDS):
    """(rows, labels): whole runs of sevmon."""
    ids = lab.Sevmon(relay.connect, lab.keys()[1], lab.profiles())
    labels = shuffled(kinds, count, seed=2)
    rows = []
    for words in labels:
        relay.log()
        outcome = ids(*words)
        assert outcome.code == 0 or "torn" in outcome.err, outcome
        rows.append(run_row(relay.log()))
    return rows, labels


# ---- Within a watch

class Watched:
    """A watch's slots: what the relay saw of each, and what was in it."""

    def __init__(self, relay, kinds, episodes, slots, interval_ms):
        self.labels = shuffled(kinds, episodes, seed=3)
        relay.log()
        said = client("watch", relay.port, lab.profile("6.1"), interval_ms, slots,
                      schedule=[kinds[label] for label in self.labels])
        exchanges = requests_of(relay.log())
        assert len(exchanges) == len(said), f"{len(exchanges)} exchanges, {len(said)} requests"
        self.sizes = {(each.up, each.down) for each in exchanges}
        self.slots = [(int(line.split()[0]), line.split()[1], row)
                      for line, row in zip(said, rows_of(exchanges))]

    def slot_rows(self, kinds):
        """(rows, labels, groups): is it a heartbeat, or what an analysis of these asked? As many of
        both. (An analysis over and over again leaves no slot to a heartbeat: those are from the
        episodes between.)"""
        found = [(row, kind, episode) for episode, kind, row in self.slots
                 if episode >= 0 and (kind == "h" or self.labels[episode] in kinds)]
        return balanced(*map(list, zip(*found)))

    def window_rows(self, kinds, size):
        """(rows, labels, groups): which analysis runs in all of these `size` slots?"""
        rows, labels, groups = [], [], []
        for episode, label in enumerate(self.labels):
            mine = [row for of, _, row in self.slots if of == episode]
            if label not in kinds:
                continue
            for start in range(0, len(mine) - size + 1, size):
                rows.append(classifier.summary(mine[start:start + size]))
                labels.append(label)
                groups.append(episode)
        return balanced(rows, labels, groups)


def balanced(rows, labels, groups):
    """As many rows of each label, in random order."""
    chooser = random.Random(5)
    order = list(range(len(rows)))
    chooser.shuffle(order)
    least = min(collections.Counter(labels).values())
    left = dict.fromkeys(labels, least)
    kept = []
    for i in order:
        if left[labels[i]]:
            left[labels[i]] -= 1
            kept.append(i)
    return [rows[i] for i in kept], [labels[i] for i in kept], [groups[i] for i in kept]


def whole_watches(relay, kinds, runs, slots, window, interval_ms):
    """(rows, labels, groups): windows of watches of which each, from its start, had one analysis."""
    rows, labels, groups = [], [], []
    for run, label in enumerate(shuffled(kinds, runs, seed=6)):
        watched = Watched(relay, {label: kinds[label]}, 1, slots, interval_ms)
        more, _, _ = watched.window_rows([label], window)
        rows += more
        labels += [label] * len(more)
        groups += [run] * len(more)
    return balanced(rows, labels, groups)


# ---- What is in clear

def in_clear(address, places, classes, count):
    """For each class all that a relay reads of `count` exchanges: which way, the frame's size, the
    envelope and the header. Without the session's number, which the agent draws; tags as from 0."""
    found = {}
    for label, (pages, place) in classes.items():
        with wire.Relay(address) as relay:
            client("plain", relay.port, places.root, schedule=["%d %x" % (pages, place)] * count)
            with relay.lock:
                units = [(way, unit) for way, unit in relay.units
                         if unit[16:17] in (bytes([wire.REQUEST]), bytes([wire.RESPONSE]))]
        # Behind them only the goodbye.
        assert 2 * count < len(units) <= 2 * count + 2, len(units)
        first_tag = wire.ENVELOPE.unpack(units[0][1][:16])[1]
        found[label] = [(way, len(unit), envelope[0], envelope[1] - first_tag, *envelope[2:],
                         unit[16:20], unit[24:32])
                        for way, unit in units[:2 * count]
                        for envelope in [wire.ENVELOPE.unpack(unit[:16])]]
    return found


def check_in_clear(test, address, count):
    """Nothing in clear says how many pages are read, which, and whether they are there."""
    places = Places(address)
    found = in_clear(address, places, {
        "present": (15, places.text), "absent": (15, places.absent[0]), "one": (1, places.text),
        "one absent": (1, places.absent[0]), "elsewhere": (1, places.data)}, count)
    for label, seen in found.items():
        test.assertEqual(len(seen), 2 * count)
        test.assertEqual(seen, found["present"], label)
