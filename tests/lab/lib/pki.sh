# shellcheck shell=bash
# The certificate authorities in OpenBao: a root in `pki`, and below it in `pki_int` the
# intermediate that signs Istio's own CA.

pki_mounted() { bao_http GET "$(vault_active)" sys/mounts | jq -e --arg mount "$1/" 'has($mount)' >/dev/null; }

pki_mount() {
    pki_mounted "$1" || bao_http POST "$(vault_active)" "sys/mounts/$1" \
        '{"type": "pki", "config": {"max_lease_ttl": "87600h"}}' >/dev/null
}

pki_has_issuer() { bao_http GET "$(vault_active)" "$1/ca/pem" 2>/dev/null | grep 'BEGIN CERTIFICATE' >/dev/null; }

pki_up() {
    pki_root_up
    pki_make
}

pki_root_up() {
    pki_mount pki
    pki_has_issuer pki || bao_http POST "$(vault_active)" pki/root/generate/internal '{
        "common_name": "Lab Root CA", "organization": "rollout lab", "issuer_name": "root",
        "key_type": "ec", "key_bits": 256, "ttl": "87600h"}' >/dev/null
}

pki_make() {
    local active csr signed
    active=$(vault_active)
    pki_mount pki_int
    ! pki_has_issuer pki_int || return 0
    csr=$(bao_http POST "$active" pki_int/intermediate/generate/internal \
        '{"common_name": "Lab Intermediate CA", "organization": "rollout lab", "key_type": "ec", "key_bits": 256}' | jq -re .data.csr)
    # One more CA may stand below this one: Istio's.
    signed=$(bao_http POST "$active" pki/root/sign-intermediate "$(jq -n --arg csr "$csr" '{
        csr: $csr, common_name: "Lab Intermediate CA", organization: "rollout lab",
        ttl: "43800h", max_path_length: 1, format: "pem"}')" | jq -re .data.certificate)
    # With its issuer beside it the mount can serve the whole chain.
    bao_http POST "$active" pki_int/intermediate/set-signed "$(jq -n \
        --arg chain "$signed"$'\n'"$(bao_http GET "$active" pki/ca/pem)" '{certificate: $chain}')" >/dev/null
}

pki_drop() {
    ! pki_mounted pki_int || bao_http DELETE "$(vault_active)" sys/mounts/pki_int >/dev/null
}
