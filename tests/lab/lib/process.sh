# shellcheck shell=bash
# Background processes, each remembered in a file as "PID START-TIME". The start
# time keeps a recycled PID from being taken for ours, and killed.

start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The command name, field 2, is in brackets and may itself hold spaces.
    read -ra stat <<<"${stat##*) }"
    # Dead, but not yet collected by whoever inherited it.
    [[ ${stat[0]} != Z ]] || return 1
    echo "${stat[19]}"
}

# start FILE LOG COMMAND...
start() {
    local file=$1 log=$2
    shift 2
    # Descriptor 9 is the lab's lock: a daemon must not hold it.
    setsid "$@" >>"$log" 2>&1 </dev/null 9>&- &
    echo "$! $(start_time $!)" >"$file"
}

alive() {
    local pid born
    read -r pid born 2>/dev/null <"$1" || return 1
    [[ $(start_time "$pid") == "$born" ]]
}

gone() { ! alive "$1"; }

pid_in() { cut -d' ' -f1 "$1"; }

# stop FILE [GRACE_SECONDS]: asks first, then kills; 0 kills at once.
stop() {
    local file=$1 grace=${2:-5}
    if alive "$file" && ((grace > 0)); then
        kill "$(pid_in "$file")" 2>/dev/null || true
        wait_until "$grace" gone "$file" || true
    fi
    if alive "$file"; then
        kill -KILL "$(pid_in "$file")" 2>/dev/null || true
        wait_until 10 gone "$file" ||
            die "process $(pid_in "$file") does not die" "it outlived SIGKILL by 10 s" \
                "it hangs in the kernel" "cat /proc/$(pid_in "$file")/stack"
    fi
    rm -f "$file"
}
