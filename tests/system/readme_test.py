# SPDX-License-Identifier: Apache-2.0
"""The code in the README runs and does what the README says of it."""

import os
import re
import subprocess
import unittest

from harness import BIN, ROOT, SANITIZED, Case, Program, environment, main, run, seconds, until


@unittest.skipIf(SANITIZED, "it is built as a stranger builds it, without a sanitizer")
class Readme(Case):
    def test_the_actor_answers(self):
        with open(os.path.join(ROOT, "README.md")) as f:
            code = re.search(r"```c\n(.*?)```", f.read(), re.S)[1]
        source, binary, libraries = self.path("squares.c"), self.path("squares"), os.path.join(os.path.dirname(BIN), "lib")
        with open(source, "w") as f:
            f.write(code)
        includes = [f"-I{ROOT}/{folder}/include" for folder in ("transports", "clients", "actors")]
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *includes, source, "-o", binary, f"-L{libraries}",
                        f"-Wl,-rpath,{libraries}", "-ltroupe"], check=True)
        broker = self.broker()
        actor = Program(self, binary, env={"TROUPE_BROKER": broker.url})
        said = until(lambda: (answer := run("troupe", "request", "square", "12", f"--broker={broker.url}"))[0] == 0 and answer, 20,
                     "the actor answers")
        self.assertEqual(said[1], "144\n")
        code, _, err = run("troupe", "request", "square", "twelve", f"--broker={broker.url}")
        self.assertEqual(code, 1)
        self.assertIn("NOT_A_NUMBER", err)
        self.assertEqual(actor.terminate(), 0)


class Commands(Case):
    """What the README tells to type, typed."""

    def blocks(self, heading):
        """The indented blocks of a section, without the indent."""
        with open(os.path.join(ROOT, "README.md")) as f:
            section = re.search(rf"^##+ {heading}\n(.*?)^##+ ", f.read(), re.S | re.M)[1]
        return [re.sub(r"^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n)+", section, re.M)]

    def type(self, commands, **env):
        done = subprocess.run(["bash", "-euc", commands + "\nwait"], cwd=self.path(""), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds(30), env=environment(env | {"PATH": f"{BIN}:{os.environ['PATH']}"}))
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def test_tasks(self):
        commands, printed = self.blocks("Work for machines that come and go")
        self.assertEqual(commands.count("tcp://127.0.0.1:5000"), 2)
        said = self.type(commands.replace("tcp://127.0.0.1:5000", f"ipc://{self.path('sock')}"))
        # Which of the two is first with its line is open.
        self.assertEqual(sorted(said.splitlines()), sorted(printed.splitlines()))

    def test_queues(self):
        broker = self.broker(f"--data={self.path('data')}")
        said = self.type(self.blocks("Queues")[0], TROUPE_BROKER=broker.url)
        self.assertIn('"dear all"\n', said)
        self.assertRegex(said, r"(?m)^mail +0 +0 +0 ")
        self.assertEqual(broker.terminate(), 0)


if __name__ == "__main__":
    main()
