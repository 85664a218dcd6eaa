# SPDX-License-Identifier: Apache-2.0
"""Queues from the shell: `troupe queue` and `troupe bench queue` against a real brokerd, in memory and on disk. What the broker does
with them under fire is in crash_test.py and its neighbours."""

import json
import os
import subprocess
import time

import msgpack

from harness import (OK, PUB, QUEUE, SUB, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, Case, Peer, Program, environment, for_each, main, program, run, seconds, until)
from queue_peer import QueuePeer

EX_DATAERR, EX_IOERR = 65, 74


class QueueCase(Case):
    def setUp(self):
        super().setUp()
        self.start()

    def start(self):
        self.brokerd = self.broker(f"--data={self.path('data')}")
        self.to = f"--broker={self.brokerd.url}"

    def queue(self, *args, code=0, data=None, timeout=20):
        """`troupe queue ARGS`: what it prints, if it ends as expected."""
        got, out, err = run("troupe", "queue", *args, self.to, data=data, timeout=timeout)
        self.assertEqual(got, code, f"{args}: {out}{err}")
        if code == 0:
            self.assertEqual(err, "", f"{args}")
        self.said = err
        return out

    def lines(self, *args, **kw):
        return [json.loads(line) for line in self.queue(*args, **kw).splitlines()]

    def stat(self, name):
        return self.lines("stat", name, "--json")[0]

    def counts(self, name):
        s = self.stat(name)
        return tuple(s[state] for state in ("ready", "delayed", "held", "buried"))

    def peer(self):
        return QueuePeer(self, self.brokerd.url)


