# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping and misusing the programs: what they print and the exit codes that scripts rely on."""

import os
import signal
import socket
import subprocess
import time

from harness import EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, MSG, Broker, Case, Program, environment, for_each, ipv6, main, program, run, seconds, until
from queue_peer import QueuePeer, durable_broker

PROGRAMS = ("brokerd", "troupe", "echo-server", "fib-actor", "fib-server", "sleep-actor", "taskmaster", "taskworker", "upper")


class Every(Case):
    @for_each(name=PROGRAMS)
    def test_help(self, name):
        code, out, err = run(name, "--help")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("Usage:", out)
        self.assertIn("--version", out)

    @for_each(name=PROGRAMS)
    def test_version(self, name):
        code, out, err = run(name, "--version")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, rf"^{name} \d+\.\d+\.\d+\n$")

    @for_each(name=PROGRAMS)
    def test_unknown_flag(self, name):
        code, out, err = run(name, "--no-such-flag")
        self.assertEqual((code, out), (EX_USAGE, ""))
        self.assertIn("--no-such-flag", err)

    @for_each(name=PROGRAMS)
    def test_standard_output_that_is_full(self, name):
        with open("/dev/full", "w") as full:
            done = subprocess.run([program(name), "--help"], stdout=full, stderr=subprocess.PIPE, timeout=seconds(10), env=environment())
        self.assertGreaterEqual(done.returncode, 0, "no crash")


class Refused(Case):
    """A start that cannot be: one sentence on stderr, nothing on stdout, an exit code that says whose fault it is."""

    def assertRefused(self, code, *args, says=""):
        got, out, err = run("brokerd", *args)
        self.assertEqual((got, out), (code, ""), f"{args}: {err}")
        self.assertRegex(err, r"\A[^\n]+\n\Z", "one sentence")
        self.assertIn(says, err)

    def test_bad_urls(self):
        for url in ("tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:x", "tcp://[::1:1",
                    "127.0.0.1:1", "nonsense", "", "http://127.0.0.1:1", "ipc://", "ipc://" + "/x" * 100):
            with self.subTest(url=url):
                self.assertRefused(EX_USAGE, f"--listen={url}")

    def test_bad_gateways(self):
        for url in ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0/", "tcp://127.0.0.1:0/a..b", "tcp://127.0.0.1:0/a.*", "tcp://127.0.0.1:0/fib?colour=red",
                    "tcp://127.0.0.1:0/fib?framing=telegram", "tcp://127.0.0.1:0/fib?timeout=soon", "tcp://127.0.0.1:0/fib?max-line=-1",
                    "tcp://127.0.0.1:0/fib?max-pending=0", "ipc:///tmp/x"):
            with self.subTest(url=url):
                self.assertRefused(EX_USAGE, "--listen=tcp://127.0.0.1:0", f"--gateway={url}")

    def test_bad_values(self):
        for flag in ("--log-level=loud", "--max-payload=much", "--max-payload=65M", "--max-connections=-1", "--greeting-timeout=soon",
                     "--frame-timeout=x", "--drain-timeout=x", "--max-pending=x"):
            with self.subTest(flag=flag):
                got, out, err = run("brokerd", "--listen=tcp://127.0.0.1:0", flag)
                self.assertEqual((got, out), (EX_USAGE, ""), err)
                self.assertTrue(err)

    def test_an_address_in_use(self):
        broker = self.broker(listen=("tcp://127.0.0.1:0", f"ipc://{self.path('s')}"), gateway="tcp://127.0.0.1:0/fib")
        for url in broker.urls:
            self.assertRefused(EX_UNAVAILABLE, f"--listen={url}", says=url.partition("?")[0])
        self.assertRefused(EX_UNAVAILABLE, "--listen=tcp://127.0.0.1:0", f"--gateway={broker.gateways[0].rstrip('/fib')}/fib")
        with broker.peer(i=1) as p:
            self.assertIn("inbox", p.hello(), "the refused one did not take the socket away")

    def test_fib_actor(self):
        for flag in ("--kind=robot", "--workers=0", "--workers=many", "--broker=nonsense", "--max-n=x"):
            with self.subTest(flag=flag):
                got, _, err = run("fib-actor", flag)
                self.assertEqual(got, EX_USAGE, err)
                self.assertTrue(err)


