# SPDX-License-Identifier: Apache-2.0
"""The processes that crash_test.py kills: producers and consumers that write down what they know.

    crash_load.py produce ADDRESS EVIDENCE PRODUCER SEED
    crash_load.py consume ADDRESS EVIDENCE SEED

ADDRESS is a file with the number and the addresses of the brokerd that runs now; a broken connection makes them look
there again. What is known is written before it is acted on, so that it survives a kill -9 of who knows it:

  - a producer writes down what was confirmed. The next one with its name begins again at the first number that was not,
    with the same ids, so the numbers that reach the queue only ever go up by one;
  - a consumer writes down what it received before it acknowledges it, and which acknowledgements were confirmed.

All about a message follows from its producer and number (size, priority, level, delay): so the checker needs no list, and
a consumer sees whether a byte has changed. SIGTERM ends both when nothing of theirs is outstanding."""

import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time

import msgpack

QUEUE_NAME = "crash"
(HELLO, SUB, PUB, MSG, ACK, NACK, QUEUE, OK, ERR) = (1, 5, 7, 8, 9, 10, 12, 15, 16)
PAIR0 = b"\0SP\0\0\x10\0\0"
MEMORY, WRITTEN, SYNCED = 1, 2, 3
PRIORITIES = (0, 4, 9)

BACKLOG_MOST = 20000  # a producer waits above that
IN_HAND_SECONDS = 2  # the queue's ack time-out
EARLY_MOST = 50  # ms: over a restart a delay is counted by the wall clock, as it was when the loop last looked

PRODUCED = struct.Struct("<I")  # number
RECEIVED, ACKED, STALE, NACKED = range(4)
# kind, producer, broker, connection, deliveries, number, first seen
CONSUMED = struct.Struct("<BBHHHIQ")


# --- what a message is ---


def level_of(n):
    return MEMORY if n % 8 == 7 else SYNCED if n % 2 else WRITTEN


def priority_of(n):
    return PRIORITIES[n % 3]


def delay_of(n):
    """Milliseconds; 0: none."""
    return 50 + n * 7919 % 1500 if n % 16 == 5 else 0


def filling_of(n):
    """Most are small; some are large enough to be kept by reference."""
    return bytes([n & 255]) * (20000 if n % 1009 == 0 else n * 31 % 300)


def put_of(producer, n):
    headers = {"t-id": f"{producer}-{n}", "t-level": level_of(n), "t-priority": priority_of(n)}
    due = 0
    if delay := delay_of(n):
        headers["t-delay"] = delay
        due = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000000 + delay
    return msgpack.packb([PUB, n, ["_q." + QUEUE_NAME, None, headers, [producer, n, due, filling_of(n)]]])


# --- the connection ---


class Gone(Exception):
    """The broker is."""


