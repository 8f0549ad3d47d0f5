#!/bin/sh
# Runs the project's test binaries under other kernels than this machine's.
# What it reads from the environment:
#
#	ARCH      amd64 or arm64
#	KERNELS   kernels: 6.1 is the newest 6.1 that Debian has, newest that of all
#	BINARIES  directories of the packages whose tests run under these
#	GEARS     gears in which those of them run that take any
#	VERIFIER  kernels whose verifier is shown the program of engine/steering
#	TESTFLAGS flags for the tests of BINARIES, such as -test.run=TestNop
#	OUTPUT    directory that keeps the whole output; without it, it is printed
#	          where a test fails
#	JOBS      machines at a time: more than one is for tests that do not mind the time
#	UPDATE    if not empty, the results go to the table of docs/reliability.md
#
# Each kernel boots in QEMU with an initramfs that has the binaries, the
# sources, busybox, a few modules, and nothing else. It takes Debian or the like on
# amd64 with go and apt, and root to install QEMU if it is missing. Kernels and
# busybox stay in the user's cache; the machine's package sources are left alone.
set -eu

ARCH=${ARCH-amd64}
KERNELS=${KERNELS-6.1 6.12}
BINARIES=${BINARIES-. internal/behaviour internal/nethttp internal/pitfalls cmd/quoit/internal/doctor engine engine/ring engine/pbuf}
GEARS=${GEARS-ring}
VERIFIER=${VERIFIER-newest}
TESTFLAGS=${TESTFLAGS-}
OUTPUT=${OUTPUT-}
JOBS=${JOBS-1}
UPDATE=${UPDATE-}

limit=3600 # seconds that a machine may take
machines=0 # that there have been
modules="inet_diag sch_netem tcp_diag veth"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/quoit-kernels
work=$(mktemp -d)
mkdir -p "$cache"
trap clean_up EXIT
trap 'exit 130' INT TERM

# clean_up leaves no machine and no file, whenever the script ends.
clean_up() {
	kill $(jobs -p) $(cat "$work"/vm*/pid 2>/dev/null) 2>/dev/null || :
	rm -rf "$work"
}

step() { printf '\n== %s\n' "$*"; }

fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# choose_machine is what differs between architectures.
choose_machine() {
	case $ARCH in
	amd64)
		qemu=qemu-system-x86_64 package=qemu-system-x86
		serial=ttyS0 machine= emulated=max,-erms # QEMU moves rep movsb byte by byte
		;;
	arm64)
		qemu=qemu-system-aarch64 package=qemu-system-arm
		serial=ttyAMA0 machine="-machine virt" emulated=max
		;;
	*) fail "ARCH is $ARCH, want amd64 or arm64" ;;
	esac
}

install_missing() {
	missing=
	[ -e "$keyring" ] || missing="$missing debian-archive-keyring"
	command -v "$qemu" >/dev/null || missing="$missing $package"
	command -v busybox >/dev/null || missing="$missing busybox"
	command -v xz >/dev/null || missing="$missing xz-utils"
	[ -n "$missing" ] || return 0
	step "install$missing"
	as_root apt-get update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

# debian runs a tool of apt with sources of its own, the suites that have
# kernels, and busybox.
debian() {
	tool=$1
	shift
	"$tool" -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$work/apt/lists" -o Dir::State::Status=/dev/null \
		-o "Dir::Cache=$work/apt" -o APT::Architecture=$ARCH -o APT::Architectures=$ARCH \
		-o APT::Sandbox::User= "$@" 2>"$work/apt.log" || fail "$(cat "$work/apt.log")"
}

# list_kernels writes the names of packages and the releases among them.
list_kernels() {
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
	# The machine's own mirror, and what stands beside it.
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		sed -n 's|/debian/\{0,1\}$||p' | sort -u | head -n 1)
	[ -n "$mirror" ] || fail "apt has no Debian mirror: apt-get update first"
	{
		# One as old as this may go, so that only runs that need it ask for it.
		case " $KERNELS " in
		*" 5."*) echo debian-security bullseye-security ;;
		esac
		cat <<-LIST
			debian-security bookworm-security
			debian-security trixie-security
			debian trixie-backports
			debian trixie
		LIST
	} | while read -r url suite; do
		echo "deb [target=Packages signed-by=$keyring] $mirror/$url $suite main"
	done >"$work/apt/sources.list"
	debian apt-get update >/dev/null
	debian apt-cache pkgnames linux- >"$work/names"
	# An image is signed or not. Names with fewer numbers depend on the newest of a
	# series.
	sed -n 's/^linux-\(image\|binary\)-\([0-9]*\.[0-9]*\.[0-9].*-cloud-'$ARCH'\)\(-unsigned\)\{0,1\}$/\2/p' "$work/names" |
		sort -Vu >"$work/releases"
}

