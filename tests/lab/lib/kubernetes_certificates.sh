# shellcheck shell=bash
# The cluster's own CA, a certificate for each component, and kubeconfigs that hold them.

CLUSTER_PKI=$STATE/kubernetes/pki

kubernetes_certificates() {
    local pi api_names
    [[ ! -e $KUBECONFIG_FILE ]] || return 0
    rm -rf "$CLUSTER_PKI"
    (umask 077 && mkdir -p "$CLUSTER_PKI")
    api_names=IP:${ADDRESS[control-pi]},IP:127.0.0.1,IP:${SERVICE_RANGE%.*}.1,DNS:control-pi,DNS:localhost
    api_names+=,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 365 -subj '/CN=Lab Kubernetes CA' \
        -keyout "$CLUSTER_PKI/ca.key" -out "$CLUSTER_PKI/ca.crt" 2>/dev/null
    certificate apiserver /CN=kube-apiserver "$api_names"
    certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet
    certificate front-proxy /CN=front-proxy
    openssl genrsa -out "$CLUSTER_PKI/sa.key" 2048 2>/dev/null
    openssl rsa -in "$CLUSTER_PKI/sa.key" -pubout -out "$CLUSTER_PKI/sa.pub" 2>/dev/null
    for pi in "${PIS[@]}"; do
        certificate "$pi" "/O=system:nodes/CN=system:node:$pi" "IP:${ADDRESS[$pi]},DNS:$pi"
    done
    certificate kube-proxy /O=system:node-proxier/CN=system:kube-proxy
    certificate kube-controller-manager /CN=system:kube-controller-manager
    certificate kube-scheduler /CN=system:kube-scheduler
    certificate admin /O=system:masters/CN=operator
    (umask 077 && kubeconfig admin >"$KUBECONFIG_FILE.new")
    mv "$KUBECONFIG_FILE.new" "$KUBECONFIG_FILE"
}

# certificate NAME SUBJECT [ALTERNATIVE_NAMES]
certificate() {
    local file=$CLUSTER_PKI/$1
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj "$2" \
        -keyout "$file.key" -out "$file.csr" 2>/dev/null
    openssl x509 -req -in "$file.csr" -CA "$CLUSTER_PKI/ca.crt" -CAkey "$CLUSTER_PKI/ca.key" -days 365 -out "$file.crt" \
        -extfile <(printf 'extendedKeyUsage=clientAuth,serverAuth\n%s' "${3:+subjectAltName=$3}") 2>/dev/null
    rm "$file.csr"
}

# kubeconfig NAME: for the holder of NAME's certificate.
kubeconfig() {
    cat <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: lab
    cluster:
      server: $API_ADDRESS
      certificate-authority-data: $(base64 -w0 "$CLUSTER_PKI/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$CLUSTER_PKI/$1.crt")
      client-key-data: $(base64 -w0 "$CLUSTER_PKI/$1.key")
contexts:
  - name: lab
    context: {cluster: lab, user: $1}
current-context: lab
YAML
}
