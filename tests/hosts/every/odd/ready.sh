# shellcheck shell=sh
# Prepares the host for the plans with odd values: files with all kinds of bytes and line ends, and alternative names of
# users' groups.
set -eu
cd /srv/t
printf '\357\273\277# caf\351\r\na = 1\r\nb = 2' >marked
printf '# caf\351\n10.0.0.2\tX  other\ty # \377\n' >hosts
printf 'x=1 "b  c"  quiet' >/srv/boot/cmdline.txt
printf '# \351\r\na=1\r\n' >/srv/boot/config.txt
printf '127.0.0.1 localhost\n127.0.1.1\t%s  git # mine \351\n' "$(hostname)" >/etc/hosts
printf '# \351\r\n' >keys
: >empty
groupadd --gid 61400 real
groupadd --gid 61400 --non-unique alias
groupadd --gid 61401 more
useradd --no-create-home --non-unique --uid 0 --gid root toor
# Group names as a directory service returns them.
printf 'odd users:x:61402:ada\n' >>/etc/group
useradd --no-create-home --gid real --home-dir /srv/ada --shell /bin/sh ada
git -C /srv/repo -c user.name=x -c user.email=x@example.org tag -a -m one v1
