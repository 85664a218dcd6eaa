#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Troupe authors
"""Prints how fast the actors are beside others, as ratios: what README.md here defines, ours and the peers' in turn, medians.

    table.py [--bin build/release/bin] [--harness DIR] [--peers go,erlang,caf] [--runs 5] [--only A1,A3] [--json FILE]

The harness is a folder with the peers: its variants.txt has lines `peer|workload|variant|prefault_MB|command`, and each command, run
there, prints one JSON object on its last line. Peers that are not built are left out; without a harness our figures stand alone. Each
round runs all of a workload, ours, the peers and the floor, one after the other, and the next begins with another one. What other programs took of
the processors meanwhile is said at the end: above some 10 % compare ratios, not figures. A ratio is the median of the rounds' ratios, each of what ran within
the same seconds: the next minute of a virtual machine may be half as fast."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(HERE, "..", "..", "..", "build", "release", "bin")
TIMEOUT = 60

ONE_CORE = "taskset -c 0 "


class Row:
    """One line: what is run here, by whom else, what is read of it, and what is wanted.

    peers: {peer: [variants]}, of which the best counts. ref: the one that the ratio is to: a peer's name, "best" of them, "floor" (another
    program of ours), or None: the figure itself is to be `wanted`. less: smaller is better."""

    def __init__(self, work, what, ours, wanted, *, peers=None, ref="best", floor=None, field="value", less=False, unit="/s"):
        self.work, self.what, self.ours, self.wanted = work, what, ours, wanted
        self.peers, self.ref, self.floor, self.field, self.less, self.unit = peers or {}, ref, floor, field, less, unit


def a4(what, field, wanted, **more):
    peers = {"go": ["s1", "s2"], "erlang": ["s1", "s2", "s2-hibernate"], "caf": ["s1", "s2"]}
    return Row("A4", what, "actors_bench A4 s1", wanted, peers=peers, field=field, **more)


ROWS = [
    Row("A1", "ping-pong, one worker", "actors_bench A1 s1", 4, ref="go",
        peers={"go": ["s1-cap0", "s1-cap64"], "erlang": ["s1"], "caf": ["s1"]}),
    Row("A1", "ping-pong, two workers", "actors_bench A1 s2", 3, ref="go",
        peers={"go": ["s2-cap0", "s2-cap64"], "erlang": ["s2"], "caf": ["s2"]}),
    Row("A1", "ping-pong of two threads, two cores", "actors_bench A1 x2 200000", 10,
        peers={"go": ["x2-lockosthread"], "erlang": ["x2"], "caf": ["x2-detached"], "cthr": ["x2-mutex", "x2-mpsc"]}),
    Row("A1", "ping-pong of two threads, one core", ONE_CORE + "actors_bench A1 x2 200000", 0.9,
        peers={"cthr": ["c1-mutex", "c1-mpsc"], "java": ["c1-lbq"], "pythread": ["c1"]}),
    Row("A2", "fan-in, one worker", "actors_bench A2 s1", 1, ref="go",
        peers={"go": ["s1-cap1024"], "erlang": ["s1-credit1024"], "caf": ["s1-credit1024"]}),
    Row("A2", "fan-in, two workers", "actors_bench A2 s2", 2, ref="go",
        peers={"go": ["s2-cap1024"], "erlang": ["s2-credit1024"], "caf": ["s2-credit1024"]}),
    Row("A2", "fan-in, memory at its peak, KiB", "actors_bench A2 s1", None, ref=None, field="peak_rss_kb", less=True, unit=""),
    Row("A3", "ring of 1,000, one worker", "actors_bench A3 s1", 2, ref="go",
        peers={"go": ["s1-cap0", "s1-cap1"], "erlang": ["s1"], "caf": ["s1"]}),
    Row("A3", "ring of 1,000, two workers", "actors_bench A3 s2", 2, ref="go",
        peers={"go": ["s2-cap1"], "erlang": ["s2"], "caf": ["s2"]}),
    a4("a million handlers: bytes each", "bytes_per_actor", 400, ref=None, less=True, unit=" bytes"),
    a4("a million handlers: spawns", "value", 2),
    a4("a million handlers: a message and its answer each", "echo_s", 0.5, less=True, unit=" s"),
    Row("A4", "100,000 coroutines: bytes each", "actors_bench A4 s1-body 100000", 4608, ref=None, field="bytes_per_actor", less=True,
        unit=" bytes"),
    Row("A5", "skynet, a million leaves, one worker", "actors_bench A5 s1", 0.4, ref="go", less=True, unit=" s",
        peers={"go": ["s1"], "erlang": ["s1"], "caf": ["s1"]}),
    Row("A5", "skynet, a million leaves, two workers", "actors_bench A5 s2", 0.4, ref="go", less=True, unit=" s",
        peers={"go": ["s2"], "erlang": ["s2"], "caf": ["s2"]}),
    Row("A6", "128 bytes one way, from a process", "process_bench from", 5e6, ref=None, floor="floor stream",
        peers={"go": ["stream-pipe-s2"], "erlang": ["stream"], "pymp": ["stream-pipebytes"], "caf": ["stream"]}),
    Row("A6", "128 bytes one way, to a process", "process_bench to", 5e6, ref=None, floor="floor stream",
        peers={"go": ["stream-pipe-s2"], "erlang": ["stream"], "pymp": ["stream-pipebytes"], "caf": ["stream"]}),
    Row("A6", "128 bytes one way, two process actors", "process_bench stream2", 5e6, ref=None, floor="floor stream"),
    Row("A6", "ping-pong with a process, free to move", "process_bench pp", 0.9, ref="floor", floor="floor pp",
        peers={"go": ["pp-pipe-s2"], "erlang": ["pp"], "pymp": ["pp-pipe"], "caf": ["pp"]}),
    Row("A6", "ping-pong with a process, one core", ONE_CORE + "process_bench pp", 0.9, ref="floor", floor=ONE_CORE + "floor pp",
        peers={"go": ["pp-pipe-s1"]}),
    Row("A6", "ping-pong of two process actors, free to move", "process_bench pp2", 0.9, ref="floor", floor="floor pp"),
    Row("A7", "ping-pong beside fib(40), two workers: during / before", "actors_bench A7 s2", 0.95, ref=None, unit="",
        peers={"go": ["s2"], "erlang": ["s2"], "caf": ["s2"]}),
    Row("A7", "the same, one worker, fib in a thread", "actors_bench A7 s1-thread", 0.5, ref=None, unit="",
        peers={"go": ["s1"], "erlang": ["s1"], "caf": ["s1-detached-fib"]}),
]


# --- running ---

def busy():
    """Processor seconds that all programs have taken so far."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq = (int(x) for x in f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def strangers():
    """The share of the processors that is taken while nothing of ours runs."""
    began, before = time.monotonic(), busy()
    time.sleep(0.1)
    return (busy() - before) / (time.monotonic() - began) / os.cpu_count()


