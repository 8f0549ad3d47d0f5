MODULES := . conformance bench
# What others' code is in, quoit's own being tested by the modules above: once is
# enough.
OTHERS := examples/libraries metrics/prometheus metrics/prometheus/scrape
LINTED := $(MODULES) programs
# Orders of bytes, sizes of words, and systems that have what others lack.
PLATFORMS := linux/arm64 linux/386 linux/arm linux/riscv64 linux/s390x \
	freebsd/amd64 openbsd/amd64 darwin/arm64 windows/amd64 js/wasm

TESTFLAGS ?=
# The race detector would sleep for a second at the end of each package's tests.
export GORACE := $(GORACE) atexit_sleep_ms=0
# Empty: what ships is tested as it ships, too.
RACE ?= -race
SOAK ?= 10m

.PHONY: all bench-full test test-caddy test-checked test-shipped test-others test-gears test-rings test-kernels test-transparent test-full test-long test-schedules fuzz lint cross dist soak

all: lint cross test

# Where the kernel offers io_uring, tests fail if package net serves. The file
# and the seccomp mode are asked before our own probe, which may be what broke.
require = require=$${QUOIT_TEST_REQUIRE-unset}; \
	if [ "$$require" = unset ]; then \
		require=; \
		if [ "$$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null)" = 0 ] && \
			grep -q '^Seccomp:[[:space:]]*0$$' /proc/self/status; then \
			require=1; \
		elif go run ./cmd/quoit doctor >/dev/null 2>&1; then \
			require=1; \
		fi; \
	fi; \
	export QUOIT_TEST_REQUIRE=$$require

# One package at a time: some tests take all CPUs, others mind the time.
test:
	@$(require); \
	rc=0; \
	for m in $(MODULES); do \
		echo "== go test $(RACE), module $$m, QUOIT_TEST_REQUIRE=$$require"; \
		(cd $$m && go test $(RACE) -p 1 $(TESTFLAGS) ./...) || rc=1; \
	done; \
	exit $$rc

# What moves bytes once more, as it ships, and what the race detector makes too slow:
# the rest is the same without it. Tests that test-gears runs as it ships are left to that.
SHIPPED = . ./engine/... ./internal/sock ./cmd/quoit/internal/doctor
test-shipped:
	@$(require); \
	rc=0; \
	go test -p 1 $(TESTFLAGS) $(SHIPPED) || rc=1; \
	go test -p 1 -run '$(EVERYGEAR)' $(TESTFLAGS) ./internal/behaviour ./internal/nethttp ./internal/pitfalls || rc=1; \
	(cd conformance && go test -run '$(EVERYGEAR)' $(TESTFLAGS) .) || rc=1; \
	exit $$rc

# What moves bytes, with memory that is used again poisoned meanwhile: see
# engine/internal/lent. The ring has batches and relays, which have such memory. And the
# binding with a collector that runs at each of its chances.
test-checked:
	@$(require); \
	export QUOIT_TEST_GEAR=ring; \
	rc=0; \
	go test -tags quoitcheck -count=1 -p 1 $(TESTFLAGS) \
		. ./engine ./engine/internal/lent ./engine/pbuf ./internal/behaviour || rc=1; \
	go test -tags quoitcheck -count=1 -run '^Test(Soak|Forward.*|Pitfall0.*)$$' $(TESTFLAGS) ./internal/pitfalls || rc=1; \
	GOGC=1 go test -count=1 -p 1 $(TESTFLAGS) ./engine/ring ./engine/pbuf || rc=1; \
	exit $$rc

test-others:
	@$(MAKE) --no-print-directory test MODULES='$(OTHERS)'

# Apart, for Caddy takes minutes to compile.
test-caddy:
	cd examples/caddy && go vet ./... && staticcheck ./... && go test $(RACE) $(TESTFLAGS) ./...

