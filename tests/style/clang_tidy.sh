#!/usr/bin/env bash
# Runs clang-tidy over everything that a build compiles from this tree.
#
#   tests/style/clang_tidy.sh ROOT BUILD_DIRECTORY
set -euo pipefail
root=$1
build=$2
# The compile commands are GCC's: Clang does not know all of its warnings, and need not.
exec run-clang-tidy-19 -quiet -p "$build" -j "$(getconf _NPROCESSORS_ONLN)" \
  -extra-arg=-Wno-unknown-warning-option "^$root/(src|tests|bench|examples)/"
