/* SPDX-License-Identifier: BSD-3-Clause */
#include "steal.h"

#include <stdio.h>
#include <unistd.h>

uint64_t
steal_ns(void)
{
	const uint64_t tick_ns = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK);
	FILE *file = fopen("/proc/stat", "re");
	unsigned long long steal;
	uint64_t ticks = 0;
	char line[512];
	int cpu;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		/* cpuN user nice system idle iowait irq softirq steal */
		if (sscanf(line, "cpu%d %*u %*u %*u %*u %*u %*u %*u %llu", &cpu, &steal) == 2)
			ticks += steal;
	}
	if (file != NULL)
		fclose(file);
	return ticks * tick_ns;
}
