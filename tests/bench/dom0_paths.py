# SPDX-License-Identifier: Apache-2.0
"""Paths to the agent in the Xen under a real Dom0, and to echoes, in QEMU's software emulation:

    bench-reads ═══ file ═══ ivshmem ═══════════ agent
        ├───TCP──► dom0-proxy ──hypercall─────────┘
        ├───TCP──► tcp-echo                            no agent
        └════ file ═══ ivshmem ═══ lane-echo           no agent

Xen takes no more than four devices for itself. The fifth is Dom0's, and the echo's.
"""

import contextlib
import os
import tempfile
import time

import dom0
import lab

XEN_DEVICES = 4
LANES_BYTES = 4 << 20
# PCI's id of ivshmem; only a device that Dom0 may write to can be enabled.
FIND_ECHO = ("for d in /sys/bus/pci/devices/*; do "
             "[ $(cat $d/vendor)$(cat $d/device) = 0x1af40x1110 ] && last=$d; done; "
             "echo 1 >$last/enable; echo $last/resource2")


class Dom0Paths:
    def __init__(self, guest, file):
        self.guest = guest
        self.key, self.memory = lab.keys()[1], lab.profile("6.1")
        self.tcp, self.lane = f"tcp:{guest.ports[lab.PROXY_PORT]}", f"shm:{file}"
        self.tcp_echo = f"tcp-echo:{guest.ports[dom0.ECHO_PORT]}"

    def status(self):
        return lab.ids(self.guest).result("--development", "status")["agent"]

    def relay_ns(self):
        """CPU time of all threads of the proxy and its helper, hypercalls included."""
        text = self.guest.shell("cat /proc/$(pidof dom0-proxy)/task/*/schedstat "
                                "/proc/$(pidof dom0-proxy-helper)/task/*/schedstat").decode()
        return sum(int(line.split()[0]) for line in text.splitlines())


@contextlib.contextmanager
def background(guest, command):
    pid = guest.shell(f"{command} >/dev/null 2>&1 & echo $!").decode().strip()
    try:
        time.sleep(0.5)
        yield
    finally:
        guest.shell(f"kill {pid}")


@contextlib.contextmanager
def shared(name, size):
    handle, path = tempfile.mkstemp(prefix=f"sevmon-{name}-", dir="/dev/shm")
    os.truncate(handle, size)
    os.close(handle)
    try:
        yield path
    finally:
        os.unlink(path)


def xen_devices():
    """With the one that start_machine() makes, as many as Xen takes."""
    for i in range(1, XEN_DEVICES):
        yield from ("-object", f"memory-backend-ram,id=more{i},size=1M",
                    "-device", f"ivshmem-plain,memdev=more{i}")


def echo_device(file):
    return ["-object", f"memory-backend-file,id=echo,share=on,mem-path={file},size={LANES_BYTES}",
            "-device", "ivshmem-plain,memdev=echo"]


@contextlib.contextmanager
def boot(options, *, more=(), adds=()):
    """`more`: words for QEMU; `adds`: SOURCE=PATH for Dom0's initramfs."""
    with shared("xen", LANES_BYTES) as file:
        with dom0.boot(options, shm=file, options=more, adds=adds) as guest:
            yield Dom0Paths(guest, file)


@contextlib.contextmanager
def boot_with_echo(options):
    with shared("echo", LANES_BYTES) as file:
        with boot(options, more=[*xen_devices(), *echo_device(file)]) as paths:
            paths.lane_echo = f"shm-echo:{file}"
            device = paths.guest.shell(FIND_ECHO).decode().strip()
            with background(paths.guest, f"lane-echo {device}"):
                yield paths
