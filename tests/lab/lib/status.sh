# shellcheck shell=bash
# What is up, one line a part. A part that is not well makes the whole fail.

command_status() {
    require_up status
    local name wrong=0
    for name in "${PIS[@]}"; do report "$name" "${ADDRESS[$name]}" pi_status "$name"; done
    report cluster "$API_ADDRESS" cluster_status
    for name in "${VAULTS[@]}"; do report "$name" "$(vault_url "$name")" vault_status "$name"; done
    report charts "http://127.0.0.1:$CHARTS_PORT" charts_status
    report trading-app 'ArgoCD Application' trading_app_status
    report latency 'laptop to Pis' latency_status
    ((wrong == 0))
}

# report NAME PLACE COMMAND...: the command says how the part is, and fails if not well.
report() {
    local name=$1 place=$2 seen mark=ok
    shift 2
    if ! seen=$("$@" 2>&1); then
        mark=bad
        wrong=1
    fi
    # A client that tries five times says so five times.
    seen=$(awk '!said[$0]++' <<<"$seen")
    printf '%-4s %-12s %-24s %s\n' "$mark" "$name" "$place" "${seen//$'\n'/; }"
}

pi_status() {
    if ! pi_has_power "$1"; then
        echo 'power off'
        return 1
    elif network_is_cut "$1"; then
        echo 'cable cut'
        return 1
    fi
    pi_answers "$1" && echo 'answers on SSH'
}

cluster_status() {
    local problems
    if ! problems=$(cluster_settled); then
        echo "${problems:-no answer}"
        return 1
    fi
    kube version -o json | jq -r '"\(.serverVersion.gitVersion), nodes and pods Ready"'
}

vault_status() {
    case $(vault_health "$1") in
    200) echo active ;;
    429) echo standby ;;
    501) echo 'not initialised' && return 1 ;;
    503) echo sealed && return 1 ;;
    *) echo 'no answer' && return 1 ;;
    esac
}

charts_status() { charts_answer && echo "serves Istio $ISTIO_CHART_VERSION"; }

trading_app_status() {
    argocd_status
    [[ $(argocd_status) == Synced/Healthy ]]
}

latency_status() { echo "$(latency_now) ms"; }
