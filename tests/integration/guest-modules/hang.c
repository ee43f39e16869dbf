// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel that hangs: the CPU that loads this module takes no interrupt and never ends.
 */
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/processor.h>

static int __init hang_init(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
	return 0;
}

module_init(hang_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("For SEVmonitor's tests: hangs the CPU");
