# SPDX-License-Identifier: Apache-2.0
"""brokerd, its producers and its consumers are killed with SIGKILL at random moments, and started again. What must hold:

  - what was confirmed at the level `written` or `synced` is delivered;
  - what was acknowledged, and the acknowledgement confirmed, is not delivered again;
  - a message put again with its id is not put twice;
  - the first deliveries of a producer's messages of one priority come in the order they were put.

    crash_test.py [--seconds=60]        also TROUPE_CRASH_SECONDS; TROUPE_SEED repeats a schedule

crash_load.py has the processes that are killed, and what they write down; here is who kills them, and who checks."""

import glob
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from array import array

import crash_load
from crash_load import ACKED, CONSUMED, NACKED, PRODUCED, RECEIVED, STALE
from harness import ACK, OK, SANITIZED, SLOW, Broker, Case, Program, environment, main, seconds, until
from queue_peer import SYNCED, QueuePeer, durable_broker

PRODUCERS, CONSUMERS = 3, 3
QUIET_SECONDS = 60  # for all that is left to be delivered at the end


def budget():
    for arg in sys.argv[1:]:
        if arg.startswith("--seconds="):
            sys.argv.remove(arg)
            return float(arg.partition("=")[2])
    return float(os.environ.get("TROUPE_CRASH_SECONDS", 20 if SANITIZED else 60))


SECONDS = budget()
SEED = int(os.environ.get("TROUPE_SEED", random.SystemRandom().randrange(1 << 32)))


class Load:
    """A producer or consumer that is started again when it was killed."""

    def __init__(self, case, role, number):
        self.case, self.role, self.number, self.generation = case, role, number, 0
        self.process, self.stopped_until = None, 0
        self.start()

    def start(self):
        c = self.case
        self.generation += 1
        seed = c.random.randrange(1 << 32)
        if self.role == "produce":
            args = [c.path("address.tcp"), c.path(f"produced-{self.number}"), str(self.number), str(seed)]
        else:
            args = [c.path("address.ipc"), c.path(f"consumed-{self.number}-{self.generation}"), str(seed)]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", crash_load.__file__, self.role, *args],
                                        stderr=subprocess.PIPE, env=environment())
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        Program.waited_for.add(self.process.pid)

    def kill(self):
        self.look()
        self.process.kill()
        self.end()

    def end(self, timeout=10):
        code = self.process.wait(timeout)
        said = self.process.stderr.read().decode()
        self.process.stderr.close()
        Program.waited_for.discard(self.process.pid)
        return code, said

    def look(self):
        """It must not have ended by itself."""
        if self.process.poll() is not None:
            self.case.fail(f"{self.role} {self.number} has ended: {self.end()}")

    def stop(self, timeout):
        self.look()
        self.process.send_signal(signal.SIGTERM)
        code, said = self.end(timeout)
        self.case.assertEqual((code, said), (0, ""), f"{self.role} {self.number}")

    def dispose(self):
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stderr.closed:
            self.end()


