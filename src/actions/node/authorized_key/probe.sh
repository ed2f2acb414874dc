# shellcheck shell=sh disable=SC2154
# $user, $path: prints where the user's keys are and what is there, one fact per line, its fields separated by tabs, then the
# whole file after a line `content`. Changes nothing. Links are resolved, and a file outside of the home is not read.
export LC_ALL=C
if ! entry=$(getent passwd "$user"); then
	printf 'nobody\n'
	exit 0
fi
home=${entry%:*}
home=${home##*:}
printf 'user\t%s\t%s\n' "$(id -u -- "$user")" "$(id -u)"
if [ -n "$path" ]; then
	place=$path
elif ! [ -d "$home" ]; then
	printf 'homeless\t%s\n' "$home"
	exit 0
else
	home=$(cd -- "$home" && pwd -P) || exit
	place=$home/.ssh/authorized_keys
	if folder=$(stat -c '%u %a' -- "$home/.ssh/." 2>/dev/null); then printf 'folder\t%s\n' "$folder"; fi
	real=$(readlink -f -- "$place")
	# Without the folder, readlink prints nothing.
	[ -n "$real" ] || real=$place
	case $real in
	"$home"/*) place=$real ;;
	*)
		printf 'outside\t%s\n' "$real"
		exit 0
		;;
	esac
fi
printf 'place\t%s\t%s\n' "$home" "$place"
if [ -n "$path" ] && [ -L "$place" ]; then
	printf 'link\t%s\n' "$place"
elif [ -f "$place" ]; then
	printf 'file\t%s\n' "$(stat -c '%u %a' -- "$place")"
	printf 'content\n'
	cat -- "$place"
elif [ -e "$place" ]; then
	printf 'odd\t%s\n' "$place"
fi
