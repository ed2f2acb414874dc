# shellcheck shell=sh disable=SC2154
# GROUP...: prints what is known of the account $name and of these groups, one fact per line, its fields separated by tabs.
# Changes nothing. $group is the wanted primary group, if any: a new user then needs no group of its own name. $further is
# not empty when supplementary groups are wanted. Groups are printed with their numbers, since names may contain blanks and
# two names may have one number. The wanted password hash, if any, comes on standard input, and stays in shell variables.
export LC_ALL=C
for one in "$@"; do
	if line=$(getent group "$one"); then
		line=${line#*:*:}
		printf 'known\t%s\t%s\n' "$one" "${line%%:*}"
	fi
done
entry=$(getent passwd "$name")
status=$?
if [ "$status" = 2 ]; then
	if [ -z "$group" ] && getent group "$name" >/dev/null; then printf 'namesake\n'; fi
	exit 0
elif [ "$status" != 0 ]; then
	exit "$status"
fi
printf 'entry\t%s\n' "$entry"
printf 'group\t%s\n' "$(id -gn -- "$name" 2>/dev/null)"
if [ -n "$further" ]; then
	newline='
'
	here=$newline$(cut -d : -f 1 /etc/group)$newline
	for gid in $(id -G -- "$name"); do
		line=$(getent group "$gid")
		of=${line%%:*}
		case $here in
		*"$newline$of$newline"*) from=here ;;
		*) from=elsewhere ;;
		esac
		printf 'member\t%s\t%s\t%s\n' "$gid" "${of:-$gid}" "$from"
	done
fi
home=${entry%:*}
home=${home##*:}
if [ -d "$home" ]; then printf 'home\tthere\n'; else printf 'home\tmissing\n'; fi
IFS= read -r wanted
if [ -n "$wanted" ]; then
	if shadow=$(getent shadow "$name"); then
		shadow=${shadow#*:}
		if [ "${shadow%%:*}" = "$wanted" ]; then printf 'password\tsame\n'; else printf 'password\tdiffers\n'; fi
	else
		printf 'password\thidden\n'
	fi
fi
exit 0
