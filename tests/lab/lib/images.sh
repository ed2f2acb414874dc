# shellcheck shell=bash
# Container images, packed from Debian packages and the lab's own binaries: one cache
# folder an image, named after what went into it.

IMAGES=(pause busybox python coredns trading-agent proxyv2 pilot)

PYTHON_PACKAGES=(
    ca-certificates libbz2-1.0 libc6 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.11-minimal
    libpython3.11-stdlib libsqlite3-0 libssl3 libuuid1 python3.11-minimal zlib1g
)
# Envoy needs libc; istio-init, the same image, needs iptables.
PROXY_PACKAGES=(
    iptables libc6 libgcc-s1 libip4tc2 libip6tc2 libmnl0 libnetfilter-conntrack3 libnfnetlink0
    libnftnl11 libxtables12
)

image_folder() {
    local source=()
    case $1 in
    pause) source=("$PAUSE_VERSION" "$HERE/images/pause/main.go") ;;
    busybox) source=(1.35) ;;
    python) source=("${PYTHON_PACKAGES[*]}") ;;
    coredns) source=("$(coredns_folder)") ;;
    trading-agent) source=("${PYTHON_PACKAGES[*]}" "$HERE/images/trading-agent/trading_agent.py") ;;
    proxyv2) source=("${PROXY_PACKAGES[*]}" "$(istio_folder)" "$(envoy_folder)") ;;
    pilot) source=("$(istio_folder)") ;;
    esac
    cached "image-$1" "$HERE/build/image.py" "$HERE/lib/images.sh" "${source[@]}"
}

images_build() {
    local image
    for image in "${IMAGES[@]}"; do build "$(image_folder "$image")" "image_build_${image//-/_}"; done
}

# pack FOLDER NAME OPTION...: from FOLDER/layer, or the layers among the options.
pack() {
    local folder=$1 name=$2
    shift 2
    python3 "$HERE/build/image.py" "$folder/image.tar" "$name" --layer "$folder/layer" "$@"
    rm -rf "$folder/layer"
}

# debian FOLDER PACKAGE...: the packages' files, without installing them.
debian() {
    local folder=$1 downloads package
    shift
    downloads=$(mktemp -d)
    # apt drops to an unprivileged user, who must be able to write here.
    chmod 777 "$downloads"
    (cd "$downloads" && apt-get download -q "$@")
    for package in "$downloads"/*.deb; do dpkg-deb -x "$package" "$folder"; done
    rm -rf "$downloads" "$folder"/usr/share/{doc,man,locale,lintian}
}

# The little that a root file system must have: a shell, users, /tmp.
base_layer() {
    mkdir -p "$1"/{bin,etc,root,tmp}
    chmod 1777 "$1/tmp"
    cp /bin/busybox "$1/bin/busybox"
    ln -sf busybox "$1/bin/sh"
    echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh istio-proxy:x:1337:1337::/:/bin/sh nobody:x:65534:65534::/:/bin/sh >"$1/etc/passwd"
    printf '%s\n' root:x:0: istio-proxy:x:1337: nobody:x:65534: >"$1/etc/group"
}

image_build_pause() {
    go_build "$HERE/images/pause" "$1/layer/pause"
    pack "$1" "registry.k8s.io/pause:$PAUSE_VERSION" --entrypoint /pause
}

image_build_busybox() {
    local applet
    base_layer "$1/layer"
    for applet in $("$1/layer/bin/busybox" --list); do
        [[ -e $1/layer/bin/$applet ]] || ln -s busybox "$1/layer/bin/$applet"
    done
    pack "$1" docker.io/library/busybox:1.35 --command /bin/sh
}

python_layer() {
    debian "$1" "${PYTHON_PACKAGES[@]}"
    base_layer "$1"
    ln -sf python3.11 "$1/usr/bin/python3"
}

image_build_python() {
    mkdir "$1/layer"
    python_layer "$1/layer"
    pack "$1" docker.io/library/python:3.11 --command python3
}

# Python's layer first and as it is in the python image, so that a node stores it once.
image_build_trading_agent() {
    mkdir -p "$1/layer" "$1/app/app"
    python_layer "$1/layer"
    install -m 644 "$HERE/images/trading-agent/trading_agent.py" "$1/app/app/"
    pack "$1" docker.io/library/trading-agent:lab --layer "$1/app" --user 65534 \
        --entrypoint python3 -u /app/trading_agent.py
    rm -rf "$1/app"
}

image_build_coredns() {
    install -D -t "$1/layer" "$(coredns_folder)/coredns"
    pack "$1" "registry.k8s.io/coredns/coredns:$COREDNS_VERSION" --entrypoint /coredns
}

# Stock Envoy in the place of Istio's own build: see istiod-values.yaml for what it lacks.
image_build_proxyv2() {
    local layer=$1/layer program source
    mkdir "$layer"
    debian "$layer" "${PROXY_PACKAGES[@]}"
    base_layer "$layer"
    for program in {iptables,ip6tables}{,-save,-restore}; do
        ln -sf xtables-nft-multi "$layer/usr/sbin/$program"
    done
    install -D -t "$layer/usr/local/bin" "$(istio_folder)/pilot-agent" "$(envoy_folder)/envoy"
    source=$(go_module "istio.io/istio@$ISTIO_VERSION")
    install -D -m 644 "$source/tools/packaging/common/envoy_bootstrap.json" "$layer/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
    pack "$1" docker.io/istio/proxyv2:lab --entrypoint /usr/local/bin/pilot-agent
}

image_build_pilot() {
    base_layer "$1/layer"
    install -D -t "$1/layer/usr/local/bin" "$(istio_folder)/pilot-discovery"
    pack "$1" docker.io/istio/pilot:lab --user 1337 --entrypoint /usr/local/bin/pilot-discovery
}
