# SPDX-License-Identifier: Apache-2.0
"""A log that was cut off or changed, and a real brokerd that starts on it. Either it starts with every message whose record
is whole and lies before the damage, in order, and says what it cut; or it refuses with exit status 65 and a sentence
that names the file and the offset. It never crashes, and never skips something in the middle.

The journal's own tests (tests/unit/recovery_test.c) try every offset and every bit; here is a sample of them, with all that lies
between a file and a consumer. TROUPE_SEED repeats one."""

import os
import random
import re
import shutil
import struct
import subprocess
from collections import namedtuple

from harness import SANITIZED, Case, environment, main, program, seconds
from queue_peer import QueuePeer, durable_broker

SEED = int(os.environ.get("TROUPE_SEED", random.SystemRandom().randrange(1 << 32)))
MESSAGES = 300
SAMPLE = 20 if SANITIZED else 100
EX_DATAERR = 65
HEADER, RECORD_HEADER, MARK = 32, 8, 1 << 31

Record = namedtuple("Record", "start end number")  # number: of the message it puts; None: it is something else
Outcome = namedtuple("Outcome", "code messages said")


def walk(data):
    """The records of a segment, as segment.h describes it."""
    records, at = [], HEADER
    while at + RECORD_HEADER <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        if length == 0:
            break
        end = at + RECORD_HEADER + (length & ~MARK)
        found = re.search(rb"message (\d{6})", data[at:end])
        records.append(Record(at, end, int(found.group(1)) if found else None))
        at = end
    return records


