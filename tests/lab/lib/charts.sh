# shellcheck shell=bash
# Istio's own charts as a chart repository, served on the laptop's loopback.

# Chart and folder, below the module's manifests/charts.
ISTIO_CHARTS=(base istio-control/istio-discovery gateway istio-cni)
CHART_SERVER=$STATE/charts/process

charts_folder() { cached charts "$ISTIO_VERSION" "$ISTIO_CHART_VERSION" "${ISTIO_CHARTS[*]}" "$(helm_folder)"; }

charts_build() {
    local source chart scratch
    source=$(go_module "istio.io/istio@$ISTIO_VERSION")
    scratch=$(mktemp -d)
    export HELM_CACHE_HOME=$scratch HELM_CONFIG_HOME=$scratch HELM_DATA_HOME=$scratch
    for chart in "${ISTIO_CHARTS[@]}"; do
        # In the module every chart says 1.0.0: a release stamps them.
        "$(helm_folder)/helm" package --destination "$1" --version "$ISTIO_CHART_VERSION" \
            --app-version "$ISTIO_CHART_VERSION" "$source/manifests/charts/$chart"
    done
    "$(helm_folder)/helm" repo index "$1" --url "http://127.0.0.1:$CHARTS_PORT"
    rm -rf "$scratch"
}

charts_answer() {
    on_laptop curl -sSf -m 3 -o /dev/null "http://127.0.0.1:$CHARTS_PORT/index.yaml"
}

charts_up() {
    mkdir -p "$STATE/charts"
    echo "$ISTIO_CHART_VERSION" >"$STATE/istio-version"
    alive "$CHART_SERVER" || start "$CHART_SERVER" "$STATE/charts/server.log" ip netns exec "$LAPTOP" \
        python3 -u -m http.server --bind 127.0.0.1 --directory "$(charts_folder)" "$CHARTS_PORT"
    wait_until 20 charts_answer ||
        die "the chart repository does not answer" "$LAST_SEEN" "port $CHARTS_PORT is taken" "tail $STATE/charts/server.log"
}

charts_down() { stop "$CHART_SERVER" 0; }
