# shellcheck shell=bash
# The state that `up` reached, kept so that `reset` can go back to it: etcd's data and
# OpenBao's. What else a Pi has on its disk is made anew.

SNAPSHOT=$STATE/snapshot

snapshot_take() {
    [[ ! -e $SNAPSHOT/complete ]] || return 0
    rm -rf "$SNAPSHOT"
    mkdir -p "$SNAPSHOT"
    # shellcheck disable=SC2016 # for the Pi's shell
    # A stopped etcd's files are those of a crash, from which it recovers; a running one's are not.
    in_pi control-pi sh -c '
        etcd=$(cat /run/lab/etcd.pid)
        kill -STOP "$etcd"
        cp -a --sparse=always /var/lib/etcd/data /var/lib/etcd/snapshot
        kill -CONT "$etcd"'
    mv "$STATE/pis/control-pi/disk/var/lib/etcd/snapshot" "$SNAPSHOT/etcd"
    (umask 077 && bao_http GET "$(vault_active)" sys/storage/raft/snapshot >"$SNAPSHOT/vault")
    touch "$SNAPSHOT/complete"
}

snapshot_restore_etcd() {
    local to=$STATE/pis/control-pi/disk/var/lib/etcd
    mkdir -p "$to"
    cp -a --sparse=always "$SNAPSHOT/etcd" "$to/data"
}

snapshot_restore_vault() {
    on_laptop curl -sS --fail-with-body -m 60 --cacert "$VAULT_CA" -H "X-Vault-Token: $(<"$VAULT_ROOT_TOKEN_FILE")" \
        -X POST --data-binary "@$SNAPSHOT/vault" "$(vault_url "$(vault_active)")/v1/sys/storage/raft/snapshot"
}
