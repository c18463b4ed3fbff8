#!/usr/bin/env bash
# Runs clang-tidy over what users compile from this tree, the library and the examples; with --all
# over benchmarks and tests, too, which takes six times as long.
#
#   tests/tree/style/clang_tidy.sh ROOT BUILD_DIRECTORY [--all]
set -euo pipefail
root=$1
build=$2
directories='src|examples'
if [ "${3:-}" = --all ]; then
  directories+='|bench|tests'
fi
# A file that the tests compile again over an emulated kernel, or over the explorer's seam, has
# several compile commands, and clang-tidy would follow each: the first is the library's.
once=$build/tidy
mkdir -p "$once"
python3 - "$build" "$once" <<'EOF'
import json, pathlib, sys
build, once = map(pathlib.Path, sys.argv[1:])
first = {}
for entry in json.loads((build / "compile_commands.json").read_text()):
    first.setdefault(entry["file"], entry)
(once / "compile_commands.json").write_text(json.dumps(list(first.values())))
EOF
# The compile commands are GCC's: Clang does not know all of its warnings, and need not.
exec run-clang-tidy-19 -quiet -p "$once" -j "$(getconf _NPROCESSORS_ONLN)" \
  -extra-arg=-Wno-unknown-warning-option "^$root/($directories)/"
