# SPDX-License-Identifier: Apache-2.0
"""What may be typed at a gateway, and what comes back: one answer a line, in order, whatever the line was."""

import time

from harness import MSG, PUB, Case, ipv6, main, seconds


class Forms(Case):
    """The spellings of a request."""

    def setUp(self):
        super().setUp()
        self.gateway, _ = self.service()

    def answers(self, data, **kw):
        """Everything that comes back when this is sent and the sending side is closed."""
        with self.gateway.lines(**kw) as c:
            c.send_bytes(data)
            c.half_close()
            return c.rest()

    def test_an_integer_may_have_blanks_a_sign_and_a_carriage_return(self):
        self.assertEqual(self.answers(b"10\r\n  10\n10  \n\t10\t\r\n+7\n-3\n007\n"), b"55\n55\n55\n55\n13\n1\n13\n")

    def test_the_last_line_needs_no_newline_when_the_sending_side_closes(self):
        self.assertEqual(self.answers(b"10\n20"), b"55\n6765\n")

    def test_half_closed_clients_get_their_answers(self):
        self.assertEqual(self.answers(b"30\n" * 20), b"832040\n" * 20)

    def test_a_line_may_come_in_pieces(self):
        with self.gateway.lines() as c:
            for byte in b"30\n":
                c.send_bytes(bytes([byte]))
            self.assertEqual(c.line(), "832040")

    def test_text_goes_to_the_actor(self):
        with self.gateway.lines() as c:
            self.assertError(c.ask("abc"), "NOT_A_NUMBER")
            self.assertError(c.ask("10 20"), "NOT_A_NUMBER")
            self.assertError(c.ask("gr\u00fc\u00dfe \u2603"), "NOT_A_NUMBER")
            self.assertError(c.ask("-"), "NOT_A_NUMBER")

    def test_help(self):
        with self.gateway.lines() as c:
            c.send("/help")
            c.send("/quit")
            text = c.rest().decode()
        for word in ("/help", "/quit", "/topic"):
            self.assertIn(word, text)

    def test_quit_answers_what_was_asked_before(self):
        self.assertEqual(self.answers(b"20\n30\n/quit\n10\n"), b"6765\n832040\n")

    def test_another_topic(self):
        with self.gateway.lines() as c, self.gateway.peer() as echo:
            echo.subscribe("echo.*")
            c.send("/echo.a  hello  world")
            message = echo.expect(MSG)[3]
            self.assertEqual((message[0], message[3]), ("echo.a", "hello  world"))
            c.send("/echo.b 12")
            self.assertEqual(echo.expect(MSG)[3][3], 12)
            self.assertEqual(self.gateway.ask("/fib 10"), "55")
            self.assertError(self.gateway.ask("/nobody.here 1"), "NO_RESPONDERS")
            self.assertError(self.gateway.ask("/a..b 1"), "[A-Z_]+")
            self.assertError(self.gateway.ask("/ 1"), "BAD_LINE")

    def test_answers_of_every_type_are_one_line(self):
        values = {"text": ("two\nlines\r\n", None), "map": ({"a": [1, None, True]}, '{"a":[1,null,true]}'), "real": (1.5, "1.5"),
                  "nil": (None, None), "bytes": (b"\0\xff", None)}
        with self.gateway.lines() as c, self.gateway.peer() as service:
            service.subscribe("say")
            for name, (value, expected) in values.items():
                c.send(f"/say {name}")
                message = service.expect(MSG)[3]
                service.send([PUB, 0, [message[1], None, None, value]])
                line = c.line()
                if expected is not None:
                    self.assertEqual(line, expected)
            self.assertEqual(c.ask("10"), "55", "no answer broke the order of lines")


class Refusals(Case):
    """What is no request: an error line each, and the connection goes on."""

    def setUp(self):
        super().setUp()
        self.gateway, _ = self.service()

    def test_each_bad_line_has_its_error_and_the_next_line_works(self):
        for line, code in ((b"\n", "BAD_LINE"), (b"\r\n", "BAD_LINE"), (b"   \n", "BAD_LINE"), (b"\0\1\2\n", "BAD_LINE"),
                           (b"\xff\xfe\x80rubbish\n", "BAD_LINE"), (b"\x1b[31mred\n", "BAD_LINE"), (b"\xc0\xaf overlong\n", "BAD_LINE"),
                           (b"9" * 10000 + b"\n", "BAD_LINE"), (b"18446744073709551616\n", "BAD_LINE"),
                           (b"-9223372036854775809\n", "BAD_LINE"), (b"x" * 70000 + b"\n", "TOO_LONG"),
                           (b"x" * 3000000 + b"\n", "TOO_LONG"), (b"abc\n", "NOT_A_NUMBER")):
            with self.subTest(line=line[:30]), self.gateway.lines() as c:
                c.send(line)
                self.assertError(c.line(), code)
                self.assertEqual(c.ask("10"), "55")

    def test_good_and_bad_lines_are_answered_in_order(self):
        with self.gateway.lines() as c:
            c.send(b"10\n\nabc\n20\n" + b"y" * 100000 + b"\n30\n")
            self.assertEqual(c.line(), "55")
            self.assertError(c.line(), "BAD_LINE")
            self.assertError(c.line(), "NOT_A_NUMBER")
            self.assertEqual(c.line(), "6765")
            self.assertError(c.line(), "TOO_LONG")
            self.assertEqual(c.line(), "832040")

    def test_the_longest_line_is_the_limit(self):
        broker, _ = self.service(query="?max-line=16")
        with broker.lines() as c:
            self.assertError(c.ask("x" * 16), "NOT_A_NUMBER")
            self.assertError(c.ask("x" * 17), "TOO_LONG")
            c.send(b"x" * 16 + b"\r\n")
            self.assertError(c.line(), "NOT_A_NUMBER")

    def test_half_a_line_and_a_disconnect(self):
        for _ in range(100):
            with self.gateway.lines() as c:
                c.send_bytes(b"123456789")
        for _ in range(100):
            c = self.gateway.lines()
            c.send_bytes(b"123456789")
            c.reset()
        self.assertEqual(self.gateway.ask("10"), "55")

    def test_a_reset_with_requests_in_hand(self):
        for i in range(200):
            c = self.gateway.lines()
            c.send_bytes(b"22\n" * (i % 10) + b"15")
            c.reset()
        self.assertEqual(self.gateway.ask("10"), "55")

    def test_http_is_hung_up_on(self):
        for verb in ("GET / HTTP/1.1", "POST /fib HTTP/1.1", "PUT / HTTP/1.0", "OPTIONS * HTTP/1.1", "HEAD / HTTP/1.1",
                     "DELETE / HTTP/1.1", "PRI * HTTP/2.0"):
            with self.subTest(verb=verb), self.gateway.lines() as c:
                c.send_bytes(f"{verb}\r\nHost: x\r\nContent-Length: 3\r\n\r\n30\n".encode())
                self.assertNotIn(b"832040", c.rest())
        self.assertEqual(self.gateway.ask("10"), "55")


