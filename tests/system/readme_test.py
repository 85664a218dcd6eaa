# SPDX-License-Identifier: Apache-2.0
"""The code in the README runs and does what the README says of it."""

import os
import re
import subprocess
import unittest

from harness import BIN, ROOT, SANITIZED, Case, Program, main, run, until


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


if __name__ == "__main__":
    main()