# Packages whose tests use whatever gear the environment asks for, and the tests
# in them that go through the gears themselves.
GEARED = . ./internal/behaviour ./internal/nethttp ./internal/pitfalls
EVERYGEAR = ^Test(Behaviour(ForwardFull|WriteBuffers.*|Shared.*|RawSees|Heir|FileBlocks|ChildStdio|BlockingMode|FileConnGone|Listener(Queue|Limit|CloseIsDone)|Handover|BlockingListener|Close(Waits.*|WriteIsDone|Within|UnixIsDone)|Fault.*|BubbleFuture|Unix(Once|Backlog)|Thread.*|SIGPIPE|LastDescriptor)|BlockingModeEnds|EngineCloseIsDone|Fairness|GearFlip|Arch|Shutdown.*|Restart.*|Pitfall27RestartAfterKill|Lifetime.*|Attack.*|PanicSteering|PitfallRing.*|PitfallSetupRetried|Logger.*|LabelAndRegion)$$

# The other tests of conns and listeners once more, with the gear forced, and with one
# that changes all the time. Gear poll as it ships: an engine that may choose is in it
# until it is busy, so that make test has it with the race detector. Uncached: go test
# does not see what is read from the environment before it starts.
GEARS ?= ring poll flip
test-gears:
	@rc=0; \
	for g in $(GEARS); do \
		race=-race; [ $$g != poll ] || race=; \
		echo "== go test $$race, gear $$g"; \
		export QUOIT_TEST_GEAR=$$g; \
		go test $$race -count=1 -p 1 -skip '$(EVERYGEAR)' $(TESTFLAGS) $(GEARED) || rc=1; \
		(cd conformance && go test $$race -count=1 -skip '$(EVERYGEAR)' $(TESTFLAGS) .) || rc=1; \
	done; \
	exit $$rc

# And with several rings, which one listener hands its conns to, or, as it ships, which
# have a socket each. SO_REUSEPORT changes what the skipped ones look at: addresses in
# use, its own option, the order of conns, and how often Control is called.
SHARED = ^TestBehaviour(Zone|Options|SetOptions|FileOptions|InUse|Relisten|EarlyReset|ListenContext)$$
test-rings:
	@rc=0; \
	echo "== go test -race, 3 rings"; \
	QUOIT_TEST_RINGS=3 QUOIT_TEST_GEAR=flip \
		go test -race -count=1 -p 1 -skip '$(EVERYGEAR)' $(TESTFLAGS) $(GEARED) || rc=1; \
	(cd conformance && QUOIT_TEST_RINGS=3 QUOIT_TEST_GEAR=flip \
		go test -race -count=1 -skip '$(EVERYGEAR)' $(TESTFLAGS) .) || rc=1; \
	echo "== go test, 3 rings, a socket each"; \
	QUOIT_TEST_RINGS=3 QUOIT_TEST_GEAR=ring QUOIT_TEST_STEERING=hash \
		go test -count=1 -p 1 -skip '$(SHARED)|$(EVERYGEAR)' $(TESTFLAGS) $(GEARED) || rc=1; \
	exit $$rc

# Other people's programs, built by go and by quoit build: the quick ones, all, or
# those whose name matches: PROGRAMS=all, PROGRAMS='etcd|caddy'.
PROGRAMS ?= quick
test-transparent:
	@$(require); \
	case '$(PROGRAMS)' in \
	quick) set -- ;; \
	all) set -- -all ;; \
	*) set -- -all -run '^Test(Programs|Page)$$/$(PROGRAMS)' ;; \
	esac; \
	cd programs && go test -v -count=1 -parallel 8 -timeout 0 "$$@" $(TESTFLAGS) .

# Under older kernels in QEMU, and the newest one's verifier; internal/kernels
# says what it takes, and what else can be chosen: ARCH=arm64, GEARS="ring poll".
# TESTFLAGS are those of the binaries, such as -test.run=TestNop. UPDATE=1 writes the
# table of kernels in docs/reliability.md.
test-kernels:
	internal/kernels/run.sh

