# shellcheck shell=bash
# The commands of tests/lab/lab, one function each.

command_help() {
    cat <<'HELP'
tests/lab/lab: a Raspberry Pi cluster with Vault on this machine

  up                       build what is missing, start everything, repair what died
  down                     end everything and leave nothing behind
  status                   what is up; fails unless all is well
  reset                    back to the state that `up` reached, in under half a minute

  exec COMMAND...          run it on the operator's laptop
  kubectl ARGUMENT...      with the cluster's administrator
  bao ARGUMENT...          with OpenBao's address, CA and root token

  power off|on PI          a power loss, and the boot after it
  cut|mend PI              pull a network cable, and plug it in again
  latency MS               round trip from the laptop to the Pis; 0 for none
  seal|unseal N            OpenBao node 0, 1 or 2
  pki drop|make            the intermediate CA's mount, pki_int
  argocd degrade|heal      health of the Application trading-app
  argocd down|up           argocd-server's replicas, 0 or 1

PI is control-pi, pi-1 or pi-2. Files for clients are in /var/lib/rollout-lab.
HELP
}

command_up() {
    require_root up
    lock
    install_packages
    everything_is_built || require_tools
    drop_partial_builds
    # What needs no compiler first: on a cold cache the Pis and OpenBao are there minutes
    # before the cluster.
    build "$(openbao_folder)" openbao_build
    mkdir -p "$STATE/bin"
    ln -sfn "$(openbao_folder)/bao" "$STATE/bin/bao"
    sysctl_record
    sysctl_raise
    network_up
    ssh_setup
    local pi
    for pi in "${PIS[@]}"; do pi_power_on "$pi"; done
    for pi in "${PIS[@]}"; do network_mend "$pi"; done
    vault_processes_up
    # With everything in the cache the cluster starts while OpenBao is unsealed.
    ! everything_is_built || kubernetes_release
    for pi in "${PIS[@]}"; do pi_wait "$pi"; done
    say "the Pis answer on SSH"
    vault_up
    say "OpenBao is unsealed"
    build_everything
    link_binaries
    charts_up
    kubernetes_up
    snapshot_take
    say "the lab is up"
}

BUILDS=(
    kubernetes_folder:kubernetes_build
    coredns_folder:coredns_build
    helm_folder:helm_build
    sops_folder:sops_build
    istio_folder:istio_build
    envoy_folder:envoy_build
    delay_folder:delay_build
    charts_folder:charts_build
    argocd_folder:argocd_build
)

everything_is_built() {
    local part
    for part in "${BUILDS[@]}"; do [[ -d $("${part%:*}") ]] || return 1; done
    [[ -d $(image_store_folder) ]]
}

build_everything() {
    local part
    for part in "${BUILDS[@]}"; do build "$("${part%:*}")" "${part#*:}"; done
    [[ -d $(image_store_folder) ]] || images_build
    build "$(image_store_folder)" image_store_build
}

link_binaries() {
    ln -sfn "$(helm_folder)/helm" "$STATE/bin/helm"
    ln -sfn "$(sops_folder)/sops" "$STATE/bin/sops"
    ln -sfn "$(delay_folder)/delay" "$STATE/bin/delay"
    # Called by this name the one binary is kubectl.
    ln -sfn "$(kubernetes_folder)/kubernetes" "$STATE/bin/kubectl"
}

command_down() {
    require_root down
    lock
    latency_off
    charts_down
    vault_down
    pi_power_off_all
    network_down
    cgroup_remove
    sysctl_restore
    rm -rf "$STATE"
    say "the lab is down"
}

command_reset() {
    local pi
    require_up reset
    lock
    [[ -e $SNAPSHOT/complete ]] || die "there is no state to go back to" "no $SNAPSHOT/complete" "up was interrupted" "tests/lab/lab up"
    latency_off
    pi_power_off_all
    sysctl_restore
    sysctl_raise
    rm -rf "$STATE/helm"
    for pi in "${PIS[@]}"; do
        pi_wipe "$pi"
        image_store_copy "$pi"
    done
    snapshot_restore_etcd
    for pi in "${PIS[@]}"; do pi_power_on "$pi"; done
    vault_up
    snapshot_restore_vault
    vault_up
    for pi in "${PIS[@]}"; do pi_wait "$pi"; done
    charts_up
    kubernetes_wait_api
    cluster_wait
    say "the lab is as it was after up"
}

