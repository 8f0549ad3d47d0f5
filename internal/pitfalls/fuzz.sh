#!/bin/sh
# Usage: fuzz.sh TIME DIR TARGET. Fuzzes with one worker for TIME, prints all of the output
# at the end, and fails as go test did, but for one way: before Go 1.27 the end of
# -fuzztime itself may be reported as a failure, of no input (golang/go#75804).
#
# What is found to be new is made smaller only a little: that of schedules differs from run
# to run, and it would take all of the time.
out=$({
	echo "== $3, $2, $1"
	go test -C "$2" -run '^$' -fuzz "^$3\$" -fuzztime "$1" -fuzzminimizetime 20x -parallel 1 .
} 2>&1 | awk '
	held == "" && !/^--- FAIL: / { print; if (/^ok/) ok = 1; next }
	{ held = held $0 "\n"; line[++lines] = $0 }
	END {
		if (lines == 5 && line[2] == "    context deadline exceeded" && line[3] == "FAIL" &&
			line[4] == "exit status 1" && sub(/^FAIL\t/, "ok  \t", line[5])) {
			print line[5] " (ended in an execution)"
			ok = 1
		} else {
			printf "%s", held
		}
		exit !ok
	}
')
rc=$?
printf '%s\n' "$out"
exit $rc
