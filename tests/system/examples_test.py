# SPDX-License-Identifier: Apache-2.0
"""Each example is run and says what it should: one entry of EXAMPLES for each, in the order of their names. Another example is another entry."""

import os
import re
import subprocess

from harness import BIN, Case, main, seconds

# program: what is expected of it. `out`: its output, lines in order; a line that begins with "~" is a regular expression.
# Optional: `args`, `input`, `code` (its exit status), `unordered` (the lines come in any order), `seconds` (at most so many).
EXAMPLES = {
    "all-cores": {
        "out": """\
~two of kind coroutine: [0-9.]+ processors
~two of kind thread: [0-9.]+ processors
~two of kind process: [0-9.]+ processors
""",  # how many depends on who else wants them
    },
    "averager": {
        "out": """\
0.0
0.5
1.0
3.25
""",
    },
    "crash-and-restart": {
        "out": """\
divider 2: 42
counter 0: 1
divider 0: the actor died
~the divider has died of (SIGSEGV|exit status [0-9]+)
divider 4: 21
counter 0: 2
""",  # a sanitizer ends the process by itself
    },
    "echo-server": {
        "out": """\
hello -> HELLO_SB
what is up? -> WHAT IS UP?_SB
""",
    },
    "exec-sort": {
        "out": """\
apple
fig
pear
sort ended: normal
8
9
10
and 1 line of errors
sh ended: exit status 3
""",
    },
    "fib": {
        "args": ["1", "10", "20", "30", "36", "0", "--", "-5"],
        "out": """\
~fib\\(1\\) = 1   \\([0-9.]+ ms\\)
~fib\\(10\\) = 55   \\([0-9.]+ ms\\)
~fib\\(20\\) = 6765   \\([0-9.]+ ms\\)
~fib\\(30\\) = 832040   \\([0-9.]+ ms\\)
~fib\\(36\\) = 14930352   \\([0-9.]+ ms\\)
~fib\\(0\\) = 1   \\([0-9.]+ ms\\)
~fib\\(-5\\) = 1   \\([0-9.]+ ms\\)
""",
    },
    "futures": {
        "out": """\
asked: 1
asked: 4
asked: 9
awaited: 121
awaited: 144
awaited: 169
called: 441
called: 441
called: 441
asked who sleeps: cancelled
""",
    },
    "hello": {
        "out": """\
Hello world, says a coroutine.
Hello world, says a thread.
Hello world, says a process.
""",
    },
    "interleave": {
        "out": """\
1
2
x
y
3
z
""",
    },
    "named-thread": {
        "out": """\
thread main is running...
thread LoopThread is running (the system calls it LoopThread)...
thread LoopThread >>> 1
thread LoopThread >>> 2
thread LoopThread >>> 3
thread LoopThread >>> 4
thread LoopThread >>> 5
thread LoopThread ended.
thread main ended.
""",
    },
    "offload": {
        "out": """\
the clerk is asked, while the other coroutine waits
the answer is 2178309
""",
    },
    "pids": {
        "out": """\
~Process \\d+ starts\\.
~I am a coroutine in process \\d+, which is main's; my parent is \\d+\\.
It ended: normal. The counter is 1 here.
~I am a thread in process \\d+, which is main's; my parent is \\d+\\.
It ended: normal. The counter is 2 here.
~I am a process in process \\d+, not main's; my parent is \\d+\\.
It ended: normal. The counter is 2 here.
""",
    },
    "pool-map": {
        "out": """\
the first trouble: the actor died
0 * 0 = 0
1 * 1 = 1
2 * 2 = 4
3 * 3 = 9
task 4 has no result
5 * 5 = 25
6 * 6 = 36
7 * 7 = 49
All subprocesses done.
""",
    },
    "print-actor": {
        "out": """\
Got: Hello
Got: World
""",
    },
    "producer-consumer": {
        "out": """\
[PRODUCER] Producing 1...
[CONSUMER] Consuming 1...
[PRODUCER] Consumer return: 200 OK
[PRODUCER] Producing 2...
[CONSUMER] Consuming 2...
[PRODUCER] Consumer return: 200 OK
[PRODUCER] Producing 3...
[CONSUMER] Consuming 3...
[PRODUCER] Consumer return: 200 OK
[PRODUCER] Producing 4...
[CONSUMER] Consuming 4...
[PRODUCER] Consumer return: 200 OK
[PRODUCER] Producing 5...
[CONSUMER] Consuming 5...
[PRODUCER] Consumer return: 200 OK
""",
    },
    "pub-sub": {
        "out": """\
local.news.weather, by a coroutine: it rains
local.news.weather, by a thread: it rains
local.news.weather, by a process: it rains
local.news.sport, by a coroutine: a draw
local.news.sport, by a thread: a draw
local.news.sport, by a process: a draw
""",
        "unordered": True,
    },
    "queue-demo": {
        "args": ["300"],
        "out": """\
A puts 0
B got 0
A puts 1
B got 1
A puts 2
B got 2
A puts 3
B got 3
A puts 4
B got 4
A puts 5
B got 5
A puts 6
B got 6
A puts 7
B got 7
A puts 8
B got 8
A puts 9
B got 9
A is done
B has waited long enough
""",
    },
    "seeded-test": {
        "out": """\
8 hours have passed, 8 times all was well
~careless: seed [0-9]+ loses a deposit, each time
careful: no seed of 100 loses a deposit
""",
    },
    "thread-local": {
        "out": """\
Hello, Alice (in Thread-A)
Hello, Bob (in Thread-B)
""",
    },
    "ticket-counter": {
        "out": """\
100000 tickets sold to 1024 buyers
0 tickets left
""",
        "seconds": 60,
    },
}


def line_is(said, expected):
    return bool(re.fullmatch(expected[1:], said)) if expected.startswith("~") else said == expected


def matches(said, expected, unordered):
    said, expected = said.splitlines(), expected.splitlines()
    if not unordered:
        return len(said) == len(expected) and all(map(line_is, said, expected))
    for line in expected:
        found = next((s for s in said if line_is(s, line)), None)
        if found is None:
            return False
        said.remove(found)
    return not said


def run(name, example):
    return subprocess.run([os.path.join(BIN, name), *example.get("args", [])], input=example.get("input", ""), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=seconds(example.get("seconds", 10)))


class Examples(Case):
    def test_each_says_what_it_should(self):
        for name, example in EXAMPLES.items():
            with self.subTest(name):
                done = run(name, example)
                self.assertEqual(done.returncode, example.get("code", 0), done.stderr)
                self.assertTrue(matches(done.stdout, example["out"], example.get("unordered", False)),
                                f"{name} said\n{done.stdout}and should have said\n{example['out']}")

    def test_the_table_is_in_order(self):
        self.assertEqual(list(EXAMPLES), sorted(EXAMPLES))

    def test_other_output_is_noticed(self):
        self.assertFalse(matches("a\nb\n", "b\na\n", False))
        self.assertTrue(matches("a\nb\n", "b\n~[a]\n", True))
        self.assertFalse(matches("a\nb\nb\n", "b\na\n", True))
        self.assertFalse(matches("a\n", "a\nb\n", True))


if __name__ == "__main__":
    main()
