# SPDX-License-Identifier: GPL-2.0-only OR MIT
# The agent core's objects: the one list, for Xen's Kbuild, which includes this file, and for meson,
# which reads it. Headers of linux/ stand in for the kernel's (-I); the two files at the end are the
# kernel's own (scripts/fetch-linux-crypto).
sevmon-agent-y := agent.o
sevmon-agent-y += check.o
sevmon-agent-y += demand.o
sevmon-agent-y += dh.o
sevmon-agent-y += gcm.o
sevmon-agent-y += handshake.o
sevmon-agent-y += hash.o
sevmon-agent-y += helpers.o
sevmon-agent-y += keyfile.o
sevmon-agent-y += lane.o
sevmon-agent-y += noise.o
sevmon-agent-y += program.o
sevmon-agent-y += request.o
sevmon-agent-y += ring.o
sevmon-agent-y += run.o
sevmon-agent-y += secret.o
sevmon-agent-y += selftest.o
sevmon-agent-y += session.o
sevmon-agent-y += standing.o
sevmon-agent-y += transport.o
sevmon-agent-y += walk.o
sevmon-agent-y += xaes.o

sevmon-linux-y := aes-gcm-aesni-x86_64.o
sevmon-linux-y += curve25519-hacl64.o

# The interpreter and the verifier of programs, which need nothing else of the core.
sevmon-bpf-y := bpf-run.o
sevmon-bpf-y += bpf-verify.o
