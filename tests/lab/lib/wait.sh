# shellcheck shell=bash disable=SC2034 # LAST_SEEN is for the callers
# Waiting with a deadline: no wait is endless, and none is a fixed sleep.

POLL=0.2

# wait_until SECONDS COMMAND...: polls until COMMAND succeeds. Its last line of
# output is kept in LAST_SEEN, for the message of whoever gave up waiting; with
# ROLLOUT_LAB_VERBOSE set every change of it is shown.
wait_until() {
    local deadline=$((SECONDS + $1)) output
    shift
    LAST_SEEN=
    until output=$("$@" 2>&1); do
        [[ -z ${ROLLOUT_LAB_VERBOSE:-} || $LAST_SEEN == "${output##*$'\n'}" ]] || say "  $1: ${output##*$'\n'}"
        LAST_SEEN=${output##*$'\n'}
        ((SECONDS < deadline)) || return 1
        sleep "$POLL"
    done
}
