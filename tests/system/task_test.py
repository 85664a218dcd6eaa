# SPDX-License-Identifier: Apache-2.0
"""taskmaster and taskworker: the classic pair's output, and what may die in between."""

import json
import os
import pty
import re
import signal
import subprocess
import time
import unittest

from harness import EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, KINDS, SANITIZED, Broker, Case, Program, descendants, environment, for_each, kill_hard, main, program, run, seconds, stat_of, until

EX_NOPERM, EX_CONFIG = 77, 78
ANYWHERE = "tcp://127.0.0.1:0"
MANY = 2000 if SANITIZED else 20000
IDLE = "1s" if SANITIZED else "600ms"  # for workers whose leaving is not the matter
# Where the kind changes little in our code, one is enough for sanitizers: actor tests go through all of them.
SOME_KINDS = ("process",) if SANITIZED else KINDS


def results(lines):
    """The tasks that were answered, checked: [n, ...]"""
    found = [re.fullmatch(r"Result: (\d+) \* (\d+) = (\d+)", line) for line in lines if line.startswith("Result:")]
    assert all(found), lines
    assert all(m[1] == m[2] and int(m[1]) ** 2 == int(m[3]) for m in found), lines
    return [int(m[1]) for m in found]


def tasks(lines):
    return [int(line.split()[2].rstrip(".")) for line in lines if line.startswith("Put task")]


class Ended(Program):
    """A program whose output has been read to its end once it has been killed, too."""

    def kill(self):
        super().kill()
        self.wait()


class Master(Ended):
    def __init__(self, case, *args, listen=ANYWHERE, **kw):
        where = [] if any(arg.startswith("--connect") for arg in args) else [f"--listen={listen}"]
        super().__init__(case, "taskmaster", *where, *args, **kw)
        if where:
            self.url = self.wait_line(r"^taskmaster: listening on (\S+)$", err=True)[1]
        else:
            self.url = next(arg.partition("=")[2] for arg in args if arg.startswith("--connect"))

    def worker(self, *args, **kw):
        """A worker that leaves soon, once there is nothing to do."""
        soon = [] if any(arg.startswith("--idle-timeout") for arg in args) else [f"--idle-timeout={IDLE}"]
        return Worker(self.case, self.url, *soon, *args, **kw)

    def has_put(self, n):
        until(lambda: len(tasks(self.out.lines())) >= n, 20, f"{n} tasks are put")


class Worker(Ended):
    def __init__(self, case, url, *args, **kw):
        super().__init__(case, "taskworker", f"--connect={url}", *args, **kw)

    def at_work(self, n=1):
        until(lambda: sum(line.startswith("run task") for line in self.out.lines()) >= n, 20, "the worker works")

    def bodies(self):
        """Its worker processes: what runs below the nursery."""
        return [pid for pid in descendants(self.pid) if int((stat_of(pid) or [0, 0])[1]) != self.pid]


