#!/bin/sh
# build.sh ZIG TARGET SYSTEM SOURCE WORK: builds the poller room, and a program that uses it, for
# another system. Zig brings a Clang and the headers of the systems it knows.
set -eu

zig=$1 target=$2 system=$3 source=$4 work=$5
if [ ! -x "$zig" ]; then
  echo "skipped: no cross compiler. scripts/setup test installs the Python package ziglang, if a"
  echo "package index can be reached; or set REARM_ZIG to a zig executable."
  exit 77
fi

rm -rf "$work"
mkdir -p "$work"
tool() {
  printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$zig" "$2" >"$work/$1"
  chmod +x "$work/$1"
}
tool c++ "c++ -target $target"
tool ar ar
tool ranlib ranlib

cmake -S "$source/tests/consumer/poller_only" -B "$work/build" -G Ninja \
  -DREARM_SOURCE_DIR="$source" -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON \
  -DREARM_STRICT_WARNINGS=ON -DREARM_WARNINGS_AS_ERRORS=ON \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME="$system" \
  -DCMAKE_CXX_COMPILER="$work/c++" -DCMAKE_AR="$work/ar" -DCMAKE_RANLIB="$work/ranlib" \
  -DCMAKE_INSTALL_NAME_TOOL=:
cmake --build "$work/build" -j 2
program=$(find "$work/build" -maxdepth 1 -name consumer)
[ -n "$program" ] || { echo "no program was linked"; exit 1; }
file "$program" 2>/dev/null || true