# find_kernel leaves the release that $1 names in $release, and its image and
# modules in $cache/$release. Of some releases Debian has the image alone, and tests
# that need a module fail.
find_kernel() {
	case $1 in
	newest) release=$(tail -n 1 "$work/releases") ;;
	*) release=$(grep -F "$1." "$work/releases" | grep "^$1\." | tail -n 1) ;;
	esac
	[ -n "$release" ] || fail "no kernel $1 among $(tr '\n' ' ' <"$work/releases")"
	[ -e "$cache/$release" ] || fetch_kernel
	[ -e "$cache/$release/veth.ko" ] || echo "Debian has no modules of $release"
}

# fetch_kernel fills $cache/$release. Since Linux 6.19 the image and the modules
# have a package each; that of the modules is not signed, and goes when another
# release replaces it, while the image stays.
fetch_kernel() {
	packages=$(grep -xF -e "linux-binary-$release" -e "linux-image-$release" -e "linux-modules-$release" "$work/names") ||
		packages=linux-image-$release-unsigned
	unpack $packages
	mkdir "$work/kernel"
	cp "$(find "$work/deb" -name 'vmlinu[xz]*' -type f)" "$work/kernel/vmlinuz"
	wanted=$modules
	case $packages in
	*linux-modules-*) ;;
	*linux-binary-*) wanted= ;;
	esac
	for module in $wanted; do
		found=$(find "$work/deb" -name "$module.ko*" -type f)
		case $found in
		*.xz) xz -dc "$found" >"$work/kernel/$module.ko" ;;
		*.ko) cp "$found" "$work/kernel" ;;
		*) fail "$packages: no module $module" ;;
		esac
	done
	mv "$work/kernel" "$cache/$release"
}

# unpack leaves what packages have in $work/deb.
unpack() {
	rm -rf "$work/deb"
	mkdir "$work/deb"
	(cd "$work/deb" && debian apt-get download "$@" >/dev/null)
	for deb in "$work/deb"/*.deb; do
		dpkg -x "$deb" "$work/deb"
	done
}

# find_busybox has the cache have a static busybox for the machines.
find_busybox() {
	[ ! -e "$cache/busybox-$ARCH" ] || return 0
	unpack busybox-static
	cp "$(find "$work/deb" -name busybox -type f -perm -1)" "$cache/busybox-$ARCH.$$"
	mv "$cache/busybox-$ARCH.$$" "$cache/busybox-$ARCH"
}

# binary is what the tests of package directory $1 are called.
binary() {
	case $1 in
	.) echo root.test ;;
	*) echo "${1##*/}.test" ;;
	esac
}

# build makes what all machines have in their root directories.
build() {
	mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/src"
	printf '%s localhost\n' 127.0.0.1 ::1 >"$work/root/etc/hosts"
	cp "$cache/busybox-$ARCH" "$work/root/bin/busybox"
	cp "$here/init" "$work/root"
	(cd "$source" && tar --exclude=./.git -cf - .) | tar -C "$work/root/src" -xf -
	for dir in $BINARIES ${VERIFIER:+engine/steering}; do
		(cd "$source" && CGO_ENABLED=0 GOARCH=$ARCH go test -c -o "$work/root/bin/$(binary "$dir")" "./$dir")
	done
	archive "$work/root" >"$work/root.cpio"
}

