# shellcheck shell=bash
# The operator's key, each Pi's host key, and the client configuration that pins them.

ssh_setup() {
    local pi
    [[ ! -e $SSH_CONFIG ]] || return 0
    mkdir -p "$STATE/ssh"
    chmod 700 "$STATE/ssh"
    ssh-keygen -q -t ed25519 -N '' -C operator@laptop -f "$STATE/ssh/id"
    for pi in "${PIS[@]}"; do
        mkdir -p "$STATE/pis/$pi"
        ssh-keygen -q -t ed25519 -N '' -C "root@$pi" -f "$STATE/pis/$pi/host_key"
        echo "$pi,${ADDRESS[$pi]} $(cut -d' ' -f1,2 "$STATE/pis/$pi/host_key.pub")"
    done >"$STATE/ssh/known_hosts"
    # Last, and by a rename: it is what says that the rest is complete.
    ssh_config >"$SSH_CONFIG.new"
    mv "$SSH_CONFIG.new" "$SSH_CONFIG"
}

ssh_config() {
    local pi
    for pi in "${PIS[@]}"; do
        printf 'Host %s\n    HostName %s\n\n' "$pi" "${ADDRESS[$pi]}"
    done
    cat <<CONFIG
Host ${PIS[*]} 10.77.0.1?
    User pi
    IdentityFile $STATE/ssh/id
    IdentitiesOnly yes
    UserKnownHostsFile $STATE/ssh/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
CONFIG
}

on_pi() {
    local pi=$1
    shift
    on_laptop ssh -F "$SSH_CONFIG" -o BatchMode=yes -o ConnectTimeout=3 "$pi" "$@"
}
