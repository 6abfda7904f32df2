# SPDX-License-Identifier: BSD-3-Clause
#
#   make bench      set up what is missing, run the default suite, print a table, draw the figures
#   make bench SUITE=smoke SWITCHES="ovs-dpdk testpmd" TESTBED=my.toml
#   make test       set up what is missing, run all tests
#   make test-sanitize  the tests of the C programs under the address, undefined-behaviour and thread sanitizers (slow)
#   make test-slow  the fuzzers; VMs that route; a Debian image, made here, as a guest (10 minutes and more under emulation)
#   make figures RUN=results/...
#   make compare A=results/... B=results/...   is B faster or slower than A?
#   make bench-search   do searches and comparisons say what is true? (simulated, under a minute)
#   make calibrate  what this machine and our own programs can do (1 to 2 minutes; make bench does a short one)
#   make bench-core             set up what is missing, measure our generator and meter against their bars (as root)
#   make bench-core FIGURES="1 4" ROUNDS=9
#   make bench-guests           the same of guests: boot, image, chains, nfs (as root)
#   make setup      only set up;  make clean: remove what was built (results are kept)

SUITE ?= quick
SWITCHES ?=
TESTBED ?=
FIGURES ?=
ROUNDS ?=

bench: setup
	@./vswbench calibrate --quick --if-needed $(if $(TESTBED),--testbed "$(TESTBED)")
	@./vswbench run scenarios/suites/$(SUITE).toml $(foreach s,$(SWITCHES),--switch $(s)) \
		$(if $(TESTBED),--testbed "$(TESTBED)")

test: setup
	@/usr/bin/python3 -m harness.tests

calibrate: setup
	@./vswbench calibrate $(if $(TESTBED),--testbed "$(TESTBED)")

test-sanitize: setup
	@/usr/bin/python3 -m harness.tests.sanitize

test-slow: setup
	@VSWBENCH_SLOW=1 /usr/bin/python3 -m pytest -q harness/tests/test_own_image.py harness/tests/test_kernelnf.py \
		harness/tests/test_chains.py harness/tests/test_built_switches.py pktgen/tests/test_fuzz.py

figures:
	@test -n "$(RUN)" || { echo "which run? make figures RUN=results/..." >&2; exit 2; }
	@./vswbench figures "$(RUN)"

bench-core: setup
	@./vswbench bench core $(foreach f,$(FIGURES),--figure $(f)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-guests: setup
	@./vswbench bench guests $(foreach f,$(FIGURES),--figure $(f)) $(if $(ROUNDS),--rounds $(ROUNDS))

compare:
	@test -n "$(A)" || { echo "which runs? make compare A=results/... B=results/..." >&2; exit 2; }
	@./vswbench compare "$(A)" $(if $(B),"$(B)")

bench-search: setup
	@nice -n 10 /usr/bin/python3 -m harness.bench.search

setup:
	@harness/setup.sh

clean:
	rm -rf build

.PHONY: bench bench-core bench-guests bench-search test test-sanitize test-slow calibrate figures compare setup clean
