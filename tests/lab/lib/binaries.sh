# shellcheck shell=bash
# What has to be compiled, each in a cache folder of its own. They are built one after
# the other: two such links at once do not fit into a small machine's memory.

KUBERNETES_SOURCE=$HERE/build/kubernetes

kubernetes_folder() {
    cached kubernetes "$KUBERNETES_VERSION" "$KUBERNETES_SOURCE"/{main.go,go.mod,go.sum}
}

kubernetes_build() {
    local version=k8s.io/component-base/version
    go_build "$KUBERNETES_SOURCE" "$1/kubernetes" . "-X $version.gitVersion=v$KUBERNETES_VERSION \
        -X $version.gitMajor=1 -X $version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION") -X $version.gitTreeState=clean"
}

coredns_folder() {
    cached coredns "$COREDNS_VERSION" "$KUBERNETES_SOURCE"/{coredns/main.go,go.mod,go.sum}
}

# In Kubernetes' module, whose compiled packages it shares.
coredns_build() {
    local module=$1/module
    cp -r "$KUBERNETES_SOURCE" "$module"
    cp -r --no-preserve=mode "$(go_module "github.com/coredns/coredns@$COREDNS_VERSION")" "$1/source"
    # A field that this CoreDNS still sets and client-go 0.34 has dropped.
    sed -i /RetryOnError/d "$1/source/plugin/kubernetes/object/informer.go"
    (cd "$module" && go mod edit -replace "github.com/coredns/coredns=$1/source")
    go_build "$module" "$1/coredns" ./coredns
    rm -rf "$module" "$1/source"
}

helm_folder() { cached helm "$HELM_VERSION"; }
helm_build() {
    go_install "$1" "helm.sh/helm/v3/cmd/helm@$HELM_VERSION" "-X helm.sh/helm/v3/internal/version.version=$HELM_VERSION"
}

sops_folder() { cached sops "$SOPS_VERSION"; }
sops_build() { go_install "$1" "github.com/getsops/sops/v3/cmd/sops@$SOPS_VERSION"; }

istio_folder() { cached istio "$ISTIO_VERSION"; }
istio_build() {
    local program
    for program in pilot-discovery pilot-agent; do
        go_install "$1" "istio.io/istio/pilot/cmd/$program@$ISTIO_VERSION"
    done
}

delay_folder() { cached delay "$HERE/build/delay/main.go"; }
delay_build() { go_build "$HERE/build/delay" "$1/delay"; }
