# SPDX-License-Identifier: Apache-2.0
"""Many at once, and the ones who misbehave among them: everybody else is served, and memory stays bounded."""

import selectors
import socket
import time

from harness import ACK, KINDS, OK, PUB, SUB, Case, address, descriptors, dial, fib, for_each, main, raise_file_limit, reset, roomy, rss, seconds, until
from queue_peer import QueuePeer

MiB = 1 << 20


class Crowd:
    """Non-blocking clients of a gateway, each with its lines to send and a count of lines it wants back."""

    def __init__(self, url, scripts):
        self.selector, self.left, self.slots = selectors.DefaultSelector(), len(scripts), []
        for script in scripts:
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(address(url))
            slot = {"socket": s, "out": memoryview(b"".join(b"%d\n" % n for n in script)), "in": bytearray(), "wanted": len(script)}
            self.slots.append(slot)
            self.selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE, slot)

    def run(self, timeout):
        """Sends and receives until every client has all its lines; gives each client's lines."""
        end = time.monotonic() + seconds(timeout)
        while self.left:
            if time.monotonic() > end:
                raise AssertionError(f"{self.left} of {len(self.slots)} clients still wait after {seconds(timeout):g} s")
            for key, events in self.selector.select(1):
                if events & selectors.EVENT_WRITE:
                    self._send(key.data)
                if events & selectors.EVENT_READ:
                    self._receive(key.data)
        return [bytes(slot["in"]).decode().split("\n")[:-1] for slot in self.slots]

    def _send(self, slot):
        try:
            slot["out"] = slot["out"][slot["socket"].send(slot["out"]):]
        except BlockingIOError:
            return
        if not slot["out"]:
            self.selector.modify(slot["socket"], selectors.EVENT_READ, slot)

    def _receive(self, slot):
        data = slot["socket"].recv(1 << 16)
        if not data:
            raise AssertionError(f"the gateway hung up on a client after {bytes(slot['in'])!r}")
        slot["in"] += data
        slot["wanted"] -= data.count(b"\n")
        if slot["wanted"] == 0:
            self.left -= 1
            self.selector.unregister(slot["socket"])

    def close(self):
        for slot in self.slots:
            slot["socket"].close()
        self.selector.close()


class Many(Case):
    def crowd(self, url, scripts, timeout=60):
        crowd = Crowd(url, scripts)
        self.addCleanup(crowd.close)
        return crowd.run(timeout)

    @for_each(kind=KINDS)
    def test_200_connections_of_50_pipelined_lines(self, kind):
        broker, _ = self.service(kind, 2)
        scripts = [[(client * 7 + line * 3) % 24 for line in range(50)] for client in range(200)]
        self.assertEqual(self.crowd(broker.gateways[0], scripts), [[str(fib(n)) for n in script] for script in scripts])

    def test_1000_clients_dial_at_once(self):
        broker, _ = self.service("thread", 2)
        self.assertEqual(self.crowd(broker.gateways[0], [[n % 20] for n in range(1000)]), [[str(fib(n % 20))] for n in range(1000)])
        self.assertGreater(descriptors(broker.pid), 1000, "all of them are connected at the same time")

    def test_1000_peers_dial_at_once(self):
        broker = self.broker()
        peers = [broker.peer() for _ in range(1000)]
        for i, p in enumerate(peers):
            p.send([SUB, 1, 1, "to.everybody", {}])
        for p in peers:
            p.expect(OK)
        peers[0].send([PUB, 2, ["to.everybody", None, None, 7]])
        receipts = [e for e in (peers[0].receive(), peers[0].receive()) if e[0] == OK]
        self.assertEqual(receipts[0][3], 1000)
        for p in peers[1:]:
            self.assertEqual(p.receive()[3][3], 7)
        for p in peers:
            p.close()
        until(lambda: descriptors(broker.pid) < 100, 10, "their descriptors are given back")

    def test_connections_are_limited_and_the_limit_is_survived(self):
        broker = self.broker("--max-connections=50")
        peers = [broker.peer() for _ in range(50)]
        self.assertEqual(self.turned_away(broker), b"")
        for p in peers:
            p.subscribe("a")
            p.close()
        until(lambda: self.gets_in(broker), 10, "there is room again")

    def turned_away(self, broker):
        with dial(broker.url) as s:
            try:
                return s.recv(100)
            except ConnectionResetError:
                return b""

    def gets_in(self, broker):
        try:
            with broker.peer() as p:
                return p.hello()
        except (EOFError, OSError):
            return None


