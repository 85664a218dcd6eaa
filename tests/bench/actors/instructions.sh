#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Troupe authors
#
# Instructions of a message, a hop, a life: what no neighbour on the machine disturbs. Each workload runs twice under
# callgrind, and the difference is divided by that of the counts, so what opening and closing take is not in it.
#
#     instructions.sh build/release/bin/actors_bench [WORKLOAD...]        (A1 A2 A3 A4 A5; none: all)
set -eu
[ $# -gt 0 ] || { echo "usage: instructions.sh build/release/bin/actors_bench [WORKLOAD...]" >&2; exit 64; }
bench=$1
shift
[ $# -gt 0 ] || set -- A1 A2 A3 A4 A5

# collected WORKLOAD VARIANT N: instructions of all of it
collected() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" "$1" "$2" "$3" 2>&1 >/dev/null |
        sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p'
}

# line WHAT WORKLOAD VARIANT FEW MANY EACH: EACH of what is counted are in one of N
line() {
    few=$(collected "$2" "$3" "$4")
    many=$(collected "$2" "$3" "$5")
    printf '%-4s %-8s %-50s %6d\n' "$2" "$3" "$1" $(((many - few) / (($5 - $4) * $6)))
}

for work; do
    case $work in
    A1) line 'a message between two coroutines' A1 s1 20000 60000 2 ;;
    A2) line 'a message of eight producers to one consumer' A2 s1 80000 240000 1 ;;
    A3) line 'a hop round a ring of a thousand' A3 s1 20000 60000 1 ;;
    A4)
        line 'a handler: birth, message, answer, end' A4 s1 5000 15000 1
        line 'a coroutine: birth, message, answer, end' A4 s1-body 5000 15000 1
        ;;
    A5) line 'a leaf of skynet (1.1 lives)' A5 s1 1000 10000 1 ;;
    *)
        echo "instructions.sh: no such workload: $work" >&2
        exit 2
        ;;
    esac
done
