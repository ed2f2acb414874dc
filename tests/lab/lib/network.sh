# shellcheck shell=bash
# The LAN: a bridge in the laptop's network namespace, and one namespace a host.
# No namespace has a way out of the machine.

LAPTOP=$(netns laptop)

has_netns() { [[ -e /run/netns/$(netns "$1") ]]; }

on_laptop() { ip netns exec "$LAPTOP" "$@"; }

hosts_file() {
    local name
    echo '127.0.0.1 localhost'
    for name in "${!ADDRESS[@]}"; do echo "${ADDRESS[$name]} $name"; done | sort -V
}

network_up() {
    if ! has_netns laptop; then
        # The first namespace on a machine brings a mount for all of them.
        mountpoint -q /run/netns || : >"$STATE/made-netns-mount"
        ip netns add "$LAPTOP"
        ip -n "$LAPTOP" link set lo up
        ip -n "$LAPTOP" link add lan type bridge
        ip -n "$LAPTOP" addr add "${ADDRESS[laptop]}/24" dev lan
        ip -n "$LAPTOP" link set lan up
        # What leads out of the lab is refused at once. Without an answer a pod that asks for a
        # Service before kube-proxy has its rules would hang half a minute.
        ip -n "$LAPTOP" route add unreachable default
        on_laptop sysctl -qw net.ipv4.ip_forward=1
    fi
    mkdir -p "$NETNS_FILES"
    hosts_file >"$NETNS_FILES/hosts"
    # The machine's own resolver cannot be reached from here; an empty file fails at once instead of after 5 s.
    : >"$NETNS_FILES/resolv.conf"
}

# plug_in HOST: a fresh network namespace on the LAN.
plug_in() {
    local host=$1 space pi
    space=$(netns "$host")
    ip netns add "$space"
    ip link add "v-$host" netns "$LAPTOP" type veth peer name eth0 netns "$space"
    ip -n "$LAPTOP" link set "v-$host" master lan up
    ip -n "$space" link set lo up
    # A host keeps its hardware address over a boot: with a new one, those who remember the old
    # one would talk past it for up to a minute.
    ip -n "$space" link set eth0 address "$(printf '02:00:00:00:00:%02x' "${ADDRESS[$host]##*.}")"
    ip -n "$space" addr add "${ADDRESS[$host]}/24" dev eth0
    ip -n "$space" link set eth0 up
    # Without a default route the kubelet finds no address and kube-proxy no way to a Service.
    ip -n "$space" route add default via "${ADDRESS[laptop]}"
    for pi in "${PIS[@]}"; do
        [[ $pi == "$host" ]] || ip -n "$space" route add "${POD_RANGE[$pi]}" via "${ADDRESS[$pi]}"
    done
    if is_pi "$host"; then
        ip -n "$LAPTOP" route replace "${POD_RANGE[$host]}" via "${ADDRESS[$host]}" dev lan
    fi
}

# The cable first: the kernel may keep the namespace, now nameless, while a connection of the
# dead host lingers, and would keep its devices as long.
unplug() {
    ! ip -n "$LAPTOP" link show "v-$1" >/dev/null 2>&1 || ip -n "$LAPTOP" link del "v-$1"
    ! has_netns "$1" || ip netns del "$(netns "$1")"
}

network_cut() { ip -n "$LAPTOP" link set "v-$1" down; }
network_mend() { ip -n "$LAPTOP" link set "v-$1" up; }
network_is_cut() { [[ $(ip -n "$LAPTOP" -br link show "v-$1" 2>/dev/null) != *,UP* ]]; }

rmdir_would_do() { [[ -z $(ls -A "$1") ]]; }

network_down() {
    local name
    local pids
    has_netns laptop || return 0
    # What someone started with `exec` is theirs to end.
    pids=$(ip netns pids "$LAPTOP" | tr '\n' ' ')
    [[ -z $pids ]] || say "still running on the laptop, now without a network: $pids"
    for name in "${PIS[@]}" "${VAULTS[@]}"; do unplug "$name"; done
    ip netns del "$LAPTOP"
    if [[ -e $STATE/made-netns-mount ]] && rmdir_would_do /run/netns; then
        umount /run/netns
        rmdir /run/netns
    fi
    rm -rf "$NETNS_FILES"
    # Left alone if anyone else keeps files there.
    rmdir /etc/netns 2>/dev/null || true
}