class Brokerd(Case):
    def test_start_up_lines(self):
        listen = ["tcp://127.0.0.1:0", f"ipc://{self.path('s')}", *(["tcp://[::1]:0"] if ipv6() else [])]
        broker = self.broker(listen=listen, gateway="tcp://127.0.0.1:0/fib")
        broker.wait_line(r"^try\s+printf '30\\n' \| nc -N 127\.0\.0\.1 \d+$")
        self.assertRegex(broker.out.lines()[0], r"^brokerd \d+\.\d+\.\d+$")
        self.assertRegex(broker.out.text(), r"(?m)^gateway +tcp://127\.0\.0\.1:\d+/fib +\(topic fib\)$")
        for url in broker.urls:
            self.assertNotIn(":0", url)
        for i in range(len(listen)):
            with broker.peer(i=i) as p:
                self.assertIn("inbox", p.hello())

    @for_each(number=("SIGTERM", "SIGINT"))
    def test_a_stop_ends_at_once_when_nothing_is_in_hand(self, number):
        path = self.path("s")
        broker = self.broker(listen=("tcp://127.0.0.1:0", f"ipc://{path}"), gateway="tcp://127.0.0.1:0/fib")
        with broker.peer() as p, broker.lines() as c:
            p.subscribe("a")
            broker.signal(getattr(signal, number))
            self.assertEqual(broker.wait(3), 0)
            self.assertEqual(p.receive()[:2], [17, "SHUTDOWN"])
            self.assertEqual(c.rest(), b"")
        self.assertFalse(os.path.exists(path), "the socket file is removed")

    def test_a_stop_does_not_wait_for_what_is_synced_some_time(self):
        """What nobody waits for, as a message that is given back, is synced within a second; at a stop at once."""
        took = []
        for round in range(3):
            broker = durable_broker(self, self.path("data"))
            with QueuePeer(self, broker.url) as p:
                p.declare("q")
                p.put("q", round)
                p.consume("q")
                p.nack(p.delivery())
                p.delivery()
            began = time.monotonic()
            self.assertEqual(broker.terminate(), 0)
            took.append(time.monotonic() - began)
        self.assertLess(min(took), 0.8)

    def test_a_stop_waits_for_requests_in_hand(self):
        broker = self.broker(gateway="tcp://127.0.0.1:0/fib")
        with broker.peer() as worker, broker.lines() as c, broker.peer() as late:
            worker.subscribe("fib")
            inbox = late.hello()["inbox"]
            c.send("10")
            token, message = worker.expect(MSG)[2:]
            broker.signal(signal.SIGTERM)
            until(lambda: self.refused(broker), 5, "nobody is let in any more")
            late.send([7, 5, ["fib", inbox + "5", None, 1]])
            self.assertEqual(late.receive()[:3], [16, 5, "SHUTDOWN"])
            self.assertTrue(broker.running())
            worker.send([7, 0, [message[1], None, None, 55]], [9, 1, token])
            self.assertEqual(c.line(), "55")
            self.assertEqual(broker.wait(3), 0)

    def refused(self, broker):
        try:
            with broker.peer():
                return False
        except (OSError, EOFError):
            return True

    def test_the_drain_time_is_bounded(self):
        broker = self.broker("--drain-timeout=300ms", gateway="tcp://127.0.0.1:0/fib")
        with broker.peer() as worker, broker.lines() as c:
            worker.subscribe("fib")
            c.send("10")
            worker.expect(MSG)
            began = time.monotonic()
            broker.signal(signal.SIGTERM)
            self.assertEqual(broker.wait(10), EX_TEMPFAIL, "requests were cut off")
            self.assertGreaterEqual(time.monotonic() - began, 0.25)
            self.assertRegex(c.rest().decode(), r"\A(ERR [A-Z_]+ .*\n)?\Z")

    def test_a_second_signal_ends_it_now(self):
        broker = self.broker("--drain-timeout=60s", gateway="tcp://127.0.0.1:0/fib")
        with broker.peer() as worker, broker.lines() as c:
            worker.subscribe("fib")
            c.send("10")
            worker.expect(MSG)
            broker.signal(signal.SIGTERM)
            until(lambda: self.refused(broker), 5, "it drains")
            broker.signal(signal.SIGTERM)
            broker.wait(5)

    def test_log_levels(self):
        quiet = self.broker("--log-level=error")
        with quiet.peer() as p:
            p.hello()
        self.assertEqual(quiet.terminate(), 0)
        self.assertEqual(quiet.err.text(), "")
        chatty = self.broker("--log-level=debug")
        with chatty.peer() as p:
            p.hello()
        self.assertEqual(chatty.terminate(), 0)
        self.assertRegex(chatty.err.lines()[0], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [a-z]+ [a-z.]+ ")

    def test_the_default_address(self):
        """4747 may be taken on this machine; then that is what is said."""
        try:
            socket.create_server(("127.0.0.1", 4747)).close()
        except OSError:
            self.skipTest("port 4747 is taken here")
        broker = Program(self, "brokerd")
        broker.wait_line(r"^listening +tcp://127\.0\.0\.1:4747$")
        self.assertEqual(broker.terminate(), 0)

    def test_max_payload(self):
        broker = self.broker("--max-payload=1k")
        with broker.peer() as p:
            self.assertEqual(p.hello()["max_payload"], 1024)
            p.subscribe("a")
            p.send([7, 2, ["a", None, None, b"x" * 1000]])
            self.assertEqual({p.receive()[0], p.receive()[0]}, {MSG, 15})
            p.send([7, 3, ["a", None, None, b"x" * 1100]])
            self.assertEqual(p.receive()[2], "TOO_BIG")


class Troupe(Case):
    """The command line client."""

    def setUp(self):
        super().setUp()
        self.gateway, self.actor = self.service()
        self.to = f"--broker={self.gateway.url}"

    def test_request(self):
        self.assertEqual(run("troupe", "request", "fib", "30", self.to), (0, "832040\n", ""))
        self.assertEqual(run("troupe", "request", "fib", "30", env={"TROUPE_BROKER": self.gateway.url}), (0, "832040\n", ""))

    def test_error_answers(self):
        code, out, err = run("troupe", "request", "fib", "abc", self.to)
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^(troupe: )?NOT_A_NUMBER: .+\n$")
        code, out, err = run("troupe", "request", "nobody.here", "1", self.to)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("NO_RESPONDERS", err)

    def test_time_out(self):
        with self.gateway.peer() as mute:
            mute.subscribe("mute")
            began = time.monotonic()
            code, out, err = run("troupe", "request", "mute", "1", "--timeout=300ms", self.to)
            self.assertEqual((code, out), (EX_TEMPFAIL, ""), err)
            self.assertGreaterEqual(time.monotonic() - began, 0.29)

    def test_no_broker(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        code, out, err = run("troupe", "pub", "a", "1", f"--broker=tcp://127.0.0.1:{port}")
        self.assertEqual((code, out), (EX_UNAVAILABLE, ""))
        self.assertRegex(err, r"\A[^\n]+\n\Z", "one sentence")

    def test_usage(self):
        for args in ((), ("dance",), ("request",), ("pub",), ("sub",), ("request", "fib", "1", "--timeout=soon"), ("pub", "a", "--json", "{"),
                     ("pub", "a..b", "1"), ("pub", "a", "1", "--broker=nonsense")):
            with self.subTest(args=args):
                code, out, err = run("troupe", *args, *([] if any("--broker" in a for a in args) else [self.to]))
                self.assertEqual((code, out), (EX_USAGE, ""), err)
                self.assertTrue(err)

    def test_pub_and_sub(self):
        sub = Program(self, "troupe", "sub", "news.>", "--count=5", self.to)
        payloads = (("12", (), "12"), ("hello world", (), '"hello world"'), ("-7", ("--",), "-7"), ('{"a": [1, null]}', ("--json",), '{"a":[1,null]}'))
        self.published(sub, "news.first", "first")
        for text, flags, _ in payloads:
            self.assertEqual(run("troupe", "pub", self.to, *([f for f in flags if f != "--"]), "news.x", *(["--"] if "--" in flags else []), text)[0], 0)
        self.assertEqual(sub.wait(), 0)
        self.assertEqual(sub.out.lines()[-4:], [said for _, _, said in payloads])

    def published(self, sub, topic, text):
        def seen():
            self.assertEqual(run("troupe", "pub", topic, text, self.to)[0], 0)
            return sub.out.wait(lambda lines: bool(lines), 0.2)
        until(seen, 10, "the subscriber is there")

    def test_pub_from_standard_input(self):
        with self.gateway.peer() as p:
            p.subscribe("in")
            code, _, err = run("troupe", "pub", "in", "-", self.to, data=b"from a pipe")
            self.assertEqual(code, 0, err)
            self.assertIn(p.expect(MSG)[3][3], ("from a pipe", b"from a pipe"))

    def test_sub_ends_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            sub = Program(self, "troupe", "sub", "news.>", self.to)
            self.published(sub, "news.a", "1")
            sub.signal(number)
            self.assertEqual(sub.wait(), 0)

    def test_sub_waits_for_a_broker(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            url = "tcp://127.0.0.1:%d" % s.getsockname()[1]
        sub = Program(self, "troupe", "sub", "late", f"--broker={url}", "--count=1")
        sub.wait_line("waiting", err=True)
        broker = Broker(self, listen=url)
        until(lambda: run("troupe", "pub", "late", "1", f"--broker={broker.url}") and not sub.running(), 20, "it is there")
        self.assertEqual(sub.wait(), 0)

    def test_bench_measures(self):
        for args in (("pub", "--count=2000"), ("request", "--count=500")):
            code, out, err = run("troupe", "bench", *args, "--json", self.to, timeout=60)
            self.assertEqual(code, 0, err)
            self.assertTrue(out.strip())


if __name__ == "__main__":
    main()
