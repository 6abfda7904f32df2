/* SPDX-License-Identifier: BSD-3-Clause */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "end.h"
#include "hostport.h"

#define ARGV_MAX 256

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
	if (dup2(port_fd(), STDIN_FILENO) >= 0 && dup2(port_fd(), STDOUT_FILENO) >= 0)
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
		struct pollfd p[2] = {{.fd = port_fd(), .events = 0}, {.fd = signals, .events = POLLIN}};
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
	kill(getpid() == 1 ? -1 : -pid, SIGKILL);    /* in a system of somebody else only its session */
	while (wait(&other) > 0)
		;
	if (WIFSIGNALED(status))
		send_line(json_pack("{s:s, s:i}", "event", "exited", "signal", WTERMSIG(status)));
	else
		send_line(json_pack("{s:s, s:i}", "event", "exited", "status", WEXITSTATUS(status)));
}

void do_exec(json_t *id, json_t *request)
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
