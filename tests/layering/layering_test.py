# SPDX-License-Identifier: Apache-2.0
"""The house rules that a compiler does not check: who may include whom, what a public header owes its reader, where the
codes of other libraries may be seen. It reads the sources; nothing is run but compilers and nm.

    transports <- clients <- actors <- examples
    transports <- broker
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TROUPE_BUILD")
MAY_INCLUDE = {
    "transports": {"transports"},
    "clients": {"transports", "clients"},
    "actors": {"transports", "clients", "actors"},
    "broker": {"transports", "broker"},
    "examples": {"transports", "clients", "actors", "broker", "examples"},  # broker: its public header, to embed one
}
LIBRARIES = {"libtroupe.so": ("transports", "clients", "actors"), "libtroupe-broker.so": ("broker",)}


def sources(folder, ends=(".c", ".h")):
    for where, _, names in sorted(os.walk(os.path.join(ROOT, folder))):
        for name in sorted(names):
            if name.endswith(ends):
                yield os.path.relpath(os.path.join(where, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    """The code alone; line numbers stay. Strings are kept, so that /* in one does not begin a comment."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m[0]) if m[0][0] == "/" else m[0], text)


def public_headers(folders=tuple(MAY_INCLUDE)):
    return [path for folder in folders for path in sources(os.path.join(folder, "include", "troupe"), (".h",))]


OWNER = {os.path.basename(path): path.split("/")[0] for path in public_headers()}


def prototypes(path):
    """(name, is it documented) of each exported function. A comment documents the prototypes that follow it without a
    blank line; a banner (--- text ---) documents none."""
    blocks = re.split(r"\n[ \t]*\n", read(path))
    for block in blocks:
        comment = re.match(r"\s*/\*(?!\s*---)(.*?)\*/", block, re.S)
        for name in re.findall(r"^TROUPE_API[^;(]*?\b(troupe_\w+)\(", without_comments(block), re.M):
            yield name, bool(comment and len(comment[1].split()) >= 3)


class Includes(unittest.TestCase):
    def test_no_include_points_upward(self):
        wrong = []
        for folder, allowed in MAY_INCLUDE.items():
            for path in sources(folder):
                for line in without_comments(read(path)).splitlines():
                    include = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<troupe/([^>]+)>)', line)
                    if not include:
                        continue
                    private, public = include.groups()
                    owner = private.split("/")[0] if private else OWNER.get(public)
                    if owner not in allowed:
                        wrong.append(f"{path} includes {private or 'troupe/' + public}")
        self.assertEqual(wrong, [])

    def test_private_includes_are_written_from_the_root(self):
        wrong = []
        for folder in [*MAY_INCLUDE, "tests/unit", "tests/conformance", "tests/fuzz", "tests/system"]:
            for path in sources(folder):
                for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', without_comments(read(path)), re.M):
                    if not os.path.exists(os.path.join(ROOT, name)):
                        wrong.append(f"{path} includes {name}")
        self.assertEqual(wrong, [])

    def test_public_headers_include_only_what_is_public(self):
        for path in public_headers():
            with self.subTest(path):
                self.assertEqual(re.findall(r'#\s*include\s+"', read(path)), [])
                self.assertNotRegex(read(path), r"#\s*include\s+<(uv|nng|msgpack|jansson)")

    def test_examples_see_the_public_headers_only(self):
        """They are what a reader copies from, with what they share among themselves."""
        self.assertEqual([path for path in sources("examples") if re.search(r'#\s*include\s+"(?!examples/)', read(path))], [])


class Copies(unittest.TestCase):
    def test_each_call_is_tried_in_a_forked_copy(self):
        """A new call of a body or a system has to refuse there, as all others do: copy_test.c is where it says so."""
        tried = read("tests/conformance/copy_test.c")
        calls = [name for path in public_headers(("actors",)) for name in re.findall(
            r"^TROUPE_API TROUPE_NODISCARD troupe_status (troupe_\w+)\(troupe_(?:self \*self|system \*sys)\b", read(path), re.M)]
        self.assertGreater(len(calls), 60)
        self.assertEqual([name for name in calls if f"REFUSED({name}(" not in tried], [])


class Codes(unittest.TestCase):
    def test_codes_of_other_libraries_end_in_transports(self):
        wrong = []
        for folder in MAY_INCLUDE:
            if folder == "transports":
                continue
            for path in sources(folder):
                for number, line in enumerate(without_comments(read(path)).splitlines(), 1):
                    if re.search(r"\b(UV_E|NNG_E)[A-Z]", line):
                        wrong.append(f"{path}:{number}: {line.strip()}")
        self.assertEqual(wrong, [])


