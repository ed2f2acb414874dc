# shellcheck shell=bash
# The cluster: what each Pi needs to start its share of it, and whether it is well.

kube() {
    on_laptop env "KUBECACHEDIR=$STATE/kubectl-cache" \
        "$STATE/bin/kubectl" --kubeconfig "$KUBECONFIG_FILE" --request-timeout 30s "$@"
}

# Puts everything into a Pi's reach, and at last the folder for which its PID 1 waits.
kubernetes_hand_out() {
    local pi=$1 node=$STATE/pis/$1/node/kubernetes
    [[ ! -d $node ]] || return 0
    rm -rf "$node.new"
    mkdir -p "$node.new/pki"
    ln "$(kubernetes_folder)/kubernetes" "$node.new/kubernetes" 2>/dev/null ||
        cp "$(kubernetes_folder)/kubernetes" "$node.new/kubernetes"
    echo "$PAUSE_VERSION" >"$node.new/pause-version"
    cp "$CLUSTER_PKI/ca.crt" "$CLUSTER_PKI/$pi".{crt,key} "$node.new/pki/"
    kubeconfig "$pi" >"$node.new/kubelet.conf"
    kubeconfig kube-proxy >"$node.new/kube-proxy.conf"
    if [[ $pi == control-pi ]]; then
        cp "$CLUSTER_PKI"/{ca.key,sa.key,sa.pub} "$CLUSTER_PKI"/{apiserver,apiserver-kubelet,front-proxy}.{crt,key} "$node.new/pki/"
        kubeconfig kube-controller-manager >"$node.new/kube-controller-manager.conf"
        kubeconfig kube-scheduler >"$node.new/kube-scheduler.conf"
        kubeconfig admin >"$node.new/admin.conf"
    fi
    chmod 600 "$node.new"/*.conf
    image_store_copy "$pi"
    mv -T "$node.new" "$node"
}

kubernetes_release() {
    local pi
    ln -sfn "$(image_store_folder)" "$STATE/image-store"
    kubernetes_certificates
    for pi in "${PIS[@]}"; do kubernetes_hand_out "$pi"; done
}

api_ready() { kube get --raw /readyz; }

kubernetes_wait_api() {
    wait_until 60 api_ready ||
        die "the Kubernetes API does not become ready" "$LAST_SEEN" "etcd or kube-apiserver does not start" \
            "tail $STATE/pis/control-pi/disk/var/log/{etcd,kube-apiserver}.log"
}

# What has settled: every node has reported since its boot, and every pod of the lab's own
# runs in a container started since then. Anything older is what was true before a power loss.
cluster_settled() {
    local boots problems
    # A failure must be told from "no problems": callers test this, and so `set -e` is off.
    boots=$(power_on_times) || return
    problems=$(kube get nodes,leases,pods,deployments,statefulsets -A -o json |
        jq -r --argjson boots "$boots" -f "$HERE/lib/cluster_problems.jq") || {
        echo "$problems"
        return 1
    }
    echo "$problems"
    [[ -z $problems ]]
}

# A JSON object: each Pi's second of power-on, or null without power.
power_on_times() {
    local pi second
    for pi in "${PIS[@]}"; do
        second=null
        ! pi_has_power "$pi" || second=$(stat -c %Y "$STATE/pis/$pi/power")
        echo "{\"$pi\": $second}"
    done | jq -s add
}

cluster_wait() {
    wait_until 90 cluster_settled ||
        die "the cluster does not settle" "$LAST_SEEN" "a kubelet or containerd fails" \
            "tail $STATE/pis/*/disk/var/log/kubelet.log"
}

cluster_furnish() {
    kube label node control-pi node-role.kubernetes.io/control-plane= --overwrite >/dev/null
    argocd_crds_up
    # Server-side and unchecked takes a sixth of the time of a plain apply.
    kube apply --server-side --force-conflicts --validate=false -f "$HERE/manifests" >/dev/null
    argocd_report Synced Healthy
}

nodes_joined() { kube get node "${PIS[@]}"; }

kubernetes_up() {
    kubernetes_release
    kubernetes_wait_api
    say "the Kubernetes API is ready"
    wait_until 60 nodes_joined ||
        die "not every Pi has joined the cluster" "$LAST_SEEN" "its kubelet fails" "tail $STATE/pis/*/disk/var/log/kubelet.log"
    cluster_furnish
    cluster_wait
    say "nodes and pods are Ready"
}
