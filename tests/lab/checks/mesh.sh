# shellcheck shell=bash
# Istio in the lab, end to end: the real charts, a CA from OpenBao, sidecars, mutual TLS.
# Sourced by smoke; ends in a reset.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bao() { lab bao "$@"; }

make_istio_ca() {
    openssl req -newkey rsa:2048 -noenc -subj '/CN=Istio CA' -keyout "$work/ca-key.pem" -out "$work/csr" &&
        bao write -field=certificate pki_int/root/sign-intermediate csr=@"$work/csr" common_name='Istio CA' ttl=8760h max_path_length=0 >"$work/ca-cert.pem" &&
        bao read -field=certificate pki_int/cert/ca_chain >"$work/above.pem" &&
        bao read -field=certificate pki/cert/ca >"$work/root-cert.pem" &&
        awk 1 "$work/ca-cert.pem" "$work/above.pem" >"$work/cert-chain.pem" &&
        kubectl create namespace istio-system &&
        kubectl -n istio-system create secret generic cacerts --from-file="$work/ca-cert.pem" --from-file="$work/ca-key.pem" \
            --from-file="$work/cert-chain.pem" --from-file="$work/root-cert.pem"
}

install() {
    lab exec helm install "$1" "$2" --repo "http://127.0.0.1:$CHARTS_PORT" --version "$ISTIO_CHART_VERSION" \
        --namespace istio-system --wait --timeout 2m "${@:3}"
}

strict() {
    kubectl apply -f - <<'YAML'
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
YAML
}

# get NAMESPACE APP: what the app there gets from the server, or the error.
get() {
    kubectl -n "$1" exec "deploy/$2" -c app -- python3 -c \
        'import urllib.request as u; print(u.urlopen("http://server.smoke.svc.cluster.local:8080/", timeout=5).read().decode())'
}
mesh_knows_caller() { get smoke caller | jq -e '.client_cert | test("URI=spiffe://cluster.local/ns/smoke/sa/caller")'; }
outsider_is_served() { get smoke-outside outsider; }
outsider_is_refused() { ! get smoke-outside outsider; }

two_of_two() { [[ $(kubectl -n smoke get pods -o json | jq '[.items[] | select(all(.status.containerStatuses[], .status.initContainerStatuses[]?; .ready))] | length') == 2 ]]; }

ingress() {
    local port
    port=$(kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.spec.ports[?(@.name=="http2")].nodePort}')
    lab exec curl -sSf -m 5 "http://${ADDRESS[pi-1]}:$port/" | jq -e '.name == "trading-agent"'
}

# The certificate that the caller's sidecar shows, with all that it sends along.
workload_chain_leads_to_the_root() {
    kubectl -n smoke exec deploy/caller -c app -- python3 -c \
        'import urllib.request as u; print(u.urlopen("http://127.0.0.1:15000/config_dump?resource=dynamic_active_secrets").read().decode())' |
        jq -re '.configs[].secret.tls_certificate.certificate_chain.inline_bytes // empty' | base64 -d >"$work/workload.pem"
    openssl verify -CAfile "$work/root-cert.pem" -untrusted "$work/workload.pem" "$work/workload.pem"
}

check "an Istio CA comes from OpenBao" make_istio_ca
check "chart base installs" install istio-base base
check "chart istiod installs" install istiod istiod --values "$HERE/istiod-values.yaml" \
    --set pilot.resources.requests.cpu=50m --set pilot.resources.requests.memory=128Mi
check "chart gateway installs" install istio-ingressgateway gateway --values "$HERE/gateway-values.yaml"
check "the apps are accepted" kubectl apply -f "$HERE/checks/mesh.yaml"
check "the apps are up" kubectl -n smoke rollout status deploy/server deploy/caller --timeout 90s
check "the outsider is up" kubectl -n smoke-outside rollout status deploy/outsider --timeout 60s
check "the apps have sidecars" soon two_of_two
check "the mesh knows who calls" soon mesh_knows_caller
check "the mesh's root is OpenBao's" workload_chain_leads_to_the_root
check "an outsider is served while not strict" soon outsider_is_served
check "strict mutual TLS is accepted" strict
check "an outsider is refused" soon outsider_is_refused
check "a member is still served" soon mesh_knows_caller
check "the ingress gateway leads in" soon ingress

check "the lab resets" lab reset
nothing_left() {
    local left
    left=$(kubectl get namespaces,customresourcedefinitions,mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles -o name |
        grep -iE 'istio|smoke')
    echo "$left"
    [[ -z $left ]]
}
check "nothing of it is left" nothing_left
