# SPDX-License-Identifier: GPL-2.0-only
# How Xen builds the agent core: scripts/build-xen installs this in its folder, as Makefile.

include $(srcdir)/objects.mk

obj-y += $(sevmon-agent-y) $(sevmon-bpf-y) $(sevmon-linux-y)

CFLAGS-y += -I$(srctree)/arch/x86/sevmon/include -I$(srcdir)/linux -I$(srcdir) -fstack-usage
