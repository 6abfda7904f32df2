/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vswbench-init: PID 1 of the measurement guest.
 *
 * Purpose: bring a bare kernel to the state a DPDK program needs (kernel modules, virtio-net NICs bound to
 * uio_pci_generic, hugepages counted), then start programs on request of the host. Host and guest talk through one
 * virtio-serial port named "vswbench.control": one JSON object a line, both ways.
 *
 *   guest -> host  {"event":"booted","kernel":"6.1.0","nics":["0000:00:04.0"],"hugepages_count":128,
 *                   "hugepage_bytes":2097152,"memory_bytes":...,"uptime_s":1.234}
 *   host -> guest  {"id":1,"cmd":"exec","argv":["vnf","-l","0"]}
 *   guest -> host  {"id":1,"ok":true,"pid":57}      from the next byte on the port belongs to that program:
 *                                                   its stdin and stdout are the port, its stderr is the console
 *   guest -> host  {"event":"exited","status":0}    or "signal":N; from here on init reads lines again
 *   host -> guest  {"id":2,"cmd":"poweroff"}        so does the host when it closes the port
 *
 * A request that cannot be done is answered {"id":..,"ok":false,"error":".."} and changes nothing.
 * Failure of the guest itself: one line "vswbench-init: ..." on the console, {"event":"failed","error":".."} on the
 * port if it is open, then power off. Should init die nevertheless the kernel panics: run with panic=-1 and
 * QEMU's -no-reboot, and QEMU exits.
 *
 * Units stand in the names; uptime_s counts from the start of the kernel (firmware not included).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#define PORT_NAME "vswbench.control"
#define PORT_WAIT_S 10      /* for the port's device node, then for the host to open its side: see await_host() */
#define HOST_WAIT_S 120
#define ARGV_MAX 256
#define LOOK_AGAIN_MS 100
#define LINE_BYTES 65536    /* longest request line */
#define PCI_DEVICES "/sys/bus/pci/devices"
#define NIC_DRIVER "uio_pci_generic"

static int port = -1;    /* the control port, once open */

/* ---- what is said, and the end ------------------------------------------------------------------------------ */

static void say(const char *text)
{
	dprintf(STDERR_FILENO, "vswbench-init: %s\n", text);
}

static void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static _Noreturn void power_off(void)
{
	/* The host side of virtio-serial takes written data some time after write() returns (virtio_console.c,
	 * port_fops_write asks not to wait), so the last line needs a moment or it may be lost. */
	pause_ms(50);
	sync();
	/* Without ACPI a power off is a halt, and QEMU would stay; a reboot under -no-reboot ends it (reboot(2)). */
	reboot(access("/sys/firmware/acpi", F_OK) == 0 ? RB_POWER_OFF : RB_AUTOBOOT);
	say("cannot power off");
	_exit(1);    /* PID 1 ends: the kernel panics */
}

/* Writes one object as one line. Takes the reference. False if the host is gone: the next read then says so too. */
static bool send_line(json_t *msg)
{
	char *text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	bool ok = text != NULL && port >= 0;
	if (ok) {
		size_t len = strlen(text), done = 0;
		text[len++] = '\n';    /* in the place of the terminating zero: one write, one line */
		while (done < len) {
			ssize_t n = write(port, text + done, len - done);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			done += (size_t)n;
		}
		ok = done == len;
	}
	free(text);
	json_decref(msg);
	return ok;
}

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	say(text);
	send_line(json_pack("{s:s, s:s}", "event", "failed", "error", text));
	power_off();
}

/* ---- small files of /proc and /sys -------------------------------------------------------------------------- */

/* Reads at most size-1 bytes and cuts the line end. False if the file cannot be read. */
static bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int saved = errno;
	close(fd);
	errno = saved;
	return ok;
}

/* ---- bring-up ----------------------------------------------------------------------------------------------- */

static void mount_all(void)
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

static void loopback_up(void)
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

/* One module path a line, in the order of loading. */
static void load_modules(const char *list)
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

/* The PCI addresses of all virtio-net devices, ascending. */
static json_t *find_nics(void)
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

/* Reserves a NIC for uio_pci_generic. To be called before virtio_pci is loaded, which would take it otherwise. */
static void claim_nic(const char *address)
{
	char path[300];
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver_override", address);
	if (!write_text(path, NIC_DRIVER))
		die("cannot write %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver/unbind", address);
	if (!write_text(path, address) && errno != ENOENT)    /* ENOENT: bound to nothing, as it should be */
		die("cannot write %s: %s", path, strerror(errno));
}

