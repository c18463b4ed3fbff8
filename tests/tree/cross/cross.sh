#!/bin/sh
# For another system, with Zig, which brings a Clang and the headers of the systems it knows:
#   cross.sh compile ZIG TARGET SOURCE WORK BOOST UNIT...
#     compiles each UNIT, with Boost's headers from the directory BOOST
#   cross.sh link ZIG TARGET SOURCE WORK SYSTEM
#     builds the poller room, and a program that uses it; SYSTEM is CMake's name
set -eu

what=$1 zig=$2 target=$3 source=$4 work=$5
shift 5
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

if [ "$what" = compile ]; then
  boost=$1
  shift
  # Nothing else of that directory, which may be where this machine's own headers are.
  mkdir "$work/include"
  [ -z "$boost" ] || ln -s "$boost/boost" "$work/include/boost"
  for unit in "$@"; do
    "$work/c++" -std=c++23 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
      -Wold-style-cast -Wcast-qual -Wundef -Werror -DREARM_DEBUG_CHECKS=1 \
      -DREARM_HAS_EPOLL=0 -DREARM_HAS_EVENT_PORT=0 -DREARM_HAS_KQUEUE=1 \
      -I "$source/include" -I "$source/src" -isystem "$work/include" \
      -c -o "$work/$(basename "$unit").o" "$unit"
  done
  exit 0
fi

tool ar ar
tool ranlib ranlib
cmake -S "$source/tests/tree/consumer/poller_only" -B "$work/build" -G Ninja \
  -DREARM_SOURCE_DIR="$source" -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON \
  -DREARM_STRICT_WARNINGS=ON -DREARM_WARNINGS_AS_ERRORS=ON \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME="$1" \
  -DCMAKE_CXX_COMPILER="$work/c++" -DCMAKE_AR="$work/ar" -DCMAKE_RANLIB="$work/ranlib" \
  -DCMAKE_INSTALL_NAME_TOOL=:
cmake --build "$work/build" -j 2
program=$(find "$work/build" -maxdepth 1 -name consumer)
[ -n "$program" ] || { echo "no program was linked"; exit 1; }
file "$program" 2>/dev/null || true
