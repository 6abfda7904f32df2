/* SPDX-License-Identifier: BSD-3-Clause */
#include "nics.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "end.h"
#include "sysfile.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define NIC_DRIVER "uio_pci_generic"

static bool is_virtio_net(const char *address)
{
	char path[300], vendor[16], device[16];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/vendor", address);
	if (!read_text(path, vendor, sizeof(vendor)))
		return false;
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/device", address);
	if (!read_text(path, device, sizeof(device)))
		return false;
	/* virtio 1.1, 4.1.2: transitional 0x1000, modern 0x1040 + device type 1 */
	return strcmp(vendor, "0x1af4") == 0 && (strcmp(device, "0x1000") == 0 || strcmp(device, "0x1041") == 0);
}

json_t *find_nics(void)
{
	struct dirent **entries = NULL;
	json_t *nics = json_array();
	int n = scandir(PCI_DEVICES, &entries, NULL, alphasort);    /* fixed width: text order is address order */
	for (int i = 0; i < n; i++) {
		if (is_virtio_net(entries[i]->d_name))
			json_array_append_new(nics, json_string(entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	return nics;
}

void claim_nic(const char *address)
{
	char path[300];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver_override", address);
	if (!write_text(path, NIC_DRIVER))
		die("cannot write %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver/unbind", address);
	if (!write_text(path, address) && errno != ENOENT)    /* ENOENT: bound to nothing, as it should be */
		die("cannot write %s: %s", path, strerror(errno));
}

void check_nic(const char *address)
{
	char path[300], driver[256];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver", address);
	ssize_t n = readlink(path, driver, sizeof(driver) - 1);
	if (n < 0)
		die("NIC %s is not bound to " NIC_DRIVER " (has it an INTx interrupt?)", address);
	driver[n] = '\0';
	const char *name = strrchr(driver, '/');
	if (strcmp(name ? name + 1 : driver, NIC_DRIVER) != 0)
		die("NIC %s is bound to %s, not to " NIC_DRIVER, address, driver);
}
