#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building and testing need and that are missing; when none is, it says so and does
# nothing. As root, or by sudo.
#
#   scripts/setup.sh          everything
#   scripts/setup.sh build    only what building and running need
set -eu

build='build-essential cmake ninja-build pkg-config libuv1-dev libmsgpack-dev libjansson-dev libssl-dev libboost-context-dev'
run='netcat-openbsd'
test='check clang clang-format libclang-rt-14-dev llvm libnng-dev nng-utils python3 python3-msgpack procps'

case ${1-all} in
  all) wanted="$build $run $test" ;;
  build) wanted="$build $run" ;;
  *) echo "usage: scripts/setup.sh [all|build]" >&2; exit 64 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup: this is not Debian; install what matches: $wanted" >&2
  exit 69
fi

missing=
for package in $wanted; do
  case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
    ?i*) ;;
    *) missing="$missing $package" ;;
  esac
done

if [ -z "$missing" ]; then
  echo "setup: all packages are here"
  exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: these packages are missing, and installing them needs root or sudo:$missing" >&2
    exit 77
  fi
  as_root=sudo
fi

echo "setup: installing$missing"
# The lists may be empty (a fresh container) or old (a package has gone from the mirror): fetch them first.
# shellcheck disable=SC2086 # $missing is a list of words
$as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "$@" >/dev/null' \
  setup $missing || { echo "setup: apt-get could not install:$missing" >&2; exit 69; }