class Crash(Case):
    def test_nothing_confirmed_is_lost_and_nothing_acknowledged_comes_again(self):
        self.random = random.Random(SEED)
        self.kills = {"broker": 0, "recovering": 0, "produce": 0, "consume": 0, "stop": 0}
        self.number, self.recoveries, self.started_in = 0, [], []
        print(f"seed {SEED}, {SECONDS:g} s", flush=True)
        self.start_broker()
        with self.peer() as p:
            p.declare(crash_load.QUEUE_NAME, ack_timeout=crash_load.IN_HAND_SECONDS * 1000, max_deliveries=0, max_crashes=0)
        self.loads = [Load(self, "produce", i) for i in range(PRODUCERS)] + [Load(self, "consume", i) for i in range(CONSUMERS)]
        for load in self.loads:
            self.addCleanup(load.dispose)
        began = time.monotonic()
        self.wreak(began + SECONDS)
        self.settle()
        self.check(time.monotonic() - began)

    # --- brokerd ---

    def args(self):
        return [f"--data={self.path('data')}", "--log-level=info"]

    def start_broker(self):
        self.number += 1
        began = time.monotonic()
        self.broker = Broker(self, *self.args(), listen=("tcp://127.0.0.1:0", f"ipc://{self.path(f'{self.number}.sock')}"))
        self.started_in.append(time.monotonic() - began)
        for url, name in zip(self.broker.urls, ("address.tcp", "address.ipc")):
            with open(self.path("address.new"), "w") as f:
                json.dump({"number": self.number, "url": url}, f)
            os.rename(self.path("address.new"), self.path(name))

    def kill_broker(self):
        self.broker.kill()
        self.kills["broker"] += 1
        text = self.broker.err.text()
        self.broker.dispose()
        if found := re.search(r"store.recovered .* (\d+) ms", text):
            self.recoveries.append(int(found.group(1)))

    def kill_while_recovering(self):
        self.number += 1
        p = Program(self, "brokerd", *self.args(), f"--listen=ipc://{self.path(f'{self.number}.sock')}")
        time.sleep(self.random.uniform(0, 0.04))
        p.kill()
        p.dispose()
        self.kills["recovering"] += 1

    def peer(self):
        return QueuePeer(self, self.broker.urls[0])

    # --- who kills ---

    def wreak(self, end):
        now = time.monotonic()
        broker_at, load_at = now + 1, now + 0.5
        while now < end:
            if now >= broker_at:
                self.kill_broker()
                if self.random.random() < 0.2:
                    self.kill_while_recovering()
                self.start_broker()
                broker_at = time.monotonic() + self.life() * SLOW
            if now >= load_at:
                self.strike(self.random.choice(self.loads), now)
                load_at = time.monotonic() + self.random.uniform(0.1, 0.8) * SLOW
            for load in self.loads:
                self.wake(load, now)
                load.look()
            time.sleep(max(0, min(broker_at, load_at, end) - time.monotonic()))
            now = time.monotonic()

    def life(self):
        """Seconds. Mostly short; some long enough for messages in hand to run out of time."""
        return self.random.uniform(4, 6) if self.random.random() < 0.15 else self.random.uniform(0.2, 2.5)

    def strike(self, load, now):
        """Mostly it is killed; sometimes stopped for so long that its messages go to others, and it comes back too late."""
        if load.stopped_until:
            return
        if load.role == "consume" and self.random.random() < 0.2:
            load.process.send_signal(signal.SIGSTOP)
            load.stopped_until = now + crash_load.IN_HAND_SECONDS * 1.5
            self.kills["stop"] += 1
        else:
            load.kill()
            load.start()
            self.kills[load.role] += 1

    @staticmethod
    def wake(load, now):
        if load.stopped_until and now >= load.stopped_until:
            load.process.send_signal(signal.SIGCONT)
            load.stopped_until = 0

    def settle(self):
        """No more is put; all that is left is delivered; and a last brokerd finds nothing."""
        for load in self.loads:
            self.wake(load, float("inf"))
        for load in self.loads[:PRODUCERS]:
            load.stop(seconds(QUIET_SECONDS))
        with self.peer() as p:
            until(lambda: p.waiting(crash_load.QUEUE_NAME) == 0, QUIET_SECONDS, "the queue is empty")
        for load in self.loads[PRODUCERS:]:
            load.stop(seconds(QUIET_SECONDS))
        self.kill_broker()
        self.start_broker()
        with self.peer() as p:
            self.assertEqual(p.waiting(crash_load.QUEUE_NAME), 0)

    # --- who checks ---

    def check(self, took):
        books = [Book(self, i) for i in range(PRODUCERS)]
        files = sorted(glob.glob(self.path("consumed-*")))
        for path in files:
            for kind, producer, *what in consumed(path):
                if kind == ACKED:
                    books[producer].acked(*what)
        for path in files:
            first = {}
            for kind, producer, *what in consumed(path):
                if kind == RECEIVED:
                    books[producer].received(first, *what)
                else:
                    books[producer].kinds[kind] += 1
        lost = sum(book.lost() for book in books)
        self.report(took, books, lost)
        faults = [fault for book in books for fault in book.faults]
        self.assertEqual(faults[:20], [], f"{len(faults)} faults; seed {SEED}")
        self.assertGreater(sum(book.confirmed_count for book in books), 0)

    def report(self, took, books, lost):
        total = lambda f: sum(f(book) for book in books)
        acked, received = total(lambda b: b.kinds[ACKED]), total(lambda b: b.received_count)
        distinct = total(lambda b: sum(map(bool, b.times)))
        figures = {
            "kills": ", ".join(f"{n} {what}" for what, n in self.kills.items()),
            "messages": f"{total(lambda b: b.confirmed_count)} confirmed ({total(lambda b: b.kept_count)} written or synced), "
                        f"{received} deliveries of {distinct}, {acked} acknowledgements confirmed, "
                        f"{total(lambda b: b.kinds[STALE])} refused, {total(lambda b: b.kinds[NACKED])} given back",
            "rate": f"{total(lambda b: b.confirmed_count) / took:.0f} msg/s through all of it",
            "lost": lost,
            "delivered again after a confirmed acknowledgement": total(lambda b: b.again),
            "put twice": total(lambda b: b.twice),
            "out of order": total(lambda b: b.disorder),
            "delivered again before it": received - distinct,
            "recovery": f"median {statistics.median(self.recoveries or [0]):.0f} ms, worst {max(self.recoveries or [0])} ms; "
                        f"start to listening: median {statistics.median(self.started_in) * 1000:.0f} ms, "
                        f"worst {max(self.started_in) * 1000:.0f} ms",
        }
        for name, figure in figures.items():
            print(f"  {name}: {figure}", flush=True)


