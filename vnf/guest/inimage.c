/* SPDX-License-Identifier: BSD-3-Clause */
#include "inimage.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "end.h"
#include "nics.h"
#include "sysfile.h"

#define MODPROBE "/sbin/modprobe"
#define NOIOMMU "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

/* modprobe(8) of the system; true if the module is there, or built in. */
static bool load(const char *module)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		execl(MODPROBE, MODPROBE, module, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The first that this system has, in the order of DPDK's advice for guests without an IOMMU (DPDK Guides, linux_gsg,
 * linux_drivers.rst). igb_uio is no part of Linux: somebody has built it. */
static const char *load_driver(void)
{
	if (load("uio_pci_generic"))
		return "uio_pci_generic";
	if (load("vfio-pci") && write_text(NOIOMMU, "1"))
		return "vfio-pci";
	if (load("igb_uio"))
		return "igb_uio";
	die("this system has none of the kernel modules uio_pci_generic, vfio-pci (without an IOMMU) and igb_uio: "
	    "put one into the image");
}

static void reserve(long hugepages)
{
	char text[32];
	snprintf(text, sizeof(text), "%ld", hugepages);
	if (!write_text("/proc/sys/vm/nr_hugepages", text))
		die("cannot reserve hugepages: %s", strerror(errno));
	if (!read_text("/proc/sys/vm/nr_hugepages", text, sizeof(text)) || strtol(text, NULL, 10) < hugepages)
		die("%s of the %ld hugepages asked for: give the guest more memory", text, hugepages);
}

/* Our folder becomes the root of this process alone. */
static void change_root(void)
{
	static const char *const shared[] = {"dev", "proc", "sys"};
	char folder[PATH_MAX], inner[PATH_MAX + 8], outer[16];
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	if (n <= 0)
		die("cannot read /proc/self/exe: %s", strerror(errno));
	folder[n] = '\0';
	*strrchr(folder, '/') = '\0';
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		die("cannot make a mount namespace: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++) {
		snprintf(outer, sizeof(outer), "/%s", shared[i]);
		snprintf(inner, sizeof(inner), "%s/%s", folder, shared[i]);
		mkdir(inner, 0755);
		if (mount(outer, inner, NULL, MS_BIND | MS_REC, NULL) != 0)
			die("cannot mount %s on %s: %s", outer, inner, strerror(errno));
	}
	if (chroot(folder) != 0 || chdir("/") != 0)
		die("cannot make %s the root: %s", folder, strerror(errno));
}

json_t *move_in(long hugepages, char *const macs[], const char **driver)
{
	size_t i;
	json_t *nic;

	load("virtio_console");    /* may be built in: open_port() finds out */
	*driver = load_driver();
	json_t *nics = find_nics_of(macs);
	json_array_foreach(nics, i, nic) {
		claim_nic(json_string_value(nic), *driver);
		bind_nic(json_string_value(nic), *driver);
	}
	reserve(hugepages);
	change_root();
	return nics;
}
