# shellcheck shell=sh
# Prepares the host for the plan: a package repository, a git repository, an archive, a boot folder, a kernel module.
set -eu
mkdir -p /srv/t /srv/boot /srv/apt/root/DEBIAN /srv/repo
chmod 777 /srv/t
printf 'root=x quiet\n' >/srv/boot/cmdline.txt
printf '[pi4]\na=1\n' >/srv/boot/config.txt

cd /srv/apt
printf 'Package: rollout-test\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n' >root/DEBIAN/control
dpkg-deb --root-owner-group --build root rollout-test.deb >/dev/null
{
	dpkg-deb -f rollout-test.deb
	printf 'Filename: ./rollout-test.deb\nSize: %s\n' "$(wc -c <rollout-test.deb)"
	printf 'SHA256: %s\n' "$(sha256sum rollout-test.deb | cut -d ' ' -f 1)"
} >Packages
printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(LC_ALL=C date -Ru)" "$(sha256sum Packages | cut -d ' ' -f 1)" "$(wc -c <Packages)" >Release
export GNUPGHOME=/srv/keys
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key every@example.org default default never
gpg --batch --quiet --clearsign --output InRelease Release
gpg --export >/usr/share/keyrings/every.gpg
# No other package repository is used.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*

cd /srv/repo
git init -q -b main
git -c user.name=x -c user.email=x@example.org commit -q --allow-empty -m one
# The user who clones the repository is not its owner.
git config --system --add safe.directory '*'

cd /srv
mkdir a && echo x >a/b && tar -czf archive.tar.gz a

# In some containers /proc/sys is read-only, even the parts that belong to the container.
! mountpoint -q /proc/sys || mount -o remount,bind,rw /proc/sys

# Some containers have no kernel modules.
if [ -d /sys/module ]; then
	mount -t tmpfs none /sys/module
	mkdir /sys/module/rollout_test
	echo live >/sys/module/rollout_test/initstate
fi
