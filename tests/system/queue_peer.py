# SPDX-License-Identifier: Apache-2.0
"""Queues over a plain socket, for tests: one call, one answer. Deliveries that come meanwhile are kept in order."""

from collections import deque, namedtuple
from itertools import count

from harness import ACK, ERR, MSG, NACK, OK, PUB, QUEUE, SUB, Broker, Peer

MEMORY, WRITTEN, SYNCED = 1, 2, 3

Delivery = namedtuple("Delivery", "sid token message info")
Delivery.payload = property(lambda self: self.message[3])


class Refused(Exception):
    """The broker said ERR."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class QueuePeer(Peer):
    def __init__(self, case, url, **kw):
        super().__init__(case, url, **kw)
        self.ids, self.deliveries = count(1), deque()
        self.hello()

    # --- calls and answers ---

    def _answers(self, ids, timeout=None):
        """What the broker says to each of these ids, in their order; an ERR is given, not raised."""
        found = {}
        while len(found) < len(ids):
            e = self.receive(timeout)
            if e[0] == MSG:
                self.deliveries.append(Delivery(e[1], e[2], e[3], e[4] if len(e) > 4 else {}))
            elif e[0] in (OK, ERR) and e[1] in ids:
                found[e[1]] = e
            else:
                self.case.fail(f"unexpected envelope {e!r}")
        return [found[i] for i in ids]

    def call(self, op, *fields, timeout=None):
        """[op, id, fields...] and its OK."""
        id = next(self.ids)
        self.send([op, id, *fields])
        return self._ok(id, timeout)

    def _ok(self, id, timeout=None):
        e = self._answers([id], timeout)[0]
        if e[0] == ERR:
            raise Refused(e[2], e[3])
        return e

    def verb(self, verb, name, timeout=None, **options):
        return self.call(QUEUE, verb, name, options, timeout=timeout)

    # --- queues ---

    def declare(self, name, durable=True, **options):
        return self.verb("declare", name, durable=durable, **options)

    def stat(self, name):
        return self.verb("stat", name)[4]

    def waiting(self, name):
        """Messages in it, in whatever state."""
        s = self.stat(name)
        return s["ready"] + s["held"] + s["delayed"] + s["buried"]

    # --- producing ---

    def put(self, name, payload, timeout=None, **headers):
        """One message, confirmed: gives the level. Headers: id, level, delay, priority, ttl."""
        return self.call(PUB, message(name, payload, headers), timeout=timeout)[2]

    def put_all(self, name, payloads, timeout=None, **headers):
        """All in flight at once; gives what was said to each, OK or ERR."""
        ids = [next(self.ids) for _ in payloads]
        at_once = 1 if any(len(p) > 1000 for p in payloads if isinstance(p, (bytes, str))) else 500  # of a frame
        for n in range(0, len(ids), at_once):
            self.send(*([PUB, i, message(name, p, headers)] for i, p in zip(ids[n:n + at_once], payloads[n:n + at_once])))
        return self._answers(ids, timeout)

    # --- consuming ---

    def consume(self, name, credit=1, sid=None):
        id = next(self.ids)
        sid = sid or id
        self.send([SUB, id, sid, f"_q.{name}", {"credit": credit}])
        self._ok(id)
        return sid

    def delivery(self, timeout=None):
        while not self.deliveries:
            e = self.receive(timeout)
            self.case.assertEqual(e[0], MSG, f"envelope {e!r}")
            self.deliveries.append(Delivery(e[1], e[2], e[3], e[4] if len(e) > 4 else {}))
        return self.deliveries.popleft()

    def ack(self, d, timeout=None):
        """Confirmed."""
        id = next(self.ids)
        self.send([ACK, d.sid, d.token, id])
        return self._ok(id, timeout)

    def nack(self, d, **options):
        self.send([NACK, d.sid, d.token, options])

    def take(self, name, n, ack=True, timeout=None):
        """The payloads of the next n messages, in the order they come; acknowledged and confirmed, or left in hand."""
        sid, payloads = self.consume(name, credit=min(n, 1000)), []
        for _ in range(n):
            d = self.delivery(timeout)
            payloads.append(d.payload)
            if ack:
                self.ack(d, timeout)
        if ack:
            self.call(6, sid)
        return payloads


def message(name, payload, headers):
    return [f"_q.{name}", None, {f"t-{key}": value for key, value in headers.items()} or None, payload]


def durable_broker(case, data, *args, listen=None, **kw):
    """brokerd on a data directory, on an ipc address of its own."""
    return Broker(case, f"--data={data}", *args, listen=listen or f"ipc://{data}.sock", **kw)
