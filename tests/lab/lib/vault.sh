# shellcheck shell=bash
# Three OpenBao servers (Vault's API) as one raft cluster, each a host of its own.

VAULT_POLICY=rollout-operator

# bao_http METHOD NODE PATH [JSON]: as root. Prints the body; fails on an HTTP error.
bao_http() {
    local token=
    [[ ! -e $VAULT_ROOT_TOKEN_FILE ]] || token=$(<"$VAULT_ROOT_TOKEN_FILE")
    on_laptop curl -sS --fail-with-body -m 30 --cacert "$VAULT_CA" -H "X-Vault-Token: $token" \
        -X "$1" "$(vault_url "$2")/v1/$3" ${4:+-d "$4"}
}

# 200 active, 429 standby, 501 not initialised, 503 sealed, 000 no answer.
vault_health() {
    on_laptop curl -s -o /dev/null -m 3 -w '%{http_code}' --cacert "$VAULT_CA" \
        "$(vault_url "$1")/v1/sys/health" || true
}

vault_health_in() {
    local code
    code=$(vault_health "$1")
    echo "health $code"
    [[ " $2 " == *" $code "* ]]
}

vault_certificates() {
    local folder=$STATE/vault tls=$STATE/vault/tls node names=DNS:localhost,IP:127.0.0.1
    [[ ! -e $VAULT_CA ]] || return 0
    mkdir -p "$tls"
    chmod 700 "$folder" "$tls"
    for node in "${VAULTS[@]}"; do names+=",DNS:$node,IP:${ADDRESS[$node]}"; done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 365 -subj '/CN=Lab Vault TLS CA' \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$tls/ca-key.pem" -out "$tls/ca.pem"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj /CN=vault -keyout "$tls/key.pem" -out "$tls/csr.pem"
    openssl x509 -req -in "$tls/csr.pem" -CA "$tls/ca.pem" -CAkey "$tls/ca-key.pem" -CAcreateserial -days 365 -out "$tls/cert.pem" \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names")
    cp "$tls/ca.pem" "$VAULT_CA"
} 2>/dev/null

