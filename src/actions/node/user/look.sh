# shellcheck shell=sh disable=SC2154
# $name: what is known of an account, one thing a line, its parts apart by tabs. Only looks. $group is the wanted one, if
# any: who is to have it needs none of his own name. The wanted password hash, if any, comes on standard input, and stays in
# variables of this shell.
export LC_ALL=C
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
printf 'groups\t%s\n' "$(id -Gn -- "$name")"
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
