# SPDX-License-Identifier: Apache-2.0
"""The disk is full, slow, or not ours: what is confirmed stays, what cannot be promised is refused, all else goes on."""

import contextlib
import os
import resource
import statistics
import subprocess
import time
from itertools import count

import namespaces
from harness import ERR, MSG, OK, PUB, Case, for_each, main, run, seconds, until
from queue_peer import MEMORY, SYNCED, WRITTEN, QueuePeer, Refused, durable_broker, message

MOUNTS = False
PAYLOAD = 50_000
EX_UNAVAILABLE, EX_OSERR = 69, 71


class Tmpfs:
    """A small file system, in which something else takes most of the space, until it is deleted."""

    sentence = "No space left on device"
    acks_are_confirmed = True  # there is a reserve for them

    def __init__(self, case):
        self.path = case.path("disk")
        os.mkdir(self.path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", self.path], check=True)
        case.addCleanup(subprocess.run, ["umount", "--lazy", self.path], check=True)
        with open(self.ballast(), "wb") as f:
            os.posix_fallocate(f.fileno(), 0, 54 << 20)

    def ballast(self):
        return os.path.join(self.path, "ballast")

    def start(self, case):
        return durable_broker(case, os.path.join(self.path, "data"), listen=f"ipc://{case.path('sock')}")

    def make_room(self, _broker):
        os.unlink(self.ballast())


class Limit:
    """A file that may not grow, until it may."""

    sentence = "File too large"
    acks_are_confirmed = False  # their records would go into the same file: they are confirmed when there is room

    def __init__(self, case):
        self.path = case.folder

    def start(self, case):
        with file_limit(5 << 20):
            return durable_broker(case, os.path.join(self.path, "data"), listen=f"ipc://{case.path('sock')}")

    def make_room(self, broker):
        resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def file_limit(size):
    """Files of what is started meanwhile end there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


DISKS = {"tmpfs": Tmpfs, "limit": Limit}


class Full(Case):
    def fill(self, p):
        """Puts until one is refused; gives the payloads that were confirmed, those that were neither confirmed nor refused (they
        were under way when the disk became full, and wait), and the refusal."""
        confirmed, waiting = [], {}
        for n in count():
            id = next(p.ids)
            waiting[id] = self.payload(n)
            p.send([PUB, id, message("q", waiting[id], {})])
            for e in self.answers(p, id):
                payload = waiting.pop(e[1])
                if e[0] == ERR:
                    return confirmed, waiting, Refused(*e[2:])
                self.assertEqual(e[2], SYNCED)
                confirmed.append(payload)
            self.assertLess(n, 1000, "the disk is never full")

    @staticmethod
    def answers(p, id):
        """Until the one to this id, or until nothing more comes."""
        with contextlib.suppress(TimeoutError):
            while True:
                e = p.receive(timeout=0.5)
                yield e
                if e[1] == id:
                    return

    @staticmethod
    def payload(n):
        return f"{n:06d} ".encode() + bytes([n & 255]) * PAYLOAD

    def assertFull(self, disk, refused):
        """With a sentence that says which file, and why."""
        self.assertEqual(refused.code, "FULL")
        self.assertIn(f"{disk.path}/data", refused.text)
        self.assertIn(disk.sentence, refused.text)

    @for_each(disk=DISKS)
    def test_puts_are_refused_and_nothing_else_is(self, disk):
        if disk == "tmpfs" and not MOUNTS:
            self.skipTest("no file system can be mounted here")
        disk = DISKS[disk](self)
        broker = disk.start(self)
        with QueuePeer(self, broker.url) as p:
            p.declare("q", ack_timeout=0)
            confirmed, waiting, refused = self.fill(p)
            self.assertFull(disk, refused)
            p.consume("q", credit=5)
            taken = [p.delivery() for _ in range(5)]
            self.assertEqual([d.payload for d in taken], confirmed[:5])
            p.nack(taken.pop())
            self.assertEqual(p.delivery().payload, confirmed[4])
            if disk.acks_are_confirmed:
                for d in taken:
                    self.assertEqual(p.ack(d)[2], SYNCED)
                confirmed = confirmed[4:]
        self.restart_while_full(disk, broker, confirmed, list(waiting.values()))

    def restart_while_full(self, disk, broker, confirmed, waiting):
        broker.kill()
        broker = disk.start(self)
        with QueuePeer(self, broker.url) as p, QueuePeer(self, broker.url) as producer:
            here = p.waiting("q")
            self.assertLessEqual(len(confirmed), here)
            p.consume("q", credit=1000)
            taken = [p.delivery() for _ in range(here)]
            self.assertEqual([d.payload for d in taken], (confirmed + waiting)[:here])
            more, waiting, refused = self.fill(producer)
            self.assertFull(disk, refused)
            disk.make_room(broker)
            began = time.monotonic()
            for id in waiting:
                self.assertEqual(producer.expect(OK)[1:3], [id, SYNCED])
            until(lambda: self.try_put(producer), 5, "there is room again: it heals without a restart")
            print(f"healed in {time.monotonic() - began:.1f} s ", end="", flush=True)
            taken += [p.delivery() for _ in range(len(more) + len(waiting) + 1)]
            for d in taken:
                self.assertEqual(p.ack(d)[2], SYNCED)
            self.assertEqual(p.waiting("q"), 0)

    def try_put(self, p):
        try:
            return p.put("q", b"healed")
        except Refused as refused:
            self.assertEqual(refused.code, "FULL")
            return None


class Slow(Case):
    """Each fdatasync takes 100 ms more. The loop must not notice."""

    DELAY = 0.1
    ROUNDS = 60

    def setUp(self):
        super().setUp()
        self.broker = durable_broker(self, self.path("data"), f"--test-sync-delay={int(self.DELAY * 1000)}ms")
        self.durable = QueuePeer(self, self.broker.url)
        self.durable.declare("q")

    def test_confirmations_come_in_groups(self):
        p, n = self.durable, 200
        began, times = time.monotonic(), []
        for i in range(n):
            p.send([PUB, 1000 + i, message("q", i, {})])
        for i in range(n):
            self.assertEqual(p.expect(OK)[1:3], [1000 + i, SYNCED])
            times.append(time.monotonic() - began)
        self.assertGreaterEqual(times[0], self.DELAY)
        self.assertLess(times[-1], seconds(10 * self.DELAY), "200 confirmations share a few syncs")
        groups = 1 + sum(later - sooner > self.DELAY / 2 for sooner, later in zip(times, times[1:]))
        print(f"{n} confirmations in {groups} groups, {times[-1] * 1000:.0f} ms ", end="", flush=True)
        self.assertLessEqual(groups, 9)

    def test_what_is_not_durable_keeps_its_latency(self):
        subscriber, publisher = QueuePeer(self, self.broker.url), QueuePeer(self, self.broker.url)
        subscriber.subscribe("news", sid=7)
        publisher.declare("m", durable=False)
        published, put = [], []
        for i in range(self.ROUNDS):
            self.durable.send([PUB, 1000 + i, message("q", i, {})])  # a sync is always under way
            published.append(self.timed(lambda: self.publish(publisher, subscriber, i)))
            put.append(self.timed(lambda: self.assertEqual(publisher.put("m", i), MEMORY)))
            time.sleep(0.005)
        for what, times in (("publish to subscriber", published), ("memory queue, confirmed", put)):
            print(f"{what}: median {statistics.median(times) * 1e3:.2f} ms, worst {max(times) * 1e3:.1f}; ", end="", flush=True)
            self.assertLess(sorted(times)[self.ROUNDS * 9 // 10], seconds(self.DELAY / 5), what)

    @staticmethod
    def timed(do):
        began = time.monotonic()
        do()
        return time.monotonic() - began

    def publish(self, publisher, subscriber, i):
        publisher.send([PUB, 0, ["news", None, None, i]])
        self.assertEqual(subscriber.expect(MSG)[3][3], i)


class Levels(Case):
    def test_a_put_gets_the_level_it_asks_for_or_a_refusal(self):
        broker = durable_broker(self, self.path("data"))
        with QueuePeer(self, broker.url) as p:
            p.declare("q")
            p.declare("m", durable=False)
            for level in (MEMORY, WRITTEN, SYNCED):
                self.assertEqual(p.put("q", level, level=level), level)
            self.assertEqual((p.put("q", "as it is"), p.put("m", "as it is")), (SYNCED, MEMORY))
            for level in (WRITTEN, SYNCED):
                with self.assertRaises(Refused) as caught:
                    p.put("m", level, level=level)
                self.assertEqual(caught.exception.code, "LEVEL")
            self.assertEqual((p.waiting("q"), p.waiting("m")), (4, 1))


class Directory(Case):
    def start(self, data):
        return run("brokerd", f"--data={data}", f"--listen=ipc://{self.path('other.sock')}")

    def test_two_brokers_do_not_share_one(self):
        first = durable_broker(self, self.path("data"))
        code, _, said = self.start(self.path("data"))
        self.assertEqual(code, EX_UNAVAILABLE, said)
        self.assertIn(f"{self.path('data')} is in use by another broker, process {first.pid}", said)
        with QueuePeer(self, first.url) as p:
            p.declare("q")
            self.assertEqual(p.put("q", 1), SYNCED)

    def test_one_that_cannot_be_made_or_read_is_a_sentence(self):
        with open(self.path("file"), "w") as f:
            f.write("not a directory")
        for data in (self.path("file"), self.path("no/where"), "/proc/troupe"):
            code, _, said = self.start(data)
            self.assertEqual(code, EX_OSERR, said)
            self.assertIn(data, said)
            self.assertEqual(said.count("\n"), 1)


if __name__ == "__main__":
    MOUNTS = namespaces.enter("--mount")
    main()
