# shellcheck shell=sh
# Makes something, once.
test -e "$1" || { mkdir "$1" && echo made; }
