#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Makes a bare Debian or Ubuntu machine ready: packages, C programs, guest image. Does only what is missing, and says
# what and why before it does it.
#
#   harness/setup.sh            everything
#   harness/setup.sh packages   only the packages of harness/packages.txt
#   harness/setup.sh build      only the C programs
#
# VSWBENCH_NO_INSTALL=1: install nothing, print the command instead. VSWBENCH_BUILD: the build folder.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${VSWBENCH_BUILD:-$top/build}
list=$top/harness/packages.txt

die() {
	echo "setup: $*" >&2
	exit 1
}

installed() {
	dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^.i'
}

# The package's services must not start: nothing of the system's is ours to run. policy-rc.d is Debian's own way to say
# so (invoke-rc.d(8)); one that is already there is left alone.
without_services() {
	policy=/usr/sbin/policy-rc.d
	if [ -e "$policy" ]; then
		"$@"
		return
	fi
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT INT TERM
	"$@"
	rm -f "$policy"
	trap - EXIT INT TERM
}

packages() {
	command -v dpkg-query >/dev/null || die "this is no Debian or Ubuntu: install what $list names, then set VSWBENCH_NO_PACKAGES=1"
	missing=
	while read -r name why; do
		case $name in '' | '#'*) continue ;; esac
		installed "$name" && continue
		[ -n "$missing" ] || echo "setup: these packages are missing:"
		printf '  %-24s  %s\n' "$name" "$why"
		missing="$missing $name"
	done <"$list"
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] || [ -n "${VSWBENCH_NO_INSTALL:-}" ]; then
		die "they are not installed by this; as root: apt-get install --no-install-recommends$missing"
	fi
	echo "setup: installing them with apt-get; services that they bring are not started now" \
		"(systemctl disable openvswitch-switch keeps it from starting at the next boot)"
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086  # a list of words
	apt-get install --dry-run --no-install-recommends $missing >"$log" 2>&1 || apt-get update >"$log" 2>&1 ||
		die "apt-get update failed; see $log"
	# shellcheck disable=SC2086
	without_services apt-get install -y --no-install-recommends $missing >"$log" 2>&1 ||
		die "apt-get install failed: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log"); see $log"
	rm -f "$log"
}

programs() {
	mkdir -p "$build"
	log=$build/setup.log
	[ -f "$build/CMakeCache.txt" ] || echo "setup: building pktgen, meter and vnf in $build"
	cmake -S "$top" -B "$build" >"$log" 2>&1 || die "cmake failed: $(grep -m 1 -i error "$log"); see $log"
	cmake --build "$build" --parallel "$(nproc)" >"$log" 2>&1 || die "the build failed: $(grep -m 1 'error' "$log"); see $log"
}

guest() {
	[ -f "$build/guest/image.json" ] || echo "setup: building the guest image in $build/guest (its kernel package is downloaded)"
	"$top/vnf/guest/build-image" --out "$build/guest" --cache "$build/guest/cache" --init "$build/vswbench-init" \
		--programs "$build/vnf" "$build/pktgen" "$build/meter" "$build/kernelnf" || die "the guest image was not built"
}

case ${1:-all} in
packages) packages ;;
build) programs ;;
all)
	[ -n "${VSWBENCH_NO_PACKAGES:-}" ] || packages
	programs
	guest
	;;
*) die "usage: harness/setup.sh [packages|build]" ;;
esac
