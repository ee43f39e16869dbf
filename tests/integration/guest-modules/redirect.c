// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attack that "sevmon check translation" is for: a kernel address that leads elsewhere.
 *
 *   insmod redirect.ko pid=N address=0xA   process N's page table only, by tables of its own from the
 *                                          top level down to a copy of A's page
 *   insmod redirect.ko address=0xA         every page table, by the shared lowest-level entry (4 KiB
 *                                          mappings only)
 *   insmod redirect.ko pid=N address=0xA copy_only=1   tables of its own that say the same
 *   rmmod redirect                         as it was; what was allocated stays so
 *
 * The copy has the same bytes: what runs goes on undisturbed. Works under PV too, where every table
 * must be announced to Xen before it is linked in.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>

static int pid;
module_param(pid, int, 0);
static unsigned long address;
module_param(address, ulong, 0);
static bool copy_only;
module_param(copy_only, bool, 0);

static struct mm_struct *mm;
static p4d_t *p4d_slot, p4d_before;
static pte_t *pte_slot, pte_before;

static void *new_page(const void *from)
{
	void *page = (void *)__get_free_page(GFP_KERNEL | __GFP_ZERO);

	if (page && from)
		memcpy(page, from, PAGE_SIZE);
	return page;
}

static void *page_of(unsigned long at)
{
	return (void *)(at & PAGE_MASK);
}

/* A table of 4 KiB entries that says what a 2 MiB entry says. */
static pte_t *split(pmd_t pmd)
{
	pte_t *table = new_page(NULL);
	int i;

	for (i = 0; table && i < PTRS_PER_PTE; i++)
		table[i] = pfn_pte(pmd_pfn(pmd) + i, PAGE_KERNEL_EXEC);
	return table;
}

static int redirect_process(void)
{
	struct pid *id = find_get_pid(pid);
	struct task_struct *task = id ? get_pid_task(id, PIDTYPE_PID) : NULL;
	p4d_t *p4d;
	pud_t *pud, *new_pud;
	pmd_t *pmd, *new_pmd;
	pte_t *new_pte;
	void *copy = new_page(page_of(address));

	put_pid(id);
	mm = task ? get_task_mm(task) : NULL;
	if (task)
		put_task_struct(task);
	if (!mm || !copy)
		return -ESRCH;
	p4d = p4d_offset(pgd_offset(mm, address), address);
	pud = pud_offset(p4d, address);
	pmd = pmd_offset(pud, address);
	new_pud = new_page(page_of((unsigned long)pud));
	new_pmd = new_page(page_of((unsigned long)pmd));
	if (pmd_large(*pmd))
		new_pte = split(*pmd);
	else
		new_pte = new_page(page_of((unsigned long)pte_offset_kernel(pmd, address)));
	if (!new_pud || !new_pmd || !new_pte)
		return -ENOMEM;

	if (!copy_only)
		new_pte[pte_index(address)] = pfn_pte(__pa(copy) >> PAGE_SHIFT, PAGE_KERNEL_ROX);
	new_pmd[pmd_index(address)] = __pmd(__pa(new_pte) | _KERNPG_TABLE);
	new_pud[pud_index(address)] = __pud(__pa(new_pmd) | _KERNPG_TABLE);
	paravirt_alloc_pte(mm, __pa(new_pte) >> PAGE_SHIFT);
	paravirt_alloc_pmd(mm, __pa(new_pmd) >> PAGE_SHIFT);
	paravirt_alloc_pud(mm, __pa(new_pud) >> PAGE_SHIFT);
	p4d_slot = p4d;
	p4d_before = *p4d;
	set_p4d(p4d, __p4d(__pa(new_pud) | _KERNPG_TABLE));
	return 0;
}

static int redirect_all(void)
{
	void *copy = new_page(page_of(address));
	unsigned int level;

	pte_slot = lookup_address(address, &level);
	if (!copy || !pte_slot || level != PG_LEVEL_4K)
		return -EINVAL;
	pte_before = *pte_slot;
	set_pte(pte_slot, pfn_pte(__pa(copy) >> PAGE_SHIFT, pte_pgprot(pte_before)));
	return 0;
}

static int __init redirect_init(void)
{
	return pid ? redirect_process() : redirect_all();
}

static void __exit redirect_exit(void)
{
	if (p4d_slot)
		set_p4d(p4d_slot, p4d_before);
	if (pte_slot)
		set_pte(pte_slot, pte_before);
	if (mm)
		mmput(mm);
}

module_init(redirect_init);
module_exit(redirect_exit);
MODULE_DESCRIPTION("Test of SEVmonitor: a kernel address that leads elsewhere");
MODULE_LICENSE("GPL");
