#!/bin/sh
# Reads rows of the table of kernels in docs/reliability.md, and puts each in place of
# the one that it is newer than: of the same series of Linux, architecture, package and
# gear. The other rows stay.
set -eu
doc=$(dirname "$0")/../../docs/reliability.md
begin='<!-- figures of kernels: UPDATE=1 make test-kernels writes these -->'
end='<!-- end of kernels -->'
grep -qxF "$begin" "$doc"
grep -qxF "$end" "$doc"
new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
	sed "/^$begin\$/q" "$doc"
	echo
	echo '| Linux | CPU | Tests of | Gear | Passed | Failed | Skipped | Seconds | On |'
	echo '|---|---|---|---|---|---|---|---|---|'
	# A release such as 6.1.0-57 is of series 6.1.
	{
		sed -n "/^$begin\$/,/^$end\$/{/^| [0-9]/p;}" "$doc"
		cat <&3
	} | awk -F ' *[|] *' '
		{ split($2, part, "."); row[part[1] "." part[2] "|" $3 "|" $4 "|" $5] = $0 }
		END { for (key in row) print row[key] }
	' | LC_ALL=C sort -t '|' -k 2,2V -k 3
	echo
	sed -n "/^$end\$/,\$p" "$doc"
} 3<&0 >"$new"
cat "$new" >"$doc"
