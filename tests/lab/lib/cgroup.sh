# shellcheck shell=bash
# A control group for each Pi, below every hierarchy that the machine has: one on
# cgroup v2, one a controller (or set of them) on v1. A Pi sees its own as the root.

CGROUPS=/sys/fs/cgroup

# One line for each v1 hierarchy, its controllers joined by commas; nothing on a v2 machine.
cgroup_v1_hierarchies() { cut -d: -f2 /proc/self/cgroup | grep . || true; }

cgroup_folders() {
    local hierarchies hierarchy
    hierarchies=$(cgroup_v1_hierarchies)
    [[ -n $hierarchies ]] || { echo "$CGROUPS/rollout-lab" && return; }
    for hierarchy in $hierarchies; do echo "$CGROUPS/${hierarchy#name=}/rollout-lab"; done
}

# Moves the calling shell into PI's control groups.
cgroup_enter() {
    local folder file
    for folder in $(cgroup_folders); do
        mkdir -p "$folder/$1"
        if [[ $folder == "$CGROUPS/rollout-lab" ]]; then
            cgroup_delegate "$CGROUPS"
            cgroup_delegate "$folder"
        fi
        # A new v1 cpuset has no CPU and takes no process.
        for file in cpuset.cpus cpuset.mems; do
            [[ -e $folder/$file ]] || continue
            cat "${folder%/*}/$file" >"$folder/$file"
            cat "$folder/$file" >"$folder/$1/$file"
        done
        # 0 is the writer itself, in whatever PID namespace.
        echo 0 >"$folder/$1/cgroup.procs"
    done
}

cgroup_delegate() {
    local controller
    for controller in $(<"$1/cgroup.controllers"); do
        echo "+$controller" >"$1/cgroup.subtree_control"
    done
}

# Whatever is in PI's control groups is the lab's, even if no file remembers it.
cgroup_kill() {
    local folder pid
    # Any hierarchy will do: a Pi's processes are in all of them.
    read -r folder < <(cgroup_folders)
    folder+=/$1
    [[ -d $folder ]] || return 0
    find "$folder" -name cgroup.procs -exec cat {} + | while read -r pid; do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# cgroup_remove [PI]: fails while a process is left in one.
cgroup_remove() {
    local folder
    for folder in $(cgroup_folders); do
        [[ ! -d $folder/${1:-} ]] || find "$folder/${1:-}" -depth -type d -exec rmdir {} +
    done
}

# What the Pi itself sees, mounted at FOLDER by a process already in its cgroup namespace.
cgroup_mount() {
    local hierarchies hierarchy controller
    hierarchies=$(cgroup_v1_hierarchies)
    if [[ -z $hierarchies ]]; then
        mount -t cgroup2 cgroup2 "$1"
        # A v2 group with processes of its own cannot hand controllers down.
        mkdir -p "$1/init"
        echo 0 >"$1/init/cgroup.procs"
        cgroup_delegate "$1"
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs "$1"
    for hierarchy in $hierarchies; do
        mkdir "$1/${hierarchy#name=}"
        if [[ $hierarchy == name=* ]]; then
            mount -t cgroup -o "none,$hierarchy" cgroup "$1/${hierarchy#name=}"
            continue
        fi
        mount -t cgroup -o "$hierarchy" cgroup "$1/$hierarchy"
        for controller in ${hierarchy//,/ }; do
            [[ -e $1/$controller ]] || ln -s "$hierarchy" "$1/$controller"
        done
    done
}
