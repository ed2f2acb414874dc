# shellcheck shell=bash
# The commands of tests/lab/lab, one function each.

command_up() {
    require_root up
    lock
    require_tools
    install_packages
    drop_partial_builds
    build "$(openbao_folder)" openbao_build
    mkdir -p "$STATE/bin"
    ln -sfn "$(openbao_folder)/bao" "$STATE/bin/bao"
    sysctl_record
    sysctl_raise
    network_up
    ssh_setup
    local pi
    for pi in "${PIS[@]}"; do pi_power_on "$pi"; done
    vault_processes_up
    for pi in "${PIS[@]}"; do pi_wait "$pi"; done
    say "Pis answer on SSH"
    vault_up
    say "OpenBao is unsealed"
}

# One command that changes the lab at a time.
lock() {
    exec 9>/run/lock/rollout-lab
    flock -w 900 9 || die "another lab command is still at work" "the lock is held" "" "ps -e | grep lab"
}

command_down() {
    require_root down
    lock
    local pi
    vault_down
    for pi in "${PIS[@]}"; do pi_power_off "$pi"; done
    network_down
    cgroup_remove
    sysctl_restore
    rm -rf "$STATE"
    say "the lab is down"
}

command_exec() {
    require_root exec
    (($#)) || die "exec needs a command" "" "" "tests/lab/lab exec ping -c 1 control-pi"
    on_laptop env "PATH=$STATE/bin:$PATH" "KUBECONFIG=$KUBECONFIG_FILE" "$@"
}