/* Loading the driver bound the claimed NICs: believe it only after looking. */
static void check_nic(const char *address)
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

/* Number of hugepages there are; fails if the command line asked for more (hugepages=N, maybe several times). */
static long check_hugepages(long *page_bytes)
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

/* ---- the control port --------------------------------------------------------------------------------------- */

/* Finds the port by its name. False if it is not there (yet). */
static bool find_port(char *device, size_t size)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	bool found = false;
	for (struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;) {
		char path[400], name[64];
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		if (e->d_name[0] != '.' && read_text(path, name, sizeof(name)) && strcmp(name, PORT_NAME) == 0) {
			snprintf(device, size, "/dev/%s", e->d_name);
			found = true;
		}
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static void open_port(void)
{
	char device[300];
	int tries = PORT_WAIT_S * 200;
	/* Ports appear some time after the module is loaded: their names come by messages from the host. */
	while (!find_port(device, sizeof(device))) {
		if (--tries == 0)
			die("no virtio-serial port named " PORT_NAME " (-device virtserialport,name=" PORT_NAME ")");
		pause_ms(5);
	}
	while ((port = open(device, O_RDWR | O_CLOEXEC)) < 0) {
		if (--tries <= 0 || errno != ENOENT)
			die("cannot open %s: %s", device, strerror(errno));
		pause_ms(5);
	}
}

/* Waits until the host has its side open: until then a read gives end of file, a write goes nowhere and poll() says
 * POLLHUP at once (virtio_console.c, port_fops_*), so there is nothing to sleep on but time. */
static void await_host(void)
{
	for (int tries = HOST_WAIT_S * 100; tries > 0; tries--) {
		struct pollfd p = {.fd = port, .events = POLLOUT};
		if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLOUT)) == POLLOUT)
			return;
		pause_ms(10);
	}
	die("nobody opened the port within %d s", HOST_WAIT_S);
}

/* Waits for input. Under TCG with several virtual CPUs (QEMU 7.2) the port's interrupt gets lost now and then;
 * poll() looks at the queue itself, so look again. */
static void await_input(void)
{
	struct pollfd p = {.fd = port, .events = POLLIN};
	while (poll(&p, 1, LOOK_AGAIN_MS) == 0)
		;
}

/* Reads one line, a byte at a time: what follows an exec line belongs to the program started by it.
 * Returns its length, -1 at the end of input, -2 if it was longer than the buffer (it is then skipped). */
