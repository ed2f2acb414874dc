# shellcheck shell=sh
mkdir "$1"
