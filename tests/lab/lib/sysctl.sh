# shellcheck shell=bash
# Kernel settings that are the machine's, not a namespace's: the kubelet and plans
# change them from within a Pi. They are recorded before the first change.

SHARED_SYSCTLS=(
    fs.file-max fs.inotify.max_user_instances fs.inotify.max_user_watches
    kernel.keys.root_maxbytes kernel.keys.root_maxkeys kernel.panic kernel.panic_on_oops kernel.pid_max
    vm.max_map_count vm.overcommit_memory vm.panic_on_oom vm.swappiness
)
SYSCTL_RECORD=$STATE/sysctl

sysctl_record() {
    [[ ! -e $SYSCTL_RECORD ]] || return 0
    sysctl --ignore "${SHARED_SYSCTLS[@]}" >"$SYSCTL_RECORD.new"
    mv "$SYSCTL_RECORD.new" "$SYSCTL_RECORD"
}

sysctl_restore() {
    [[ ! -e $SYSCTL_RECORD ]] || sysctl -q -p "$SYSCTL_RECORD"
}

# Three nodes' kubelets, containerds and pods watch more files than one machine's default allows.
sysctl_raise() {
    (($(sysctl -n fs.inotify.max_user_instances) >= 1024)) || sysctl -qw fs.inotify.max_user_instances=1024
}
