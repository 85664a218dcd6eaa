# SPDX-License-Identifier: Apache-2.0
"""GUARANTEES.md names the test behind each line: no line without one, and none that does not exist."""

import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "GUARANTEES.md")
PROOF = re.compile(r"`((?:\w+/)+\w+\.(?:c|py)): (\w+)`")


def rows():
    """The lines of the tables, without their heads: (number, text)."""
    with open(PAGE, encoding="utf-8") as f:
        lines = f.read().splitlines()
    return [(n, line) for n, line in enumerate(lines, 1)
            if line.startswith("|") and "---" not in line and not (n < len(lines) and "| ---" in lines[n])]


def cases_of(file):
    with open(os.path.join(ROOT, "tests", file), encoding="utf-8") as f:
        text = f.read()
    return set(re.findall(r"^START_TEST\((\w+)\)" if file.endswith(".c") else r"^    def (test_\w+)\(", text, re.M))


class Guarantees(unittest.TestCase):
    def test_each_line_has_a_proof(self):
        self.assertGreater(len(rows()), 40)
        self.assertEqual([n for n, line in rows() if not PROOF.search(line.rsplit("|", 2)[1])], [], "lines without a test")

    def test_each_proof_exists(self):
        missing, known = [], {}
        with open(PAGE, encoding="utf-8") as f:
            proofs = PROOF.findall(f.read())
        for file, case in proofs:
            if file not in known:
                known[file] = cases_of(file) if os.path.exists(os.path.join(ROOT, "tests", file)) else set()
            if case not in known[file]:
                missing.append(f"{file}: {case}")
        self.assertEqual(missing, [])
        self.assertGreater(len(proofs), 60)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
