# SPDX-License-Identifier: Apache-2.0
"""A durable queue in which a million messages wait: the memory of brokerd for each, and how long it takes to be back after kill -9.

    recovery_bench.py [--messages=1000000] [--size=128] [--repeat=3] [--cold] [--in-memory] [--json]     TROUPE_BIN: the folder of brokerd

Memory is what brokerd holds resident beyond what it held when it was empty, divided by the messages: after they were put, and
after they were recovered. Recovery is the time from exec to the line that says it listens, messages all there. --cold drops the
kernel's page cache first (as root), so that the disk is read. --in-memory: the queue is not durable; its memory alone."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import msgpack  # noqa: E402
from harness import OK, PUB, Case, cpu_seconds, program, rss  # noqa: E402
from queue_peer import QueuePeer  # noqa: E402

BATCH, AHEAD = 1000, 16  # messages of a frame, of which the last is confirmed; frames under way


class Bench(Case):
    """Only for what connections want of a test."""

    def runTest(self):
        pass


class Brokerd:
    def __init__(self, folder):
        url = f"ipc://{folder}/sock"
        args = [program("brokerd"), f"--data={folder}/data", f"--listen={url}", "--log-level=warn"]
        began = time.monotonic()
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *args], stdout=subprocess.PIPE)
        if not any(line.startswith(b"listening") for line in self.process.stdout):
            sys.exit("brokerd does not come up")
        self.took, self.cpu = time.monotonic() - began, cpu_seconds(self.process.pid)
        self.peer = QueuePeer(Bench(), url)

    def rss(self):
        return rss(self.process.pid)

    def kill(self):
        self.peer.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def fill(peer, messages, size):
    """As fast as this can; gives the seconds it took."""
    payload, under_way, began = bytes(size), 0, time.monotonic()
    quiet = msgpack.packb([PUB, 0, ["_q.bench", None, None, payload]])
    asked = msgpack.packb([PUB, 1, ["_q.bench", None, None, payload]])
    for n in range(0, messages, BATCH):
        peer.send_bytes(peer.frame(quiet * (min(BATCH, messages - n) - 1) + asked))
        under_way += 1
        if under_way == AHEAD:
            peer.expect(OK)
            under_way -= 1
    for _ in range(under_way):
        peer.expect(OK)
    return time.monotonic() - began


def log_bytes(folder):
    data = os.path.join(folder, "data")
    return sum(os.path.getsize(os.path.join(data, f)) for f in os.listdir(data) if f.endswith(".log"))


def measure(folder, o):
    broker = Brokerd(folder)
    broker.peer.declare("bench", durable=not o.in_memory, max_messages=2 * o.messages, max_bytes=1 << 40)
    empty = broker.rss()
    filled_in = fill(broker.peer, o.messages, o.size)
    figures = {"messages": o.messages, "size": o.size, "put_per_s": round(o.messages / filled_in),
               "bytes_each": round((broker.rss() - empty) / o.messages, 1), "log_bytes_each": round(log_bytes(folder) / o.messages, 1)}
    if o.in_memory:
        broker.kill()
        return figures
    times, cpu = [], []
    for _ in range(o.repeat):
        broker.kill()
        if o.cold:
            subprocess.run(["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], check=True)
        broker = Brokerd(folder)
        times.append(broker.took)
        cpu.append(broker.cpu)
        if broker.peer.waiting("bench") != o.messages:
            sys.exit(f"{broker.peer.waiting('bench')} of {o.messages} came back")
    figures["bytes_each_recovered"] = round((broker.rss() - empty) / o.messages, 1)
    broker.kill()
    return figures | {"recovery_s": round(statistics.median(times), 3), "recovery_worst_s": round(max(times), 3),
                      "recovery_cpu_s": round(statistics.median(cpu), 3), "cold": o.cold}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--brief", action="store_true", help="100,000 messages, once")
    o = parser.parse_args()
    if o.brief:
        o.messages, o.repeat = 100_000, 1
    folder = tempfile.mkdtemp(prefix="troupe-bench-")
    try:
        f = measure(folder, o)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if o.json:
        print(json.dumps(f))
    else:
        print(f"{f['messages']} messages of {f['size']} bytes, put at {f['put_per_s']}/s, {f['log_bytes_each']} bytes of log each")
        print(f"memory: {f['bytes_each']} bytes each" + ("" if o.in_memory else f"; after recovery {f['bytes_each_recovered']}"))
    if not o.json and not o.in_memory:
        print(f"recovery after kill -9: median {f['recovery_s']} s, worst {f['recovery_worst_s']} s, of which {f['recovery_cpu_s']} s of CPU{', cold' if o.cold else ''}")


if __name__ == "__main__":
    main()
