# shellcheck shell=sh disable=SC2154
# NAME...: prints what is known of packages, one fact per line, its fields separated by tabs. Changes nothing. With latest=y
# the newest versions of all packages are printed; with absent=remove or absent=purge, what a removal would take away.
export LC_ALL=C
tab=$(printf '\t')

# age PATH...: prints the seconds since the latest change of any of them.
age() {
	youngest=$(stat -c %Y -- "$@" 2>/dev/null | sort -n | tail -n 1)
	[ -z "$youngest" ] || echo $(($(date +%s) - youngest))
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
	printf 'manager\tapt\nnative\t%s\n' "$(dpkg --print-architecture)"
	for list in /var/lib/apt/lists/*Release; do
		if [ -e "$list" ]; then
			printf 'lists\t%s\n' "$(age /var/lib/apt/lists /var/lib/apt/periodic/update-success-stamp)"
		fi
		break
	done
	[ $# -gt 0 ] || exit 0
	asked=$*
	# dpkg-query knows no `NAME:all`, and takes `native` for the name of an architecture.
	for name in "$@"; do
		shift
		set -- "$@" "${name%%:*}"
	done
	plain=$*
	all=yes
	found=$(dpkg-query -W -f 'package\t${Package}\t${Architecture}\t${db:Status-Abbrev}\t${Version}\n' "$@" 2>/dev/null) ||
		all=no
	[ -z "$found" ] || printf '%s\n' "$found"
	case $found in
	*"$tab"[a-z][!i][\ R]"$tab"*) all=no ;;
	esac
	# shellcheck disable=SC2086
	set -- $asked
	if [ -z "$absent" ] && [ "$all" = no ]; then
		# Packages that provide the other names.
		provided=$(dpkg-query -W -f '${Package}\t${Architecture}\t${db:Status-Abbrev}\t${Version}\t${Provides}\n' 2>/dev/null |
			awk -F '\t' -v names="$plain" '
			BEGIN { count = split(names, list, " "); for (i = 1; i <= count; i++) wanted[list[i]] = 1 }
			$5 != "" && $3 ~ /^.[iWt]/ {
				count = split($5, list, /, */)
				for (i = 1; i <= count; i++) {
					split(list[i] " ", part, /[ ()]+/)
					sub(/:.*/, "", part[1])
					if (part[1] in wanted)
						print "provided\t" part[1] "\t" part[3] "\t" $1 "\t" $2 "\t" $3 "\t" $4
				}
			}')
		if [ -n "$provided" ]; then
			printf '%s\n' "$provided"
			# shellcheck disable=SC2046
			[ -z "$latest" ] || set -- "$@" $(printf '%s\n' "$provided" | cut -f 4 | sort -u)
		fi
	fi
	if [ -n "$absent" ]; then
		# The simulated removal of an unknown package prints nothing but an error.
		# shellcheck disable=SC2046,SC2086
		set -- $(dpkg-query -W -f '${binary:Package}\n' $plain 2>/dev/null)
		[ $# = 0 ] || apt-get -s -y "$absent" "$@" 2>/dev/null |
			awk '$1 == "Remv" || $1 == "Purg" { gsub(/[][]/, "", $3); print "goes\t" $2 "\t" $3 }'
	elif [ -n "$latest" ] || [ "$all" = no ]; then
		apt-cache policy "$@" 2>/dev/null | awk '
			/^[^ ].*:$/ { name = substr($0, 1, length($0) - 1) }
			$1 == "Candidate:" && $2 != "(none)" { print "candidate\t" name "\t" $2 }'
	fi
elif command -v apk >/dev/null; then
	printf 'manager\tapk\nnative\t%s\n' "$(apk --print-arch)"
	lists=$(age /var/cache/apk/APKINDEX.* /etc/apk/cache/APKINDEX.* /var/lib/apk/APKINDEX.*)
	[ -z "$lists" ] || printf 'lists\t%s\n' "$lists"
	# NAME-VERSION-rN
	apk info -v 2>/dev/null | awk '
		match($1, /-[0-9][^-]*-r[0-9]+$/) {
			print "package\t" substr($1, 1, RSTART - 1) "\tall\tii \t" substr($1, RSTART + 1)
		}'
	[ -z "$latest" ] || apk version -l '<' 2>/dev/null | awk '
		$2 == "<" && match($1, /-[0-9][^-]*-r[0-9]+$/) { print "candidate\t" substr($1, 1, RSTART - 1) "\t" $3 }'
elif command -v dnf >/dev/null && command -v rpm >/dev/null; then
	# dnf refreshes its lists itself.
	printf 'manager\tdnf\nnative\t%s\nlists\t0\n' "$(uname -m)"
	[ $# -gt 0 ] || exit 0
	rpm -q --qf 'package\t%{NAME}\t%{ARCH}\tii \t%{VERSION}-%{RELEASE}\n' "$@" | grep "^package$tab"
	[ -z "$latest" ] || dnf -q check-update "$@" 2>/dev/null | awk '
		NF == 3 && $1 ~ /\./ { sub(/\.[^.]*$/, "", $1); print "candidate\t" $1 "\t" $2 }'
fi
exit 0
