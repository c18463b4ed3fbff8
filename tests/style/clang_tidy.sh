#!/usr/bin/env bash
# Runs clang-tidy over what users compile from this tree, the library and the examples; with --all
# over benchmarks and tests, too, which takes six times as long.
#
#   tests/style/clang_tidy.sh ROOT BUILD_DIRECTORY [--all]
set -euo pipefail
root=$1
build=$2
directories='src|examples'
if [ "${3:-}" = --all ]; then
  directories+='|bench|tests'
fi
# The compile commands are GCC's: Clang does not know all of its warnings, and need not.
exec run-clang-tidy-19 -quiet -p "$build" -j "$(getconf _NPROCESSORS_ONLN)" \
  -extra-arg=-Wno-unknown-warning-option "^$root/($directories)/"
