#!/usr/bin/env bash
# Builds one file with nothing but what pkg-config says, as a Makefile would, and runs it.
#
#   build_and_run.sh COMPILER SOURCE PROGRAM MODULE [PKG_CONFIG_FLAG...]
set -euo pipefail
compiler=$1 source=$2 program=$3
shift 3
read -ra flags < <(pkg-config --cflags --libs "$@")
"$compiler" -std=c++23 "$source" "${flags[@]}" -o "$program"
"$program"