static ssize_t read_line(char *buf, size_t size)
{
	size_t len = 0;
	for (;;) {
		char c;
		await_input();
		ssize_t n = read(port, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		if (c == '\n')
			break;
		if (len < size)
			buf[len] = c;
		len++;
	}
	return len <= size ? (ssize_t)len : -2;
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static void refuse(json_t *id, const char *why)
{
	say(why);
	send_line(json_pack("{s:O, s:b, s:s}", "id", id, "ok", 0, "error", why));
}

/* In the child: waits for the word (end of file) that the reply is out, then becomes the program. */
static _Noreturn void become(const char *path, char **argv, int word)
{
	char *env[] = {"PATH=/bin", "HOME=/", NULL};
	char c;
	while (read(word, &c, 1) < 0 && errno == EINTR)
		;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (dup2(port, STDIN_FILENO) >= 0 && dup2(port, STDOUT_FILENO) >= 0)
		execve(path, argv, env);
	dprintf(STDERR_FILENO, "vswbench-init: cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

/* Waits for the end of `pid`, then ends and reaps what that program left behind: nothing of one program can disturb
 * the next, and there are no zombies. A host that closes the port ends the guest even if the program does not watch
 * its input. `signals` is a signalfd with SIGCHLD. */
static void await_exit(pid_t pid, int signals)
{
	int status = 0, other;
	bool ended = false;
	while (!ended) {
		struct pollfd p[2] = {{.fd = port, .events = 0}, {.fd = signals, .events = POLLIN}};
		struct signalfd_siginfo info;
		if (poll(p, 2, LOOK_AGAIN_MS) < 0 && errno != EINTR)
			die("cannot wait for the program: %s", strerror(errno));
		if ((p[1].revents & POLLIN) && read(signals, &info, sizeof(info)) < 0)
			die("cannot read signals: %s", strerror(errno));
		for (pid_t got; (got = waitpid(-1, &other, WNOHANG)) > 0;)
			if (got == pid) {
				ended = true;
				status = other;
			}
		if (!ended && (p[0].revents & POLLHUP)) {
			say("the host closed the port while a program runs: power off");
			pause_ms(200);    /* it may want to say good-bye on the console */
			power_off();
		}
	}
	kill(-1, SIGKILL);
	while (wait(&other) > 0)
		;
	if (WIFSIGNALED(status))
		send_line(json_pack("{s:s, s:i}", "event", "exited", "signal", WTERMSIG(status)));
	else
		send_line(json_pack("{s:s, s:i}", "event", "exited", "status", WEXITSTATUS(status)));
}

static void do_exec(json_t *id, json_t *request)
{
	json_t *args = json_object_get(request, "argv");
	size_t n = json_array_size(args);
	char path[512], text[640];
	int gate[2];
	sigset_t child;

	if (n == 0 || n > ARGV_MAX) {
		refuse(id, "exec needs argv, an array of 1 to 256 texts with the program first");
		return;
	}
	char *argv[ARGV_MAX + 1] = {NULL};
	for (size_t i = 0; i < n; i++)
		if ((argv[i] = (char *)(uintptr_t)json_string_value(json_array_get(args, i))) == NULL) {
			refuse(id, "every word of argv must be a text");
			return;
		}
	snprintf(path, sizeof(path), "%s%s", strchr(argv[0], '/') ? "" : "/bin/", argv[0]);
	if (access(path, X_OK) != 0) {
		snprintf(text, sizeof(text), "cannot run %s: %s", path, strerror(errno));
		refuse(id, text);
		return;
	}
	if (pipe2(gate, O_CLOEXEC) != 0)
		die("cannot make a pipe: %s", strerror(errno));
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	int signals = signalfd(-1, &child, SFD_CLOEXEC);
	pid_t pid = signals < 0 ? -1 : fork();
	if (pid < 0)
		die("cannot start a program: %s", strerror(errno));
	if (pid == 0) {
		close(gate[1]);
		become(path, argv, gate[0]);
	}
	close(gate[0]);
	send_line(json_pack("{s:O, s:b, s:i}", "id", id, "ok", 1, "pid", (int)pid));
	close(gate[1]);    /* the child may write from here on */
	await_exit(pid, signals);
	close(signals);
}

/* Does one request. */
static void handle(const char *line, size_t len)
{
	json_error_t error;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	json_t *id = json_object_get(request, "id");
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	char text[256];

	id = id != NULL ? json_incref(id) : json_null();
	if (request == NULL) {
		snprintf(text, sizeof(text), "not a JSON object: %s", error.text);
		refuse(id, text);
	} else if (cmd == NULL) {
		refuse(id, "no cmd (exec, poweroff)");
	} else if (strcmp(cmd, "exec") == 0) {
		do_exec(id, request);
	} else if (strcmp(cmd, "poweroff") == 0) {
		send_line(json_pack("{s:O, s:b}", "id", id, "ok", 1));
		power_off();
	} else {
		snprintf(text, sizeof(text), "unknown cmd %.100s (exec, poweroff)", cmd);
		refuse(id, text);
	}
	json_decref(id);
	json_decref(request);
}

int main(void)
{
	static char line[LINE_BYTES];
	size_t i;
	json_t *nic;

	if (getpid() != 1) {
		fputs("vswbench-init: runs as PID 1 of a guest only\n", stderr);
		return 2;
	}
	mount_all();
	loopback_up();
	json_t *nics = find_nics();
	json_array_foreach(nics, i, nic)
		claim_nic(json_string_value(nic));
	load_modules("/modules.list");
	open_port();
	await_host();    /* from here on a failure reaches the host too */
	json_array_foreach(nics, i, nic)
		check_nic(json_string_value(nic));

	long page_bytes = 0, pages = check_hugepages(&page_bytes);
	struct utsname kernel;
	struct sysinfo info;
	struct timespec up;
	uname(&kernel);
	sysinfo(&info);
	clock_gettime(CLOCK_BOOTTIME, &up);
	send_line(json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:f}", "event", "booted", "kernel", kernel.release,
			    "nics", nics, "hugepages_count", (json_int_t)pages, "hugepage_bytes", (json_int_t)page_bytes,
			    "memory_bytes", (json_int_t)info.totalram * info.mem_unit,
			    "uptime_s", (double)up.tv_sec + (double)up.tv_nsec / 1e9));

	for (;;) {
		ssize_t len = read_line(line, sizeof(line));
		if (len == -1)
			break;
		if (len == -2)
			refuse(json_null(), "line too long");
		else
			handle(line, (size_t)len);
	}
	say("the host closed the port: power off");
	power_off();
}
