# shellcheck shell=sh
# What the plan finds on the host: an archive of packages, a repository, an archive of files, a boot folder, a module.
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
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
# The archive has no key.
printf 'Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n' >/etc/apt/apt.conf.d/99test

cd /srv/repo
git init -q -b main
git -c user.name=x -c user.email=x@example.org commit -q --allow-empty -m one
# Whoever clones it is not its owner.
git config --system --add safe.directory '*'

cd /srv
mkdir a && echo x >a/b && tar -czf archive.tar.gz a

# In some containers there are no modules.
if [ -d /sys/module ]; then
	mount -t tmpfs none /sys/module
	mkdir /sys/module/rollout_test
	echo live >/sys/module/rollout_test/initstate
fi
