#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Troupe authors
"""The classic comparison of servers, as two tables: one and two clients, bound by I/O (fib of 1) and by the processor (fib of 25).

    servers.py [--bin build/release/bin] [--harness DIR] [--runs 3] [--seconds 1] [--only thread,process]

Ours is examples/fib_server.c in its four ways, twice side by side ("many"), and behind the broker's gateway (fib-actor). The harness is a
folder with the classic servers in Python, servers/NAME_server.py PORT, and bin/go_server PORT; without it our figures stand alone.
Each round starts every server anew and runs them in turn; the medians of the rounds are printed, and in brackets the ratio to the other in the same row.
Requests go one at a time on each connection, so where client and server sleep on different processors, waking one is most of the time: the
rows of one column are comparable, the columns less so."""

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(HERE, "..", "..", "..", "build", "release", "bin")
COLUMNS = [(1, 1), (1, 2), (25, 1), (25, 2)]  # number, clients


class Server:
    """A program in a session of its own, which ends with the block."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, env=dict(os.environ, **(env or {})), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        start_new_session=True)

    def says(self, pattern):
        for text in self.process.stdout:
            found = re.search(pattern, text)
            if found:
                return found[1]
        raise RuntimeError(f"{self.process.args} ended")

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.stdout.close()
        self.process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_it_listens(port, server):
    wanted = f":{port:04X}"
    while server.process.poll() is None:
        with open("/proc/net/tcp", encoding="ascii") as f:
            if any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in f.readlines()[1:]):
                return
        time.sleep(0.01)
    raise RuntimeError(f"{server.process.args} ended")


# --- what is compared: each gives ([Server], [port]) ---

def ours(way, count=1):
    def start(args):
        servers = [Server([os.path.join(args.bin, "fib-server"), "tcp://127.0.0.1:0", way]) for _ in range(count)]
        return servers, [int(s.says(r"listening at .*:(\d+)")) for s in servers]
    return start


def gateway(args):
    port, gate = free_port(), free_port()
    url = f"tcp://127.0.0.1:{port}"
    broker = Server([os.path.join(args.bin, "brokerd"), f"--listen={url}", f"--gateway=tcp://127.0.0.1:{gate}/fib?framing=chunk"])
    wait_until_it_listens(gate, broker)
    actor = Server([os.path.join(args.bin, "fib-actor"), "--kind=process", "--workers=2", f"--broker={url}"])
    with socket.create_connection(("127.0.0.1", gate)) as s:
        while actor.process.poll() is None:
            s.sendall(b"1")
            if s.recv(100).startswith(b"1"):
                return [actor, broker], [gate]
            time.sleep(0.02)
    raise RuntimeError("fib-actor ended")


def peer(name, count=1):
    def start(args):
        servers, ports = [], [free_port() for _ in range(count)]
        for port in ports:
            program = [os.path.join(args.harness, "bin", name)] if name.startswith("go") else [args.python, os.path.join(args.harness, "servers", name + ".py")]
            servers.append(Server([*program, str(port)]))
            wait_until_it_listens(port, servers[-1])
        return servers, ports
    return start


ROWS = {  # what: (ours, its name, the peer, its name)
    "one": ("one client after the other", ours("one"), "one_server"),
    "thread": ("a thread for each connection", ours("thread"), "thread_server"),
    "process": ("a pool of processes", ours("process"), "multiprocess_server"),
    "coroutine": ("a coroutine for each", ours("coroutine"), "async_server"),
    "many": ("two servers, two ports", ours("coroutine", 2), "many_server"),
    "gateway": ("behind the broker's gateway, two processes", gateway, None),
    "go": ("", None, "go_server"),
}


def is_there(name, args):
    return name and args.harness and os.path.exists(
        os.path.join(args.harness, "bin", name) if name.startswith("go") else os.path.join(args.harness, "servers", name + ".py"))


def measure(start, number, clients, args):
    servers, ports = start(args)
    try:
        done = subprocess.run([os.path.join(args.bin, "load"), str(clients), str(number), str(args.seconds), *map(str, ports)], stdout=subprocess.PIPE, check=True,
                              text=True, timeout=60)
        return json.loads(done.stdout)
    finally:
        for server in servers:
            server.end()


def run_all(args, rows):
    """{(row, mine, number, clients): [what load said]}"""
    said = {}
    for _ in range(args.runs):
        for number, clients in COLUMNS:
            for row in rows:
                _, mine, theirs = ROWS[row]
                for whose, start in (("ours", mine), ("theirs", is_there(theirs, args) and peer(theirs, 2 if row == "many" else 1))):
                    if start:
                        said.setdefault((row, whose, number, clients), []).append(measure(start, number, clients, args))
    return said


def cell(said, key):
    """(median rate, text)"""
    runs = said.get(key)
    if not runs:
        return None, ""
    rate = statistics.median(r["rate"] for r in runs)
    unserved = statistics.median(sum(x == 0 for x in r["each"]) for r in runs)
    return rate, f"{rate:,.0f}" + (", no service for the other" if unserved else "")


def line(said, row):
    what, _, theirs = ROWS[row]
    cells = []
    for number, clients in COLUMNS:
        rate, text = cell(said, (row, "ours", number, clients))
        other, other_text = cell(said, (row, "theirs", number, clients))
        if other_text:
            text += f" / {other_text}" if text else other_text
        cells.append(text + (f" ({rate / other:.1f})" if rate and other else ""))
    return [f"{what} / `{theirs}`" if what and theirs else what or f"`{theirs}`", *cells]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=BIN)
    parser.add_argument("--harness")
    parser.add_argument("--python", default="/usr/bin/python3", help="what runs the harness's servers")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    wanted = set(filter(None, args.only.split(",")))
    rows = [row for row in ROWS if (not wanted or row in wanted) and (ROWS[row][1] or is_there(ROWS[row][2], args))]
    said = run_all(args, rows)
    print("| requests a second, ours / the classic one (ratio) | " +
          " | ".join(f"fib({n}), {c} client{'s' if c > 1 else ''}" for n, c in COLUMNS) + " |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(line(said, row)) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