class Storms(Case):
    def test_connect_and_reset(self):
        broker, _ = self.service()
        before = descriptors(broker.pid)
        for _ in range(3000):
            reset(dial(broker.gateways[0]))
        self.assertEqual(broker.ask("10"), "55")
        until(lambda: descriptors(broker.pid) <= before + 2, 10, "their descriptors are given back")

    def test_a_client_that_never_reads(self):
        """It sends a million lines and takes no answer. What it may cost is bounded, and others are served meanwhile."""
        broker, _ = self.service("thread", 2)
        before = rss(broker.pid)
        with dial(broker.gateways[0]) as greedy, broker.lines() as other:
            greedy.setblocking(False)
            left, stuck, end = memoryview(b"1\n" * 1000000), time.monotonic(), time.monotonic() + seconds(20)
            while left and time.monotonic() - stuck < 1 and time.monotonic() < end:
                try:
                    left = left[greedy.send(left[:65536]):]
                    stuck = time.monotonic()
                except BlockingIOError:
                    pass
                except ConnectionError:
                    break
                asked = time.monotonic()
                self.assertEqual(other.ask("10"), "55")
                self.assertLess(time.monotonic() - asked, seconds(2))
            self.assertLess(rss(broker.pid) - before, roomy(32 * MiB))
        self.assertEqual(broker.ask("10"), "55")

    def test_a_subscriber_that_never_reads(self):
        """It is dropped when its bytes pass the bound; the publisher and the other subscriber do not notice."""
        broker = self.broker("--max-pending=1M")
        before = rss(broker.pid)
        payload = b"x" * 10000
        with broker.peer() as mute, broker.peer() as reader, broker.peer() as publisher:
            mute.subscribe("news")
            reader.subscribe("news")
            for i in range(6000):
                publisher.send([PUB, 0, ["news", None, None, payload]])
                if i % 10 == 9:
                    for _ in range(10):
                        self.assertEqual(reader.receive()[3][3], payload)
            self.assertLess(rss(broker.pid) - before, roomy(24 * MiB))
            broker.wait_line("slow", err=True)
            publisher.send([PUB, 1, ["news", None, None, 1]])
            self.assertEqual(publisher.expect(OK)[3], 1, "only the reader is left")

    def test_a_consumer_with_credit_for_more_than_may_wait(self):
        """A queue gives it what fits, and the rest as it acknowledges; it is not dropped, however late it reads."""
        broker = self.broker("--max-pending=1M")
        with QueuePeer(self, broker.url) as late, QueuePeer(self, broker.url) as other:
            other.declare("large", durable=False)
            sid = late.consume("large", credit=1000)
            payloads = [b"%06d" % i + b"x" * 10000 for i in range(300)]
            for i in range(0, len(payloads), 50):
                self.assertEqual({e[0] for e in other.put_all("large", payloads[i:i + 50])}, {OK})
            held = other.stat("large")["held"]
            self.assertTrue(20 <= held <= 60, f"{held} in hand: half of what may wait")
            for payload in payloads:
                d = late.delivery()
                self.assertEqual((d.sid, d.payload), (sid, payload))
                late.send([ACK, d.sid, d.token])
            until(lambda: other.waiting("large") == 0, 10, "all are acknowledged")


if __name__ == "__main__":
    raise_file_limit()
    main()
