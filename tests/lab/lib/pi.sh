# shellcheck shell=bash
# The Pis' power switches.

pi_has_power() { alive "$STATE/pis/$1/power"; }

pi_power_on() {
    local pi=$1
    pi_has_power "$pi" && return 0
    # What a power loss of which the lab knows nothing left behind.
    pi_power_off "$pi"
    plug_in "$pi"
    start "$STATE/pis/$pi/power" "$STATE/pis/$pi/boot.log" "$HERE/pi/boot" "$pi"
}

# All at once, as when the mains fail: the wait for the last of them is the only one.
pi_power_off_all() {
    local pi
    for pi in "${PIS[@]}"; do
        ! pi_has_power "$pi" || kill -KILL "$(pid_in "$STATE/pis/$pi/power")"
    done
    for pi in "${PIS[@]}"; do pi_power_off "$pi"; done
}

# Everything on the Pi ends with its PID 1, unasked; its disk stays.
pi_power_off() {
    local pi=$1
    stop "$STATE/pis/$pi/power" 0
    cgroup_kill "$pi"
    wait_until 10 cgroup_remove "$pi" ||
        die "$pi still has processes after its power was cut" "$LAST_SEEN" \
            "one of them hangs in the kernel" "cat $CGROUPS/*/rollout-lab/$pi/cgroup.procs"
    unplug "$pi"
}

pi_answers() { on_pi "$1" true; }

pi_wait() {
    wait_until "${2:-60}" pi_answers "$1" ||
        die "$1 does not answer on SSH" "$LAST_SEEN" \
            "its boot failed, or its cable is cut" "tail $STATE/pis/$1/boot.log $STATE/pis/$1/disk/var/log/sshd.log"
}

# A card as it was flashed: the next boot provisions it anew.
pi_wipe() { rm -rf "$STATE/pis/$1/disk"; }

# in_pi PI COMMAND...: as root on the Pi without SSH, for the lab's own work.
in_pi() {
    local pi=$1 first
    shift
    first=$(pgrep -P "$(pid_in "$STATE/pis/$pi/power")")
    nsenter -t "$first" --mount --pid --net --uts --ipc --cgroup -- "$@"
}