class Bench:
    """Runs commands, keeps what they said: {command: [objects]}."""

    def __init__(self):
        self.said, self.strangers, self.late = {}, [], set()

    def run(self, command, folder, env=None):
        if command in self.late:  # once is enough
            return
        self.strangers.append(strangers())
        try:
            done = subprocess.run(["bash", "-c", "exec " + command], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  check=False, timeout=TIMEOUT)
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            if not lines:
                print(f"table.py: {command}: status {done.returncode}, {done.stderr.strip()}", file=sys.stderr)
                return
            self.said.setdefault(command, []).append(json.loads(lines[-1]))
        except subprocess.TimeoutExpired:
            self.late.add(command)
            print(f"table.py: {command}: not done in {TIMEOUT} s, left out", file=sys.stderr)
        except ValueError as e:
            print(f"table.py: {command}: {e!r}", file=sys.stderr)

    def values(self, command, field):
        return [d[field] for d in self.said.get(command, []) if field in d]

    def median(self, command, field):
        values = self.values(command, field)
        return statistics.median(values) if values else None

    def ratio(self, command, to, field):
        """The median of the rounds' ratios."""
        pairs = [(a, b) for a, b in zip(self.values(command, field), self.values(to, field)) if b]
        return statistics.median(a / b for a, b in pairs) if pairs else None


class Harness:
    """The peers' commands: {(peer, workload, variant): (command, prefault_MB)}; empty without a folder."""

    def __init__(self, folder, peers):
        self.folder, self.commands = folder, {}
        if not folder:
            return
        with open(os.path.join(folder, "variants.txt"), encoding="utf-8") as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    peer, work, variant, prefault, command = line.rstrip("\n").split("|", 4)
                    if (not peers or peer in peers) and self.is_built(command):
                        self.commands[peer, work, variant] = command, int(prefault)

    def is_built(self, command):
        return all(os.path.exists(os.path.join(self.folder, word)) for word in command.split() if word.startswith("build/"))

    def of(self, row):
        """{peer: [commands]}"""
        found = {peer: [self.commands[peer, row.work, v][0] for v in variants if (peer, row.work, v) in self.commands]
                 for peer, variants in row.peers.items()}
        return {peer: commands for peer, commands in found.items() if commands}

    def prefault(self, rows):
        """Memory that a helper of the harness keeps at hand while they run, for all alike: on a virtual machine its first touch costs."""
        most = max((self.commands[key][1] for row in rows for key in self.commands if key[1] == row.work and key[0] in row.peers), default=0)
        helper = os.path.join(self.folder or "", "build", "prefault")
        return [helper, str(most)] if most and os.path.exists(helper) else None


