#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sets up, builds and runs everything: dev, AddressSanitizer + UBSan and ThreadSanitizer with all tests, clang (compiles
# without a warning), and 20 seconds of each fuzzer. Stops at the first stage that fails. The last line is
# `N passed, M failed`, which counts single test cases.
#
#   scripts/test.sh            all stages
#   scripts/test.sh dev asan   these only
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."

jobs=$(nproc)
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(dev clang asan tsan fuzz)
passed=0 failed=0 began=$SECONDS

say() { printf '\n== %s  [%d:%02d]\n' "$*" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)); }

# Test cases, not programs: what Check and unittest count is summed; any other ctest is one case.
#   100%: Checks: 12, Failures: 0, Errors: 0        Ran 12 tests in 1.0s ... FAILED (failures=1, errors=1)
count() { # count LOG: adds to passed and failed
  local sums
  sums=$(awk '
    function flush() {
      if (!inside) return
      if (!cases) { cases = 1; bad = !ok }
      if (!ok && !bad) { bad = 1; if (cases < 1) cases = 1 }
      total += cases; wrong += bad; inside = 0
    }
    /^[0-9]+\/[0-9]+ Testing: / { flush(); inside = 1; cases = bad = ok = 0 }
    /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
      split($0, f, /[^0-9]+/); cases += f[2]; bad += f[3] + f[4]
    }
    /^Ran [0-9]+ tests? in / { cases += $2 }
    /^(OK|FAILED) \(.*skipped=/ { match($0, /skipped=[0-9]+/); cases -= substr($0, RSTART + 8, RLENGTH - 8) }
    /^FAILED \(/ { line = $0; while (match(line, /(failures|errors)=[0-9]+/)) {
      split(substr(line, RSTART, RLENGTH), kv, "="); bad += kv[2]; line = substr(line, RSTART + RLENGTH) } }
    /^Test Passed\./ { ok = 1 }
    END { flush(); print total - wrong, wrong }' "$1")
  passed=$((passed + ${sums% *}))
  failed=$((failed + ${sums#* }))
}

finish() { # finish EXIT-CODE
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  exit "$1"
}

stop() { # stop STAGE WHAT
  printf '\ntest.sh: stage %s: %s\n' "$1" "$2" >&2
  [ "$failed" -gt 0 ] || failed=1
  finish 1
}

build() { # build PRESET
  local log=build/$1.log
  mkdir -p build
  say "$1: build"
  if ! { cmake --preset "$1" && cmake --build --preset "$1" -j "$jobs"; } >"$log" 2>&1; then
    tail -n 40 "$log"
    stop "$1" "the build failed (all of it: $log)"
  fi
  if grep -q 'warning:' "$log"; then
    grep 'warning:' "$log" | head -n 20
    stop "$1" "the build warns"
  fi
}

# What fails beside others on a busy machine gets a second chance alone; what needed it is named, so that it gets looked at.
run() { # run PRESET
  local rc=0 log="build/$1/Testing/Temporary/LastTest.log" p=$passed f=$failed
  say "$1: tests"
  ctest --preset "$1" -j $((jobs + 1)) || rc=$? # many tests wait more than they compute
  [ -f "$log" ] || stop "$1" "the tests left no log"
  count "$log"
  [ "$rc" -eq 0 ] && return
  local bad=$((failed - f))
  cp "$log" "build/$1/first-run.log"
  say "$1: what failed, once more and alone (the first run: build/$1/first-run.log)"
  rc=0
  ctest --preset "$1" -j 1 --rerun-failed || rc=$?
  [ "$rc" -eq 0 ] || stop "$1" "tests failed twice (all of it: $log)"
  passed=$((passed + bad)) failed=$f
  [ "$passed" -gt "$p" ] || stop "$1" "no test was counted"
}

# Every process that our build folders' programs run as. Tests clean up after themselves; this is what checks that.
ours() {
  local exe
  for exe in /proc/[0-9]*/exe; do
    case $(readlink -- "$exe" 2>/dev/null) in
      "$PWD"/build/*/bin/*) exe=${exe#/proc/}; printf '%s ' "${exe%/exe}" ;;
    esac
  done
}

running_before=" $(ours)"
leftover() {
  local pid
  for pid in $(ours); do
    case $running_before in *" $pid "*) ;; *) printf '%s ' "$pid" ;; esac
  done
}

nothing_left() {
  local left
  for _ in {1..20}; do # what was killed at the very end may take a moment to be gone
    left=$(leftover)
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  # shellcheck disable=SC2086 # the pids are words
  { ps -o pid,ppid,args -p $left || true; kill -9 $left || true; } 2>/dev/null
  stop "$1" "processes were left behind"
}

scripts/setup.sh
for stage in "${stages[@]}"; do
  case $stage in
    clang) build clang ;;
    dev | asan | tsan | fuzz | release | coverage) build "$stage" && run "$stage" && nothing_left "$stage" ;;
    *) echo "usage: scripts/test.sh [dev|clang|asan|tsan|fuzz|release|coverage]..." >&2; exit 64 ;;
  esac
done

say "done"
finish 0
