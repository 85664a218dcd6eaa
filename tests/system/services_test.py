# SPDX-License-Identifier: Apache-2.0
"""The small services among the examples, behind the broker's gateway."""

import select
import socket
import time

from harness import EX_UNAVAILABLE, EX_USAGE, SANITIZED, Broker, Case, Connection, Program, main, run, seconds, until


class Upper(Case):
    def test_it_answers_in_upper_case(self):
        broker = Broker(self, gateway="tcp://127.0.0.1:0/upper")
        upper = Program(self, "upper", env={"TROUPE_BROKER": broker.url})
        until(lambda: broker.ask("hello") == "HELLO", 20, "upper answers")
        with broker.lines() as c:
            for text in ("what is up?", "MiXeD 1 2 3", "schräg"):
                c.send(text)
            self.assertEqual([c.line() for _ in range(3)], ["WHAT IS UP?", "MIXED 1 2 3", "SCHRäG"])
        self.assertEqual(broker.ask("42"), "42")
        self.assertEqual(upper.terminate(), 0)
        self.assertTrue(broker.ask("anybody?").startswith("ERR NO_RESPONDERS"))


class Away(Case):
    def test_a_broker_that_stays_away_is_news_once(self):
        with socket.create_server(("127.0.0.1", 0)) as door:
            door.settimeout(seconds(20))
            upper = Program(self, "upper", env={"TROUPE_BROKER": f"tcp://127.0.0.1:{door.getsockname()[1]}"})
            for _ in range(5):
                peer, _ = door.accept()
                with peer:  # closed when all it says has been read, so that it finds the same end each time
                    peer.shutdown(socket.SHUT_WR)
                    peer.settimeout(seconds(20))
                    while peer.recv(1024):
                        pass
            upper.wait_line("actors.disconnected", err=True)
            self.assertEqual(upper.terminate(), 0)
            self.assertEqual(upper.err.text().count("disconnected"), 1, upper.report())


class Sleep(Case):
    MANY = 1000 if SANITIZED else 10000

    def test_ten_thousand_at_once(self):
        broker = Broker(self, gateway="tcp://127.0.0.1:0/sleep?max-pending=20000")
        sleep = Program(self, "sleep-actor", str(self.MANY), env={"TROUPE_BROKER": broker.url})
        sleep.wait_line(f"sleep-actor: {self.MANY} coroutines")
        until(lambda: broker.ask("1") == "1", 20, "a sleeper answers")
        # All of them for two seconds each: one after the other they would take hours, and a hundred at a time minutes.
        with broker.lines() as c:
            began = time.monotonic()
            c.send_bytes(b"2000\n" * self.MANY)
            answers = [c.line(60) for _ in range(self.MANY)]
            took = time.monotonic() - began
        self.assertEqual(answers, ["2000"] * self.MANY)
        self.assertGreaterEqual(took, 2)
        self.assertLess(took, seconds(30))
        self.assertTrue(broker.ask("tomorrow").startswith("ERR NO_TIME"))
        self.assertEqual(sleep.terminate(), 0)


class Echo(Case):
    def serve(self, kind):
        server = Program(self, "echo-server", "tcp://127.0.0.1:0", kind)
        url = server.wait_line(r"listening at (\S+)")[1]
        return server, [Connection(self, url) for _ in range(50)]

    def test_each_connection_is_answered_beside_the_others(self):
        for kind in ("coroutine", "thread", "poll"):
            with self.subTest(kind):
                server, peers = self.serve(kind)
                peers[0].reset()
                peers[1].half_close()
                for n, c in enumerate(peers[2:]):
                    c.send_bytes(b"hello %d" % n)
                for n, c in reversed(list(enumerate(peers[2:]))):
                    self.assertEqual(c.read_until(b"_SB"), b"HELLO %d" % n)
                self.assertEqual(server.terminate(), 0)


    def test_one_after_the_other(self):
        server, (first, second, *_) = self.serve("one")
        second.send_bytes(b"you")
        first.send_bytes(b"me")
        self.assertEqual(first.read_until(b"_SB"), b"ME")
        self.assertEqual(select.select([second.socket], [], [], 0)[0], [])
        first.half_close()
        self.assertEqual(second.read_until(b"_SB"), b"YOU")
        self.assertEqual(server.terminate(), 0)


class Fib(Case):
    def serve(self, way):
        server = Program(self, "fib-server", "tcp://127.0.0.1:0", way)
        url = server.wait_line(r"listening at (\S+)")[1]
        return server, [Connection(self, url) for _ in range(3)]

    def ask(self, connection, request, answer):
        connection.send_bytes(request)
        self.assertEqual(connection.read_until(b"\n"), answer)

    def test_each_way_answers_the_same(self):
        for way in ("one", "thread", "process", "coroutine"):
            with self.subTest(way):
                server, (first, second, third) = self.serve(way)
                if way == "one":  # whoever came later is served when the first has left
                    second.send_bytes(b"10")
                for request, answer in ((b"20", b"6765"), (b" 30\r\n", b"832040"), (b"0", b"1"), (b"-5", b"1")):
                    self.ask(first, request, answer)
                self.ask(first, b"two", b"ERR a number up to 93 is wanted")
                self.ask(first, b"2000", b"ERR a number up to 93 is wanted")
                if way == "one":
                    self.assertEqual(select.select([second.socket], [], [], 0)[0], [])
                    first.half_close()
                    self.assertEqual(second.read_until(b"\n"), b"55")
                else:
                    self.ask(second, b"10", b"55")
                    first.reset()
                second.half_close()
                self.ask(third, b"36", b"14930352")
                self.assertEqual(server.terminate(), 0)

    def test_a_stop_does_not_wait_for_who_computes(self):
        for way in ("thread", "process", "coroutine"):
            with self.subTest(way):
                server, (long, short, _) = self.serve(way)
                long.send_bytes(b"93")
                self.ask(short, b"1", b"1")
                self.assertEqual(server.terminate(), 0)


class Wrong(Case):
    """A start that cannot be ends at once, with one sentence and a status that says whose fault it is."""

    def assertRefused(self, code, says, *args):
        got, out, err = run(*args)
        self.assertEqual((got, out), (code, ""), err)
        self.assertRegex(err, r"\A[^\n]+\n\Z", "one sentence")
        self.assertIn(says, err)

    def test_arguments(self):
        self.assertRefused(EX_USAGE, "subinterpreter: one, thread, process or coroutine", "fib-server", "tcp://127.0.0.1:0", "subinterpreter")
        self.assertRefused(EX_USAGE, "more:", "fib-server", "tcp://127.0.0.1:0", "one", "more")
        self.assertRefused(EX_USAGE, "process: coroutine, thread, one or poll", "echo-server", "tcp://127.0.0.1:0", "process")
        self.assertRefused(EX_USAGE, "fib 1 10 20", "fib")
        for n in ("94", "x", "3x", ""):
            self.assertRefused(EX_USAGE, f"{n}: a number up to 93", "fib", "1", n)
        for workers in ("0", "100001", "ten", "1x"):
            self.assertRefused(EX_USAGE, f"{workers}: one number from 1 to 100000", "sleep-actor", workers)

    def test_addresses(self):
        taken = Program(self, "echo-server", "tcp://127.0.0.1:0")
        url = taken.wait_line(r"listening at (\S+)")[1]
        for name in ("echo-server", "fib-server"):
            self.assertRefused(EX_UNAVAILABLE, "the address is in use", name, url)
            self.assertRefused(EX_UNAVAILABLE, "the address cannot be read", name, "nonsense")
        self.assertEqual(taken.terminate(), 0)


if __name__ == "__main__":
    main()
