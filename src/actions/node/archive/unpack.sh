# shellcheck shell=sh disable=SC2154
# $1 archive, $2 directory, $3 name of the stamp file, $4 leading folders to leave out, $5 decompressor, or unzip, $6 path
# that must exist afterwards, $7 not empty to keep the archive's modes.
#
# The archive is unpacked in a folder that nobody else can enter, and its files are moved into place from there: unpackers
# disagree about links that exist in the target, and none is safe when others may write to that directory. The old stamp is
# removed before the first file is moved, so that an interrupted run leaves no stamp for a mixture of two versions.
_ro_scratch "$2" make && mkdir ./new || exit
(
	cd ./new && umask "$_ro_mask" || exit
	case $5 in
	unzip) unzip -o -q "$1" </dev/null || exit ;;
	*)
		option=-dc
		[ "$5" != cat ] || option=
		wrong=$({
			{ "$5" $option "$1" 3>&- || echo "$5" >&3; } |
				tar -x -o -f - --strip-components="$4" >&2 3>&- || echo tar >&3
		} 3>&1)
		[ -z "$wrong" ] || exit 1
		;;
	esac
) || exit
if [ -z "$7" ]; then
	# In a setgid directory, new folders inherit the bit and keep it.
	kept=d
	[ -g . ] || kept=l
	find ./new ! -type l \( -perm -4000 -o -perm -0002 \) -exec chmod u-s,o-w {} + &&
		find ./new ! -type l ! -type "$kept" -perm -2000 -exec chmod g-s {} + || exit
fi
rm -f -- "../$3" || exit
# merge FOLDER: moves its content into the working directory. A link to a folder there stays one.
merge() {
	from=$1
	set --
	for entry in "$from"/* "$from"/.[!.]* "$from"/..?*; do
		if ! [ -e "$entry" ] && ! [ -L "$entry" ]; then continue; fi
		name=${entry##*/}
		if [ -d "$entry" ] && ! [ -L "$entry" ] && { [ -e "./$name" ] || [ -L "./$name" ]; }; then
			(_ro_walk "$name" && merge "$entry") || return
		else
			set -- "$@" "$entry"
			if [ $# -ge 200 ]; then
				mv -f -- "$@" . || return
				set --
			fi
		fi
	done
	[ $# = 0 ] || mv -f -- "$@" .
}
exec 3<./new
(cd .. && merge /proc/self/fd/3) || exit
if [ -n "$6" ] && ! [ -e "$6" ]; then
	printf 'it was unpacked, but did not bring %s\n' "$6" >&2
	exit 1
fi
