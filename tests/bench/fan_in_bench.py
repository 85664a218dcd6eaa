# SPDX-License-Identifier: Apache-2.0
"""What a confirmed put costs the broker when there are many producers, and many queues.

    fan_in_bench.py [--rounds=3] [--messages=100000] [--brief]     TROUPE_BIN: where brokerd is

Every producer is a connection; the messages (128 bytes) go round the queues. What is sent was made before, and the answers are only counted, so that
the one Python process can keep the broker busy; what is told is the broker's CPU time a message, from its own clock, which strangers on the
machine move little."""

import argparse
import json
import os
import statistics
import struct
import sys
import unittest

os.environ.setdefault("TROUPE_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release", "bin"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import msgpack  # noqa: E402
from harness import PUB, Case, until  # noqa: E402
from queue_peer import QueuePeer  # noqa: E402

SHAPES = ((1, 1), (1, 1000), (1000, 1), (1000, 1000))
SLICE = 16384  # bytes that a producer sends before it is the next one's turn


def puts(first, n, queues):
    """The bytes of n puts, each to be confirmed."""
    out = bytearray()
    for i in range(n):
        envelope = msgpack.packb([PUB, i + 1, [f"_q.q{(first + i) % queues}", None, None, b"x" * 128]])
        out += struct.pack(">Q", len(envelope)) + envelope
    return memoryview(out)


def read_away(s):
    s.setblocking(False)
    try:
        while s.recv(1 << 16):
            pass
    except BlockingIOError:
        pass
    s.setblocking(True)


def pour(peers, chunks):
    most = max(map(len, chunks))
    for at in range(0, most, SLICE):
        for peer, chunk in zip(peers, chunks):
            peer.socket.sendall(chunk[at:at + SLICE])
        for peer in peers:
            read_away(peer.socket)


class FanIn(Case):
    def cpu_ns(self, broker):
        with open(f"/proc/{broker.pid}/schedstat") as f:
            return int(f.read().split()[0])

    def cost(self, producers, queues, messages):
        """Nanoseconds of the broker for a put and its confirmation."""
        broker = self.broker()
        with QueuePeer(self, broker.url) as p:
            for q in range(queues):
                p.declare(f"q{q}", durable=False)
            peers = [QueuePeer(self, broker.url) for _ in range(producers)]
            per = messages // producers
            chunks = [puts(k * per, per, queues) for k in range(producers)]
            before = self.cpu_ns(broker)
            pour(peers, chunks)
            # The last of each queue comes last, and what is asked here is behind it.
            until(lambda: sum(p.stat(f"q{q}")["ready"] for q in range(0, queues, 100)) == per * producers // queues * len(range(0, queues, 100)), 20,
                  "all is in the queues")
            cost = (self.cpu_ns(broker) - before) / (per * producers)
            for peer in peers:
                peer.close()
        broker.terminate()
        return cost

    def test_fan_in(self):
        for producers, queues in SHAPES:
            costs = [self.cost(producers, queues, options.messages) for _ in range(options.rounds)]
            print(json.dumps({"bench": "fan-in", "producers": producers, "queues": queues, "broker_ns_per_put": round(statistics.median(costs)),
                              "range": [round(min(costs)), round(max(costs))]}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=100000)
    parser.add_argument("--brief", action="store_true")
    options = parser.parse_args()
    if options.brief:
        options.rounds, options.messages = 1, 20000
    unittest.main(argv=sys.argv[:1])