command_exec() {
    require_up exec
    (($#)) || die "exec needs a command" "" "" "tests/lab/lab exec ping -c 1 control-pi"
    # What kubectl and helm keep for themselves belongs to the lab, not to the machine's user.
    exec ip netns exec "$LAPTOP" env "PATH=$STATE/bin:$PATH" \
        "KUBECONFIG=$KUBECONFIG_FILE" "KUBECACHEDIR=$STATE/kubectl-cache" \
        "HELM_CONFIG_HOME=$STATE/helm/config" "HELM_CACHE_HOME=$STATE/helm/cache" "HELM_DATA_HOME=$STATE/helm/data" "$@"
}

command_kubectl() {
    require_up kubectl
    exec ip netns exec "$LAPTOP" env "KUBECACHEDIR=$STATE/kubectl-cache" "$STATE/bin/kubectl" --kubeconfig "$KUBECONFIG_FILE" "$@"
}

command_bao() {
    require_up bao
    local active
    active=$(vault_active) || active=vault-0
    exec ip netns exec "$LAPTOP" env "BAO_ADDR=$(vault_url "$active")" "BAO_CACERT=$VAULT_CA" \
        "BAO_TOKEN=$(<"$VAULT_ROOT_TOKEN_FILE")" "$STATE/bin/bao" "$@"
}

command_power() {
    require_up power
    require_pi "${2:-}" "power off pi-1"
    lock
    case $1 in
    off) pi_power_off "$2" ;;
    on)
        pi_power_on "$2"
        pi_wait "$2"
        ;;
    *) die "power is off or on, not '$1'" "" "" "tests/lab/lab power off pi-1" ;;
    esac
}

command_cut() {
    require_up cut
    require_pi "${1:-}" "cut pi-1"
    pi_has_power "$1" || die "$1 has no power, so its cable is dead already" "" "" "tests/lab/lab power on $1"
    network_cut "$1"
}

command_mend() {
    require_up mend
    require_pi "${1:-}" "mend pi-1"
    pi_has_power "$1" || die "$1 has no power" "" "" "tests/lab/lab power on $1"
    network_mend "$1"
}

command_latency() {
    require_up latency
    [[ ${1:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "latency needs milliseconds" "'${1:-}'" "" "tests/lab/lab latency 20"
    lock
    if [[ $1 =~ ^0+(\.0+)?$ ]]; then latency_off; else latency_set "$1"; fi
}

command_seal() {
    require_up seal
    [[ ${1:-} =~ ^[0-2]$ ]] || die "seal needs a node" "'${1:-}'" "" "tests/lab/lab seal 0"
    lock
    vault_seal "vault-$1"
}

command_unseal() {
    require_up unseal
    [[ ${1:-} =~ ^[0-2]$ ]] || die "unseal needs a node" "'${1:-}'" "" "tests/lab/lab unseal 0"
    lock
    vault_unseal "vault-$1"
}

command_pki() {
    require_up pki
    lock
    case ${1:-} in
    drop) pki_drop ;;
    make) pki_make ;;
    *) die "pki takes drop or make" "'${1:-}'" "" "tests/lab/lab pki drop" ;;
    esac
}

command_argocd() {
    require_up argocd
    lock
    case ${1:-} in
    degrade) argocd_report Synced Degraded ;;
    heal) argocd_report Synced Healthy ;;
    down) argocd_scale 0 ;;
    up) argocd_scale 1 ;;
    *) die "argocd takes degrade, heal, down or up" "'${1:-}'" "" "tests/lab/lab argocd degrade" ;;
    esac
}

require_up() {
    require_root "$1"
    has_netns laptop || die "the lab is not up" "no network namespace $LAPTOP" "" "tests/lab/lab up"
}

require_pi() {
    is_pi "$1" || die "no Pi is called '$1'" "the Pis are ${PIS[*]}" "" "tests/lab/lab $2"
}

# One command that changes the lab at a time.
lock() {
    exec 9>/run/lock/rollout-lab
    flock -w 900 9 ||
        die "another lab command is still at work after 15 minutes" "it holds /run/lock/rollout-lab" "" "fuser -v /run/lock/rollout-lab"
}
