#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job, shown: sets up, builds, starts brokerd with a gateway and fib-actor behind it, sends numbers with nc,
# kills a worker in mid-computation, and does the same with the two other kinds of actor. Leaves nothing behind.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
broker='' actor='' host=127.0.0.1 port=25000

clean() {
  local pid
  for pid in $actor $broker; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
trap 'echo "demo: line $LINENO failed" >&2' ERR

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '   $ %s\n' "$*"; }
indent() { sed 's/^/   /'; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

until_true() { # until_true WHAT COMMAND...: polls for 10 seconds
  local what=$1 end=$(($(now_ms) + 10000))
  shift
  until "$@"; do
    if [ "$(now_ms)" -gt "$end" ]; then
      echo "demo: not within 10 s: $what" >&2
      cat "$work"/*.err >&2 || true
      exit 1
    fi
    sleep 0.02
  done
}

# --- brokerd ---

broker_decided() { grep -q '^gateway' "$work/broker.out" || ! kill -0 "$broker" 2>/dev/null; }

start_broker() { # start_broker LISTEN-PORT GATEWAY-PORT
  build/demo/bin/brokerd --log-level=warn --listen="tcp://$host:$1" --gateway="tcp://$host:$2/fib" \
    >"$work/broker.out" 2>"$work/broker.err" &
  broker=$!
  until_true 'brokerd comes up' broker_decided
  grep -q '^gateway' "$work/broker.out"
}

# --- fib-actor ---

answers() { [ "$(nc -N "$host" "$port" <<<1)" = 1 ]; }

start_actor() { # start_actor KIND
  show "fib-actor --kind=$1 --workers=2 &"
  build/demo/bin/fib-actor --kind="$1" --workers=2 --broker="$url" >"$work/actor.out" 2>"$work/actor.err" &
  actor=$!
  until_true "the $1 workers answer" answers
  indent <"$work/actor.out"
}

stop_actor() {
  kill "$actor"
  wait "$actor" || true
  actor=''
}

numbers() {
  show "printf '1\\n10\\n20\\n30\\n' | nc -N $host $port"
  printf '1\n10\n20\n30\n' | nc -N "$host" "$port" | indent
}

ask() { # ask NUMBER: shows the answer and how long it took
  local began answer
  began=$(now_ms)
  answer=$(nc -N "$host" "$port" <<<"$1")
  printf '   fib(%s) = %s   (%d ms)\n' "$1" "$answer" $(($(now_ms) - began))
}

big_and_small() {
  local big=0 began
  say "Two workers ($1): while one computes fib(45), the other answers the small ones"
  began=$(now_ms)
  nc -N "$host" "$port" <<<45 >"$work/big" &
  big=$!
  ask 10
  ask 20
  ask 25
  if kill -0 "$big" 2>/dev/null; then echo "   (fib(45) is still being computed)"; fi
  wait "$big"
  printf '   fib(45) = %s   (%d ms)\n' "$(cat "$work/big")" $(($(now_ms) - began))
}

# The descendants of the actor with their CPU time in ticks: `pid ticks` a line. The actor's own children are the nursery; its children work.
workers() {
  { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v actor="$actor" '
    { pid = $1; sub(/^.*\) /, ""); split($0, f, " "); parent[pid] = f[2]; ticks[pid] = f[12] + f[13] }
    END { for (pid in parent) if (parent[parent[pid]] == actor) print pid, ticks[pid] }'
}

find_busy() { # the worker that has used most CPU since `before` was written
  busy=$(workers | awk 'NR == FNR { before[$1] = $2; next } $2 - before[$1] > 10 { print $1; exit }' "$work/before" -)
  [ -n "$busy" ]
}

two_workers() { [ "$(workers | wc -l)" -eq 2 ]; }

kill_a_worker() {
  local big
  say 'kill -9 of the worker process that computes fib(47)'
  workers >"$work/before"
  nc -N "$host" "$port" <<<47 >"$work/big" &
  big=$!
  until_true 'a worker computes' find_busy
  show "kill -9 $busy"
  kill -9 "$busy"
  wait "$big"
  indent <"$work/big"
  echo '   the other worker answers the next request, and a new one is started:'
  ask 30
  until_true 'the worker is replaced' two_workers
  grep -m 1 -i restart "$work/actor.err" | indent || true
}

# --- the demo ---

scripts/setup.sh build
say 'Building'
mkdir -p build
if ! { cmake --preset release -B build/demo -DTROUPE_BUILD_TESTS=OFF && cmake --build build/demo; } >build/demo.log 2>&1; then
  tail -n 30 build/demo.log
  exit 1
fi

say 'brokerd, with a gateway for lines of text'
start_broker 4747 "$port" || start_broker 0 0 || { cat "$work/broker.err"; exit 1; }
url=$(awk '/^listening/ { print $2 }' "$work/broker.out")
port=$(sed -n 's|^gateway .*tcp://[^:]*:\([0-9]*\)/.*|\1|p' "$work/broker.out")
show "brokerd --gateway=tcp://$host:$port/fib &"
indent <"$work/broker.out"

say 'Nobody works yet: the gateway says so at once'
show "echo 30 | nc -N $host $port"
nc -N "$host" "$port" <<<30 | indent

say 'Two worker processes'
start_actor process
numbers
big_and_small processes
kill_a_worker
stop_actor

say 'The same body as threads'
start_actor thread
numbers
big_and_small threads
stop_actor

say 'The same body as coroutines'
start_actor coroutine
numbers
big_and_small coroutines
stop_actor

say 'SIGTERM: brokerd drains and ends'
kill "$broker"
wait "$broker"
broker=''
echo '   exit code 0, nothing is left behind'
