# shellcheck shell=bash
# containerd's data folder with every image imported and unpacked, made once. A Pi gets
# its copy by hard links: containerd never changes a blob or a layer in place, only its
# two small databases, which are copied. That is a second, where an import takes many.

image_store_folder() {
    local image folders=()
    for image in "${IMAGES[@]}"; do folders+=("$(image_folder "$image")"); done
    cached image-store "$(containerd --version)" "${folders[@]}"
}

image_store_build() {
    local folder=$1 run image
    run=$(mktemp -d /run/lab-image-store.XXXXXX)
    cat >"$run/config.toml" <<TOML
version = 2
root = "$folder/containerd"
state = "$run/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$run/socket"
TOML
    start "$run/process" "$run/log" containerd --config "$run/config.toml"
    wait_until 20 ctr --address "$run/socket" version || { cat "$run/log" && return 1; }
    for image in "${IMAGES[@]}"; do
        ctr --address "$run/socket" -n k8s.io images import "$(image_folder "$image")/image.tar"
    done
    stop "$run/process" 10
    rm -rf "$run"
}

image_store_copy() {
    # By the link that `up` made: a reset must not depend on what has been edited since.
    local to=$STATE/pis/$1/disk/var/lib/containerd store=$STATE/image-store/containerd database
    [[ ! -d $to/io.containerd.content.v1.content ]] || return 0
    mkdir -p "$to"
    # Links cannot cross file systems; then it is a plain copy.
    cp -al "$store/." "$to/" 2>/dev/null || cp -a "$store/." "$to/"
    find "$store/" -name '*.db' -printf '%P\n' | while read -r database; do
        cp --remove-destination "$store/$database" "$to/$database"
    done
}
