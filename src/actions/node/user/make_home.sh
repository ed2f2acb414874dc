# shellcheck shell=sh disable=SC2154
# Creates the home of the user $name with the files of /etc/skel, unless it exists.
entry=$(getent passwd "$name") || exit
home=${entry%:*}
home=${home##*:}
[ ! -e "$home" ] || exit 0
umask 077
# The home is created under another name and renamed, so that an existing home is always complete.
_ro_scratch "${home%/*}/" make || exit
new=./${home##*/}
mkdir -- "$new" || exit
if [ -d /etc/skel ]; then cp -Rp /etc/skel/. "$new" || exit; fi
chown -hR -- "$name:$(id -g -- "$name")" "$new" && chmod 0750 "$new" && mv -- "$new" ..
