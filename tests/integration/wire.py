# SPDX-License-Identifier: Apache-2.0
"""The relay's TCP stream as docs/protocol.md section 7 has it: a readiness probe, and a relay of
our own that records and tampers.

    sevmon ──► Relay (this file) ──► dom0-proxy ──► agent

As a program it records, for scripts/demo:

    wire.py wait HOST:PORT [SECONDS]     until an agent answers a HELLO
    wire.py record HOST:PORT FILE        prints its own port, then relays and records until killed
"""

import os
import socket
import struct
import sys
import threading
import time

ENVELOPE = struct.Struct("<IIiI")  # size, tag, status, reserved
HANDSHAKE_BYTES = 144
HELLO, CHALLENGE, INITIATE, ACCEPT, REQUEST, RESPONSE = range(1, 7)
REQUEST_BYTES = 1020
RESPONSE_BYTES = (4668, 16956, 62012)  # by size class


def request_number(header_tail):
    """(session, n) of a REQUEST's or RESPONSE's header, from its byte 4 on."""
    return struct.unpack("<IQ", header_tail)


def parse_address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def receive_exactly(peer, count):
    data = b""
    while len(data) < count:
        chunk = peer.recv(count - len(data))
        if not chunk:
            raise ConnectionError(f"closed after {len(data)} of {count} bytes")
        data += chunk
    return data


def receive_unit(peer):
    """One envelope and its frame, as bytes."""
    envelope = receive_exactly(peer, ENVELOPE.size)
    size = ENVELOPE.unpack(envelope)[0]
    if size > RESPONSE_BYTES[-1]:
        raise ConnectionError(f"an envelope of {size} bytes")
    return envelope + receive_exactly(peer, size)


def hello(ids_id):
    """A HELLO, in its envelope."""
    frame = struct.pack("<BBBBIQ", HELLO, 1, 0, 0, 0, 0) + ids_id
    frame = frame.ljust(HANDSHAKE_BYTES, b"\0")
    return ENVELOPE.pack(len(frame), 1, 0, 0) + frame


def challenge_of(address, timeout_s, ids_id=b"\xff" * 16):
    """Say HELLO (the agent answers ids that it does not know, too). The CHALLENGE's frame, or None
    when there is no agent behind the port yet."""
    try:
        with socket.create_connection(address, timeout_s) as peer:
            peer.settimeout(timeout_s)
            peer.sendall(hello(ids_id))
            frame = receive_unit(peer)[ENVELOPE.size:]
    except OSError:
        return None
    return frame if len(frame) == HANDSHAKE_BYTES and frame[0] == CHALLENGE else None


def wait_for_agent(address, patience_s):
    """True as soon as an agent answers a HELLO. A connect() that succeeds means nothing: QEMU's
    user network accepts for a guest that does not listen yet."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if challenge_of(address, 2):
            return True
        time.sleep(0.2)
    return False


class Relay:
    """Relays units between clients and `upstream`, recording every one that it *receives*.

    `tamper(direction, unit)` returns the list of units to send on instead, possibly none;
    direction is "up" (towards the agent) or "down". It may return None to cut the connection.
    """

    def __init__(self, upstream, tamper=None, record_path=None):
        self.upstream = upstream
        self.tamper = tamper
        self.units = []  # (direction, unit)
        self.lock = threading.Lock()
        self.record = open(record_path, "wb", buffering=0) if record_path else None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        if self.record:
            self.record.close()

    @property
    def connect(self):
        """For sevmon --connect."""
        return f"tcp:127.0.0.1:{self.port}"

    def frames(self, direction, kind=None):
        """Frames seen in a direction, without envelopes and notices."""
        with self.lock:
            frames = [unit[ENVELOPE.size:] for way, unit in self.units if way == direction]
        return [f for f in frames if f and (kind is None or f[0] == kind)]

    def bytes_seen(self):
        with self.lock:
            return b"".join(unit for _, unit in self.units)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.upstream, 10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for way, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pump, args=(way, source, sink), daemon=True).start()

    def _pump(self, way, source, sink):
        try:
            while True:
                unit = receive_unit(source)
                with self.lock:
                    self.units.append((way, unit))
                    if self.record:
                        self.record.write(unit)
                    out = self.tamper(way, unit) if self.tamper else [unit]
                if out is None:
                    break
                for each in out:
                    sink.sendall(each)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def main(arguments):
    if arguments[:1] == ["wait"]:
        patience_s = float(arguments[2]) if len(arguments) > 2 else 300
        return 0 if wait_for_agent(parse_address(arguments[1]), patience_s) else 1
    if arguments[:1] == ["record"] and len(arguments) == 3:
        relay = Relay(parse_address(arguments[1]), record_path=arguments[2])
        print(relay.port, flush=True)
        parent = os.getppid()
        while os.getppid() == parent:  # ends with whoever started it
            time.sleep(0.5)
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
