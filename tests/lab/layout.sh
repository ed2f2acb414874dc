# shellcheck shell=bash disable=SC2034
# Names, addresses and places. The addresses are part of the lab's contract:
# inventories and tests name them.

CACHE=${ROLLOUT_LAB_CACHE:-/var/cache/rollout-lab}
STATE=/var/lib/rollout-lab
NETNS_FILES=/etc/netns/rollout-laptop

PIS=(control-pi pi-1 pi-2)
VAULTS=(vault-0 vault-1 vault-2)

declare -A ADDRESS=(
    [laptop]=10.77.0.1
    [control-pi]=10.77.0.10 [pi-1]=10.77.0.11 [pi-2]=10.77.0.12
    [vault-0]=10.77.0.20 [vault-1]=10.77.0.21 [vault-2]=10.77.0.22
)
declare -A POD_RANGE=(
    [control-pi]=10.244.0.0/24 [pi-1]=10.244.1.0/24 [pi-2]=10.244.2.0/24
)
ALL_PODS=10.244.0.0/16
SERVICE_RANGE=10.96.0.0/16
DNS_ADDRESS=10.96.0.10
API_ADDRESS=https://10.77.0.10:6443
CHARTS_PORT=8879

KUBECONFIG_FILE=$STATE/kubeconfig
SSH_CONFIG=$STATE/ssh/config
VAULT_CA=$STATE/vault/ca.pem
VAULT_TOKEN_FILE=$STATE/vault/token
VAULT_ROOT_TOKEN_FILE=$STATE/vault/root-token
VAULT_UNSEAL_KEYS_FILE=$STATE/vault/unseal-keys

netns() { echo "rollout-$1"; }
vault_url() { echo "https://${ADDRESS[$1]}:8200"; }

is_pi() {
    local pi
    for pi in "${PIS[@]}"; do [[ $pi != "${1:-}" ]] || return 0; done
    return 1
}
