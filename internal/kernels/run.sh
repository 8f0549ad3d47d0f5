#!/bin/sh
# Runs the project's test binaries under other kernels than this machine's.
# What it reads from the environment:
#
#	KERNELS   kernels: 6.1 is the newest 6.1 that Debian has, newest that of all
#	BINARIES  directories of the packages whose tests run under these
#	VERIFIER  kernels whose verifier is shown the program of engine/steering
#	TESTFLAGS flags for the tests of BINARIES, such as -test.run=TestNop
#	OUTPUT    directory that keeps the whole output; without it, it is printed
#	          where a test fails
#
# Each kernel boots in QEMU with an initramfs that has the binaries, the
# sources, busybox, and nothing else. It takes Debian or the like on amd64 with
# go and apt, and root to install QEMU and busybox if they are missing. Kernels
# stay in the user's cache; the machine's package sources are left alone.
set -eu

KERNELS=${KERNELS-6.1 6.12}
BINARIES=${BINARIES-. internal/behaviour internal/nethttp internal/pitfalls engine/ring engine/pbuf}
VERIFIER=${VERIFIER-newest}
TESTFLAGS=${TESTFLAGS-}
OUTPUT=${OUTPUT-}

limit=3600 # seconds that a machine may take
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/quoit-kernels
work=$(mktemp -d)
mkdir -p "$cache"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

step() { printf '\n== %s\n' "$*"; }

fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_missing() {
	missing=
	[ -e "$keyring" ] || missing="$missing debian-archive-keyring"
	command -v qemu-system-x86_64 >/dev/null || missing="$missing qemu-system-x86"
	dpkg -s busybox-static >/dev/null 2>&1 || missing="$missing busybox-static"
	[ -n "$missing" ] || return 0
	step "install$missing"
	as_root apt-get update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

# debian runs a tool of apt with sources of its own, the suites that have
# kernels and little else.
debian() {
	tool=$1
	shift
	"$tool" -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$work/apt/lists" -o Dir::State::Status=/dev/null \
		-o "Dir::Cache=$work/apt" -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
		-o APT::Sandbox::User= "$@" 2>"$work/apt.log" || fail "$(cat "$work/apt.log")"
}

# list_kernels writes the names of packages and the releases among them.
list_kernels() {
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
	# The machine's own mirror, and what stands beside it.
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		sed -n 's|/debian/\{0,1\}$||p' | sort -u | head -n 1)
	[ -n "$mirror" ] || fail "apt has no Debian mirror: apt-get update first"
	while read -r url suite; do
		echo "deb [target=Packages signed-by=$keyring] $mirror/$url $suite main"
	done >"$work/apt/sources.list" <<-LIST
		debian-security bookworm-security
		debian-security trixie-security
		debian trixie-backports
	LIST
	debian apt-get update >/dev/null
	debian apt-cache pkgnames linux- >"$work/names"
	# An image is signed or not. Since Linux 7.0 it is in a package of its own.
	# Names with fewer numbers depend on the newest of a series.
	sed -n 's/^linux-\(image\|binary\)-\([0-9]*\.[0-9]*\.[0-9].*-cloud-amd64\)\(-unsigned\)\{0,1\}$/\2/p' "$work/names" |
		sort -Vu >"$work/releases"
}

# find_kernel leaves the release that $1 names in $release, and its image in
# the cache.
find_kernel() {
	case $1 in
	newest) release=$(tail -n 1 "$work/releases") ;;
	*) release=$(grep -F "$1." "$work/releases" | grep "^$1\." | tail -n 1) ;;
	esac
	[ -n "$release" ] || fail "no kernel $1 among $(tr '\n' ' ' <"$work/releases")"
	[ ! -e "$cache/vmlinuz-$release" ] || return 0
	for package in "linux-binary-$release" "linux-image-$release" "linux-image-$release-unsigned"; do
		! grep -qxF "$package" "$work/names" || break
	done
	mkdir "$work/deb"
	(cd "$work/deb" && debian apt-get download "$package" >/dev/null)
	dpkg -x "$work/deb/$package"_*.deb "$work/deb"
	# Until Linux 7.0 the image is in /boot, and later below /usr.
	cp "$(find "$work/deb" -name 'vmlinuz*' -type f)" "$cache/vmlinuz-$release.$$"
	mv "$cache/vmlinuz-$release.$$" "$cache/vmlinuz-$release"
	rm -r "$work/deb"
}

# binary is what the tests of package directory $1 are called.
binary() {
	case $1 in
	.) echo root.test ;;
	*) echo "${1##*/}.test" ;;
	esac
}

