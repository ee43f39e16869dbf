# SPDX-License-Identifier: Apache-2.0
"""Strangers without a key who do to a dom0-proxy what they can, from as many addresses as they are
given. As a program, until it is ended:

    flood.py KIND HOST:PORT [SOURCE...]      KIND: one of the functions of KINDS below

Sources are addresses of this machine to come from: 127.0.1.1, …
"""

import os
import random
import socket
import struct
import sys
import threading

import wire

CONNECTIONS = 8  # of each source at once: what the proxy gives one


def connect(address, source, receive_bytes=None):
    peer = socket.socket()
    peer.settimeout(10)
    if receive_bytes:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    peer.bind((source, 0))
    peer.connect(address)
    return peer


def enveloped(frame, tag=1):
    return wire.ENVELOPE.pack(len(frame), tag, 0, 0) + frame


def initiate(noise):
    """An INITIATE for an id that exists or not: its tag is wrong."""
    return struct.pack("<BBBBIQ", wire.INITIATE, 1, 0, 0, 0, 0) + noise.randbytes(128)


def connections(address, source, _):
    """Comes and goes, saying nothing."""
    held = []
    while True:
        held.append(connect(address, source))
        if len(held) > 4 * CONNECTIONS:
            held.pop(0).close()


def garbage(address, source, noise):
    """Handshakes and requests that do not verify, and frames of no sort, as fast as they go."""
    while True:
        with connect(address, source) as peer:
            for _ in range(200):
                frames = [initiate(noise), wire.hello(noise.randbytes(16))[16:],
                          struct.pack("<BBBBIQ", wire.REQUEST, 1, 2, 0, noise.getrandbits(32),
                                      noise.getrandbits(10)) + noise.randbytes(1004),
                          noise.randbytes(noise.randrange(16, 1021))]
                peer.sendall(b"".join(enveloped(frame) for frame in frames))
                for _ in frames:
                    wire.receive_unit(peer)


def replays(address, source, _):
    """An INITIATE that was genuine once, from the file $FLOOD_INITIATE."""
    with open(os.environ["FLOOD_INITIATE"], "rb") as file:
        frame = file.read()
    while True:
        with connect(address, source) as peer:
            for _ in range(500):
                peer.sendall(4 * enveloped(frame))
                for _ in range(4):
                    wire.receive_unit(peer)


def half_open(address, source, noise):
    """Announces frames and does not send them to their end."""
    held = []
    while True:
        peer = connect(address, source)
        peer.sendall(enveloped(noise.randbytes(1020))[:noise.randrange(1, 1036)])
        held.append(peer)
        if len(held) > CONNECTIONS:
            held.pop(0).close()


def unread(address, source, noise):
    """Asks without end and reads nothing."""
    def one():
        while True:
            try:
                with connect(address, source, 2048) as peer:
                    while True:
                        peer.sendall(64 * wire.hello(noise.randbytes(16)))
            except OSError:
                pass

    for _ in range(CONNECTIONS - 1):
        threading.Thread(target=one, daemon=True).start()
    one()


KINDS = {kind.__name__: kind for kind in (connections, garbage, replays, half_open, unread)}


def flood(kind, address, source):
    """Until the process ends. Whatever the proxy does to a connection, another comes."""
    noise = random.Random(source)
    while True:
        try:
            KINDS[kind](address, source, noise)
        except (OSError, ConnectionError):
            continue


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in KINDS:
        print(__doc__, file=sys.stderr)
        return 2
    address = wire.parse_address(arguments[1])
    for source in arguments[2:] or ["127.0.1.1"]:
        threading.Thread(target=flood, args=(arguments[0], address, source), daemon=True).start()
    sys.stdin.read()  # until whoever started it closes the pipe, or ends
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
