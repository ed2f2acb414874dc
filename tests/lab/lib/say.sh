# shellcheck shell=bash
# Messages. Data goes to stdout, everything meant for a person to stderr.

LAB_STARTED=${EPOCHREALTIME/./}

say() {
    local passed=$(((${EPOCHREALTIME/./} - LAB_STARTED) / 100000))
    printf '%4d.%d s  %s\n' $((passed / 10)) $((passed % 10)) "$*" >&2
}

# die WHAT [SEEN [LIKELY_CAUSE [NEXT_COMMAND]]]
die() {
    printf 'lab: error: %s\n' "$1" >&2
    [[ -z ${2:-} ]] || printf '  seen: %s\n' "$2" >&2
    [[ -z ${3:-} ]] || printf '  likely cause: %s\n' "$3" >&2
    [[ -z ${4:-} ]] || printf '\nhint: %s\n' "$4" >&2
    exit 1
}
