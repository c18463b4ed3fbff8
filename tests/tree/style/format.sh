#!/usr/bin/env bash
# clang-format has the only opinion about white space.
#
#   tests/tree/style/format.sh ROOT [--fix]
set -euo pipefail
cd "$1"
mode=(--dry-run -Werror)
if [ "${2:-}" = --fix ]; then
  mode=(-i)
fi
find include src tests bench examples cmake -name '*.cc' -print0 -o -name '*.h' -print0 |
  xargs -0 clang-format-19 "${mode[@]}"