class Shell(QueueCase):
    def test_a_message_in_and_out(self):
        self.queue("declare", "mail")
        self.assertEqual(self.queue("put", "mail", "hello"), "")
        self.queue("put", "mail", "--json", '{"a": [1, 2.5, null]}')
        self.queue("put", "mail", "42")
        self.queue("put", "mail")
        self.assertEqual(self.lines("get", "mail", "--count=4"), ["hello", {"a": [1, 2.5, None]}, 42, None])
        self.assertEqual(self.counts("mail"), (0, 0, 0, 0))
        self.assertEqual(self.stat("mail")["total_acked"], 4)

    def test_nothing_in_time(self):
        self.queue("declare", "mail")
        start = time.monotonic()
        self.assertEqual(self.queue("get", "mail", "--timeout=300ms", code=EX_TEMPFAIL), "")
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.assertEqual(self.said, "troupe: no message in time\n")
        self.queue("get", "mail", "--timeout=0", code=EX_TEMPFAIL)
        self.queue("put", "mail", "one")
        self.assertEqual(self.lines("get", "mail", "--count=2", "--timeout=0", code=EX_TEMPFAIL), ["one"])
        self.assertEqual(self.queue("get", "mail", "--all", "--timeout=0"), "")

    def test_a_get_that_waits(self):
        self.queue("declare", "mail")
        p = Program(self, "troupe", "queue", "get", "mail", "--timeout=20s", self.to)
        until(lambda: self.stat("mail")["waiting"] == 1, 10, "it waits")
        self.queue("put", "mail", "at last")
        self.assertEqual(p.wait(10), 0)
        self.assertEqual(p.out.lines(), ['"at last"'])

    def test_no_such_queue(self):
        for args in (("stat", "no"), ("put", "no", "x"), ("get", "no"), ("peek", "no"), ("purge", "no"), ("delete", "no"), ("pause", "no"),
                     ("resume", "no"), ("retry", "no"), ("export", "no"), ("put", "no", "-", "--lines")):
            with self.subTest(args=args):
                self.queue(*args, code=1, data=b"a line\n")
                self.assertRegex(self.said, r"\ANOT_FOUND: [^\n]+\n\Z")
        self.assertEqual(self.queue("list"), "NAME  READY  HELD  DELAYED  BURIED  BYTES  CONSUMERS  WAITING  TOTAL PUT  ACKED\n")
        self.assertEqual(self.queue("list", "--json"), "")

    def test_declaring_twice(self):
        args = ("declare", "mail", "--durable", "--bind=a.*", "--bind=b", "--max-messages=10", "--max-bytes=64k", "--overflow=drop-oldest",
                "--ttl=1h", "--ack-timeout=none", "--max-deliveries=none", "--max-crashes=2", "--dead=none", "--dedup-window=1s")
        self.queue(*args)
        self.queue(*args)
        s = self.stat("mail")
        want = dict(durable=1, bind=["a.*", "b"], max_messages=10, max_bytes=65536, overflow="drop-oldest", ttl=3600000, ack_timeout=0,
                    max_deliveries=0, max_crashes=2, dead="", dedup_window=1000)
        self.assertEqual({k: s[k] for k in want}, want)
        self.queue("declare", "mail", "--max-messages=11", code=1)
        self.assertEqual(self.said, "CONFLICT: it is durable, not in memory\n")
        self.queue(*args[:-1], "--dedup-window=2s", code=1)
        self.assertEqual(self.said, "CONFLICT: dedup is 1000, not 2000\n")

    def test_a_table(self):
        self.queue("declare", "mail", "--durable")
        self.queue("declare", "mail.urgent")
        self.queue("declare", "other")
        for text in ("a", "b", "c"):
            self.queue("put", "mail", text)
        self.queue("pause", "mail")
        table = [line.split() for line in self.queue("list").splitlines()]
        self.assertEqual(table[0][:3], ["NAME", "READY", "HELD"])
        self.assertEqual([row[0] for row in table[1:]], ["mail", "mail.urgent", "other"])
        self.assertEqual(table[1][1:5] + table[1][-3:], ["3", "0", "0", "0", "0", "durable,", "paused"])
        self.assertEqual([row[0] for row in map(str.split, self.queue("list", "mail").splitlines())][1:], ["mail", "mail.urgent"])
        starts = {line.index("0") for line in self.queue("list").splitlines()[2:]}
        self.assertEqual(len(starts), 1, "columns are aligned")
        self.assertIn("ack_timeout        30000 ms\n", self.queue("stat", "mail"))

    def test_many_queues_and_large_messages(self):
        """Answers larger than what a client takes by default."""
        peer = self.peer()
        for i in range(3000):
            peer.send([12, 1000 + i, "declare", f"q.{i}", {}])
        for i in range(3000):
            peer.receive()
        self.assertEqual(len(self.queue("list").splitlines()), 3001)
        self.assertEqual(len(self.lines("list", "--json")), 3000)
        text = "x" * (1 << 20)
        self.queue("put", "q.0", "-", data=text[:-5].encode())
        self.assertEqual(self.lines("get", "q.0", "--no-ack"), [text[:-5]])
        self.assertEqual(self.lines("peek", "q.0")[0]["payload"], text[:-5])

    def test_lists_come_in_pages(self):
        """A client that takes a megabyte sees thousands of queues, each once and in the order of their declaration."""
        peer = self.peer()
        names = [f"q.{i}" for i in range(1500)] + [f"other.{i}" for i in range(700)]
        for i, name in enumerate(names):
            peer.send([12, 1000 + i, "declare", name, {}])
        for _ in names:
            peer.receive()
        for under, want in (("", names), ("other", names[1500:]), ("q.7", ["q.7"]), ("none", [])):
            got, rows = [], [{"number": 0}]
            while rows:
                rows = peer.verb("list", under, after=rows[-1]["number"])[4]
                self.assertLess(len(repr(rows)), 2 << 20)
                got += [row["name"] for row in rows]
            self.assertEqual(got, want)

    def test_a_page_holds_what_fits(self):
        """Export and peek of messages that are larger than a page, beside small ones: each once, in order."""
        self.queue("declare", "mail")
        sizes = [10, (1 << 20) - 100, 10, 200000, 200000, 10, (1 << 20) - 100] + [1000] * 1500
        peer = self.peer()
        self.assertEqual({e[0] for e in peer.put_all("mail", [b"%07d" % i + bytes(max(0, n - 7)) for i, n in enumerate(sizes)])}, {OK})
        for args in (("export", "mail"), ("peek", "mail", f"--count={len(sizes)}")):
            self.assertEqual([r["seq"] for r in self.lines(*args, timeout=60)], list(range(1, len(sizes) + 1)))
        self.assertEqual([r["seq"] for r in self.lines("peek", "mail", "--at=1200", "--count=5")], list(range(1201, 1206)))
        with self.assertRaisesRegex(Exception, "EMPTY"):
            peer.verb("peek", "mail", at=len(sizes), count=1)

    def test_a_purge_takes_steps(self):
        """Of a queue with many messages: others are served in between, and what they put stays."""
        self.queue("declare", "mail")
        many = 100000
        peer, other = self.peer(), self.peer()
        quiet = msgpack.packb([PUB, 0, ["_q.mail", None, None, b"old"]])
        for _ in range(many // 1000):
            peer.send_bytes(peer.frame(quiet * 1000))
        self.assertEqual(peer.stat("mail")["ready"], many)
        peer.send([QUEUE, 7, "purge", "mail", {}])
        other.put("mail", b"new")
        self.assertEqual(peer.receive()[:2], [OK, 7])
        self.assertEqual(other.stat("mail")["total_purged"], many)
        self.assertEqual(other.take("mail", 1), [b"new"])
        for _ in range(many // 1000):
            peer.send_bytes(peer.frame(quiet * 1000))
        peer.stat("mail")
        peer.send([QUEUE, 8, "purge", "mail", {}], [QUEUE, 9, "delete", "mail", {}], [QUEUE, 10, "declare", "mail", {}])
        ends = [peer.receive() for _ in range(3)]
        self.assertEqual([e[1] for e in ends], [8, 9, 10], "what purges a queue that goes is done")
        self.assertEqual(ends[0][3] + ends[1][3], many)
        self.assertEqual(self.counts("mail"), (0, 0, 0, 0))

    def test_a_retry_takes_steps(self):
        """Of a queue with many dead messages: others are served in between, and one answer names them all."""
        self.queue("declare", "mail")
        many = 50000
        peer, other = self.peer(), self.peer()
        quiet = msgpack.packb([PUB, 0, ["_q.mail", None, {"t-ttl": 1}, b"old"]])
        for _ in range(many // 1000):
            peer.send_bytes(peer.frame(quiet * 1000))
        until(lambda: self.counts("mail")[0] == 0 and self.counts("mail.dead")[0] == many, 20, "all die")
        peer.send([QUEUE, 7, "retry", "mail.dead", {}])
        other.put("mail", b"new")
        answer = peer.receive()
        self.assertEqual((answer[0], answer[1], answer[3]), (OK, 7, many))
        self.assertEqual(self.counts("mail"), (many + 1, 0, 0, 0))
        self.assertEqual(self.counts("mail.dead"), (0, 0, 0, 0))

    def test_a_paused_queue_gives_nothing(self):
        self.queue("declare", "mail")
        self.queue("put", "mail", "a")
        self.queue("pause", "mail")
        self.queue("get", "mail", "--timeout=0", code=EX_TEMPFAIL)
        self.queue("resume", "mail")
        self.assertEqual(self.lines("get", "mail"), ["a"])

    def test_order_and_delay(self):
        self.queue("declare", "mail")
        for priority in (9, 4, 0, 4):
            self.queue("put", "mail", f"at {priority}", f"--priority={priority}")
        self.queue("put", "mail", "later", "--delay=1h", "--priority=0")
        self.assertEqual(self.lines("get", "mail", "--all", "--timeout=0"), ["at 0", "at 4", "at 4", "at 9"])
        peeked = self.lines("peek", "mail", "--state=delayed")[0]
        self.assertGreater(peeked["due_ms"], 3500000)
        self.queue("put", "mail", "soon", "--delay=300ms")
        self.assertEqual(self.lines("get", "mail", "--timeout=10s"), ["soon"])

    def test_a_time_to_live(self):
        self.queue("declare", "mail", "--dead=none")
        self.queue("put", "mail", "short", "--ttl=1ms")
        until(lambda: self.counts("mail")[0] == 0, 10, "it expires")
        self.assertEqual(self.stat("mail")["total_expired"], 1)

    def test_an_id_is_put_once(self):
        self.queue("declare", "mail")
        for _ in range(3):
            self.queue("put", "mail", "x", "--id=the same")
        s = self.stat("mail")
        self.assertEqual((s["ready"], s["total_duplicates"]), (1, 2))
        self.assertEqual(self.lines("peek", "mail")[0]["id"], "the same")

    def test_levels(self):
        self.queue("declare", "memory")
        self.queue("declare", "disk", "--durable")
        for level in ("memory", "written", "synced"):
            self.queue("put", "disk", "x", f"--level={level}")
        self.queue("put", "memory", "x", "--level=memory")
        self.queue("put", "memory", "x", "--level=synced", code=1)
        self.assertRegex(self.said, "^LEVEL: ")

    def test_a_full_queue(self):
        self.queue("declare", "mail", "--max-messages=2")
        self.assertEqual(self.queue("put", "mail", "-", "--lines", data=b"a\nb\nc\n", code=1), "")
        self.assertEqual(self.said, "FULL: the queue is full\n")
        self.assertEqual(self.counts("mail")[0], 2)

    def test_lines(self):
        self.queue("declare", "mail")
        text = "".join(f"line {i}\n" for i in range(5000)) + "no newline at the end"
        self.queue("put", "mail", "-", "--lines", data=text.encode())
        self.assertEqual(self.counts("mail")[0], 5001)
        self.assertEqual(self.lines("get", "mail", "--count=2"), ["line 0", "line 1"])
        self.assertEqual(self.lines("get", "mail", "--all", "--timeout=0")[-1], "no newline at the end")
        self.queue("put", "mail", "-", "--lines", "--json", data=b"1\n{\n", code=EX_DATAERR)
        self.assertIn("line 2", self.said)

    def test_given_back(self):
        self.queue("declare", "mail")
        for text in ("a", "b"):
            self.queue("put", "mail", text)
        self.assertEqual(self.lines("get", "mail", "--count=2", "--no-ack"), ["a", "b"])
        until(lambda: self.counts("mail")[0] == 2, 10, "they go back")
        self.assertEqual(self.lines("peek", "mail", "--count=9"), self.lines("peek", "mail", "--count=2"))
        self.assertEqual([r["deliveries"] for r in self.lines("peek", "mail", "--count=2")], [1, 1])
        self.assertNotIn("crashes", self.lines("peek", "mail")[0], "it said goodbye")
        self.assertEqual(self.lines("get", "mail", "--count=2"), ["a", "b"])

    def test_not_printed_not_acknowledged(self):
        self.queue("declare", "mail")
        self.queue("put", "mail", "precious")
        with open("/dev/full", "w") as full:
            done = subprocess.run([program("troupe"), "queue", "get", "mail", self.to], stdout=full, stderr=subprocess.PIPE, timeout=seconds(20),
                                  env=environment())
        self.assertEqual(done.returncode, EX_IOERR)
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([program("troupe"), "queue", "get", "mail", self.to], stdout=writer, timeout=seconds(20), env=environment())
        os.close(writer)
        self.assertEqual(done.returncode, 0)
        until(lambda: self.counts("mail")[0] == 1, 10, "it goes back")
        peeked = self.lines("peek", "mail")[0]
        self.assertEqual((peeked["deliveries"], peeked.get("crashes", 0)), (2, 0))

    def test_emptying(self):
        self.queue("declare", "mail")
        for i in range(3):
            self.queue("put", "mail", str(i))
        self.queue("put", "mail", "later", "--delay=1h")
        self.assertEqual(self.queue("purge", "mail"), "4\n")
        self.assertEqual(self.queue("purge", "mail", "--all"), "0\n")
        self.queue("delete", "mail")
        self.queue("stat", "mail", code=1)

    def test_a_queue_bound_to_topics(self):
        self.queue("declare", "audit", "--bind=orders.>")
        for topic in ("orders.new", "orders.old.paid", "other"):
            self.assertEqual(run("troupe", "pub", topic, "x", self.to)[0], 0)
        self.assertEqual([r["topic"] for r in self.lines("peek", "audit", "--count=9")], ["orders.new", "orders.old.paid"])
        self.assertEqual(self.lines("get", "audit", "--all", "--timeout=0"), ["x", "x"])

    def test_dead_letters_and_back(self):
        self.queue("declare", "mail", "--max-deliveries=2")
        self.queue("put", "mail", "bad", "--priority=1")
        for _ in range(2):
            self.assertEqual(self.lines("get", "mail", "--no-ack"), ["bad"])
        until(lambda: self.counts("mail") == (0, 0, 0, 0), 10, "it is dead")
        peeked = self.lines("peek", "mail.dead")[0]
        self.assertEqual((peeked["payload"], peeked["died_in"], peeked["reason"], peeked["died_deliveries"]), ("bad", "mail", "max_deliveries", 2))
        self.assertEqual(self.queue("retry", "mail.dead", "--count=5"), "1\n")
        self.assertEqual(self.lines("get", "mail"), ["bad"])
        self.assertEqual(self.queue("retry", "mail.dead"), "0\n")

    def test_a_crash_is_told(self):
        self.queue("declare", "mail")
        self.queue("put", "mail", "x")
        p = self.peer()
        p.send([5, 99, 1, "_q.mail", {"credit": 1}])
        until(lambda: self.counts("mail")[2] == 1, 10, "it has it in hand")
        p.reset()
        until(lambda: self.counts("mail")[0] == 1, 10, "it comes back")
        self.assertEqual(self.lines("peek", "mail")[0]["crashes"], 1)

    def test_an_obituary_is_in_the_log(self):
        token = os.urandom(16).hex()
        self.queue("declare", "mail", "--durable", "--max-crashes=1")
        self.queue("put", "mail", "x")
        p = Peer(self, self.brokerd.url)
        p.hello(obituary=token)
        p.send([SUB, 99, 1, "_q.mail", {"credit": 1}])
        until(lambda: self.counts("mail")[2] == 1, 10, "it has it in hand")
        self.assertEqual(self.peer().verb("obituary", token, signal=11)[3], 0)  # kept: the end is still to come
        p.reset()
        until(lambda: self.counts("mail") == (0, 0, 0, 0), 10, "it is dead")
        self.queue("put", "mail", "y")  # confirmed: the log has all that came before it
        self.brokerd.kill()
        self.start()
        dead = self.lines("peek", "mail.dead")[0]
        self.assertEqual((dead["payload"], dead["reason"], dead["died_crashes"], dead["died_signal"]), ("x", "crashed", 1, 11))

    def test_durable_queues_survive(self):
        self.queue("declare", "mail", "--durable")
        self.queue("declare", "gone")
        for i in range(10):
            self.queue("put", "mail", str(i), f"--id={i}")
        self.assertEqual(self.lines("get", "mail", "--count=2"), [0, 1])
        until(lambda: self.stat("mail")["total_acked"] == 2, 10, "they are acknowledged")
        self.brokerd.kill()
        self.start()
        self.assertEqual(self.lines("get", "mail", "--count=8"), list(range(2, 10)))
        self.queue("put", "mail", "again", "--id=9")
        self.assertEqual(self.stat("mail")["total_duplicates"], 1)
        self.queue("stat", "gone", code=1)

    def test_the_topic_of_a_queue(self):
        self.queue("declare", "mail")
        self.assertEqual(run("troupe", "pub", "_q.mail", "by its topic", self.to)[0], 0)
        self.assertEqual(self.lines("get", "mail"), ["by its topic"])

    def test_a_consumer_hears_that_its_queue_is_gone(self):
        self.queue("declare", "mail")
        p = Program(self, "troupe", "sub", "_q.mail", self.to)
        until(lambda: self.stat("mail")["consumers"] == 1, 10, "it consumes")
        self.queue("delete", "mail")
        self.assertEqual(p.wait(10), 1)
        self.assertEqual(p.err.lines(), ["NOT_FOUND: the queue mail was deleted"])


class Copies(QueueCase):
    def test_export_and_import(self):
        """Everything that msgpack can say comes back as it was."""
        self.queue("declare", "a")
        self.queue("declare", "b")
        peer = self.peer()
        payloads = [None, True, -5, 2**63 + 1, 1.5, "text", "base64:AAEC", "\u20ac\n", b"\x00\x01\xff", {"k": [1, {"deep": b"bytes"}]}, {7: "odd key"}, [], b""]
        for i, payload in enumerate(payloads):
            headers = {"n": i} if i % 2 else {"b": b"\x80", "t-priority": i % 10}
            peer.call(7, ["_q.a", None, headers, payload])
        self.queue("put", "a", "delayed", "--delay=1h", "--ttl=2h", "--id=once", "--priority=9")
        exported = self.queue("export", "a")
        self.assertEqual(len(exported.splitlines()), len(payloads) + 1)
        self.assertEqual(self.queue("import", "b", data=exported.encode()), f"{len(payloads) + 1}\n")
        strip = lambda text: [{k: v for k, v in json.loads(line).items() if k not in ("seq", "first_seen", "due_ms", "expires_ms")}
                              for line in text.splitlines()]
        self.assertEqual(strip(self.queue("export", "b")), strip(exported))
        delayed = self.lines("peek", "b", "--state=delayed")[0]
        self.assertTrue(3500000 < delayed["due_ms"] <= 3600000 and 7100000 < delayed["expires_ms"] <= 7200000)
        peer.send([5, 98, 1, "_q.b", {"credit": 100}])
        until(lambda: self.counts("b")[2] == len(payloads), 10, "they are delivered")
        got = []
        while len(got) < len(payloads):
            e = peer.receive()
            if e[0] == 8:
                got.append(e[3])
        by = lambda m: repr((m[3], {k: v for k, v in m[2].items() if not k.startswith("t-")}))
        want = [["", None, {"n": i} if i % 2 else {"b": b"\x80"}, p] for i, p in enumerate(payloads)]
        self.assertEqual(sorted(map(by, got)), sorted(map(by, want)))

    def test_export_takes_nothing_and_shows_all(self):
        self.queue("declare", "a")
        for i in range(300):
            self.queue("put", "a", "-", "--lines", data="".join(f"{n}\n" for n in range(300)).encode()) if i == 0 else None
        self.queue("put", "a", "later", "--delay=1h")
        p = self.peer()
        p.send([5, 99, 1, "_q.a", {"credit": 5}])
        until(lambda: self.counts("a") == (295, 1, 5, 0), 10, "five are in hand")
        records = self.lines("export", "a")
        self.assertEqual(self.counts("a"), (295, 1, 5, 0))
        self.assertEqual([r["state"] for r in records], ["ready"] * 295 + ["delayed"] + ["held"] * 5)
        self.assertEqual(sorted(r["payload"] for r in records if r["payload"] != "later"), list(range(300)))

    def test_an_import_may_be_repeated(self):
        self.queue("declare", "a")
        data = b'{"payload":1,"id":"x"}\n{"payload":2,"id":"y"}\n{"payload":3}\n'
        self.assertEqual(self.queue("import", "a", data=data), "3\n")
        code, out, err = run("troupe", "queue", "import", "a", self.to, data=data)
        self.assertEqual((code, out), (0, "3\n"))
        self.assertEqual(err, "2 of them were known by their ids and not put again\n")
        self.assertEqual(self.counts("a")[0], 4)
        self.assertEqual(self.queue("import", "a", "--no-ids", data=data), "3\n")
        self.assertEqual(self.counts("a")[0], 7)

    @for_each(bad=["{", "[]", "{}", '{"payload":1,"priority":10}', '{"payload":1,"id":""}', '{"payload":1,"due_ms":-1}', '{"payload":1,"headers":[]}',
                   '{"packed":"x"}', '{"packed":"base64:wQ=="}', '{"packed":"base64:AQE="}', '{"packed":"base64:A"}', ""])
    def test_bad_lines(self, bad):
        self.queue("declare", "a")
        self.queue("import", "a", data=f'{{"payload":1}}\n{bad}\n{{"payload":2}}\n'.encode(), code=EX_DATAERR)
        self.assertRegex(self.said, r"\Atroupe queue import: line 2: [^\n]+; 1 messages before it were put\n\Z")
        self.assertEqual(self.counts("a")[0], 1)

    def test_import_into_a_full_queue(self):
        self.queue("declare", "a", "--max-messages=10")
        out = self.queue("import", "a", data=b'{"payload":1}\n' * 1000, code=1)
        self.assertEqual((out, self.said), ("10\n", "FULL: the queue is full\n"))


class Refused(Case):
    def test_without_a_data_directory(self):
        b = self.broker()
        code, out, err = run("troupe", "queue", "declare", "mail", "--durable", f"--broker={b.url}")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"\AUNSUPPORTED: [^\n]+--data[^\n]+\n\Z")

    def test_without_a_broker(self):
        code, out, err = run("troupe", "queue", "list", "--broker=tcp://127.0.0.1:1")
        self.assertEqual((code, out), (EX_UNAVAILABLE, ""))

    @for_each(args=[("",), ("fly",), ("declare",), ("declare", "a..b"), ("declare", "a", "--ttl=soon"), ("declare", "a", "--max-bytes=many"),
                    ("declare", "a", "--overflow=explode"), ("declare", "a", "--bind=a..b"), ("put", "a", "x", "--priority=10"),
                    ("put", "a", "x", "--level=carved"), ("put", "a", "x", "--lines"), ("put", "a", "-", "--lines", "--id=x"), ("get",),
                    ("get", "a", "b"), ("get", "a", "--count=0"), ("peek", "a", "--state=lost"), ("purge",), ("export",), ("import",)])
    def test_wrong_usage(self, args):
        code, out, err = run("troupe", "queue", *args)
        self.assertEqual((code, out), (EX_USAGE, ""), err)
        self.assertRegex(err, r"^troupe queue")

    def test_help(self):
        for args in ((), ("declare",), ("list",), ("stat",), ("put",), ("get",), ("peek",), ("purge",), ("delete",), ("pause",), ("resume",),
                     ("retry",), ("export",), ("import",)):
            code, out, err = run("troupe", "queue", *args, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertIn(" ".join(["Usage: troupe queue", *args]), out)


class Bench(QueueCase):
    @for_each(args=[(), ("--durable",), ("--durable", "--level=written", "--in-flight=1", "--consumers=1"), ("--consumers=7", "--rate=5000")])
    def test_bench(self, args):
        code, out, err = run("troupe", "bench", "queue", "--count=2000", "--json", *args, self.to, timeout=60)
        self.assertEqual((code, err), (0, ""))
        r = json.loads(out)
        self.assertEqual((r["mode"], r["wrong"], r["count"], r["durable"]), ("queue", 0, 2000, "--durable" in args))
        for key in ("latency_us", "confirm_us"):
            self.assertLessEqual(r[key]["p50"], r[key]["p99"])
            self.assertGreater(r[key]["p50"], 0)
        self.assertEqual(self.queue("list", "--json"), "", "it takes its queue away")


if __name__ == "__main__":
    main()
