# SPDX-License-Identifier: Apache-2.0
"""Three hosts, as network namespaces: brokerd on one, a worker on each of the others. One is cut off with a task in hand:
its task goes to the other when its time is over; it comes back, and says too late what it did. There is one result.

    worker-0 10.77.0.2 ---- 10.77.0.1  broker  10.77.1.1 ---- 10.77.1.2 worker-1 """

import contextlib
import ctypes
import os
import subprocess
import time

import namespaces
from harness import Broker, Case, main, seconds, until
from queue_peer import QueuePeer, Refused

ALLOWED = False
CLONE_NEWNET = 0x40000000
ACK_TIMEOUT = 1.0


def ip(*args):
    subprocess.run(["ip", *args], check=True)


@contextlib.contextmanager
def on(host):
    """Programs and sockets made meanwhile are on that host."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{host}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {host}")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Worker:
    """Takes a task, works, puts the result under the task's id, and acknowledges."""

    def __init__(self, case, number, url):
        self.case, self.host, self.number = case, f"worker-{number}", number
        self.url = url.replace("*", f"10.77.{number}.1").replace("0.0.0.0", f"10.77.{number}.1")
        self.connect()

    def connect(self):
        with on(self.host):
            self.peer = QueuePeer(self.case, self.url)
        self.peer.consume("task")

    def result_of(self, d):
        return {"task": d.payload, "square": d.payload * d.payload, "by": self.number}

    def finish(self, d):
        self.peer.put("result", self.result_of(d), id=f"task-{d.payload}")
        return self.peer.ack(d)

    def cut(self):
        ip("-n", self.host, "link", "set", "wire", "down")

    def join(self):
        ip("-n", self.host, "link", "set", "wire", "up")


class Netns(Case):
    def setUp(self):
        super().setUp()
        if not ALLOWED:
            self.skipTest("no network namespaces can be made here")
        ip("netns", "add", "broker")
        self.addCleanup(ip, "netns", "del", "broker")
        ip("-n", "broker", "link", "set", "lo", "up")
        for i in (0, 1):
            self.add_host(i)
        with on("broker"):
            self.broker = Broker(self, f"--data={self.path('data')}", listen="tcp://0.0.0.0:0")
        with on("broker"):
            self.master = QueuePeer(self, self.broker.url.replace("0.0.0.0", "127.0.0.1"))
        self.master.declare("task", ack_timeout=int(ACK_TIMEOUT * 1000))
        self.master.declare("result", dedup_window=60000)

    def add_host(self, i):
        host = f"worker-{i}"
        ip("netns", "add", host)
        self.addCleanup(ip, "netns", "del", host)
        ip("link", "add", "wire", "netns", host, "type", "veth", "peer", "name", f"to-{i}", "netns", "broker")
        for at, device, address in ((host, "wire", f"10.77.{i}.2/24"), ("broker", f"to-{i}", f"10.77.{i}.1/24")):
            ip("-n", at, "addr", "add", address, "dev", device)
            ip("-n", at, "link", "set", device, "up")

    def results(self):
        n = self.master.waiting("result")
        return self.master.take("result", n)

    def cut_off_with_a_task(self):
        """A worker that has task 7 in hand and no network, and the one that gets it next."""
        first = Worker(self, 0, self.broker.url)
        self.master.put("task", 7)
        held = first.peer.delivery()
        other = Worker(self, 1, self.broker.url)
        first.cut()
        began = time.monotonic()
        again = other.peer.delivery()
        waited = time.monotonic() - began
        self.assertEqual((again.payload, again.info["t-deliveries"]), (7, 2))
        self.assertGreater(waited, 0)
        self.assertLess(waited, seconds(ACK_TIMEOUT + 1))
        print(f"the other had it after {waited:.1f} s ", end="", flush=True)
        return first, held, other, again

    def test_a_worker_that_was_cut_off_and_comes_back_makes_no_second_result(self):
        first, held, other, again = self.cut_off_with_a_task()
        other.finish(again)
        # What it says while the wire is cut waits in its kernel, and arrives when the wire is whole.
        late = first.result_of(held)
        first.peer.send([7, 900, ["_q.result", None, {"t-id": "task-7"}, late]], [9, held.sid, held.token, 901])
        first.join()
        self.assertEqual(first.peer.receive(timeout=30)[:2], [15, 900], "the result was put already: that is as good")
        refused = first.peer.receive(timeout=30)
        self.assertEqual((refused[0], refused[1], refused[2]), (16, 901, "NOT_FOUND"))
        self.assertEqual(self.results(), [{"task": 7, "square": 49, "by": 1}])
        self.assertEqual(self.master.stat("result")["total_duplicates"], 1)
        self.assertEqual(self.master.waiting("task"), 0)

    def test_the_late_one_may_be_first_with_its_result(self):
        """It comes back while the other still works: its result counts, its acknowledgement does not; then the other's is a duplicate."""
        first, held, other, again = self.cut_off_with_a_task()
        first.join()
        first.peer.put("result", first.result_of(held), id="task-7", timeout=30)
        with self.assertRaises(Refused) as caught:
            first.peer.ack(held, timeout=30)
        self.assertEqual(caught.exception.code, "NOT_FOUND")
        other.finish(again)
        self.assertEqual(self.results(), [{"task": 7, "square": 49, "by": 0}])
        self.assertEqual(self.master.waiting("task"), 0)

    def test_the_cut_off_worker_goes_on_with_other_tasks(self):
        first, held, other, again = self.cut_off_with_a_task()
        other.finish(again)
        first.join()
        for n in (8, 9, 10):
            self.master.put("task", n)
        with self.assertRaises(Refused):
            first.peer.ack(held, timeout=30)

        def one_done():
            for worker in (first, other):
                with contextlib.suppress(TimeoutError):
                    worker.finish(worker.peer.delivery(timeout=0.05))
            return self.master.waiting("task") == 0

        until(one_done, 30, "all tasks are done")
        self.assertEqual(sorted(r["task"] for r in self.results()), [7, 8, 9, 10])


if __name__ == "__main__":
    ALLOWED = namespaces.enter("--mount", "--net")
    if ALLOWED:
        # Names of networks are files in /run/netns: a folder of our own, so that nobody else sees them, and they end with us.
        ALLOWED = subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], stderr=subprocess.DEVNULL).returncode == 0
    main()
