#!/bin/sh
# Passes on the output of go test -fuzz, and fails as it did, but for one way: before
# Go 1.27 the end of -fuzztime itself may be reported as a failure, of no input
# (golang/go#75804).
exec awk '
	held == "" && !/^--- FAIL: / { print; if (/^ok/) ok = 1; fflush(); next }
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
'
