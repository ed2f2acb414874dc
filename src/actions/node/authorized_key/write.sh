# shellcheck shell=sh disable=SC2154
# $home, $place, $size: writes standard input to the place atomically. Runs as the user who owns the keys, so that no link
# set by that user can lead to a file of somebody else.
umask 077
folder=${place%/*}
if ! [ -d "$folder" ]; then mkdir -p -- "$folder" || exit; fi
cd -- "$folder" || exit
case $(pwd -P)/ in
"$home"/*) ;;
*)
	printf '%s leads out of %s\n' "$folder" "$home" >&2
	exit 1
	;;
esac
chmod go-w . || exit
tmp=
trap 'trap "" HUP INT TERM PIPE; rm -f -- "$tmp"' EXIT
trap 'exit 1' HUP INT TERM PIPE
tmp=$(trap "" HUP INT TERM PIPE; mktemp ./.authorized_keys.XXXXXX) || exit
cat >"$tmp" || exit
if [ "$(wc -c <"$tmp")" -ne "$size" ]; then
	printf 'not all of the keys arrived\n' >&2
	exit 1
fi
sync "$tmp" 2>/dev/null
mv -f -- "$tmp" "./${place##*/}"
