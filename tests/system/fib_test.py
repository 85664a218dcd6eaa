# SPDX-License-Identifier: Apache-2.0
"""The service itself: numbers in at the gateway, numbers out, whichever kind computes them, and whatever dies."""

import os
import select
import signal
import socket
import time

from harness import KINDS, Actor, Broker, Case, cpu_seconds, fib, for_each, main, netcat, seconds, stat_of, until


class Answers(Case):
    @for_each(kind=KINDS, workers=(1, 4))
    def test_netcat(self, kind, workers):
        broker, _ = self.service(kind, workers)
        self.assertEqual(netcat(broker.gateways[0], b"1\n10\n20\n30\n"), b"1\n55\n6765\n832040\n")

    @for_each(kind=KINDS)
    def test_what_cannot_be_computed_is_said(self, kind):
        broker, _ = self.service(kind, 1, "--max-n=20")
        with broker.lines() as c:
            self.assertEqual([c.ask("0"), c.ask("-5"), c.ask("2"), c.ask("20")], ["1", "1", "1", "6765"])
            line = c.ask("21")
            self.assertError(line, "TOO_BIG")
            self.assertIn("20", line)
            self.assertError(c.ask("18446744073709551615"), "TOO_BIG")
            self.assertError(c.ask("abc"), "NOT_A_NUMBER")
            self.assertError(c.ask("1.5"), "NOT_A_NUMBER")
            self.assertEqual(c.ask("7"), "13")

    def test_topic_and_group_are_options(self):
        broker = self.broker(gateway="tcp://127.0.0.1:0/math.fib")
        Actor(self, broker, "thread", 1, "--topic=math.fib", "--group=calculators")
        with broker.lines() as c:
            self.assertEqual(c.ask("10"), "55")
            self.assertError(c.ask("/fib 10"), "NO_RESPONDERS")

    @for_each(kind=KINDS)
    def test_two_actors_share_the_work(self, kind):
        broker, first = self.service(kind)
        second = Actor(self, broker, kind)
        n, answer = self.slow_fib(broker, 0.3)

        def both_worked():
            with broker.lines() as a, broker.lines() as b:
                a.send(str(n))
                b.send(str(n))
                self.assertEqual((a.line(), b.line()), (str(answer), str(answer)))
            return all(self.cpu_of(actor) > 0.1 for actor in (first, second))

        until(both_worked, 20, "both actors compute")

    def cpu_of(self, actor):
        return sum(map(cpu_seconds, [actor.pid, *actor.workers()]))


class BigAndSmall(Case):
    @for_each(kind=KINDS)
    def test_small_requests_flow_past_a_big_one(self, kind):
        broker, _ = self.service(kind, 2)
        n, answer = self.slow_fib(broker, 2)
        with broker.lines() as big, broker.lines() as small:
            began = time.monotonic()
            big.send(str(n))
            waits = []
            while not select.select([big.socket], [], [], 0)[0]:
                asked = time.monotonic()
                self.assertEqual(small.ask("10"), "55")
                waits.append(time.monotonic() - asked)
            took = time.monotonic() - began
            self.assertEqual(big.line(), str(answer))
        self.assertGreater(len(waits), 20, "small ones were answered while the big one ran")
        self.assertLess(max(waits), took / 2, "and none of them waited for it")


class Deaths(Case):
    def long_request(self, broker):
        """A connection on which a number is asked that keeps a worker busy for long enough to die."""
        n, answer = self.slow_fib(broker, seconds(6))
        c = broker.lines()
        c.send(str(n))
        return c, str(answer)

    def assertToldOfTheLoss(self, c, answer):
        died = time.monotonic()
        line = c.line(10)
        self.assertLess(time.monotonic() - died, seconds(1))
        if line != answer:
            self.assertError(line, "WORKER_LOST")

    def test_kill_9_of_a_worker_in_mid_computation(self):
        broker, actor = self.service("process", 2)
        before = actor.workers()
        c, answer = self.long_request(broker)
        victim = actor.busy()
        os.kill(victim, signal.SIGKILL)
        self.assertToldOfTheLoss(c, answer)
        self.assertEqual(c.ask("30"), "832040", "the next request works, on the same connection")
        self.assertEqual([pid for pid in before if pid != victim and not stat_of(pid)], [], "the other worker lives")
        self.assertTrue(broker.running() and actor.running())
        until(lambda: len(actor.workers()) == len(before), 10, "the dead worker is replaced")
        self.assertNotIn(victim, actor.workers())

    def test_the_only_worker_is_killed_and_comes_back(self):
        broker, actor = self.service("process", 1)
        for _ in range(3):
            c, answer = self.long_request(broker)
            os.kill(actor.busy(), signal.SIGKILL)
            self.assertToldOfTheLoss(c, answer)
            c.close()
            broker.serves()

    def test_every_idle_worker_is_killed(self):
        broker, actor = self.service("process", 3)
        with broker.lines() as c:
            for _ in range(5):
                killed = until(lambda: len(pids := actor.workers()) == 3 and pids, 20, "three workers")
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
                until(lambda: len(set(actor.workers()) - set(killed)) == 3, 20, "three new workers")
                until(lambda: c.ask("1") == "1", 10, "they answer")
        self.assertTrue(broker.running() and actor.running())

    @for_each(kind=KINDS)
    def test_kill_9_of_the_whole_actor(self, kind):
        broker, actor = self.service(kind, 2)
        c, answer = self.long_request(broker)
        self.wait_until_computing(actor, self.spent(actor))
        actor.kill()
        self.assertToldOfTheLoss(c, answer)
        until(lambda: not actor.workers(), 5, "its worker processes end with it")
        self.assertError(c.ask("1"), "NO_RESPONDERS")
        Actor(self, broker, kind)
        self.assertEqual(c.ask("10"), "55")

    @for_each(kind=KINDS)
    def test_terminated_it_finishes_what_it_has_in_hand(self, kind):
        broker, actor = self.service(kind)
        n, answer = self.slow_fib(broker, 0.7)
        with broker.lines() as c:
            spent = self.spent(actor)
            c.send(str(n))
            self.wait_until_computing(actor, spent)
            code = actor.terminate()
            self.assertEqual(c.line(), str(answer))
        self.assertEqual(code, 0)

    def spent(self, actor):
        return sum(map(cpu_seconds, actor.workers() or [actor.pid]))

    def wait_until_computing(self, actor, spent):
        """It has used 50 ms of CPU since it had used so much."""
        until(lambda: self.spent(actor) >= spent + 0.05, 10, "it computes")

    @for_each(kind=KINDS)
    def test_a_worker_started_before_its_broker_waits_for_it(self, kind):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        actor = Actor(self, f"tcp://127.0.0.1:{port}", kind)
        actor.wait_line(r"\S")
        broker = Broker(self, listen=f"tcp://127.0.0.1:{port}", gateway="tcp://127.0.0.1:0/fib")
        broker.serves()
        self.assertEqual(broker.ask("20"), str(fib(20)))
        self.assertTrue(actor.running())


if __name__ == "__main__":
    main()
