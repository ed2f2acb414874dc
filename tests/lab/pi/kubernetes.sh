# shellcheck shell=bash
# A Pi's share of the cluster: container runtime, kubelet and kube-proxy; on the
# control Pi etcd and the control plane too.

PKI=/etc/kubernetes/pki

kubernetes_start() {
    local name
    mkdir -p /etc/kubernetes /etc/cni/net.d /etc/containerd /var/lib/etcd
    cp -r /run/node/kubernetes/pki /run/node/kubernetes/*.conf /etc/kubernetes/
    for name in kubelet kube-proxy kubectl etcd kube-apiserver kube-controller-manager kube-scheduler; do
        ln -sf /run/node/kubernetes/kubernetes "/usr/local/bin/$name"
    done
    sysctl -qw net.ipv4.ip_forward=1
    runtime_config
    kubelet_config >/etc/kubernetes/kubelet.yaml
    kube_proxy_config >/etc/kubernetes/kube-proxy.yaml

    service containerd containerd
    [[ ! -e $PKI/apiserver.crt ]] || control_plane_start
    until ctr version >/dev/null 2>&1; do sleep 0.1; done
    service kubelet kubelet --config=/etc/kubernetes/kubelet.yaml --kubeconfig=/etc/kubernetes/kubelet.conf \
        --node-ip="${ADDRESS[$PI]}" --hostname-override="$PI"
    service kube-proxy kube-proxy --config=/etc/kubernetes/kube-proxy.yaml
}

control_plane_start() {
    # The lab's power failures kill processes, not the kernel: what was written is in the page cache.
    service etcd etcd --name lab --data-dir /var/lib/etcd/data --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    service kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address="${ADDRESS[$PI]}" --secure-port=6443 --endpoint-reconciler-type=lease \
        --tls-cert-file=$PKI/apiserver.crt --tls-private-key-file=$PKI/apiserver.key --client-ca-file=$PKI/ca.crt \
        --kubelet-client-certificate=$PKI/apiserver-kubelet.crt --kubelet-client-key=$PKI/apiserver-kubelet.key \
        --kubelet-certificate-authority=$PKI/ca.crt --kubelet-preferred-address-types=InternalIP \
        --service-account-key-file=$PKI/sa.pub --service-account-signing-key-file=$PKI/sa.key \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-cluster-ip-range="$SERVICE_RANGE" --allow-privileged=true --profiling=false \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --requestheader-client-ca-file=$PKI/ca.crt --requestheader-allowed-names=front-proxy \
        --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
        --requestheader-username-headers=X-Remote-User \
        --proxy-client-cert-file=$PKI/front-proxy.crt --proxy-client-key-file=$PKI/front-proxy.key
    # shellcheck disable=SC2046 # identity gives three words
    service kube-scheduler kube-scheduler --leader-elect=false $(identity kube-scheduler)
    # shellcheck disable=SC2046
    service kube-controller-manager kube-controller-manager --leader-elect=false $(identity kube-controller-manager) \
        --root-ca-file=$PKI/ca.crt --service-account-private-key-file=$PKI/sa.key \
        --use-service-account-credentials=true --allocate-node-cidrs=false \
        --cluster-signing-cert-file=$PKI/ca.crt --cluster-signing-key-file=$PKI/ca.key
}

# The three flags by which a controller says who it is.
identity() {
    local config=/etc/kubernetes/$1.conf
    echo "--kubeconfig=$config --authentication-kubeconfig=$config --authorization-kubeconfig=$config"
}

runtime_config() {
    cat >/etc/containerd/config.toml <<TOML
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:$(</run/node/kubernetes/pause-version)"
  # Without CAP_SYS_RESOURCE a negative score is refused, and no pod would start.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
TOML
    # Routed, not bridged: on a bridge the answer of a Service's pod on the same node would
    # take the short way, past the address translation, unless br_netfilter is set up.
    cat >/etc/cni/net.d/10-lab.conflist <<JSON
{"cniVersion": "1.0.0", "name": "lab", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipam": {
    "type": "host-local", "dataDir": "/run/cni-addresses",
    "ranges": [[{"subnet": "${POD_RANGE[$PI]}"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

kubelet_config() {
    local total reserved
    total=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)
    # The kubelet sees the whole machine; what is left of it is a Pi 4's 4 GiB.
    reserved=$((total > 4096 + 100 ? total - 4096 - 100 : 0))
    cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ${ADDRESS[$PI]}
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$PI.crt
tlsPrivateKeyFile: $PKI/$PI.key
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$DNS_ADDRESS]
clusterDomain: cluster.local
resolvConf: /etc/resolv.conf
failSwapOn: false
oomScoreAdj: 0
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
systemReserved: {memory: ${reserved}Mi}
maxPods: 60
# A lost node should be noticed within a test's patience.
nodeStatusUpdateFrequency: 5s
YAML
}

kube_proxy_config() {
    cat <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: /etc/kubernetes/kube-proxy.conf}
clusterCIDR: $ALL_PODS
hostnameOverride: $PI
oomScoreAdj: 0
# The connection table's limits are the machine's; a network namespace cannot write them.
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}