class Wire:
    """All that is ready in one write, all that has come in one read."""

    def __init__(self, address):
        with open(address) as f:
            where = json.load(f)
        self.broker = where["number"]
        self.is_ipc = where["url"].startswith("ipc://")
        try:
            self.socket = self._dial(where)
            self.socket.sendall(PAIR0)
        except OSError:
            raise Gone from None
        self.socket.setblocking(False)
        self.poller = select.poll()
        self.poller.register(self.socket, select.POLLIN)
        self.input, self.output, self.greeted = bytearray(), bytearray(), False
        self.send(msgpack.packb([HELLO, {"name": "crash", "version": 1}]))

    @staticmethod
    def _dial(where):
        if where["url"].startswith("ipc://"):
            s = socket.socket(socket.AF_UNIX)
            s.connect(where["url"][6:])
            return s
        host, _, port = where["url"][6:].rpartition(":")
        s = socket.create_connection((host, int(port)), 5)
        if s.getsockname() == s.getpeername():
            raise ConnectionRefusedError  # nobody listened, and by chance the kernel has chosen that port for us
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def send(self, *packed):
        body = b"".join(packed)
        self.output += (b"\1" if self.is_ipc else b"") + struct.pack(">Q", len(body)) + body
        self._flush()

    def _flush(self):
        try:
            while self.output:
                del self.output[:self.socket.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            raise Gone from None
        self.poller.modify(self.socket, select.POLLIN | (select.POLLOUT if self.output else 0))

    def receive(self, timeout):
        """The envelopes that are here within so many seconds."""
        events = self.poller.poll(timeout * 1000)
        if not events:
            return []
        if events[0][1] & select.POLLOUT:
            self._flush()
        if not events[0][1] & ~select.POLLOUT:
            return []
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            raise Gone
        self.input += data
        return self._envelopes()

    def _envelopes(self):
        at, head = 0, 9 if self.is_ipc else 8
        unpacker = msgpack.Unpacker(strict_map_key=False)
        if not self.greeted:
            if len(self.input) < 8:
                return []
            self.greeted, at = True, 8
        while len(self.input) >= at + head:
            (size,) = struct.unpack_from(">Q", self.input, at + head - 8)
            if len(self.input) < at + head + size:
                break
            unpacker.feed(self.input[at + head:at + head + size])
            at += head + size
        del self.input[:at]
        return list(unpacker)

    def close(self):
        self.socket.close()


def fail(sentence):
    sys.exit(f"crash_load: {sentence}")


# --- the two ---


class Worker:
    def __init__(self, address, evidence, seed):
        self.address, self.random, self.stopping = address, random.Random(seed), False
        self.evidence = os.open(evidence, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked by who started us, until we can take it

    def _on_stop(self, *_):
        self.stopping = True

    def run(self):
        while not self.is_done():
            try:
                wire = Wire(self.address)
            except Gone:
                time.sleep(0.005)  # before the next try
                continue
            try:
                self.serve(wire)
            except Gone:
                pass
            finally:
                wire.close()


class Producer(Worker):
    def __init__(self, address, evidence, producer, seed):
        super().__init__(address, evidence, seed)
        self.producer, self.window = producer, self.random.choice((1, 16, 64, 256))
        self.known = self._read(evidence)
        self.next = 1
        while self.next in self.known:
            self.known.discard(self.next)
            self.next += 1
        self.first = self.top = self.next  # all below is confirmed; all from there on was never sent by us

    @staticmethod
    def _read(evidence):
        """What was confirmed before; a last line that a kill has cut is not."""
        with open(evidence, "rb+") as f:
            data = f.read()
            whole = len(data) - len(data) % PRODUCED.size
            f.truncate(whole)
        return {n for n, in PRODUCED.iter_unpack(data[:whole])}

    def is_done(self):
        return self.stopping and self.first == self.top

    def serve(self, wire):
        self.outstanding, self.confirmed, self.confirmed_since = {}, [], 0
        self.may_put, self.is_asking = True, False
        self.next = self.first
        while not self.is_done():
            self._put_more(wire)
            for e in wire.receive(0.05):
                self._take(e)
            self._write_down()
            self._look_at_backlog(wire)

    def _put_more(self, wire):
        puts = []
        while len(self.outstanding) < self.window and (self.next < self.top or (self.may_put and not self.stopping)):
            n = max(self.next, self.first)
            self.next = n + 1
            self.top = max(self.top, self.next)
            if n in self.known:
                continue
            self.outstanding[n] = level_of(n)
            puts.append(put_of(self.producer, n))
        if puts:
            wire.send(*puts)

    def _take(self, e):
        if e[0] == OK and len(e) > 4 and e[4]:
            self.may_put = e[4]["ready"] + e[4]["held"] < BACKLOG_MOST
            self.is_asking = False
        elif e[0] == OK:
            if e[2] != self.outstanding.pop(e[1], e[2]):
                fail(f"{e[1]} was confirmed at level {e[2]}, not {level_of(e[1])}")
            self.confirmed.append(e[1])
        elif e[0] == ERR:
            fail(f"refused: {e}")

    def _write_down(self):
        if not self.confirmed:
            return
        os.write(self.evidence, b"".join(map(PRODUCED.pack, self.confirmed)))
        self.known.update(self.confirmed)
        self.confirmed_since += len(self.confirmed)
        self.confirmed = []
        while self.first in self.known:
            self.known.discard(self.first)
            self.first += 1

    def _look_at_backlog(self, wire):
        if not self.is_asking and (self.confirmed_since >= 1000 or not self.may_put):
            self.confirmed_since, self.is_asking = 0, True
            wire.send(msgpack.packb([QUEUE, 1 << 40, "stat", QUEUE_NAME, {}]))


class Consumer(Worker):
    def __init__(self, address, evidence, seed):
        super().__init__(address, evidence, seed)
        self.credit = self.random.choice((1, 8, 64, 256))
        self.connection, self.unconfirmed = 0, {}

    def is_done(self):
        return self.stopping and not self.unconfirmed

    def serve(self, wire):
        self.connection += 1
        self.unconfirmed, self.id = {}, 1
        wire.send(msgpack.packb([SUB, 1, 1, "_q." + QUEUE_NAME, {"credit": self.credit}]))
        while not self.is_done():
            lines, answers = [], []
            for e in wire.receive(0.05):
                if e[0] == MSG:
                    lines.append(self._received(wire, e, answers))
                elif e[0] == OK and e[1] in self.unconfirmed:
                    lines.append(CONSUMED.pack(ACKED, *self.unconfirmed.pop(e[1])))
                elif e[0] == ERR and e[2] == "NOT_FOUND" and e[1] in self.unconfirmed:
                    lines.append(CONSUMED.pack(STALE, *self.unconfirmed.pop(e[1])))
                elif e[0] == ERR:
                    fail(f"refused: {e}")
            if lines:
                os.write(self.evidence, b"".join(lines))
            if answers:
                wire.send(*answers)

    def _received(self, wire, e, answers):
        _, sid, token, (_, _, _, (producer, n, due, filling)), info = e[:5]
        if filling != filling_of(n):
            fail(f"{producer}-{n} has changed: {filling[:20]!r}...")
        early = due - time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000000
        if early > EARLY_MOST:
            fail(f"{producer}-{n} came {early} ms before its delay was over, from broker {wire.broker}: {info}")
        known = (producer, wire.broker, self.connection, info["t-deliveries"], n, info["t-first-seen"])
        chance = self.random.random()
        if chance < 0.02 and not self.stopping:
            answers.append(msgpack.packb([NACK, sid, token, {"delay": self.random.choice((0, 100))}]))
            return CONSUMED.pack(RECEIVED, *known) + CONSUMED.pack(NACKED, *known)
        if chance < 0.021 and not self.stopping:
            return CONSUMED.pack(RECEIVED, *known)  # kept in hand: its time-out gives it to somebody else
        self.id += 1
        self.unconfirmed[self.id] = known
        answers.append(msgpack.packb([ACK, sid, token, self.id]))
        return CONSUMED.pack(RECEIVED, *known)


def main():
    if sys.argv[1] == "produce":
        address, evidence, producer, seed = sys.argv[2:]
        Producer(address, evidence, int(producer), int(seed)).run()
    else:
        address, evidence, seed = sys.argv[2:]
        Consumer(address, evidence, int(seed)).run()


if __name__ == "__main__":
    main()
