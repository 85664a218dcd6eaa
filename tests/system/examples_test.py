# SPDX-License-Identifier: Apache-2.0
"""Each example is run and says what it should: one entry of EXAMPLES for each, in the order of their names. Another example is another entry."""

import os
import re
import subprocess

from harness import BIN, Case, main, seconds

# program: what is expected of it. `out`: its output, lines in order; a line that begins with "~" is a regular expression.
# Optional: `args`, `input`, `code` (its exit status), `unordered` (the lines come in any order), `seconds` (at most so many).
EXAMPLES = {
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
    "print-actor": {
        "out": """\
Got: Hello
Got: World
""",
    },
    "thread-local": {
        "out": """\
Hello, Alice (in Thread-A)
Hello, Bob (in Thread-B)
""",
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