vault_config() {
    local node=$1 peer
    cat <<HCL
ui = false
api_addr     = "$(vault_url "$node")"
cluster_addr = "https://${ADDRESS[$node]}:8201"
# As Vault's: a standby forwards reads too, and never answers from a copy that lags.
disable_standby_reads = true
listener "tcp" {
  address         = "${ADDRESS[$node]}:8200"
  cluster_address = "${ADDRESS[$node]}:8201"
  tls_cert_file   = "$STATE/vault/tls/cert.pem"
  tls_key_file    = "$STATE/vault/tls/key.pem"
}
storage "raft" {
  path    = "$STATE/vault/$node/raft"
  node_id = "$node"
  # Elections in about a second: a lab is not a wide-area network.
  performance_multiplier = 1
HCL
    for peer in "${VAULTS[@]}"; do
        [[ $peer == "$node" ]] || cat <<HCL
  retry_join {
    leader_api_addr     = "$(vault_url "$peer")"
    leader_ca_cert_file = "$VAULT_CA"
  }
HCL
    done
    echo '}'
}

vault_start() {
    local node=$1 folder=$STATE/vault/$1
    has_netns "$node" || plug_in "$node"
    ! alive "$folder/process" || return 0
    mkdir -p "$folder/raft"
    vault_config "$node" >"$folder/server.hcl"
    start "$folder/process" "$folder/server.log" \
        ip netns exec "$(netns "$node")" "$STATE/bin/bao" server "-config=$folder/server.hcl"
}

vault_initialise() {
    local answer
    [[ ! -e $VAULT_ROOT_TOKEN_FILE ]] || return 0
    wait_until 30 vault_health_in "${VAULTS[0]}" 501 ||
        die "OpenBao does not start as a new cluster" "$LAST_SEEN" \
            "an earlier up was killed just as it got the unseal keys" "tests/lab/lab down && tests/lab/lab up"
    answer=$(bao_http PUT "${VAULTS[0]}" sys/init '{"secret_shares": 3, "secret_threshold": 2}')
    # Made private before anything secret is in them.
    (umask 077 && jq -r '.keys_base64[]' <<<"$answer" >"$VAULT_UNSEAL_KEYS_FILE")
    (umask 077 && jq -r .root_token <<<"$answer" >"$VAULT_ROOT_TOKEN_FILE")
}

vault_unseal() {
    local node=$1 key
    # A server that joins answers 501 until the leader has accepted it.
    wait_until 60 vault_health_in "$node" '200 429 503' ||
        die "$node has not joined its cluster" "$LAST_SEEN" "the active node is sealed or down" "tail $STATE/vault/$node/server.log"
    [[ $(vault_health "$node") == 503 ]] || return 0
    head -n 2 "$VAULT_UNSEAL_KEYS_FILE" | while read -r key; do
        bao_http PUT "$node" sys/unseal "{\"key\": \"$key\"}" >/dev/null || true
    done
    # The last key's answer still says "sealed": a joiner goes on in the background.
    wait_until 60 vault_health_in "$node" '200 429' ||
        die "$node stays sealed" "$LAST_SEEN" "the unseal keys are not this cluster's" "tail $STATE/vault/$node/server.log"
}

# Asked of the node itself: a standby would hand the request on to the active one.
vault_seal() {
    local node=$1
    [[ $(vault_health "$node") != 503 ]] || return 0
    if [[ $(vault_health "$node") == 200 ]]; then
        bao_http PUT "$node" sys/seal >/dev/null
    else
        # Standbys refuse sys/seal, but a restarted server comes up sealed.
        stop "$STATE/vault/$node/process" 10
        vault_start "$node"
    fi
    wait_until 20 vault_health_in "$node" 503 ||
        die "$node does not seal" "$LAST_SEEN" "it lost its cluster" "tail $STATE/vault/$node/server.log"
}

vault_active() {
    local node
    for node in "${VAULTS[@]}"; do
        if [[ $(vault_health "$node") == 200 ]]; then
            echo "$node"
            return 0
        fi
    done
    echo 'no active node'
    return 1
}

vault_wait_active() {
    wait_until 30 vault_active ||
        die "OpenBao has no active node" "$LAST_SEEN" "two of three nodes must be unsealed" "tests/lab/lab status"
}

vault_processes_up() {
    local node
    vault_certificates
    for node in "${VAULTS[@]}"; do vault_start "$node"; done
}

vault_up() {
    local node
    vault_processes_up
    vault_initialise
    for node in "${VAULTS[@]}"; do vault_unseal "$node"; done
    vault_wait_active
    pki_up
    vault_operator_token
}

# What the operator's plan may do, and no more.
vault_operator_token() {
    local policy
    [[ ! -e $VAULT_TOKEN_FILE ]] || return 0
    policy=$(jq -Rs '{policy: .}' "$HERE/vault-policy.hcl")
    bao_http PUT "$(vault_active)" "sys/policies/acl/$VAULT_POLICY" "$policy" >/dev/null
    (umask 077 && bao_http POST "$(vault_active)" auth/token/create-orphan \
        "{\"policies\": [\"$VAULT_POLICY\"], \"period\": \"720h\", \"display_name\": \"operator\"}" |
        jq -re .auth.client_token >"$VAULT_TOKEN_FILE.new")
    mv "$VAULT_TOKEN_FILE.new" "$VAULT_TOKEN_FILE"
}

# At once: nothing of their state is kept, and a server may outlive SIGTERM with its cluster
# port held. Whatever else is in a server's namespace is the lab's too.
vault_down() {
    local node pid
    for node in "${VAULTS[@]}"; do
        stop "$STATE/vault/$node/process" 0
        has_netns "$node" || continue
        for pid in $(ip netns pids "$(netns "$node")"); do kill -KILL "$pid" 2>/dev/null || true; done
    done
}