archive() (
	cd "$1"
	find . | busybox cpio -o -H newc 2>/dev/null
)

# commands_for prints lines of the machine's /tests, for package directory $1
# and more flags: one for each gear, where that matters. An emulated machine has
# longer until a test counts as hung, tests of many conns are made shorter where it
# would not be done in time, as are schedules of the simulation, which no kernel changes,
# and one that encrypts 17 MB, which cannot be, is left out.
# Before Linux 6.1 package net serves: tests pass all the same, or skip what needs the
# ring.
commands_for() {
	vars="QUOIT_TEST_GUEST=1 QUOIT_SOAK=5s"
	case $release in
	5.*) gears=auto ;;
	*) gears=$GEARS vars="$vars QUOIT_TEST_REQUIRE=1" ;;
	esac
	case $accelerator in
	*tcg*) flags='-test.short -test.skip=^TestHTTP2$' vars="$vars QUOIT_TEST_BOUND=2m QUOIT_SIM=100" ;;
	*) flags= ;;
	esac
	name=$(binary "$1")
	dir=$1
	shift
	case $dir in
	. | internal/*)
		for gear in $gears; do
			echo "$name,$gear $dir $vars QUOIT_TEST_GEAR=$gear $name -test.v -test.timeout=30m $flags $*"
		done
		;;
	*) echo "$name $dir $vars $name -test.v -test.timeout=30m $flags $*" ;;
	esac
}

# new_machine has $vm be the directory of one more: own is what only this one has in its
# root directory, whole its serial line.
new_machine() {
	machines=$((machines + 1))
	vm=$work/vm$machines
	mkdir -p "$vm/own/modules"
}

# boot boots $release, and returns when it has powered off, or after $1 seconds.
# Where emulation is slow the kernel may find that its timer does not work, without
# no_timer_check, and that the processor's counter does not, without tsc=reliable: then
# it asks a slow clock. What guards against other guests is left out.
boot() {
	find "$cache/$release" -name '*.ko' -exec cp -t "$vm/own/modules" {} +
	{ cat "$work/root.cpio" && archive "$vm/own"; } >"$vm/initrd"
	: >"$vm/whole"
	timeout "$1" "$qemu" $machine $accelerator -m 3G -smp 2 -nodefaults -nic none -display none \
		-no-reboot -kernel "$cache/$release/vmlinuz" -initrd "$vm/initrd" \
		-append "console=$serial quiet no_timer_check tsc=reliable mitigations=off panic=-1" \
		-serial "file:$vm/whole" </dev/null >"$vm/qemu.log" 2>&1 &
	echo $! >"$vm/pid"
	status=0
	wait $! 2>/dev/null || status=$? # without a word on signals
	rm "$vm/pid"
	return $status
}

# said has init's own lines among those of the machine.
said() { tr -d '\r' <"$vm/whole" | sed -n 's/^@@ //p'; }

# boot_tests is boot for as long as tests may take, again if the kernel does not
# come as far as to run any.
boot_tests() {
	for attempt in 1 2 3; do
		boot "$limit" || echo "QEMU ended with status $?: $(cat "$vm/qemu.log")"
		! said | grep -q "^booted" || return 0
		echo "attempt $attempt: $release does not boot"
		tail -n 20 "$vm/whole"
	done
}

# choose_accelerator takes KVM where it works: the device may be there all the
# same where the machine is a virtual one itself.
choose_accelerator() {
	if [ "$ARCH" = "$(dpkg --print-architecture)" ] && [ -w /dev/kvm ]; then
		accelerator="-accel kvm -cpu host"
		new_machine
		: >"$vm/own/tests"
		! boot 20 || ! said | grep -q "^powering off" || return 0
	fi
	accelerator="-accel tcg,thread=multi -cpu $emulated"
}

# result prints what became of command $1 of the machine's /tests, by what init said:
# how many tests passed, failed and were skipped, the seconds, the exit status, and the
# names of those that failed.
result() {
	awk -v name="$1" '
		$2 == name && $1 == "failed" { failed = failed " " $3 }
		$2 == name && $1 == "result" && NF == 7 { counts = $4 " " $5 " " $6 " " $7 " " $3 }
		END { print (counts == "" ? "0 0 0 0 none" : counts) failed }
	' "$vm/lines"
}

# row prints the line of the table for command $1, of package directory $2, whose
# result is in the other arguments.
row() {
	gear= of="\`$2\`" passed=$3 failed=$4 skipped=$5 seconds=$6 status=$7 by=TCG
	case $1 in *,*) gear=${1#*,} ;; esac
	[ "$2" != . ] || of=root
	case $accelerator in *kvm*) by=KVM ;; esac
	shift 7
	case $status,$# in
	0,0) ;;
	none,*) failed="did not end" ;;
	*,0) failed="$failed, exit status $status" ;;
	*) failed="$failed: $*" ;;
	esac
	echo "| ${release%-cloud-*} | $ARCH | $of | $gear | $passed | $failed | $skipped | $seconds | $(date -u +%F), $by |"
}

# run_tests boots $release, reports on each command of the machine's /tests, and fails if
# one did.
run_tests() {
	began=$(date +%s)
	boot_tests
	said >"$vm/lines"
	: >"$vm/rows"
	ok=1
	while read -r name dir _; do
		set -- $(result "$name")
		echo "$release $name: $1 passed, $2 failed, $3 skipped in $4 s, status $5"
		[ "$5" = 0 ] && [ "$2" = 0 ] && [ "$1" != 0 ] || ok=0
		row "$name" "$dir" "$@" >>"$vm/rows"
	done <"$vm/own/tests"
	echo "$release took $(($(date +%s) - began)) s"
	if [ -n "$OUTPUT" ]; then
		tr -d '\r' <"$vm/whole" >>"$OUTPUT/$release.log"
	elif [ $ok = 0 ]; then
		tr -d '\r' <"$vm/whole"
	fi
	[ $ok = 1 ]
}

# start_tests waits for a turn, and has run_tests run in the background.
start_tests() {
	read -r _ <&3
	step "Linux $release, $accelerator${1+, $1}"
	{
		! run_tests >"$vm/report" 2>&1 || : >"$vm/passed"
		cat "$vm/report"
		echo turn >&3
	} &
}

[ -z "$UPDATE" ] || [ -z "$TESTFLAGS" ] || fail "the table is of whole packages: UPDATE without TESTFLAGS"
choose_machine
install_missing
list_kernels
find_busybox
step "build $BINARIES ${VERIFIER:+engine/steering}"
build
[ -z "$OUTPUT" ] || mkdir -p "$OUTPUT"
find_kernel newest
choose_accelerator
mkfifo "$work/turns"
exec 3<>"$work/turns"
yes turn | head -n "$JOBS" >&3
first=$((machines + 1))
for kernel in $KERNELS; do
	find_kernel "$kernel"
	new_machine
	for dir in $BINARIES; do
		commands_for "$dir" $TESTFLAGS
	done >"$vm/own/tests"
	start_tests
done
for kernel in $VERIFIER; do
	find_kernel "$kernel"
	new_machine
	commands_for engine/steering -test.run=^TestVerifier$ >"$vm/own/tests"
	start_tests "the verifier"
done
wait
failed=0
for n in $(seq "$first" "$machines"); do
	[ -e "$work/vm$n/passed" ] || failed=1
	[ -z "$UPDATE" ] || "$here/figures.sh" <"$work/vm$n/rows"
done
exit $failed