class PublicHeaders(unittest.TestCase):
    def test_every_function_is_documented(self):
        found = [(path, name, good) for path in public_headers() for name, good in prototypes(path)]
        print(f"{len(found)} public functions, {sum(good for _, _, good in found)} documented", flush=True)
        self.assertGreater(len(found), 50)
        self.assertEqual([f"{path}: {name}" for path, name, good in found if not good], [])

    def test_every_function_is_counted(self):
        """No prototype hides from the test above by being written in another way."""
        for path in public_headers():
            code = without_comments(read(path))
            counted = {name for name, _ in prototypes(path)}
            written = set(re.findall(r"\b(troupe_\w+)\s*\([^;{]*\)\s*(?:TROUPE_PRINTF\([^)]*\))?\s*;", code, re.S))
            types = set(re.findall(r"typedef[^;]*?\b(troupe_\w+)\s*\(", code, re.S))
            with self.subTest(path):
                self.assertLessEqual(written - types, counted)

    def test_each_compiles_alone_and_twice(self):
        compilers = [cc for cc in ("gcc", "clang") if shutil.which(cc)]
        self.assertTrue(compilers)
        flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c", "-"]
        paths = [f"-I{ROOT}/{folder}/include" for folder in MAY_INCLUDE]
        for header in public_headers():
            name = "troupe/" + os.path.basename(header)
            text = f"#include <{name}>\n#include <{name}>\nint main(void) {{ return 0; }}\n"
            for cc in compilers:
                with self.subTest(header=header, cc=cc):
                    done = subprocess.run([cc, *paths, *flags], input=text, text=True, stderr=subprocess.PIPE)
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_header_opens_with_its_idea(self):
        for path in public_headers():
            with self.subTest(path):
                self.assertTrue(read(path).startswith("/* SPDX-License-Identifier: Apache-2.0\n"))


class Exports(unittest.TestCase):
    """What the shared libraries show, against what the headers promise."""

    def setUp(self):
        if not BUILD or not shutil.which("nm"):
            self.skipTest("needs TROUPE_BUILD and nm")

    def exported(self, library):
        said = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "lib", library)], stdout=subprocess.PIPE, text=True, check=True)
        return {line.split()[2] for line in said.stdout.splitlines() if len(line.split()) == 3 and line.split()[1] in "TDBRVWi"}

    def test_every_public_function_is_there(self):
        for library, folders in LIBRARIES.items():
            promised = {name for path in public_headers(folders) for name, _ in prototypes(path)}
            with self.subTest(library):
                self.assertEqual(promised - self.exported(library), set())

    def test_every_name_is_prefixed(self):
        for library in LIBRARIES:
            ours = re.compile(r"^(troupe_|trp_|__asan|__odr_asan|__tsan|__ubsan|__sancov|_init$|_fini$)")
            with self.subTest(library):
                self.assertEqual({name for name in self.exported(library) if not ours.match(name)}, set())


class Texts(unittest.TestCase):
    def test_licence_lines(self):
        for folder in [*MAY_INCLUDE, "tests"]:
            for path in sources(folder):
                with self.subTest(path):
                    self.assertTrue(read(path).startswith("/* SPDX-License-Identifier: Apache-2.0\n * SPDX-FileCopyrightText: The Troupe authors"))

    def test_versions_agree(self):
        project = re.search(r"project\(Troupe VERSION ([\d.]+)", read("CMakeLists.txt"))[1]
        self.assertIn(f'#define TROUPE_VERSION "{project}"', read("transports/include/troupe/version.h"))

    def test_clang_format_has_laid_it_out(self):
        tool = "clang-format-14"  # another version would lay some of it out otherwise
        if not shutil.which(tool):
            self.skipTest(f"{tool} is not here")
        files = [path for folder in [*MAY_INCLUDE, "tests"] for path in sources(folder)]
        done = subprocess.run([tool, "--dry-run", "-Werror", *files], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_scripts_are_clean(self):
        if not shutil.which("shellcheck"):
            self.skipTest("shellcheck is not here")
        scripts = [path for path in sources("scripts", (".sh",))] + [".ci/run", "tests/consumer/run.sh"]
        done = subprocess.run(["shellcheck", *scripts], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)


class Readme(unittest.TestCase):
    """The code that a newcomer reads first compiles, warnings and all."""

    def test_its_code_compiles(self):
        blocks = re.findall(r"```c\n(.*?)```", read("README.md"), re.S)
        self.assertTrue(blocks)
        flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
        for block in blocks:
            self.assertLessEqual(len([line for line in block.splitlines() if line.strip()]), 30)
            with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
                f.write(block)
                f.flush()
                done = subprocess.run(["cc", *flags, *(f"-I{ROOT}/{folder}/include" for folder in MAY_INCLUDE), f.name], stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_file_it_names_is_there(self):
        for page in ("README.md", "CONTRIBUTING.md"):
            for target in re.findall(r"\]\(([^)#]+)\)", read(page)):
                if not target.startswith("http"):
                    with self.subTest(page=page, target=target):
                        self.assertTrue(os.path.exists(os.path.join(ROOT, target)))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