def jobs_of(rows, harness, bin_dir):
    """[(command, folder, environment)], each command once."""
    env = dict(os.environ, PATH=os.path.abspath(bin_dir) + ":" + os.environ["PATH"])
    jobs = {}
    for row in rows:
        jobs.update({command: (None, env) for command in (row.ours, row.floor) if command})
        jobs.update({command: (harness.folder, None) for commands in harness.of(row).values() for command in commands})
    return [(command, *where) for command, where in jobs.items()]


def run_work(bench, rows, harness, args):
    """All rows of one workload, in turn, as often as wanted."""
    jobs, helper = jobs_of(rows, harness, args.bin), harness.prefault(rows)
    with subprocess.Popen(helper or ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        if helper:
            keeper.stdout.readline()
        for run in range(args.runs):
            turn = run % len(jobs)
            for job in jobs[turn:] + jobs[:turn]:
                bench.run(*job)
        keeper.stdin.close()


# --- the table ---

def figure(x, unit):
    if x is None:
        return ""
    for size, name in ((1e6, " M"), (1e3, " k")):
        if unit == "/s" and abs(x) >= size:
            return f"{x / size:.3g}{name}/s"
    return f"{x:,.0f}{unit}" if abs(x) >= 100 else f"{x:.3g}{unit}"


def peers_of(bench, row, harness):
    """{peer: (its best median, the command that it is of)}"""
    best, found = min if row.less else max, {}
    for peer, commands in harness.of(row).items():
        medians = [(bench.median(c, row.field), c) for c in commands if bench.values(c, row.field)]
        if medians:
            found[peer] = best(medians)
    return found


def line(bench, row, harness):
    ours, peers = bench.median(row.ours, row.field), peers_of(bench, row, harness)
    floor = bench.median(row.floor, row.field) if row.floor else None
    nobody = None, None
    best = (min if row.less else max)(peers.values(), default=nobody)
    to = {None: None, "best": best[1], "floor": row.floor}.get(row.ref, peers.get(row.ref, nobody)[1])
    ratio = bench.ratio(row.ours, to, row.field) if to else None
    judged = ours if row.ref is None else ratio
    reached = "" if judged is None or row.wanted is None else "yes" if (judged <= row.wanted if row.less else judged >= row.wanted) else "no"
    said = ", ".join(f"{peer} {figure(m, row.unit)}" for peer, (m, _) in peers.items())
    if floor is not None:
        said += (", " if said else "") + f"floor {figure(floor, row.unit)}"
    wanted = "" if row.wanted is None else figure(row.wanted, row.unit) if row.ref is None else f"{row.wanted:g} of {row.ref}"
    wanted = wanted and ("<= " if row.less else ">= ") + wanted
    return [row.work, row.what, figure(ours, row.unit), said, "" if ratio is None else f"{ratio:.2f}", wanted, reached, f"`{row.ours}`"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=BIN, help="where our programs are")
    parser.add_argument("--harness", help="where the peers are")
    parser.add_argument("--peers", default="", help="only these")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="only these workloads: A1,A3")
    parser.add_argument("--json", help="where all that was said is written to")
    args = parser.parse_args()
    only, bench = set(filter(None, args.only.split(","))), Bench()
    harness = Harness(args.harness, set(filter(None, args.peers.split(","))))
    rows = [row for row in ROWS if not only or row.work in only]
    for work in dict.fromkeys(row.work for row in rows):
        run_work(bench, [row for row in rows if row.work == work], harness, args)
    print("| | work | here | others | ratio | wanted | reached | command |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(line(bench, row, harness)) + " |")
    if bench.strangers:
        print(f"\nMedians of {args.runs}. Other programs took {statistics.median(bench.strangers):.0%} of the processors (median of looks "
              f"before each run; at most {max(bench.strangers):.0%}).")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(bench.said, f, indent=1)
    return 0 if bench.said else 1


if __name__ == "__main__":
    sys.exit(main())
