# shellcheck shell=bash
# ArgoCD as far as it can be had: its real CRDs; pods that stand in for its controllers;
# and an Application whose status is set here as the real controller would set it.

argocd_folder() { cached argocd "$ARGOCD_VERSION"; }

argocd_build() {
    local zip
    go_settings
    # Out of the archive: an older Go than the module asks for fetches and checks it, but does not unpack it.
    zip=$(cd / && { go mod download -json "github.com/argoproj/argo-cd/v3@$ARGOCD_VERSION" || true; } | jq -re .Zip)
    python3 - "$zip" "$1" <<'PYTHON'
import pathlib, sys, zipfile

archive, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
for kind in "application", "appproject", "applicationset":
    (member,) = [name for name in archive.namelist() if name.endswith(f"/manifests/crds/{kind}-crd.yaml")]
    (folder / f"{kind}-crd.yaml").write_bytes(archive.read(member))
PYTHON
}

argocd_crds_established() {
    kube wait --for=condition=Established --timeout=1s \
        crd/applications.argoproj.io crd/appprojects.argoproj.io crd/applicationsets.argoproj.io
}

argocd_crds_up() {
    ! argocd_crds_established >/dev/null 2>&1 || return 0
    # Server-side: the ApplicationSet CRD is too long for the annotation of a client-side apply.
    kube apply --server-side --force-conflicts -f "$(argocd_folder)" >/dev/null
    # Polled from here, since `kubectl wait` fails on a CRD too new to have any condition.
    wait_until 30 argocd_crds_established ||
        die "ArgoCD's CRDs are not established" "$LAST_SEEN" "the API server is overloaded" "tests/lab/lab status"
}

# argocd_report SYNC HEALTH
argocd_report() {
    local now
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    kube -n argocd patch application trading-app --type merge -p "$(jq -n --arg sync "$1" --arg health "$2" --arg now "$now" '{
        status: {
            sync: {status: $sync, revision: "0000000000000000000000000000000000000001"},
            health: {status: $health, lastTransitionTime: $now},
            reconciledAt: $now
        }}')" >/dev/null
}

argocd_scale() {
    kube -n argocd scale deployment argocd-server --replicas "$1" >/dev/null
    kube -n argocd rollout status deployment argocd-server --timeout 60s >/dev/null
}

argocd_status() {
    kube -n argocd get application trading-app -o jsonpath='{.status.sync.status}/{.status.health.status}' 2>&1
}