# build fills the root directory of the machines.
build() {
	mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/src"
	printf '%s localhost\n' 127.0.0.1 ::1 >"$work/root/etc/hosts"
	cp /bin/busybox "$work/root/bin"
	cp "$here/init" "$work/root"
	(cd "$source" && tar --exclude=./.git -cf - .) | tar -C "$work/root/src" -xf -
	for dir in $BINARIES ${VERIFIER:+engine/steering}; do
		(cd "$source" && CGO_ENABLED=0 GOARCH=amd64 go test -c -o "$work/root/bin/$(binary "$dir")" "./$dir")
	done
}

# command_for prints a line of the machine's /tests, for package directory $1
# and more flags. Tests of many conns are made shorter where an emulated machine
# would not be done in time, and one that encrypts 17 MB, which cannot be, is
# left out there.
command_for() {
	vars="QUOIT_TEST_REQUIRE=1 QUOIT_SOAK=5s"
	case $accelerator in
	*tcg*) flags='-test.short -test.skip=^TestHTTP2$' ;;
	*) flags= ;;
	esac
	case $1 in
	. | internal/*) vars="$vars QUOIT_TEST_GEAR=ring" ;;
	esac
	name=$(binary "$1")
	dir=$1
	shift
	echo "$name $dir $vars $name -test.v -test.timeout=30m $flags $*"
}

# boot boots $release, and returns when it has powered off, or after $1 seconds.
# Its serial lines go to $work/summary and $work/whole. Where emulation is slow
# the kernel may find that its timer does not work, without no_timer_check.
boot() {
	(cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initrd"
	: >"$work/summary"
	: >"$work/whole"
	timeout "$1" qemu-system-x86_64 $accelerator -m 3G -smp 2 -nodefaults -nic none -display none \
		-no-reboot -kernel "$cache/vmlinuz-$release" -initrd "$work/initrd" \
		-append "console=ttyS0 quiet no_timer_check panic=-1" \
		-serial "file:$work/summary" -serial "file:$work/whole" </dev/null >"$work/qemu.log" 2>&1
}

# boot_tests is boot for as long as tests may take, again if the kernel does not
# come as far as to run any.
boot_tests() {
	for attempt in 1 2 3; do
		boot "$limit" || echo "QEMU ended with status $?: $(cat "$work/qemu.log")"
		! grep -q "^booted" "$work/summary" || return 0
		echo "attempt $attempt: $release does not boot"
		tail -n 20 "$work/summary"
	done
}

# choose_accelerator takes KVM where it works: the device may be there all the
# same where the machine is a virtual one itself.
choose_accelerator() {
	accelerator="-accel kvm -cpu host"
	: >"$work/root/tests"
	if ! { [ -w /dev/kvm ] && boot 20 && grep -q "^powering off" "$work/summary"; }; then
		accelerator="-accel tcg,thread=multi -cpu max"
	fi
}

failed=0

# run_tests boots $release and reports on each command of the machine's /tests.
run_tests() {
	began=$(date +%s)
	boot_tests
	tr -d '\r' <"$work/summary" >"$work/lines"
	ok=1
	while read -r name _; do
		line=$(grep "^result $name " "$work/lines" || :)
		set -- $line
		if [ $# = 7 ]; then
			echo "$release $name: $4 passed, $5 failed, $6 skipped in $7 s, status $3"
			[ "$3" = 0 ] && [ "$5" = 0 ] && [ "$4" != 0 ] || ok=0
		else
			echo "$release $name: no result"
			ok=0
		fi
	done <"$work/root/tests"
	echo "$release took $(($(date +%s) - began)) s"
	if [ -n "$OUTPUT" ]; then
		cat "$work/lines" "$work/whole" >>"$OUTPUT/$release.log"
	elif [ $ok = 0 ]; then
		cat "$work/lines" "$work/whole"
	fi
	[ $ok = 1 ] || failed=1
}

install_missing
list_kernels
step "build $BINARIES ${VERIFIER:+engine/steering}"
build
[ -z "$OUTPUT" ] || mkdir -p "$OUTPUT"
find_kernel newest
choose_accelerator
for kernel in $KERNELS; do
	find_kernel "$kernel"
	step "Linux $release, $accelerator"
	for dir in $BINARIES; do
		command_for "$dir" $TESTFLAGS
	done >"$work/root/tests"
	run_tests
done
for kernel in $VERIFIER; do
	find_kernel "$kernel"
	step "Linux $release, $accelerator, the verifier"
	command_for engine/steering -test.run=^TestVerifier$ >"$work/root/tests"
	run_tests
done
exit $failed
