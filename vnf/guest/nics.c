/* SPDX-License-Identifier: BSD-3-Clause */
#include "nics.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "end.h"
#include "sysfile.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

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

/* The first entry of a folder whose name begins so; false if there is none. */
static bool first_in(char *folder, size_t size, const char *prefix)
{
	DIR *dir = opendir(folder);
	bool found = false;
	for (struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;)
		if (e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
			size_t used = strlen(folder);
			snprintf(folder + used, size - used, "/%s", e->d_name);
			found = true;
		}
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* DEVICE/virtioN/net/NAME/address is there as long as the kernel's driver has the device. */
static bool has_mac(const char *address, const char *mac)
{
	char path[400], text[32];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s", address);
	if (!first_in(path, sizeof(path), "virtio") || !first_in(path, sizeof(path), "net") ||
	    !first_in(path, sizeof(path), ""))
		return false;
	strncat(path, "/address", sizeof(path) - strlen(path) - 1);
	return read_text(path, text, sizeof(text)) && strcasecmp(text, mac) == 0;
}

json_t *find_nics_of(char *const macs[])
{
	json_t *all = find_nics(), *nics = json_array(), *nic;
	size_t i;
	for (; *macs != NULL; macs++) {
		size_t before = json_array_size(nics);
		json_array_foreach(all, i, nic)
			if (has_mac(json_string_value(nic), *macs))
				json_array_append(nics, nic);
		if (json_array_size(nics) != before + 1)
			die("this system has no NIC with the address %s: does it know virtio_net?", *macs);
	}
	json_decref(all);
	return nics;
}

void claim_nic(const char *address, const char *driver)
{
	char path[300];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver_override", address);
	if (!write_text(path, driver))
		die("cannot write %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver/unbind", address);
	if (!write_text(path, address) && errno != ENOENT)    /* ENOENT: bound to nothing, as it should be */
		die("cannot write %s: %s", path, strerror(errno));
}

void bind_nic(const char *address, const char *driver)
{
	char path[300];
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
	if (!write_text(path, address))
		die("cannot bind NIC %s to %s: %s", address, driver, strerror(errno));
}

void check_nic(const char *address, const char *wanted)
{
	char path[300], driver[256];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver", address);
	ssize_t n = readlink(path, driver, sizeof(driver) - 1);
	if (n < 0)
		die("NIC %s is not bound to %s (has it an INTx interrupt?)", address, wanted);
	driver[n] = '\0';
	const char *name = strrchr(driver, '/');
	if (strcmp(name ? name + 1 : driver, wanted) != 0)
		die("NIC %s is bound to %s, not to %s", address, driver, wanted);
}
