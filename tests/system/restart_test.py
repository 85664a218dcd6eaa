# SPDX-License-Identifier: Apache-2.0
"""brokerd dies and comes back at the same addresses: everybody finds it again, and nobody waits in silence meanwhile."""

import signal
import threading
import time

from harness import KINDS, Broker, Case, Lines, Program, for_each, main, run, seconds, until


class Restart(Case):
    def same_again(self, broker):
        """A broker on the addresses that an earlier one had."""
        return Broker(self, listen=broker.urls, gateway=[url if "/" in url[6:] else url + "/fib" for url in broker.gateways])

    @for_each(kind=KINDS, how=("killed", "terminated"))
    def test_everybody_comes_back(self, kind, how):
        first, actor = self.service(kind, 2, gateway_args=("--drain-timeout=60s",))  # what it waits for takes long on a busy machine
        subscriber = Program(self, "troupe", "sub", "news", f"--broker={first.url}")
        self.publish_until_seen(first, subscriber, "before")
        with first.lines() as waiting:
            n, _ = self.slow_fib(first, 1)
            waiting.send(str(n))
            if how == "killed":
                first.kill()
            else:
                first.signal(signal.SIGTERM)
                self.assertEqual(first.wait(60), 0)
            waiting.rest(5)  # ends: an answer, an error or a plain close, but no silence
        second = self.same_again(first)
        self.assertEqual((second.urls, second.gateways), (first.urls, first.gateways))
        second.serves()
        self.assertEqual(second.ask("30"), "832040")
        self.publish_until_seen(second, subscriber, "after")
        self.assertTrue(actor.running())
        self.assertEqual(actor.terminate(), 0)

    def publish_until_seen(self, broker, subscriber, text):
        """A plain message reaches who is subscribed at that moment: it is sent until one was."""
        def seen():
            self.assertEqual(run("troupe", "pub", "news", text, f"--broker={broker.url}")[0], 0)
            return subscriber.out.wait(lambda lines: f'"{text}"' in lines, 0.2)
        until(seen, 20, f"the subscriber prints {text}")

    def test_requests_in_between_are_never_met_by_silence(self):
        broker, _ = self.service("process", 2)
        url, stop, outcomes = broker.gateways[0], threading.Event(), []

        def ask():
            while not stop.is_set():
                began = time.monotonic()
                try:
                    with Lines(self, url, 10) as c:
                        outcome = c.ask("10")
                except ConnectionRefusedError:
                    outcome = "refused"
                except (EOFError, ConnectionResetError, BrokenPipeError):
                    outcome = "closed"
                except TimeoutError:
                    outcome = "silence"
                outcomes.append((outcome, time.monotonic() - began))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for _ in range(5):
                seen = len(outcomes)
                until(lambda: len(outcomes) > seen + 20, 20, "requests are asked")
                broker.kill()
                broker = self.same_again(broker)
                broker.serves()
        finally:
            stop.set()
            thread.join()
        kinds = {outcome.split()[0] + " " + outcome.split()[1] if outcome.startswith("ERR") else outcome for outcome, _ in outcomes}
        self.assertLessEqual(kinds, {"55", "refused", "closed", "ERR NO_RESPONDERS", "ERR WORKER_LOST"})
        self.assertIn("55", kinds)
        self.assertLess(max(took for _, took in outcomes), seconds(3))

    def test_ten_restarts_in_a_row(self):
        broker, actor = self.service("thread", 4)
        for _ in range(10):
            broker.kill()
            broker = self.same_again(broker)
        broker.serves()
        self.assertTrue(actor.running())

    def test_a_socket_file_left_behind_is_taken_over(self):
        path = self.path("broker.sock")
        first = self.broker(listen=f"ipc://{path}", gateway="tcp://127.0.0.1:0/fib")
        first.kill()
        second = self.broker(listen=f"ipc://{path}", gateway="tcp://127.0.0.1:0/fib")
        with second.peer() as p:
            self.assertIn("inbox", p.hello())


if __name__ == "__main__":
    main()
