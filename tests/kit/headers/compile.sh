#!/bin/sh
# compile.sh COMPILER SOURCE WORK BOOST HIDDEN FILE...: looks whether each FILE compiles where the
# headers hide what those of illumos hide, and by the file HIDDEN whether they do hide it.
set -eu

compiler=$1 source=$2 work=$3 boost=$4 hidden=$5
shift 5
kit=$source/tests/kit/headers

# Nothing else of that directory, which may be where this machine's own headers are.
mkdir -p "$work"
ln -sfn "$boost/boost" "$work/boost"

# With the kit the sources take their branches for illumos, over this machine's headers.
try() {
  "$compiler" -std=c++23 -fsyntax-only -U__linux__ -U__linux -U__gnu_linux__ -Ulinux \
    -D__sun=1 -D__sun__=1 -D__svr4__=1 -D__SVR4=1 -I "$kit/illumos" \
    -I "$source/tests/kit/emulation/port" -I "$source/include" -I "$source/src" \
    -isystem "$work" -DREARM_HAS_EPOLL=0 -DREARM_HAS_KQUEUE=0 -DREARM_HAS_EVENT_PORT=1 "$@"
}

try "$hidden"
for name in madvise MADV_NOHUGEPAGE SO_REUSEPORT SO_PEERCRED recvmmsg TCP_USER_TIMEOUT UDP_SEGMENT \
    gettid epoll; do
  "$compiler" -std=c++23 -fsyntax-only -D_GNU_SOURCE "-DUSE_$name" "$hidden"
  if try "-DUSE_$name" "$hidden" 2>/dev/null; then
    echo "$name is not hidden"
    exit 1
  fi
done

for file in "$@"; do
  try "$file"
done
