// SPDX-License-Identifier: GPL-2.0-only
/*
 * An ivshmem-doorbell device's interrupt, taken by Dom0's kernel: its handler copies the first word of
 * the shared memory to the second, and does nothing else. For scripts/bench --doorbell.
 */
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>

#define MEMORY_BAR 2

static irqreturn_t rung(int irq, void *memory)
{
	u32 *words = memory;

	WRITE_ONCE(words[1], READ_ONCE(words[0]));
	return IRQ_HANDLED;
}

static int doorbell_probe(struct pci_dev *device, const struct pci_device_id *id)
{
	void *memory;
	int rc = pcim_enable_device(device);

	if (rc)
		return rc;
	/* Cacheable: it is memory. */
	memory = devm_memremap(&device->dev, pci_resource_start(device, MEMORY_BAR), PAGE_SIZE,
			       MEMREMAP_WB);
	if (IS_ERR(memory))
		return PTR_ERR(memory);
	pci_set_master(device);
	rc = pci_alloc_irq_vectors(device, 1, 1, PCI_IRQ_MSIX);
	if (rc < 0)
		return rc;
	return devm_request_irq(&device->dev, pci_irq_vector(device, 0), rung, 0, "doorbell", memory);
}

static const struct pci_device_id doorbell_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1110) },
	{ },
};

static struct pci_driver doorbell_driver = {
	.name = "doorbell",
	.id_table = doorbell_ids,
	.probe = doorbell_probe,
};
module_pci_driver(doorbell_driver);

MODULE_LICENSE("GPL");
