# SPDX-License-Identifier: Apache-2.0
"""Bytes that no honest peer sends. Each ends its own connection with a reason, costs no memory, and nobody else notices."""

import os
import random
import struct
import time

import msgpack

from harness import (ERR, HELLO, MSG, OK, PAIR0, PAIR1, PUB, PUSH0, REQ0, SUB, WELCOME, Case, Peer, dial, greeting, main, reset, roomy,
                     rss, seconds)

MiB = 1 << 20


class Hostile(Case):
    """A broker with an honest pair of peers that must go on talking whatever else happens, checked after each test."""

    flags = ()

    def setUp(self):
        super().setUp()
        self.path_of_socket = self.path("broker.sock")
        self.broker = super().broker(*self.flags, listen=("tcp://127.0.0.1:0", f"ipc://{self.path_of_socket}"))
        self.reader, self.writer = self.broker.peer(), self.broker.peer()
        self.reader.subscribe("honest.>")
        self.honest = 0
        self.talk()
        self.before = rss(self.broker.pid)

    def tearDown(self):
        self.talk()
        for i in range(2):
            with self.broker.peer(i=i) as p:
                p.hello()
        self.assertLess(rss(self.broker.pid) - self.before, roomy(16 * MiB), "memory was taken")
        self.reader.close()
        self.writer.close()
        self.assertEqual(self.broker.terminate(), 0)

    def talk(self):
        self.honest += 1
        self.writer.send([PUB, 0, ["honest.word", None, None, self.honest]])
        self.assertEqual(self.reader.expect(MSG, 10)[3][3], self.honest)

    def ended(self, c, timeout=10):
        """The last words on a raw connection whose greeting was fine: (code, text) of the ERR, and nothing behind it."""
        last = None
        try:
            while True:
                last = c.receive(timeout)
        except EOFError:
            pass
        self.assertIsNotNone(last, "no reason was given")
        self.assertEqual((last[0], last[1]), (ERR, 0), f"last words {last!r}")
        self.assertRegex(last[3], r"\S+ \S+")
        return last[2]


class Greetings(Hostile):
    def test_broken_ones(self):
        wrong = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0SP\1\0\x10\0\0", b"\0SQ\0\0\x10\0\0", b"\0SP\0\0\x10\0\1", b"\xff" * 8,
                 b"\x16\x03\x01\x02\x00\x01\x00\x01", greeting(0x20), greeting(0x21), greeting(0x31), greeting(0xffff), b"\0" * 8]
        for i in range(2):
            for data in wrong:
                with self.subTest(data=data, listener=i), dial(self.broker.urls[i]) as s:
                    s.sendall(data)
                    while s.recv(4096):
                        pass

    def test_random_ones(self):
        rng = self.seeded()
        for _ in range(300):
            s = dial(self.broker.urls[rng.randrange(2)])
            s.sendall(rng.randbytes(rng.randrange(1, 40)))
            reset(s) if rng.random() < 0.5 else s.close()

    def seeded(self):
        seed = int(os.environ.get("TROUPE_SEED", time.time_ns()))
        print(f"TROUPE_SEED={seed}", flush=True)
        return random.Random(seed)


class Frames(Hostile):
    def test_lengths_over_the_limit_are_refused_before_a_byte_of_them(self):
        for i in range(2):
            for n in (2 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 60, 1 << 63, (1 << 63) - 1, (1 << 64) - 1):
                with self.subTest(length=n, listener=i), self.broker.peer(i=i) as p:
                    p.send_bytes((b"\1" if i else b"") + struct.pack(">Q", n))
                    self.assertEqual(self.ended(p), "TOO_BIG")

    def test_ipc_frames_of_another_kind_are_refused(self):
        for kind in (0, 2, 255):
            with self.broker.peer(i=1) as p:
                p.send_bytes(bytes([kind]) + struct.pack(">Q", 3) + b"abc")
                self.assertEqual(self.ended(p), "BAD_FRAME")

    def test_claimed_lengths_take_no_memory(self):
        """500 connections claim the largest frame each and send a piece of it: half a gigabyte, were it believed."""
        crowd = [self.broker.peer() for _ in range(500)]
        for p in crowd:
            p.send_bytes(struct.pack(">Q", MiB) + b"x" * 1000)
        self.talk()
        self.assertLess(rss(self.broker.pid) - self.before, roomy(16 * MiB))
        for p in crowd:
            p.close()

    def test_a_frame_that_ends_early(self):
        for cut in range(1, 30):
            with self.broker.peer() as p:
                frame = p.frame(msgpack.packb([PUB, 0, ["honest.lie", None, None, "never whole"]]))
                p.send_bytes(frame[:min(cut, len(frame) - 1)])

    def test_empty_frames(self):
        with self.broker.peer() as p:
            p.send_bytes(struct.pack(">Q", 0) * 100)
            try:
                p.hello()
            except (EOFError, AssertionError, OSError):
                pass  # refusing them is fine, too