class Pair(Case):
    def key(self, name, byte, mode=0o600):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(bytes([byte]) * 32)
        os.chmod(path, mode)
        return path

    def assertAll(self, master, code=0):
        """It ends so, and each task has its result, once."""
        self.assertEqual(master.wait(60), code, master.report())
        lines = master.out.lines()
        self.assertEqual(sorted(results(lines)), sorted(tasks(lines)), master.report())

    # --- the classic ---

    @for_each(kind=KINDS)
    def test_prints_what_the_classic_pair_prints(self, kind):
        master = Master(self, "--tasks=4", "--seed=7")
        began = time.monotonic()
        worker = master.worker(f"--kind={kind}", "--sleep=50ms")
        self.assertAll(master)
        self.assertGreater(time.monotonic() - began, 0.2)  # one task after the other
        self.assertEqual(worker.wait(), 0)
        put = tasks(master.out.lines())
        self.assertEqual(master.out.lines(), [f"Put task {n}..." for n in put] + [f"Result: {n} * {n} = {n * n}" for n in put])
        self.assertEqual(worker.out.lines(), [f"run task {n} * {n}..." for n in put] + ["task queue is empty.", "worker exit."])
        self.assertEqual(worker.err.text(), "")
        self.assertNotIn("\r", master.err.text())

    @unittest.skipIf(SANITIZED, "it waits, and shows sanitizers nothing new")
    def test_a_second_of_work_by_default(self):
        master = Master(self, "--tasks=1")
        began = time.monotonic()
        worker = Worker(self, master.url)
        self.assertAll(master)
        self.assertGreater(time.monotonic() - began, 1)
        worker.wait_line("^worker exit.$")
        self.assertGreater(time.monotonic() - began, 2)  # and a second without any

    def test_a_seed_is_the_same_numbers(self):
        put = []
        for seed in (1, 1, 2):
            master = Master(self, "--tasks=5", f"--seed={seed}")
            master.worker("--sleep=0s")
            self.assertAll(master)
            put.append(tasks(master.out.lines()))
        self.assertEqual(put[0], put[1])
        self.assertNotEqual(put[0], put[2])
        self.assertTrue(all(0 <= n <= 9999 for n in put[0] + put[2]))

    @for_each(kind=SOME_KINDS, workers=(1, 3))
    def test_many_without_a_sleep(self, kind, workers):
        master = Master(self, f"--tasks={MANY}")
        worker = master.worker(f"--kind={kind}", "--sleep=0s", f"--workers={workers}")
        self.assertAll(master)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(len(worker.out.lines()), MANY + 2)
        self.assertEqual(worker.out.lines()[-2:], ["task queue is empty.", "worker exit."])

    def test_workers_join_and_leave(self):
        master = Master(self, "--tasks=40")
        first = master.worker("--sleep=20ms")
        first.at_work(3)
        second = master.worker("--sleep=20ms", "--kind=thread", "--workers=2")
        second.at_work(3)
        self.assertEqual(first.terminate(), 0)
        self.assertEqual(first.out.lines()[-1], "worker exit.")
        self.assertNotIn("task queue is empty.", first.out.lines())
        third = master.worker("--sleep=20ms", "--kind=coroutine")
        self.assertAll(master)
        self.assertEqual((second.wait(), third.wait()), (0, 0))

    def test_a_quiet_pair(self):
        master = Master(self, "--tasks=10", "--quiet")
        worker = master.worker("--sleep=0s", "--quiet")
        self.assertEqual(master.wait(), 0)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(master.out.lines(), [])
        self.assertEqual(worker.out.lines(), ["task queue is empty.", "worker exit."])

    # --- deaths ---

    @for_each(kind=KINDS)
    def test_a_worker_killed_in_mid_task_loses_nothing(self, kind):
        master = Master(self, "--tasks=6")
        victim = master.worker(f"--kind={kind}", "--sleep=60s")
        victim.at_work()
        other = master.worker("--sleep=0s", "--credit=1", "--idle-timeout=20s")
        until(lambda: len(results(master.out.lines())) == 5, 20, "the others are done")
        victim.kill()
        began = time.monotonic()
        self.assertAll(master)
        self.assertLess(time.monotonic() - began, seconds(3))
        self.assertEqual(other.terminate(), 0)

    def test_a_worker_process_killed_is_begun_again(self):
        master = Master(self, "--tasks=3")
        worker = master.worker("--kind=process", "--sleep=200ms")
        worker.at_work()
        kill_hard(until(worker.bodies, 10, "there is a worker process")[0])
        self.assertAll(master)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(len([line for line in worker.out.lines() if line.startswith("run task")]), 4)

    def test_a_task_that_kills_every_worker_is_given_up(self):
        master = Master(self, "--tasks=1")
        for _ in range(3):
            victim = master.worker("--kind=thread", "--sleep=60s")
            victim.at_work()
            victim.kill()
        self.assertEqual(master.wait(), 1, master.report())
        master.wait_line(r"^Lost: \d+ \(.+\)$")
        master.wait_line("1 of 1 tasks could be done by nobody", err=True)

    def test_a_worker_that_was_away_too_long_gives_no_second_result(self):
        """Its task has gone to another after the ack time-out; then it comes back, with a result. On a busy machine more than
        one result may be too late: as many as tasks were begun once more."""
        broker = self.broker()
        master = Master(self, f"--connect={broker.url}", "--tasks=3", "--ack-timeout=500ms", "--seed=1")  # no two alike
        away = master.worker("--kind=thread", "--sleep=300ms", "--idle-timeout=20s")
        away.at_work()
        away.signal(signal.SIGSTOP)
        task = away.out.lines()[0]
        other = master.worker("--workers=2", "--sleep=400ms", "--idle-timeout=20s")
        until(lambda: task in other.out.lines(), 20, "another has the task")
        away.signal(signal.SIGCONT)
        self.assertAll(master)
        number = lambda key: json.loads(run("troupe", "queue", "stat", "--json", "result", f"--broker={broker.url}")[1])[key]
        runs = lambda: sum(line.startswith("run task") for worker in (away, other) for line in worker.out.lines())
        until(lambda: number("total_duplicates") == runs() - 3, 20, "each second result is dropped")
        self.assertGreater(runs(), 3)
        self.assertEqual((number("ready"), number("total_put")), (0, 3))
        self.assertEqual((away.terminate(), other.terminate()), (0, 0))

    def test_long_work_is_not_given_to_another(self):
        """A worker that is at it for longer than the ack time-out says so."""
        master = Master(self, "--tasks=2", "--ack-timeout=300ms")
        workers = [master.worker(f"--kind={kind}", "--sleep=1s", "--idle-timeout=20s") for kind in ("process", "coroutine")]
        self.assertAll(master)
        self.assertEqual(sum(line.startswith("run task") for worker in workers for line in worker.out.lines()), 2)
        for worker in workers:
            self.assertEqual(worker.terminate(), 0)

    def test_a_master_killed_goes_on_with_its_data(self):
        data, seen = self.path("data"), []
        listen = f"ipc://{self.path('sock')}"
        first = Master(self, "--tasks=60", f"--data={data}", listen=listen)
        first.has_put(60)
        worker = Worker(self, listen, "--sleep=10ms", "--idle-timeout=20s", "--workers=2")
        until(lambda: len(results(first.out.lines())) >= 10, 20, "some results")
        first.kill()
        seen += results(first.out.lines())
        second = Master(self, f"--data={data}", "--timeout=60s", listen=listen)
        self.assertEqual(second.wait(60), 0, second.report())
        self.assertEqual(tasks(second.out.lines()), [])  # they were all there
        again = results(second.out.lines())
        # What was printed when the first was killed may not have been acknowledged; nothing else comes twice.
        put = tasks(first.out.lines())
        self.assertEqual(sorted(set(seen + again)), sorted(set(put)))
        self.assertLess(len(seen + again) - len(put), 5)
        self.assertEqual(worker.terminate(), 0)
        third = Master(self, "--tasks=3", f"--data={data}", listen=listen)  # a new run: nothing of the old one is left
        third.worker("--sleep=0s")
        self.assertAll(third)
        self.assertEqual(len(tasks(third.out.lines())), 3)

    def test_a_master_killed_while_it_puts_goes_on(self):
        data, listen = self.path("data"), f"ipc://{self.path('sock')}"
        many = MANY
        first = Master(self, f"--tasks={many}", f"--data={data}", listen=listen)
        first.has_put(many // 10)
        first.kill()
        second = Master(self, f"--data={data}", listen=listen)
        worker = second.worker("--sleep=0s", "--quiet", "--idle-timeout=20s")
        self.assertEqual(second.wait(60), 0, second.report())
        self.assertEqual(worker.terminate(), 0)
        self.assertEqual(len(results(second.out.lines())), many)

    def test_a_worker_waits_with_its_result_for_the_master(self):
        data, listen = self.path("data"), f"ipc://{self.path('sock')}"
        first = Master(self, "--tasks=1", f"--data={data}", listen=listen)
        worker = Worker(self, listen, "--sleep=200ms", "--idle-timeout=10s", "--connect-timeout=30s")
        worker.at_work()
        first.kill()
        time.sleep(0.5)  # the work is done, and there is nobody to tell
        second = Master(self, f"--data={data}", listen=listen)
        self.assertEqual(second.wait(), 0, second.report())
        self.assertEqual(len(results(second.out.lines())), 1)
        self.assertEqual(worker.terminate(), 0)

    # --- a broker of its own ---

    @for_each(kind=SOME_KINDS)
    def test_with_a_brokerd(self, kind):
        broker = self.broker()
        master = Master(self, f"--connect={broker.url}", "--tasks=20")
        worker = master.worker(f"--kind={kind}", "--sleep=0s")
        self.assertAll(master)
        self.assertEqual(worker.wait(), 0)
        self.assertAll_again(broker)

    def assertAll_again(self, broker):
        """The next run finds nothing of the one before."""
        master = Master(self, f"--connect={broker.url}", "--tasks=5")
        worker = master.worker("--sleep=0s")
        self.assertAll(master)
        self.assertEqual(worker.wait(), 0)

    def test_one_master_at_a_time(self):
        broker = self.broker()
        first = Master(self, f"--connect={broker.url}", "--tasks=5")
        first.has_put(5)
        code, out, err = run("taskmaster", f"--connect={broker.url}", "--tasks=5")
        self.assertEqual((code, out), (EX_TEMPFAIL, ""))
        self.assertIn("another taskmaster is at work there", err)
        first.worker("--sleep=0s")
        self.assertAll(first)

    def test_a_second_master_goes_on_for_one_that_was_killed(self):
        broker = self.broker()
        first = Master(self, f"--connect={broker.url}", "--tasks=30")
        first.has_put(30)
        worker = first.worker("--sleep=10ms", "--idle-timeout=10s")
        until(lambda: len(results(first.out.lines())) >= 5, 20, "some results")
        first.kill()
        second = Master(self, f"--connect={broker.url}")
        self.assertEqual(second.wait(30), 0, second.report())
        self.assertEqual(set(results(first.out.lines()) + results(second.out.lines())), set(tasks(first.out.lines())))
        self.assertEqual(worker.terminate(), 0)

    @for_each(durable=(False, True))
    def test_a_brokerd_that_dies(self, durable):
        listen = f"ipc://{self.path('sock')}"
        data = [f"--data={self.path('data')}"] if durable else []
        broker = Broker(self, *data, listen=listen)
        master = Master(self, f"--connect={listen}", "--tasks=40")
        master.has_put(40)
        worker = Worker(self, listen, "--sleep=10ms", "--idle-timeout=10s", "--connect-timeout=20s")
        until(lambda: len(results(master.out.lines())) >= 5, 20, "some results")
        broker.kill()
        Broker(self, *data, listen=listen)
        self.assertEqual(master.wait(60), 0, master.report())
        lines = master.out.lines()
        self.assertEqual(len(results(lines)), 40)
        self.assertEqual(set(results(lines)), set(tasks(lines)))
        if durable:
            self.assertEqual(len(tasks(lines)), 40)  # it goes on; it has not begun again
        self.assertEqual(worker.terminate(), 0)

    # --- keys ---

    @for_each(worker=("wrong", "none"))
    def test_a_wrong_key(self, worker):
        master = Master(self, "--tasks=1", f"--authkey-file={self.key('right', 1)}")
        key = [f"--authkey-file={self.key('wrong', 2)}"] if worker == "wrong" else []
        began = time.monotonic()
        code, out, err = run("taskworker", f"--connect={master.url}", *key)
        self.assertLess(time.monotonic() - began, seconds(1))
        self.assertEqual((code, out), (EX_NOPERM, ""))
        self.assertIn("authentication failed", err)
        self.assertEqual(err.count("\n"), 1, err)
        good = master.worker(f"--authkey-file={self.path('right')}", "--sleep=0s")
        self.assertAll(master)
        self.assertEqual(good.wait(), 0)

    def test_a_key_and_a_master_without_one(self):
        master = Master(self, "--tasks=1")
        began = time.monotonic()
        code, _, err = run("taskworker", f"--connect={master.url}", f"--authkey-file={self.key('key', 1)}")
        self.assertLess(time.monotonic() - began, seconds(1))
        self.assertEqual(code, EX_NOPERM)
        self.assertIn("authentication failed", err)
        master.worker("--sleep=0s")
        self.assertAll(master)

    def test_a_master_with_a_wrong_key(self):
        broker = self.broker(f"--authkey-file={self.key('right', 1)}")
        for key in ([f"--authkey-file={self.key('wrong', 2)}"], []):
            code, out, err = run("taskmaster", f"--connect={broker.url}", *key)
            self.assertEqual((code, out), (EX_NOPERM, ""))
            self.assertIn("authentication failed", err)

    @for_each(kind=SOME_KINDS)
    def test_every_kind_knows_the_key(self, kind):
        key = f"--authkey-file={self.key('key', 1)}"
        master = Master(self, "--tasks=5", key)
        worker = master.worker(key, f"--kind={kind}", "--sleep=0s")
        self.assertAll(master)
        self.assertEqual(worker.wait(), 0)

    def test_a_key_that_others_can_read(self):
        key = f"--authkey-file={self.key('key', 1, 0o644)}"
        self.assertEqual(run("taskmaster", f"--listen={ANYWHERE}", key)[0], EX_CONFIG)
        self.assertEqual(run("taskworker", key)[0], EX_CONFIG)

    # --- files ---

    def test_files_go_by_name(self):
        names, expected = [], []
        for i, text in enumerate(("", "a\n", "a\nb", "x\n" * 100000)):
            names.append(self.path(f"file {i}"))
            with open(names[-1], "w") as f:
                f.write(text)
            expected.append(f"Result: {names[-1]}: {len(text.splitlines())} lines")
        names.append(self.path("missing"))
        expected.append(f"Result: {names[-1]}: cannot be read: No such file or directory")
        names.append(self.path(""))
        expected.append(f"Result: {names[-1]}: cannot be read: Is a directory")
        with open(self.path("list"), "w") as f:
            f.write("\n".join(names) + "\n\n")
        master = Master(self, f"--file-list={self.path('list')}")
        worker = master.worker("--sleep=0s", "--credit=1", "--workers=2")
        self.assertEqual(master.wait(), 0)
        lines = master.out.lines()
        self.assertEqual(lines[:len(names)], [f"Put task {name}..." for name in names])
        self.assertEqual(sorted(lines[len(names):]), sorted(expected))
        self.assertEqual(worker.wait(), 0)

    def test_a_list_that_is_none(self):
        for text in (None, "", "\n\n", "a\0b\n", "x" * 5000):
            if text is not None:
                with open(self.path("list"), "w") as f:
                    f.write(text)
            code, _, err = run("taskmaster", f"--listen={ANYWHERE}", f"--file-list={self.path('list')}")
            self.assertEqual((code, err.count("\n")), (EX_USAGE, 1), err)

    # --- ends ---

    def test_a_time_that_is_over(self):
        code, out, err = run("taskmaster", f"--listen={ANYWHERE}", "--tasks=3", "--timeout=300ms")
        self.assertEqual(code, EX_TEMPFAIL)
        self.assertEqual(len(tasks(out.splitlines())), 3)
        self.assertIn("the time is over, with 0 of 3 results", err)

    @for_each(number=(signal.SIGINT, signal.SIGTERM))
    def test_signals(self, number):
        master = Master(self, "--tasks=5")
        worker = master.worker("--sleep=300ms")
        worker.at_work()
        worker.signal(number)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(worker.out.lines()[-1], "worker exit.")
        until(lambda: len(results(master.out.lines())) == 1, 10, "what it was at has been finished")
        master.signal(number)
        self.assertEqual(master.wait(), EX_TEMPFAIL)
        master.wait_line("stopped with 1 of 5 results", err=True)

    @unittest.skipIf(SANITIZED, "it waits, and shows sanitizers nothing new")
    def test_a_signal_in_the_middle_of_long_work(self):
        """It has five seconds to finish it; the master is not waited for."""
        master = Master(self, "--tasks=1")
        worker = master.worker("--sleep=60s")
        worker.at_work()
        master.signal(signal.SIGINT)
        self.assertEqual(master.wait(), EX_TEMPFAIL)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(15), 0, worker.report())

    @for_each(kind=SOME_KINDS)
    def test_a_worker_before_its_master(self, kind):
        listen = f"ipc://{self.path('sock')}"
        worker = Worker(self, listen, f"--kind={kind}", "--sleep=0s", f"--idle-timeout={IDLE}")
        time.sleep(0.3)  # it has been refused at least once
        master = Master(self, "--tasks=5", listen=listen)
        self.assertAll(master)
        self.assertEqual(worker.wait(), 0)

    def test_no_master_at_all(self):
        url = f"ipc://{self.path('nobody')}"
        code, out, err = run("taskworker", f"--connect={url}", "--connect-timeout=300ms")
        self.assertEqual((code, out), (EX_UNAVAILABLE, ""))
        self.assertRegex(err, rf"^taskworker: no taskmaster at {url}: waited 0.3 s for one \(.+\)\n$")
        began = time.monotonic()
        code, _, err = run("taskmaster", f"--connect={url}", "--timeout=300ms")
        self.assertLess(time.monotonic() - began, seconds(3))
        self.assertEqual((code, err.count("\n")), (EX_UNAVAILABLE, 1), err)

    def test_a_brokerd_without_a_master(self):
        broker = self.broker()
        code, out, err = run("taskworker", f"--connect={broker.url}", "--connect-timeout=300ms")
        self.assertEqual(code, EX_UNAVAILABLE, err)

    def test_an_address_in_use(self):
        broker = self.broker()
        code, out, err = run("taskmaster", f"--listen={broker.url}")
        self.assertEqual((code, out, err.count("\n")), (EX_UNAVAILABLE, "", 1), err)

    def test_wrong_usage(self):
        for name, args in (("taskmaster", ["--tasks=0"]), ("taskmaster", ["--tasks=x"]), ("taskmaster", ["--timeout=5 s"]),
                           ("taskmaster", ["--seed=-1"]), ("taskmaster", ["rest"]), ("taskmaster", ["--nonsense"]),
                           ("taskmaster", ["--connect=tcp://127.0.0.1:1", "--listen=tcp://127.0.0.1:1"]),
                           ("taskmaster", ["--connect=tcp://127.0.0.1:1", "--data=x"]), ("taskmaster", ["--file-list=x", "--tasks=1"]),
                           ("taskmaster", ["--listen=what://x"]), ("taskmaster", ["--connect=what"]),
                           ("taskworker", ["--workers=0"]), ("taskworker", ["--kind=fast"]), ("taskworker", ["--sleep=-1s"]),
                           ("taskworker", ["--sleep=1e99"]), ("taskworker", ["--sleep="]), ("taskworker", ["--connect=what"]),
                           ("taskworker", ["--credit=70000"]), ("taskworker", ["rest"])):
            with self.subTest(name=name, args=args):
                code, out, err = run(name, *args)
                self.assertEqual((code, out), (EX_USAGE, ""), err)

    def test_help_and_version(self):
        for name in ("taskmaster", "taskworker"):
            code, out, _ = run(name, "--help")
            self.assertEqual(code, 0)
            self.assertIn("--authkey-file", out)
            self.assertIn("Exit status", out)
            self.assertRegex(run(name, "--version")[1], rf"^{name} \d")

    def test_progress_on_a_terminal_only(self):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([program("taskmaster"), f"--listen=ipc://{self.path('sock')}", "--tasks=3", "--quiet"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env=environment())
        os.close(theirs)
        self.addCleanup(os.close, ours)
        self.addCleanup(process.kill)
        shown = b""
        worker = Worker(self, f"ipc://{self.path('sock')}", "--sleep=300ms", f"--idle-timeout={IDLE}")
        while b"2 of 3 results" not in shown:
            shown += os.read(ours, 1000)
        self.assertIn(b"\r", shown)
        self.assertEqual(process.wait(seconds(10)), 0)
        self.assertEqual(worker.wait(), 0)


if __name__ == "__main__":
    main()
