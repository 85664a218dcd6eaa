# SPDX-License-Identifier: Apache-2.0
"""examples/README.md names files that exist, and programs that are built and tested; and no example is left out of it."""

import glob
import os
import re

from harness import BIN, ROOT, Case, main

GUIDE = os.path.join(ROOT, "examples", "README.md")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def programs():
    """source: program, from the build's own list."""
    built = re.findall(r"^troupe_example\((\S+) ([^)]*)\)", read("examples", "CMakeLists.txt"), re.M)
    return {source: name for name, sources in built for source in sources.split()[:1]}


def links():
    return re.findall(r"\]\(([^)#]+)\)", read("examples", "README.md"))


def named_by_tests():
    """What the other tests run, in quotes."""
    texts = [read("tests", "system", os.path.basename(path)) for path in glob.glob(os.path.join(ROOT, "tests", "system", "*_test.py"))]
    texts.append(read("tests", "system", "harness.py"))
    return set(re.findall(r'"([\w-]+)"', "".join(texts)))


class Guide(Case):
    def test_what_it_names_exists(self):
        missing = [link for link in links() if not os.path.exists(os.path.join(os.path.dirname(GUIDE), link))]
        self.assertEqual(missing, [])
        self.assertGreater(len(links()), 20)

    def test_every_program_it_names_is_built_and_run_by_a_test(self):
        named = {link for link in links() if link.endswith(".c") and "/" not in link}
        self.assertEqual(named - set(programs()), set(), "not built")
        tested = named_by_tests()
        for source in sorted(named):
            name = programs()[source]
            self.assertTrue(os.access(os.path.join(BIN, name), os.X_OK), f"{name} is not there")
            self.assertIn(name, tested, f"no test runs {name}")

    def test_every_example_is_in_it(self):
        self.assertEqual(set(programs()) - set(links()), set())


if __name__ == "__main__":
    main()
