# shellcheck shell=bash disable=SC2164 # sourced under set -e
# A Pi's root file system: /usr and /etc are the machine's with the Pi's own changes laid
# over them, the rest is the Pi's alone, so nothing of the machine's user is in sight.

ROOT=

# root_make PI FOLDER: ROOT becomes a mounted tree, not yet entered.
root_make() {
    local pi=$1 folder=$2 disk=$2/disk name
    ROOT=$folder/root
    mkdir -p "$ROOT" "$disk"/{home,root,opt,var/{cache,log,tmp,spool}} \
        "$disk"/var/lib/{containerd,etcd,kubelet,sudo,dpkg} "$folder/node"
    mount -t tmpfs -o mode=755,size=16m tmpfs "$ROOT"
    mkdir "$ROOT"/{boot,dev,etc,home,media,mnt,opt,proc,root,run,srv,sys,tmp,usr,var}
    for name in bin sbin lib lib32 lib64 libx32; do
        [[ ! -e /$name ]] || ln -s "usr/$name" "$ROOT/$name"
    done
    for name in home root opt var; do mount --bind "$disk/$name" "$ROOT/$name"; done
    overlay usr /usr
    overlay etc /etc
    overlay var/lib/dpkg /var/lib/dpkg
    # What the machine's user installed by hand is not part of a Pi.
    mkdir -p "$disk"/usr-local/{bin,sbin,lib,share}
    mount --bind "$disk/usr-local" "$ROOT/usr/local"
    ln -sfn /run "$ROOT/var/run"
    chmod 1777 "$ROOT/var/tmp"
    chmod 700 "$ROOT/root"

    mount -t proc proc "$ROOT/proc"
    mount -t sysfs sysfs "$ROOT/sys"
    cgroup_mount "$ROOT/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
    mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
    root_devices
    # The kubelet's mounts for pods have to reach the containers.
    mount --bind "$ROOT/var/lib/kubelet" "$ROOT/var/lib/kubelet"
    mount --make-rshared "$ROOT/var/lib/kubelet"
    mkdir "$ROOT/run/node"
    mount --bind "$folder/node" "$ROOT/run/node"
    if [[ ! -e $disk/provisioned ]]; then
        root_provision "$pi" "$folder"
        : >"$disk/provisioned"
    fi
}

# overlay PATH LOWER: the machine's LOWER with the Pi's own changes, at ROOT/PATH.
overlay() {
    local own=$disk/overlay/${1//\//-}
    mkdir -p "$own"/{changes,work}
    mount -t overlay -o "lowerdir=$2,upperdir=$own/changes,workdir=$own/work" overlay "$ROOT/$1"
}

root_devices() {
    local dev=$ROOT/dev name
    mount -t tmpfs -o mode=755 tmpfs "$dev"
    mkdir -p "$dev"/{pts,shm,mqueue,net}
    for name in null zero full random urandom tty kmsg net/tun; do
        [[ ! -c /dev/$name ]] || cp -a "/dev/$name" "$dev/$name"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$dev/shm"
    mount -t mqueue mqueue "$dev/mqueue"
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
}

# What a freshly flashed card and its first boot bring: name, keys, the user pi.
root_provision() {
    local pi=$1 folder=$2 etc=$ROOT/etc home=$ROOT/home/pi
    echo "$pi" >"$etc/hostname"
    cp "$NETNS_FILES/hosts" "$etc/hosts"
    rm -f "$etc/resolv.conf" "$etc/machine-id" "$etc"/ssh/ssh_host_*
    : >"$etc/resolv.conf"
    tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
    install -m 600 "$folder/host_key" "$etc/ssh/ssh_host_ed25519_key"
    install -m 644 "$folder/host_key.pub" "$etc/ssh/ssh_host_ed25519_key.pub"
    install -m 644 "$HERE/sshd_config" "$etc/ssh/sshd_config"
    chroot "$ROOT" userdel -f pi 2>/dev/null || true
    chroot "$ROOT" useradd --create-home --shell /bin/bash pi
    install -d -m 700 "$home/.ssh"
    install -m 600 "$STATE/ssh/id.pub" "$home/.ssh/authorized_keys"
    chown -R --reference="$home" "$home/.ssh"
    install -d -m 750 "$etc/sudoers.d"
    echo 'pi ALL=(ALL) NOPASSWD: ALL' >"$etc/sudoers.d/010_pi-nopasswd"
    chmod 440 "$etc/sudoers.d/010_pi-nopasswd"
    root_modules
}

# A kernel without loadable modules has no module list, and modprobe then refuses even
# what is built in. The list names only what this kernel shows that it has.
root_modules() {
    local modules
    modules=$ROOT/usr/lib/modules/$(uname -r)
    [[ ! -d $modules ]] || return 0
    mkdir -p "$modules"
    {
        [[ ! -d /proc/sys/net/bridge ]] || echo kernel/net/bridge/br_netfilter.ko
        [[ ! -d /proc/sys/net/netfilter ]] || echo kernel/net/netfilter/nf_conntrack.ko
        ! grep -qw overlay /proc/filesystems || echo kernel/fs/overlayfs/overlay.ko
        [[ ! -c /dev/net/tun ]] || echo kernel/drivers/net/tun.ko
    } >"$modules/modules.builtin"
    : >"$modules/modules.order"
    chroot "$ROOT" depmod 2>/dev/null
}

root_enter() {
    cd "$ROOT"
    pivot_root . mnt
    cd /
    umount -l /mnt
}
