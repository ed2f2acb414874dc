# shellcheck shell=bash
# Built and downloaded parts. Each lives in a folder named after a hash of what
# it was made from, and appears there by a rename, so a folder that exists is
# complete, however the build before it ended.

# cached NAME INPUT...: the folder of a part; an INPUT is a file's path or a text.
cached() {
    local name=$1 input hash
    shift
    hash=$(for input in "$@"; do
        if [[ -f $input ]]; then sha256sum <"$input"; else echo "$input"; fi
    done | sha256sum)
    echo "$CACHE/$name-${hash:0:12}"
}

# build FOLDER FUNCTION: unless FOLDER exists, runs FUNCTION with the name of an
# empty folder to fill.
build() {
    local folder=$1 function=$2 partial status
    [[ ! -d $folder ]] || return 0
    mkdir -p "$CACHE"
    partial=$(mktemp -d "$CACHE/.partial-${folder##*/}.XXXXXX")
    chmod 755 "$partial"
    say "building ${folder##*/}"
    # Not in the condition of an `if`, where bash ignores `set -e`; in a subshell, so that a cd does not leak.
    set +e
    (set -e; "$function" "$partial") >"$partial.log" 2>&1
    status=$?
    set -e
    if ((status)); then
        tail -n 20 "$partial.log" >&2
        rm -rf "$partial"
        die "building ${folder##*/} failed" "the lines above, the end of $partial.log" \
            "no access to the package registries, or not enough memory or disk" \
            "mend it and run tests/lab/lab up again"
    fi
    mv -T "$partial" "$folder"
    rm -f "$partial.log"
}

# What an interrupted build left; only called with the lab's lock held.
drop_partial_builds() { rm -rf "$CACHE"/.partial-*; }
