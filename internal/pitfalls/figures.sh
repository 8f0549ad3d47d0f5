#!/bin/sh
# Usage: figures.sh PART. Reads the output of go test -v, or of make fuzz, and writes
# what was logged to the PART of the figures in docs/reliability.md. It fails where a
# test did, and then writes nothing.
set -eu
part=$1
doc=$(dirname "$0")/../../docs/reliability.md
begin="<!-- figures of $part: make test-full writes these -->"
end="<!-- end of $part -->"
grep -qxF "$begin" "$doc"
log=$(mktemp)
trap 'rm -f "$log" "$log.table" "$log.doc"' EXIT
tee "$log"
grep -q '^ok' "$log"
if grep -q '^\(FAIL\|--- FAIL\)' "$log"; then
	exit 1
fi
{
	echo "$begin"
	echo
	echo "$(date -u +%F), Linux $(uname -r | cut -d- -f1), $(nproc) CPUs, $(go env GOVERSION)."
	echo
	echo '| Test | Figures |'
	echo '|---|---|'
	# A number and a state are what schedules of TestSim met.
	awk '
		function flush() { if (text != "") printf "| %s | %s |\n", name, text; text = "" }
		/^(=== (RUN|NAME|CONT)|--- |    --- |ok|PASS)/ { flush() }
		/^=== (RUN|NAME|CONT)/ { name = $3; next }
		/^--- PASS/ { printf "| %s | passed in %s |\n", $3, substr($4, 2, length($4) - 2); next }
		/^== Fuzz/ { flush(); name = $2; sub(/,$/, "", name); next }
		/^fuzz: elapsed: / { time = $3; sub(/,$/, "", time); text = $5 " executions in " time; next }
		/^ +[a-z_]+_test\.go:[0-9]+: +[0-9]+ / && !/ schedules, / && name == "TestSim" { next }
		/^ +[a-z_]+_test\.go:[0-9]+: none: / { next } # the last line of the test says it as well
		/^ +[a-z_]+_test\.go:[0-9]+: / { flush(); sub(/^ +[a-z_]+_test\.go:[0-9]+: /, ""); text = $0; next }
		text != "" && /^        [^ ]/ { sub(/^ +/, ""); text = text "; " $0 }
	' "$log"
	echo
	echo "$end"
} >"$log.table"
awk -v table="$log.table" -v begin="$begin" -v end="$end" '
	$0 == begin { while ((getline line < table) > 0) print line; skip = 1 }
	!skip { print }
	$0 == end { skip = 0 }
' "$doc" >"$log.doc"
cat "$log.doc" >"$doc"
