// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module that hides itself, as rootkits do.
 *
 *   insmod ghost.ko
 *   echo N > /sys/module/ghost/parameters/hidden    1: from the list of modules, 2: from the objects
 *                                                   of /sys/module, 3: from both, 0: from none
 *   rmmod ghost                                     when it is hidden from none
 *
 * For a guest with one CPU: where nothing else can walk the lists meanwhile, no lock of the kernel's
 * is needed (and none is exported). The file above stays: only the ring of objects is changed.
 */
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/rculist.h>

#define FROM_LIST 1u
#define FROM_SYSFS 2u

static unsigned int hidden;
static struct list_head *before; /* this module, in the list: the newest one's is its head */

static void hide_from_list(bool hide)
{
	if (hide) {
		before = THIS_MODULE->list.prev;
		list_del_rcu(&THIS_MODULE->list);
	} else {
		list_add_rcu(&THIS_MODULE->list, before);
	}
}

static void hide_from_sysfs(bool hide)
{
	struct kobject *object = &THIS_MODULE->mkobj.kobj;

	if (hide)
		list_del_init(&object->entry);
	else
		list_add_tail(&object->entry, &object->kset->list);
}

static int set_hidden(const char *text, const struct kernel_param *param)
{
	unsigned int wanted, changed;
	int rc = kstrtouint(text, 0, &wanted);

	if (rc)
		return rc;
	if (THIS_MODULE->state != MODULE_STATE_LIVE)
		return -EBUSY;
	changed = wanted ^ hidden;
	preempt_disable();
	if (changed & FROM_LIST)
		hide_from_list(wanted & FROM_LIST);
	if (changed & FROM_SYSFS)
		hide_from_sysfs(wanted & FROM_SYSFS);
	preempt_enable();
	hidden = wanted;
	return 0;
}

static const struct kernel_param_ops hidden_ops = {
	.set = set_hidden,
	.get = param_get_uint,
};

module_param_cb(hidden, &hidden_ops, &hidden, 0600);

static int __init ghost_init(void)
{
	return 0;
}

static void __exit ghost_exit(void)
{
}

module_init(ghost_init);
module_exit(ghost_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test: a module that hides");
