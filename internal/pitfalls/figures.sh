#!/bin/sh
# Reads the output of go test -v and writes what the tests logged to the table of
# figures in docs/reliability.md. It fails where a test did.
set -eu
doc=$(dirname "$0")/../../docs/reliability.md
begin='<!-- figures: make test-long writes these -->'
end='<!-- end of the figures -->'
log=$(mktemp)
trap 'rm -f "$log" "$log.table" "$log.doc"' EXIT
tee "$log"
grep -q '^ok' "$log"
{
	echo "$begin"
	echo
	echo "$(date -u +%F), Linux $(uname -r | cut -d- -f1), $(nproc) CPUs, $(go env GOVERSION)."
	echo
	echo '| Test | Figures |'
	echo '|---|---|'
	awk '
		function flush() { if (text != "") printf "| %s | %s |\n", name, text; text = "" }
		/^(=== (RUN|NAME|CONT)|--- |    --- |ok|PASS)/ { flush() }
		/^=== (RUN|NAME|CONT)/ { name = $3; next }
		/^--- PASS/ { printf "| %s | passed in %s |\n", $3, substr($4, 2, length($4) - 2); next }
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
