# shellcheck shell=sh disable=SC2154
# Prints what is at $path, which device $source stands for, the paths of fstab without links, and all mounts.

# _real PATH: prints PATH without links. Its last components need not exist.
_real() {
	_at=$1 _rest=
	until _to=$(readlink -f "$_at" 2>/dev/null) && [ -n "$_to" ]; do
		_rest=/${_at##*/}$_rest
		_at=${_at%/*}
		[ -n "$_at" ] || _at=/
	done
	[ "$_to" != / ] || [ -z "$_rest" ] || _to=
	printf '%s\n' "$_to$_rest"
}

_real "$path"
if [ -d "$path" ]; then
	echo directory
elif [ -e "$path" ] || [ -L "$path" ]; then
	echo other
else
	echo nothing
fi

case $source in
*=*) device=$(findfs "$source" 2>/dev/null) ;;
/*) device=$source ;;
*) device= ;;
esac
if [ -b "$device" ]; then
	readlink -f "$device"
	stat -L -c %t:%T "$device"
else
	echo
	echo
fi

if [ -e "$source" ] && [ "$(stat -L -c %d:%i "$source")" = "$(stat -L -c %d:%i "$path" 2>/dev/null)" ]; then
	echo same
else
	echo other
fi

for it in /dev/mapper/*; do
	[ ! -L "$it" ] || printf 'device %s %s\n' "$it" "$(readlink -f "$it")"
done

# fstab writes blanks in paths as octal escapes.
if [ -f /etc/fstab ]; then
	while read -r _ at _; do
		case $at in
		*\\*) plain=$(printf %b "$(printf %s "$at" | sed 's/\\1/\\01/g')") ;;
		*) plain=$at ;;
		esac
		case $plain in
		/*) printf 'entry %s %s\n' "$at" "$(_real "$plain")" ;;
		esac
	done </etc/fstab
fi
echo mounts
cat /proc/self/mountinfo
