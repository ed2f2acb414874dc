# shellcheck shell=bash
# Programs from Go modules, static, so that they run in any image.

go_settings() { export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local; }

# go_build FOLDER_OF_SOURCE OUTPUT [PACKAGE [LINKER_FLAGS]]
go_build() {
    go_settings
    (cd "$1" && go build -trimpath -ldflags "-s -w ${4:-}" -o "$2" "${3:-.}")
}

# go_install FOLDER PACKAGE@VERSION [LINKER_FLAGS]
go_install() {
    go_settings
    GOBIN=$1 go install -trimpath -ldflags "-s -w ${3:-}" "$2"
}

# The folder of a module's source.
go_module() {
    go_settings
    (cd / && go mod download -json "$1") | jq -re .Dir
}
