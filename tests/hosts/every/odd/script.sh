#!/bin/sh
printf '%s|' "$#" "$@" >by-script
