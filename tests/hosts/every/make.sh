# shellcheck shell=sh
# Creates a file, once.
test -e "$1" || { mkdir "$1" && echo made; }
