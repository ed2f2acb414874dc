# shellcheck shell=sh
# Prepares the attacker's files, the files that must not change, and the files that the steps need.
set -eu
useradd --create-home --uid 2002 mallory
mkdir -p /srv/canary/folder/gone /srv/open /srv/sticky /srv/attacker
chown mallory /srv/attacker
chmod 0777 /srv/open
chmod 1777 /srv/sticky
cd /srv/canary
echo secret >secret
chmod 0600 secret
echo precious >folder/gone/file
for name in file leaf 0 name; do echo "$name" >"folder/$name"; done
mkdir folder/folder folder/below
cd /home/mallory
mkdir pool flip flip/gone tree tree/below tree/extra unpacked unpacked/a new
echo mine >attributes
echo extra >tree/extra/file
for name in file backed owned guarded; do echo mine >"$name"; done
chown -R mallory: .
ln -s /srv/canary/folder led
chown -h mallory led
# As on kernels that let users create hard links to files of others.
ln /srv/canary/secret hard
name=0
while [ "$name" -lt 500 ]; do
	ln /srv/canary/secret "pool/$name"
	name=$((name + 1))
done
cd /srv
mkdir a
echo x >a/b
chmod 4777 a/b
tar -czf archive.tar.gz a
git init -q -b main repo
git -C repo -c user.name=x -c user.email=x@example.org commit -q --allow-empty -m one
git init -q -b main canary/folder
git config --system --add safe.directory '*'
mkdir git
ln -s "$(command -v git)" git/git
