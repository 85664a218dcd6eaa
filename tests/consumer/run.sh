#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD CMAKE CC: installs BUILD into a temporary prefix, moves that prefix (an install must not know where it
# was made), and builds and runs main.c against it four ways: find_package and pkg-config, shared and static.
set -eu

build=$1 cmake=$2 cc=$3
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { printf 'consumer: %s\n' "$*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$work/made" >"$work/install.log" || { cat "$work/install.log"; fail "the install failed"; }
mv "$work/made" "$work/prefix"
prefix=$work/prefix

# What the program says, and which of our shared libraries it needs.
check() { # check NAME PROGRAM shared|static
  said=$(LD_LIBRARY_PATH="$libs" "$2") || fail "$1: exit code $?"
  [ "$said" = 'answer 832040' ] || fail "$1: it says '$said'"
  ours=$(LD_LIBRARY_PATH="$libs" ldd "$2" | grep -c libtroupe || true)
  case $3,$ours in
    shared,2 | static,0) printf 'ok: %s\n' "$1" ;;
    *) fail "$1: it links $ours of our shared libraries" ;;
  esac
}

libs=$(dirname -- "$(find "$prefix" -name 'libtroupe.so')")

# find_package
if ! { "$cmake" -S "$here/project" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" &&
       "$cmake" --build "$work/cmake"; } >"$work/cmake.log" 2>&1; then
  cat "$work/cmake.log"
  fail "find_package(Troupe) cannot be used"
fi
check 'find_package, shared' "$work/cmake/consumer-shared" shared
check 'find_package, static' "$work/cmake/consumer-static" static

# pkg-config, shared
export PKG_CONFIG_PATH="$libs/pkgconfig"
# shellcheck disable=SC2046 # the flags are words
"$cc" -std=c11 -Wall -Wextra -Werror -o "$work/shared" "$here/main.c" $(pkg-config --cflags --libs troupe-broker troupe)
check 'pkg-config, shared' "$work/shared" shared

# pkg-config --static: from a prefix that has the archives only, as the linker prefers a shared library it can see.
cp -R "$prefix" "$work/archives"
find "$work/archives" -name 'libtroupe*.so*' -delete
PKG_CONFIG_PATH=$(dirname -- "$(find "$work/archives" -name troupe.pc)")
# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Werror -o "$work/static" "$here/main.c" $(pkg-config --static --cflags --libs troupe-broker troupe)
check 'pkg-config, static' "$work/static" static

# The installed programs start, and find their libraries beside them.
for program in brokerd troupe fib-actor; do
  env -u LD_LIBRARY_PATH "$prefix/bin/$program" --version >/dev/null || fail "the installed $program does not start"
done
echo 'ok: installed programs'