class Torn(Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        print(f"seed {SEED} ", end="", flush=True)

    # --- a log ---

    def fill(self, sizes):
        """A data directory as a kill -9 leaves it, with a message of each size, confirmed in groups."""
        data = self.path("data")
        broker = durable_broker(self, data)
        with QueuePeer(self, broker.url) as p:
            p.declare("q")
            for n in range(0, len(sizes), 20):
                answers = p.put_all("q", [f"message {i:06d} ".encode() + bytes(sizes[i]) for i in range(n, min(n + 20, len(sizes)))])
                self.assertEqual({a[2] for a in answers}, {3})
        broker.kill()
        return data, sorted(f for f in os.listdir(data) if f.endswith(".log"))

    def small(self):
        data, files = self.fill([self.random.choice((0, 10, 100, 1000)) for _ in range(MESSAGES - 3)] + [0, 10, 30])
        self.assertEqual(len(files), 1)
        with open(os.path.join(data, files[0]), "rb") as f:
            content = f.read()
        records = walk(content)
        self.assertEqual([r.number for r in records if r.number is not None], list(range(MESSAGES)))
        return files[0], content, records

    # --- a start ---

    def start_on(self, data):
        """What becomes of a brokerd that is started there."""
        url = f"ipc://{self.path('torn.sock')}"
        args = [program("brokerd"), f"--data={data}", f"--listen={url}", "--log-level=warn", "--max-pending=256M"]
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *args],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        try:
            runs = any(line.startswith(b"listening") for line in process.stdout)
            messages = self.messages(url) if runs else None
            if runs:
                process.kill()
            said = process.stderr.read().decode()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        self.assertNotIn("Sanitizer", said)
        return Outcome(0 if runs else process.returncode, messages, said)

    def messages(self, url):
        """The numbers of all messages, as a consumer gets them; none is acknowledged."""
        with QueuePeer(self, url) as p:
            if all(s["name"] != "q" for s in p.verb("list", "")[4]):
                return []
            p.consume("q", credit=MESSAGES)
            return [int(p.delivery().payload[8:14]) for _ in range(p.waiting("q"))]

    def start_with(self, name, content):
        data = self.path("damaged")
        shutil.rmtree(data, ignore_errors=True)
        os.mkdir(data, 0o700)
        with open(os.path.join(data, name), "wb") as f:
            f.write(content)
        return self.start_on(data)

    def assertRefused(self, outcome, name, record, what):
        """With a sentence that names the file, and an offset in that record."""
        self.assertEqual(outcome.code, EX_DATAERR, f"{what}: {outcome}")
        found = re.search(rf"{re.escape(name)}\b.*\boffset (\d+)", outcome.said)
        self.assertTrue(found, f"{what}: {outcome.said}")
        self.assertTrue(record.start <= int(found.group(1)) <= record.end, f"{what}: {record} and {outcome.said}")

    def assertCut(self, outcome, records, at, what):
        """All messages before `at`, and no more; and it said so."""
        expected = [r.number for r in records if r.end <= at and r.number is not None]
        self.assertEqual((outcome.code, outcome.messages), (0, expected), f"{what}: {outcome.said}")

    # --- one segment ---

    def test_a_log_cut_anywhere_starts_with_all_before_the_cut(self):
        name, content, records = self.small()
        end = records[-1].end
        cuts = {0, 1, HEADER - 1, HEADER, len(content), *range(records[-3].start, end + 1, 5 if SANITIZED else 1)}
        cuts |= {self.random.randrange(HEADER, end) for _ in range(SAMPLE)}
        edges = {HEADER, *(r.end for r in records)}
        for cut in sorted(cuts):
            outcome = self.start_with(name, content[:cut])
            self.assertCut(outcome, records, cut, f"cut at {cut}")
            if cut < HEADER:
                self.assertIn(f"{name} ended within its header, at offset {cut}", outcome.said)
            elif cut in edges or cut > end:
                self.assertNotIn("store.cut", outcome.said)
            else:
                begins = max(edge for edge in edges if edge <= cut)
                # Zeros are as good as nothing: a file system leaves them.
                if used := len(content[begins:cut].rstrip(b"\0")):
                    self.assertRegex(outcome.said, rf"store\.cut .*{name} had a torn tail: {used} bytes were cut at offset {begins}")

    def test_a_flipped_bit_is_found_wherever_it_is(self):
        name, content, records = self.small()
        end = records[-1].end
        places = {self.random.randrange(0, end) for _ in range(SAMPLE)}
        places |= set(range(records[-2].start, end, 7)) | set(range(0, HEADER, 5))
        refused = 0
        for place in sorted(places):
            damaged = bytearray(content)
            damaged[place] ^= 1 << self.random.randrange(8)
            outcome, what = self.start_with(name, damaged), f"a bit of {place} flipped"
            hit = next((r for r in records if r.start <= place < r.end), Record(0, HEADER, None))
            if outcome.code == 0:
                self.assertCut(outcome, records, hit.start, what)
                self.assertIn("store.cut", outcome.said)
                self.assertGreaterEqual(hit.end, records[-1].start, f"{what}: there was more behind it, and a mark that says so")
            elif "has version" in outcome.said:
                self.assertTrue(6 <= place < 8, f"{what}: {outcome}")
                self.assertEqual(outcome.code, EX_DATAERR)
            else:
                self.assertRefused(outcome, name, hit, what)
                refused += 1
        print(f"{refused} of {len(places)} refused ", end="", flush=True)

    def test_rubbish_behind_the_end_is_cut(self):
        name, content, records = self.small()
        end = records[-1].end
        for n in (1, 7, 8, 24, 5000):
            outcome = self.start_with(name, content[:end] + self.random.randbytes(n - 1) + b"\1")
            self.assertCut(outcome, records, end, f"{n} bytes of rubbish")
            self.assertIn(f"{n} bytes were cut at offset {end}", outcome.said)

    # --- several segments ---

    def test_damage_in_an_older_segment_is_refused_and_nothing_is_deleted(self):
        data, files = self.fill([900_000] * 80)
        self.assertGreaterEqual(len(files), 3)
        sizes = {f: os.path.getsize(os.path.join(data, f)) for f in files}
        for file in files[:2]:
            path = os.path.join(data, file)
            with open(path, "rb") as f:
                records = walk(f.read())
            for place in (records[0].start + 9, records[len(records) // 2].start + 1000, records[-1].end - 1):
                with flipped(path, place):
                    hit = next(r for r in records if r.start <= place < r.end)
                    self.assertRefused(self.start_on(data), file, hit, f"{file}, {place}")
        for file in files[:2]:
            path, away = os.path.join(data, file), self.path("away")
            os.rename(path, away)
            outcome = self.start_on(data)
            os.rename(away, path)
            self.assertEqual(outcome.code, EX_DATAERR, outcome.said)
            self.assertRegex(outcome.said, rf"{file} is missing|or one is missing", outcome.said)
        self.assertEqual(self.start_on(data).messages, list(range(80)))
        self.assertEqual([os.path.getsize(os.path.join(data, f)) for f in files[:-1]], [sizes[f] for f in files[:-1]])


class flipped:
    """A bit of a file is another one meanwhile."""

    def __init__(self, path, place):
        self.path, self.place = path, place

    def _flip(self):
        with open(self.path, "r+b") as f:
            f.seek(self.place)
            byte = f.read(1)[0]
            f.seek(self.place)
            f.write(bytes([byte ^ 16]))

    def __enter__(self):
        self._flip()

    def __exit__(self, *_):
        self._flip()


if __name__ == "__main__":
    main()
