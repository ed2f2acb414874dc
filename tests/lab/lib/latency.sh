# shellcheck shell=bash
# A longer way from the laptop to the Pis, and to nothing else: routes to the three
# addresses lead through a device whose packets come out late.

LATENCY_FILE=$STATE/latency/ms
DELAYER=$STATE/latency/process

latency_now() { cat "$LATENCY_FILE" 2>/dev/null || echo 0; }

latency_off() {
    # The routes go with the device, the device with the process.
    stop "$DELAYER" 0
    rm -f "$LATENCY_FILE"
}

delay_device_exists() { ip -n "$LAPTOP" link show delay; }

# latency_set MILLISECONDS
latency_set() {
    local pi
    latency_off
    mkdir -p "$STATE/latency"
    start "$DELAYER" "$STATE/latency/log" ip netns exec "$LAPTOP" "$STATE/bin/delay" delay lan "$1"
    wait_until 5 delay_device_exists ||
        die "the delay does not start" "$(tail -n 1 "$STATE/latency/log")" "this kernel has no TUN devices" "ls -l /dev/net/tun"
    ip -n "$LAPTOP" link set delay up
    for pi in "${PIS[@]}"; do
        ip -n "$LAPTOP" route add "${ADDRESS[$pi]}/32" dev delay src "${ADDRESS[laptop]}"
    done
    echo "$1" >"$LATENCY_FILE"
}
