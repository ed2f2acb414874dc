# shellcheck shell=sh disable=SC2154
# Makes the home of the user $name, with what new users get, unless it is there.
entry=$(getent passwd "$name") || exit
home=${entry%:*}
home=${home##*:}
[ ! -e "$home" ] || exit 0
umask 077
# It is made beside and renamed, so that a home that is there is a whole one.
_ro_scratch "${home%/*}/" make || exit
new=./${home##*/}
mkdir -- "$new" || exit
if [ -d /etc/skel ]; then cp -Rp /etc/skel/. "$new" || exit; fi
chown -hR -- "$name:$(id -g -- "$name")" "$new" && chmod 0750 "$new" && mv -- "$new" ..
