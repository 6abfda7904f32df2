/* SPDX-License-Identifier: BSD-3-Clause */
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "end.h"
#include "sysfile.h"

void mount_all(void)
{
	static const struct {
		const char *type, *where;
	} fs[] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}};

	for (size_t i = 0; i < sizeof(fs) / sizeof(*fs); i++) {
		mkdir(fs[i].where, 0755);
		/* EBUSY: already mounted, as the kernel does with /dev under devtmpfs.mount=1 */
		if (mount(fs[i].type, fs[i].where, fs[i].type, 0, NULL) != 0 && errno != EBUSY)
			die("cannot mount %s on %s: %s", fs[i].type, fs[i].where, strerror(errno));
	}
}

void loopback_up(void)
{
	struct ifreq req = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) != 0)
		die("cannot read the flags of lo: %s", strerror(errno));
	req.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &req) != 0)
		die("cannot set lo up: %s", strerror(errno));
	close(fd);
}

void load_modules(const char *list)
{
	FILE *f = fopen(list, "re");
	char path[256];
	if (f == NULL)
		die("cannot read %s: %s", list, strerror(errno));
	while (fgets(path, sizeof(path), f) != NULL) {
		path[strcspn(path, "\n")] = '\0';
		if (path[0] == '\0')
			continue;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die("cannot open the module %s: %s", path, strerror(errno));
		if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
			die("cannot load the module %s: %s", path, strerror(errno));
		close(fd);
	}
	fclose(f);
}

long check_hugepages(long *page_bytes)
{
	char cmdline[4096], text[32];
	long asked = 0, there = 0;
	if (!read_text("/proc/cmdline", cmdline, sizeof(cmdline)))
		die("cannot read /proc/cmdline: %s", strerror(errno));
	for (char *save = NULL, *word = strtok_r(cmdline, " ", &save); word; word = strtok_r(NULL, " ", &save))
		if (strncmp(word, "hugepages=", 10) == 0)
			asked += strtol(word + 10, NULL, 10);

	*page_bytes = 0;
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		char path[400];
		long kib = 0;
		if (sscanf(e->d_name, "hugepages-%ldkB", &kib) != 1)
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/nr_hugepages", e->d_name);
		long count = read_text(path, text, sizeof(text)) ? strtol(text, NULL, 10) : 0;
		there += count;
		if (count > 0)
			*page_bytes = kib * 1024;
	}
	if (dir != NULL)
		closedir(dir);
	if (there < asked)
		die("%ld of the %ld hugepages asked for: give the guest more memory, or ask for fewer", there, asked);
	return there;
}
