# shellcheck shell=bash
# Each part of the lab by itself. Sourced by smoke.

ssh_to() { lab exec ssh -F "$SSH_CONFIG" -o BatchMode=yes "$@"; }
is_that_pi() { [[ $(ssh_to "$1" hostname) == "$1" ]]; }
is_root_by_sudo() { [[ $(ssh_to "$1" sudo id -u) == 0 ]]; }
has_own_etc() { ssh_to "$1" "sudo touch /etc/smoke && test -e /etc/smoke && sudo rm /etc/smoke" && [[ ! -e /etc/smoke ]]; }
refuses_wrong_host_key() { ! ssh_to -o HostKeyAlias="$2" "$1" true; }

for pi in "${PIS[@]}"; do
    check "$pi answers on SSH" is_that_pi "$pi"
    check "$pi gives root to sudo" is_root_by_sudo "$pi"
    check "$pi has an /etc of its own" has_own_etc "$pi"
done
check "a Pi's host key is pinned" refuses_wrong_host_key pi-1 pi-2
check "the laptop knows the Pis by name" lab exec ping -c 1 -W 2 pi-2

ready_nodes() { kubectl get nodes -o json | jq -e '[.items[].status.conditions[] | select(.type == "Ready" and .status == "True")] | length == 3'; }
pi_sized() { kubectl get nodes -o json | jq -e 'all(.items[].status.allocatable.memory; (rtrimstr("Ki") | tonumber) / 1048576 | (. > 3.9 and . < 4.1))'; }
has_control_plane() { kubectl get node control-pi -o json | jq -e '.metadata.labels | has("node-role.kubernetes.io/control-plane")'; }
looks_up_a_service() {
    kubectl run smoke-dns --restart=Never --image docker.io/library/python:3.11 --image-pull-policy IfNotPresent -- \
        python3 -c 'import socket; print(socket.gethostbyname("kubernetes.default.svc.cluster.local"))'
    kubectl wait pod/smoke-dns --for=jsonpath='{.status.phase}'=Succeeded --timeout=60s
    kubectl logs smoke-dns | grep -Fx "${SERVICE_RANGE%.*}.1"
    local result=$?
    kubectl delete pod smoke-dns --grace-period=0 --force 2>/dev/null
    return $result
}

check "three nodes are Ready" ready_nodes
check "a node offers about 4 GiB" pi_sized
check "control-pi is the control plane" has_control_plane
check "a pod looks up a Service" looks_up_a_service

health() { lab exec curl -s -o /dev/null -w '%{http_code}' --cacert "$VAULT_CA" "$(vault_url "$1")/v1/sys/health"; }
unsealed() { [[ $(health "$1") =~ ^(200|429)$ ]]; }
with_operator_token() { lab exec curl -sS --fail-with-body --cacert "$VAULT_CA" -H "X-Vault-Token: $(<"$VAULT_TOKEN_FILE")" "$@"; }
operator_sees_mounts() { with_operator_token "$(vault_url vault-0)/v1/sys/mounts" | jq -e 'has("pki/") and has("pki_int/")'; }
operator_cannot_read_policies() { ! with_operator_token "$(vault_url vault-0)/v1/sys/policies/acl"; }

# As a plan does it: an Istio CA signed by the intermediate, and openssl as the judge.
istio_ca_chain_verifies() {
    local work
    work=$(mktemp -d)
    lab exec openssl req -newkey rsa:2048 -noenc -subj '/CN=Smoke CA' -keyout "$work/key" -out "$work/csr" 2>/dev/null
    with_operator_token -X POST "$(vault_url vault-0)/v1/pki_int/root/sign-intermediate" \
        -d "$(jq -n --rawfile csr "$work/csr" '{csr: $csr, common_name: "Smoke CA", ttl: "1h", max_path_length: 0, format: "pem"}')" |
        jq -r .data.certificate >"$work/ca"
    with_operator_token "$(vault_url vault-0)/v1/pki_int/cert/ca_chain" | jq -r .data.certificate >"$work/chain"
    with_operator_token "$(vault_url vault-0)/v1/pki/ca/pem" >"$work/root"
    [[ $(grep -c 'BEGIN CERT' "$work/chain") == 2 ]] && openssl verify -CAfile "$work/root" -untrusted "$work/chain" "$work/ca"
    local result=$?
    rm -rf "$work"
    return $result
}

for node in "${VAULTS[@]}"; do check "$node is unsealed" unsealed "$node"; done
check "the operator's token sees the PKI mounts" operator_sees_mounts
check "the operator's token does not see policies" operator_cannot_read_policies
check "a CA below the intermediate verifies to the root" istio_ca_chain_verifies

renders() { lab exec helm template smoke "$1" --repo "http://127.0.0.1:$CHARTS_PORT" --version "$ISTIO_CHART_VERSION" -n istio-system | grep -c '^kind:'; }

for chart in base istiod gateway cni; do check "chart $chart renders" renders "$chart"; done
trading_app_is_healthy() { [[ $(kubectl -n argocd get application trading-app -o jsonpath='{.status.health.status}') == Healthy ]]; }
check "ArgoCD's Application is Healthy" trading_app_is_healthy