class Times(Case):
    def test_a_delay_and_a_dedup_window_survive_an_idle_time_and_a_crash(self):
        """They are written by the wall clock: as it is at the put, not as it was when the broker was last busy."""
        broker = durable_broker(self, self.path("data"))
        with QueuePeer(self, broker.url) as p:
            p.declare("q", dedup_window=60000)
            time.sleep(1)  # the idle time
            began = time.monotonic()
            self.assertEqual(p.put("q", "later", delay=1500, id="once"), SYNCED)
        broker.kill()
        broker = durable_broker(self, self.path("data"))
        with QueuePeer(self, broker.url) as p:
            self.assertEqual(p.put("q", "not twice", id="once"), SYNCED)
            p.consume("q")
            d = p.delivery()
            self.assertGreater(time.monotonic() - began, 1.45)
            self.assertEqual(d.payload, "later")
            p.ack(d)
            self.assertEqual((p.waiting("q"), p.stat("q")["total_duplicates"]), (0, 1))

    def test_an_ack_that_came_while_the_broker_was_stopped_counts(self):
        """A suspended machine, or one that swaps: what had arrived in time is read before time-outs are looked at."""
        broker = durable_broker(self, self.path("data"))
        with QueuePeer(self, broker.url) as p, QueuePeer(self, broker.url) as other:
            p.declare("q", ack_timeout=500)
            p.put_all("q", list(range(100)))
            p.consume("q", credit=100)
            taken = [p.delivery() for _ in range(100)]
            other.consume("q", credit=100)
            broker.signal(signal.SIGSTOP)
            p.send(*([ACK, d.sid, d.token, 1000 + i] for i, d in enumerate(taken)))
            time.sleep(1)  # the stop
            broker.signal(signal.SIGCONT)
            self.assertEqual([p.receive()[:2] for _ in taken], [[OK, 1000 + i] for i in range(100)])
            self.assertEqual((p.waiting("q"), p.stat("q")["total_returned"]), (0, 0))


def consumed(path):
    """The lines of one consumer; a last one that a kill has cut is none."""
    with open(path, "rb") as f:
        data = f.read()
    return CONSUMED.iter_unpack(data[:len(data) - len(data) % CONSUMED.size])


class Book:
    """All that is known of one producer's messages, by number."""

    def __init__(self, case, producer):
        with open(case.path(f"produced-{producer}"), "rb") as f:
            data = f.read()
        numbers = {n for (n,) in PRODUCED.iter_unpack(data[:len(data) - len(data) % PRODUCED.size])}
        size = max(numbers, default=0) + 100000  # some are received that nobody got a confirmation of
        self.producer, self.faults = producer, []
        self.confirmed = bytearray(size)
        for n in numbers:
            self.confirmed[n] = 1
        self.confirmed_count = len(numbers)
        self.kept_count = sum(1 for n in numbers if crash_load.level_of(n) != crash_load.MEMORY)
        self.times = bytearray(size)  # how often it was received, up to 255
        self.acked_by = array("I", bytes(4 * size))  # the broker (high half) and the delivery of its first confirmed ack
        self.seen = array("Q", bytes(8 * size))  # first seen, and by which broker (high 16 bits)
        self.seen_again = {}
        self.kinds = [0, 0, 0, 0]
        self.received_count = self.again = self.twice = self.disorder = 0

    def fault(self, n, what):
        self.faults.append(f"{self.producer}-{n}: {what}")

    def acked(self, broker, _connection, deliveries, n, _seen):
        was, this = self.acked_by[n], broker << 16 | deliveries
        if not was or this < was:
            self.acked_by[n] = this

    def received(self, first, broker, connection, deliveries, n, seen):
        self.received_count += 1
        self.times[n] = min(self.times[n] + 1, 255)
        acked = self.acked_by[n]
        if acked and broker << 16 | deliveries > acked:
            self.again += 1
            self.fault(n, f"broker {broker} delivered it ({deliveries}) after the confirmed ack of {acked >> 16} ({acked & 65535})")
        self._put_once(broker, n, seen)
        if deliveries == 1 and not crash_load.delay_of(n):
            self._in_order(first, broker, connection, n)

    def _put_once(self, broker, n, seen):
        """Within the life of one brokerd there is one message with that id, and it was first seen once."""
        this = broker << 48 | seen & (1 << 48) - 1
        was = self.seen[n] or this
        if was >> 48 != broker:
            was = self.seen_again.setdefault((broker, n), this)
        self.seen[n] = self.seen[n] or this
        if was != this:
            self.twice += 1
            self.fault(n, f"broker {broker} had it twice")

    def _in_order(self, first, broker, connection, n):
        key = connection, self.producer, crash_load.priority_of(n)
        last = first.get(key, 0)
        if n <= last:
            self.disorder += 1
            self.fault(n, f"broker {broker} delivered it behind {last}")
        first[key] = max(n, last)

    def lost(self):
        count = 0
        for n, confirmed in enumerate(self.confirmed):
            if confirmed and not self.times[n] and crash_load.level_of(n) != crash_load.MEMORY:
                count += 1
                self.fault(n, "was confirmed, and never came")
        return count


if __name__ == "__main__":
    main()