class Envelopes(Hostile):
    def refused(self, body, code, protocol=PAIR0):
        with self.subTest(body=body[:40]), self.broker.peer(protocol) as p:
            p.send_bytes(p.frame((b"\0\0\0\1" if protocol == PAIR1 else b"") + body))
            self.assertRegex(self.ended(p), f"^({code})$")

    def test_what_is_no_envelope(self):
        for value in (None, 1, "text", b"bin", {}, {"op": 7}, [], ["7"], [None], [-1], [1.5], [PUB], [PUB, 0], [PUB, 0, 1], [PUB, 0, []],
                      [PUB, "0", ["a", None, None, 1]], [PUB, 0, [1, None, None, 1]], [PUB, 0, ["a", 1, None, 1]],
                      [PUB, 0, ["a", None, 1, 1]], [PUB, 0, ["a", None, None]], [SUB, 1, 1], [SUB, 1, 1, 5, {}], [HELLO], [HELLO, 1]):
            self.refused(msgpack.packb(value), "BAD_ENVELOPE|UNKNOWN_OP")

    def test_unknown_ops(self):
        for op in (0, 18, 99, 255, 65535, 1 << 32, (1 << 64) - 1):
            self.refused(msgpack.packb([op, 1, 2]), "UNKNOWN_OP|BAD_ENVELOPE")

    def test_ops_that_only_the_broker_says(self):
        for e in ([MSG, 1, 1, ["a", None, None, 1]], [WELCOME, {}], [OK, 1, 0, 0]):
            self.refused(msgpack.packb(e), "UNEXPECTED")

    def test_truncated_at_every_byte(self):
        whole = msgpack.packb([PUB, 5, ["honest.lie", "_r.x", {"k": [1, 2.5, None]}, {"a": b"bytes", "b": "text" * 20}]])
        for n in range(1, len(whole)):
            self.refused(whole[:n], "BAD_ENVELOPE")

    def test_nested_too_deep(self):
        head = msgpack.packb(PUB) + msgpack.packb(0) + b"\x94" + msgpack.packb("honest.lie") + b"\xc0\xc0"
        for depth in (40, 1000, 500000):
            self.refused(b"\x93" + head + b"\x91" * depth + b"\xc0", "TOO_DEEP")
            self.refused(b"\x91" * depth + b"\xc0", "TOO_DEEP|BAD_ENVELOPE")

    def test_counts_that_lie(self):
        for lie in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdd\x1f\xff\xff\xff", b"\xdc\xff\xff", b"\xdb\xff\xff\xff\xff",
                    b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01"):
            self.refused(lie, "BAD_ENVELOPE|TOO_BIG")
            self.refused(b"\x93\x07\x00\x94\xa1a\xc0\xc0" + lie, "BAD_ENVELOPE|TOO_BIG")

    def test_a_message_over_max_payload(self):
        with self.broker.peer() as p:
            p.send([PUB, 9, ["honest.lie", None, None, b"x" * (MiB + 100)]])
            e = p.expect(ERR)
            self.assertEqual(e[2], "TOO_BIG")

    def test_the_other_protocols_are_held_to_their_ops(self):
        subscribe = msgpack.packb([SUB, 1, 1, "honest.>", {}])
        for protocol, body in ((REQ0, b""), (REQ0, b"\0\0"), (REQ0, b"\0\0\0\1" * 20), (REQ0, b"\0\0\0\7" + subscribe), (PAIR1, b""),
                               (PAIR1, b"\0\0"), (PUSH0, b"\xc1"), (PUSH0, subscribe)):
            with self.broker.peer(protocol) as p:
                p.send_bytes(p.frame(body))
                p.half_close()
                p.rest()

    def test_mutations(self):
        seed = int(os.environ.get("TROUPE_SEED", time.time_ns()))
        print(f"TROUPE_SEED={seed}", flush=True)
        rng = random.Random(seed)
        seeds = [msgpack.packb(e) for e in ([HELLO, {"name": "x", "version": 1}], [SUB, 1, 1, "a.*", {"group": "g", "credit": 3}],
                                            [PUB, 1, ["a.b", "_r.x", {"t-error": "X"}, [1, "two", b"three"]]], [9, 1, 1], [11, 1, 5],
                                            [12, 1, "declare", "q", {}], [13, 1], [17, "BYE", "x"])]
        for _ in range(1500):
            body = bytearray(b"".join(rng.choices(seeds, k=rng.randrange(1, 4))))
            for _ in range(rng.randrange(1, 6)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            with self.broker.peer(rng.choice((PAIR0, PAIR1, REQ0, PUSH0))) as p:
                p.send_bytes(p.frame(bytes(body)))


class Drip(Hostile):
    """One byte now and then: each half-done thing has a deadline of its own, however busy the line looks."""

    flags = ("--greeting-timeout=700ms", "--frame-timeout=700ms")

    def drip(self, c, data, timeout=15):
        """Sends a byte each 50 ms until the other side hangs up; gives how long that took."""
        began = time.monotonic()
        c.socket.settimeout(0.05)
        for byte in data:
            try:
                c.socket.sendall(bytes([byte]))
                got = c.socket.recv(4096)
                if not got:
                    break
                c.buffer += got
            except TimeoutError:
                continue
            except OSError:
                break
            finally:
                self.assertLess(time.monotonic() - began, seconds(timeout), "nobody ended it")
        else:
            self.fail("it was let finish")
        return time.monotonic() - began

    def test_a_frame(self):
        for i in range(2):
            with self.broker.peer(i=i) as p:
                took = self.drip(p, p.frame(b"\xc0" * 2000))
                self.assertGreater(took, 0.6)
                self.assertEqual(self.ended(p), "TIMEOUT")

    def test_a_greeting(self):
        for i in range(2):
            c = Peer(self, self.broker.urls[i], None)
            c.send_bytes(b"\0S")
            began = time.monotonic()
            c.rest(10)
            self.assertLess(time.monotonic() - began, seconds(3))

    def test_silence(self):
        crowd = [dial(self.broker.urls[i % 2]) for i in range(100)]
        began = time.monotonic()
        for s in crowd:
            with s:
                while s.recv(4096):
                    pass
        self.assertLess(time.monotonic() - began, seconds(5))

    def test_an_idle_session_is_no_half_done_thing(self):
        with self.broker.peer() as p:
            p.hello()
            with self.assertRaises(TimeoutError):
                p.receive(1.5)
            p.subscribe("still.here")


if __name__ == "__main__":
    main()
