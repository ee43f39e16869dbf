// SPDX-License-Identifier: GPL-2.0-only
/*
 * Something in the kernel's memory that never stands still: a thread on CPU 1 counts for ever.
 *
 *   insmod spin.ko            its place is in /sys/module/spin/parameters/address
 *   rmmod spin
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

static u64 count;
static ulong address;
module_param(address, ulong, 0444);

static struct task_struct *thread;

static int spin(void *unused)
{
	while (!kthread_should_stop()) {
		int i;

		for (i = 0; i < 10000; i++)
			WRITE_ONCE(count, count + 1);
		cond_resched();
	}
	return 0;
}

static int __init spin_init(void)
{
	address = (ulong)&count;
	thread = kthread_create_on_cpu(spin, NULL, 1, "spin/%u");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	wake_up_process(thread);
	return 0;
}

static void __exit spin_exit(void)
{
	kthread_stop(thread);
}

module_init(spin_init);
module_exit(spin_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test: memory that changes all the time");
