#!/usr/bin/env bash
# Links a program that was compiled with the headers of the next minor version with the library that
# is installed, and sees the linker name both.
#
#   other_headers.sh COMPILER SOURCE WORK
set -euo pipefail
compiler=$1 source=$2 work=$3
mkdir -p "$work"
include=$(pkg-config --variable=includedir rearm-poller)
rm -rf "$work/include"
cp -R "$include" "$work/include"
version=$work/include/rearm/version.h
minor=$(sed -n 's/#define REARM_VERSION_MINOR //p' "$version")
sed -i "s/#define REARM_VERSION_MINOR .*/#define REARM_VERSION_MINOR $((minor + 1))/" "$version"
read -ra libs < <(pkg-config --libs --static rearm-poller)
"$compiler" -std=c++23 -c -I "$work/include" "$source" -o "$work/other.o"
if "$compiler" "$work/other.o" "${libs[@]}" -o "$work/other" 2>"$work/errors"; then
  echo "headers of another version were linked"
  exit 1
fi
grep "undefined reference to .*headers_of_[0-9]*_$((minor + 1))" "$work/errors"
