# shellcheck shell=sh disable=SC2154
# Makes the home of the user $name, with what new users get, unless it is there.
entry=$(getent passwd "$name") || exit
home=${entry%:*}
home=${home##*:}
[ ! -e "$home" ] || exit 0
umask 077
mkdir -p -- "${home%/*}/" || exit
# It is made beside and renamed, so that a home that is there is a whole one.
new=
trap 'trap "" HUP INT TERM PIPE; rm -rf -- "$new"' EXIT
trap 'exit 1' HUP INT TERM PIPE
new=$(trap "" HUP INT TERM PIPE; mktemp -d "${home%/*}/.home.XXXXXX") || exit
if [ -d /etc/skel ]; then cp -Rp /etc/skel/. "$new" || exit; fi
chown -R -- "$name:$(id -g -- "$name")" "$new" && chmod 0750 "$new" && mv -- "$new" "$home" && trap - EXIT