class Bounds(Case):
    def test_a_request_that_nobody_answers_times_out(self):
        broker = self.broker(gateway="tcp://127.0.0.1:0/slow?timeout=300ms")
        with broker.lines() as c, broker.peer() as mute:
            mute.subscribe("slow")
            mute.subscribe("fast", sid=2)
            began = time.monotonic()
            c.send("1")
            c.send("/fast 2")
            mute.expect(MSG)
            message = mute.expect(MSG)[3]
            mute.send([PUB, 0, [message[1], None, None, "quick"]])
            self.assertError(c.line(), "TIMEOUT")
            self.assertGreaterEqual(time.monotonic() - began, 0.29)
            self.assertEqual(c.line(), "quick")
            mute.send([PUB, 0, [message[1], None, None, "late"]])
            c.send("/fast 3")
            message = mute.expect(MSG)[3]
            mute.send([PUB, 0, [message[1], None, None, "again"]])
            self.assertEqual(c.line(), "again", "an answer that comes too late, or twice, is nobody's")

    def test_nobody_there_is_said_at_once(self):
        broker = self.broker(gateway="tcp://127.0.0.1:0/fib?timeout=60s")
        with broker.lines() as c:
            began = time.monotonic()
            self.assertError(c.ask("1"), "NO_RESPONDERS")
            self.assertLess(time.monotonic() - began, seconds(1))

    def test_pending_lines_of_a_connection_are_bounded(self):
        """Never more than max-pending requests of one connection are with the actors."""
        broker = self.broker(gateway="tcp://127.0.0.1:0/fib?max-pending=4")
        with broker.lines() as c, broker.peer() as worker:
            worker.subscribe("fib")
            c.send_bytes(b"".join(b"%d\n" % i for i in range(20)))
            answered = 0
            while answered < 20:
                hand = [worker.expect(MSG)[3] for _ in range(min(4, 20 - answered))]
                with self.assertRaises(TimeoutError):
                    worker.receive(0.05)
                for message in hand:
                    worker.send([PUB, 0, [message[1], None, None, message[3] * 10]])
                for message in hand:
                    self.assertEqual(c.line(), str(message[3] * 10))
                answered += len(hand)

    def test_answers_out_of_order_are_put_in_order(self):
        broker = self.broker(gateway="tcp://127.0.0.1:0/fib")
        with broker.lines() as c, broker.peer() as worker:
            worker.subscribe("fib")
            c.send_bytes(b"".join(b"%d\n" % i for i in range(100)))
            hand = [worker.expect(MSG)[3] for _ in range(100)]
            for message in reversed(hand):
                worker.send([PUB, 0, [message[1], None, None, message[3]]])
            self.assertEqual([c.line() for _ in range(100)], [str(i) for i in range(100)])


class Chunks(Case):
    """framing=chunk: each read is a request, as this service's first clients send them."""

    def setUp(self):
        super().setUp()
        self.gateway, _ = self.service(query="?framing=chunk")

    def test_byte_for_byte(self):
        with self.gateway.lines() as c:
            c.send_bytes(b"30")
            self.assertEqual(c.line(), "832040")
            c.send_bytes(b"1")
            self.assertEqual(c.line(), "1")
            c.half_close()
            self.assertEqual(c.rest(), b"")

    def test_newlines_are_taken_too(self):
        with self.gateway.lines() as c:
            c.send_bytes(b"10\n")
            self.assertEqual(c.line(), "55")
            c.send_bytes(b"10\n20\n30")
            self.assertEqual([c.line(), c.line(), c.line()], ["55", "6765", "832040"])


class Several(Case):
    def test_each_gateway_has_its_topic(self):
        urls = ["tcp://127.0.0.1:0/a", f"ipc://{self.path('gate.sock')}?topic=b", *(["tcp://[::1]:0/c"] if ipv6() else [])]
        broker = self.broker(gateway=urls)
        with broker.peer() as p:
            for sid, topic in enumerate("abc", 1):
                p.subscribe(topic, sid=sid)
            for i, topic in enumerate("abc"[:len(urls)]):
                with broker.lines(i) as c:
                    c.send(topic * 3)
                    message = p.expect(MSG)[3]
                    self.assertEqual((message[0], message[3]), (topic, topic * 3))
                    p.send([PUB, 0, [message[1], None, None, i]])
                    self.assertEqual(c.line(), str(i))


if __name__ == "__main__":
    main()