lint:
	@command -v staticcheck >/dev/null || { \
		echo "staticcheck is missing: see CONTRIBUTING.md" >&2; exit 1; }
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then \
		echo "gofmt: not formatted:" >&2; echo "$$files" >&2; exit 1; fi
	@rc=0; \
	for m in $(LINTED); do \
		echo "== go vet and staticcheck, module $$m"; \
		(cd $$m && go vet ./... && staticcheck ./...) || rc=1; \
	done; \
	for m in $(OTHERS); do \
		echo "== go vet, module $$m"; \
		(cd $$m && go vet ./...) || rc=1; \
	done; \
	exit $$rc

# Vet type-checks the tests too.
cross:
	@for p in $(PLATFORMS); do \
		echo "== build and vet, $$p"; \
		export GOOS=$${p%/*} GOARCH=$${p#*/}; \
		go build ./... && go vet ./... || exit 1; \
	done

# Static programs, for images and machines without Go: dist/linux-amd64/quoit and
# so on. Each is a name and the directory that it is built in.
DIST ?= dist
DISTARCHS ?= amd64 arm64
DISTPROGRAMS ?= quoit=cmd/quoit quoit-bench=bench
dist:
	@for a in $(DISTARCHS); do for p in $(DISTPROGRAMS); do \
		out=$(abspath $(DIST))/linux-$$a/$${p%=*}; \
		echo "== static, $$out"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$a go build -C $${p#*=} -trimpath -o $$out . || exit 1; \
	done; done

# Every workload in 35 minutes: for bench/RESULTS.md and its picture. VERSUS=quoit:ring
# is another such run, of the other gear.
VERSUS ?= quoit
BENCHOUT ?= dist
bench-full:
	mkdir -p $(BENCHOUT)
	go run ./cmd/quoit bench -rounds 6 -length 400ms -steady 0.03 -limit 35m -versus $(VERSUS) \
		-json $(BENCHOUT)/bench.json -html $(BENCHOUT)/bench.html \
		-markdown $(BENCHOUT)/bench.md -readme $(BENCHOUT)/readme.md -chart $(BENCHOUT)/ratios.svg

# Each fuzz target for so long, as many at a time as there are CPUs. What it finds is kept
# in testdata/fuzz beside it, and is a test from then on.
FUZZTIME ?= 10s
fuzz:
	@grep -r --include='*_test.go' '^func Fuzz' . | \
		sed 's|/[^/]*:func \(Fuzz[A-Za-z0-9_]*\)(.*| \1|' | \
		xargs -P $$(nproc) -L 1 internal/pitfalls/fuzz.sh $(FUZZTIME)

soak:
	QUOIT_SOAK=$(SOAK) go test -race -run '^TestSoak' -v -count=1 -timeout 0 ./internal/pitfalls

# At full size what is shorter in make test, and more of what finds faults by chance.
# Each part writes its figures to docs/reliability.md. Schedules are shared among as many
# processes as there are CPUs; a million takes two 13 minutes.
LONG = ^Test(Shutdown|Restart|Lifetime|Attack)
FIGURES = internal/pitfalls/figures.sh
SCHEDULES ?= 1000000
test-full: test-long test-schedules
	make --no-print-directory fuzz FUZZTIME=10s 2>&1 | $(FIGURES) fuzzing
	make --no-print-directory soak SOAK=1m 2>&1 | $(FIGURES) soaking

test-long:
	QUOIT_LONG=1 go test -run '$(LONG)' -v -count=1 -timeout 0 ./internal/pitfalls | $(FIGURES) 'long tests'

test-schedules:
	@cpus=$$(nproc); n=$$(($(SCHEDULES) / cpus)); \
	for i in $$(seq 0 $$((cpus - 1))); do \
		QUOIT_SIM_SEED=$$((i * n + 1)) QUOIT_SIM=$$n \
			go test -run '^TestSim$$' -v -count=1 -timeout 0 ./engine & \
	done | $(FIGURES) schedules
