/* SPDX-License-Identifier: BSD-3-Clause */
#include "xdpforward.h"

#include <elf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INSTRUCTIONS_MAX 512
#define LICENCE "Dual BSD/GPL"    /* that of xdp_forward.bpf.c */

const char *const xdp_forward_drop_names[XDP_FORWARD_DROPS] = {
	[XDP_FORWARD_MALFORMED] = "malformed",
	[XDP_FORWARD_NOT_IP] = "not_ip",
	[XDP_FORWARD_TTL] = "ttl",
	[XDP_FORWARD_NO_ROUTE] = "no_route",
};

#ifndef XDP_FORWARD_OBJECT    /* CMakeLists.txt: no clang */

int xdp_forward_load(struct xdp_forward_port **ports)
{
	(void)ports;
	return -ENOSYS;
}

#else

__asm__(".section .rodata\n.balign 8\nxdp_forward_object: .incbin \"" XDP_FORWARD_OBJECT "\"\n.previous\n");
extern const char xdp_forward_object[];

/* Its section of this name; all of it comes from our own build. */
static const Elf64_Shdr *section(const char *name)
{
	const Elf64_Ehdr *head = (const void *)xdp_forward_object;
	const Elf64_Shdr *all = (const void *)(xdp_forward_object + head->e_shoff);
	const char *names = xdp_forward_object + all[head->e_shstrndx].sh_offset;
	for (int i = 0; i < head->e_shnum; i++)
		if (strcmp(names + all[i].sh_name, name) == 0)
			return &all[i];
	return NULL;
}

static int bpf(int command, union bpf_attr *attr)
{
	long result = syscall(SYS_bpf, command, attr, sizeof(*attr));
	return result < 0 ? -errno : (int)result;
}

/* The program's data: an array of one element, which is all of it, and which the program and we have in our memory. */
static int make_data(struct xdp_forward_port **ports)
{
	const size_t size = XDP_FORWARD_PORTS * sizeof(**ports);
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(uint32_t);
	attr.value_size = (uint32_t)size;
	attr.max_entries = 1;
	attr.map_flags = BPF_F_MMAPABLE;
	int map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		return map;
	*ports = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	return *ports != MAP_FAILED ? map : -errno;
}

/* Every relocation is of a 64-bit load of an address in the data: the first half has the file descriptor of the map
 * then, the second the place in it (linux/bpf.h, BPF_PSEUDO_MAP_VALUE). */
static void relocate(struct bpf_insn *code, int map)
{
	const Elf64_Shdr *list = section(".relxdp");
	const Elf64_Rel *all = (const void *)(xdp_forward_object + list->sh_offset);
	for (size_t i = 0; i < list->sh_size / sizeof(*all); i++) {
		struct bpf_insn *load = &code[all[i].r_offset / sizeof(*code)];
		load[0].src_reg = BPF_PSEUDO_MAP_VALUE;
		load[1].imm = load[0].imm;
		load[0].imm = map;
	}
}

int xdp_forward_load(struct xdp_forward_port **ports)
{
	const Elf64_Shdr *text = section("xdp");
	struct bpf_insn code[INSTRUCTIONS_MAX];
	union bpf_attr attr;
	int map;

	if (text->sh_size > sizeof(code))
		return -E2BIG;
	if ((map = make_data(ports)) < 0)
		return map;
	memcpy(code, xdp_forward_object + text->sh_offset, text->sh_size);
	relocate(code, map);
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = (uint32_t)(text->sh_size / sizeof(*code));
	attr.license = (uintptr_t)LICENCE;
	return bpf(BPF_PROG_LOAD, &attr);
}

#endif
