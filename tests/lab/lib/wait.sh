# shellcheck shell=bash disable=SC2034 # LAST_SEEN is for the callers
# Waiting with a deadline: no wait is endless, and none is a fixed sleep.

POLL=0.1

# wait_until SECONDS COMMAND...: polls until COMMAND succeeds. Its last line of
# output is kept in LAST_SEEN, for the message of whoever gave up waiting.
wait_until() {
    local deadline=$((SECONDS + $1)) output
    shift
    LAST_SEEN=
    until output=$("$@" 2>&1); do
        LAST_SEEN=${output##*$'\n'}
        ((SECONDS < deadline)) || return 1
        sleep "$POLL"
    done
}
