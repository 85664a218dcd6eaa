# SPDX-License-Identifier: Apache-2.0
"""The authkey: who has it is served as ever, who has not is told so within a second, whatever it tries. The handshake
here is written from PROTOCOL.md alone."""

import contextlib
import hashlib
import hmac
import os
import secrets
import selectors
import signal
import socket
import struct
import threading
import time

import msgpack

from harness import (AUTH, CHALLENGE, CLOSE, ERR, HELLO, KINDS, MSG, OK, PAIR0, PAIR1, PING, PUB, PUSH0, REQ0, SUB, WELCOME, Actor, Broker, Case, Peer,
                     Program, descriptors, dial, for_each, greeting, main, raise_file_limit, reset, roomy, rss, run, seconds, until)

EX_NOPERM, EX_CONFIG = 77, 78
MiB = 1 << 20


def proof(key, role, client, broker):
    return hmac.new(key, b"troupe " + role + b" 1" + client + broker, hashlib.sha256).digest()


class Keyed(Case):
    def setUp(self):
        super().setUp()
        self.key = secrets.token_hex(32).encode()
        self.right = self.file("right", self.key + b"\n")
        self.wrong = self.file("wrong", secrets.token_hex(32).encode())

    def file(self, name, content, mode=0o600):
        path = self.path(name)
        with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(content)
        os.chmod(path, mode)
        return path

    def keyed_broker(self, *args, key=None, **kw):
        return self.broker(f"--authkey-file={key or self.right}", *args, **kw)

    def challenged(self, broker, protocol=PAIR0, i=0, nonce=None):
        """A session up to the CHALLENGE: (peer, client's nonce, broker's nonce, broker's proof)."""
        p = broker.peer(protocol, i)
        mine = nonce or secrets.token_bytes(32)
        p.send([HELLO, {"name": "test", "version": 1, "nonce": mine}])
        info = p.expect(CHALLENGE)[1]
        self.assertEqual({len(info["nonce"]), len(info["proof"])}, {32})
        return p, mine, info["nonce"], info["proof"]

    def peer(self, broker, protocol=PAIR0, i=0):
        """A session of one who knows the key."""
        p, mine, its, said = self.challenged(broker, protocol, i)
        self.assertTrue(hmac.compare_digest(said, proof(self.key, b"broker", mine, its)), "the broker proves first")
        p.send([AUTH, {"proof": proof(self.key, b"client", mine, its)}])
        self.assertIn("inbox", p.expect(WELCOME)[1])
        return p

    def turned_away(self, p, code):
        """[ERR, 0, code, sentence], then the end, within a second."""
        began = time.monotonic()
        e = p.receive(5)
        self.assertEqual(e[:3], [ERR, 0, code], f"{e!r}")
        self.assertRegex(e[3], r"\S+ \S+")
        self.assertEqual(p.rest(5), b"")
        self.assertLess(time.monotonic() - began, seconds(1))
        p.close()

    def quickly(self, code, *args, says, **kw):
        """One of our programs, refused within a second, with one sentence."""
        began = time.monotonic()
        got, out, err = run(*args, **kw)
        self.assertLess(time.monotonic() - began, seconds(1))
        self.assertEqual((got, out), (code, ""), err)
        self.assertIn(says, err)
        if args[0] != "fib-actor":  # which logs
            self.assertRegex(err, r"\A[^\n]+\n\Z", "one sentence")


class Programs(Keyed):
    """Exit codes and sentences."""

    def test_key_files_that_cannot_be_used(self):
        cases = [(self.file("empty", b""), "empty"), (self.file("newline", b"\n"), "empty"), (self.file("long", b"k" * 4097), "4096"),
                 (self.path("none"), "No such file"), (self.folder, "plain file"), ("/dev/null", "plain file")]
        cases += [(self.file(f"mode{mode:o}", self.key, mode), f"0{mode:03o}") for mode in (0o640, 0o604, 0o644, 0o660, 0o700, 0o500, 0o666, 0o777)]
        for path, says in cases:
            with self.subTest(path=path):
                self.quickly(EX_CONFIG, "brokerd", "--listen=tcp://127.0.0.1:0", f"--authkey-file={path}", says=says)
                self.quickly(EX_CONFIG, "troupe", "pub", "a", "1", "--broker=tcp://127.0.0.1:1", f"--authkey-file={path}", says=says)
                self.quickly(EX_CONFIG, "fib-actor", "--broker=tcp://127.0.0.1:1", f"--authkey-file={path}", says=says)

    def test_a_key_that_only_its_owner_may_read_will_do(self):
        broker = self.keyed_broker(key=self.file("readonly", self.key, 0o400))
        self.assertEqual(run("troupe", "pub", "a", "1", f"--broker={broker.url}", f"--authkey-file={self.right}")[0], 0)

    def test_start_up_line(self):
        broker = self.keyed_broker()
        broker.wait_line(r"^authkey +" + self.right)
        self.assertNotIn(self.key.decode(), broker.out.text() + broker.err.text())

    def test_keys_that_fit(self):
        broker = self.keyed_broker(listen=("tcp://127.0.0.1:0", f"ipc://{self.path('s')}"))
        for url in broker.urls:
            self.assertEqual(run("troupe", "pub", "a", "1", f"--broker={url}", f"--authkey-file={self.right}"), (0, "", ""))
            self.assertEqual(run("troupe", f"--authkey-file={self.right}", "pub", "a", "1", f"--broker={url}"), (0, "", ""))
            self.assertEqual(run("troupe", "pub", "a", "1", env={"TROUPE_BROKER": url, "TROUPE_AUTHKEY_FILE": self.right}), (0, "", ""))

    def test_keys_that_do_not(self):
        broker, to = self.keyed_broker(), "--broker="
        open_one = self.broker()
        for command in (("pub", "a", "1"), ("sub", "a"), ("request", "a", "1"), ("bench", "pub", "--count=10")):
            with self.subTest(command=command):
                self.quickly(EX_NOPERM, "troupe", *command, to + broker.url, f"--authkey-file={self.wrong}", says="authentication failed")
                self.quickly(EX_NOPERM, "troupe", *command, to + broker.url, says="authentication failed")
                self.quickly(EX_NOPERM, "troupe", *command, to + open_one.url, f"--authkey-file={self.right}", says="authentication failed")
        self.quickly(EX_NOPERM, "fib-actor", to + broker.url, f"--authkey-file={self.wrong}", says="authentication failed")
        self.quickly(EX_NOPERM, "fib-actor", to + broker.url, says="authentication failed")
        self.quickly(EX_NOPERM, "fib-actor", to + open_one.url, f"--authkey-file={self.right}", says="authentication failed")

    @for_each(kind=KINDS)
    def test_the_service(self, kind):
        """Each kind of actor proves the key, processes by the file that their system was given."""
        broker = self.keyed_broker(gateway="tcp://127.0.0.1:0/fib")
        actor = Actor(self, broker, kind, 2, f"--authkey-file={self.right}")
        self.assertEqual(broker.ask("20"), "6765")
        code, out, err = run("troupe", "request", "fib", "10", f"--broker={broker.url}", f"--authkey-file={self.right}")
        self.assertEqual((code, out), (0, "55\n"), err)
        self.assertEqual(actor.terminate(), 0)

    def test_an_actor_before_its_broker(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            url = "tcp://127.0.0.1:%d" % s.getsockname()[1]
        actor = Actor(self, url, "process", 1, f"--authkey-file={self.right}")
        actor.wait_line("fib-actor: 1 process worker")
        broker = self.keyed_broker(listen=url, gateway="tcp://127.0.0.1:0/fib")
        broker.serves()

    def test_a_key_that_changes(self):
        """A service goes on trying, slower and slower, and takes what is in its file then."""
        file = self.file("key", self.key)
        broker = self.keyed_broker(key=file, gateway="tcp://127.0.0.1:0/fib")
        actor = Actor(self, broker, "thread", 1, f"--authkey-file={file}")
        broker.terminate()
        other = self.file("other", b"the next key")
        broker = self.keyed_broker(key=other, listen=broker.url, gateway="tcp://127.0.0.1:0/fib")
        actor.wait_line("authentication failed", err=True)
        self.file("key", b"the next key")
        broker.serves()
        self.assertTrue(actor.running())


class Handshake(Keyed):
    """By hand, on the wire."""

    def setUp(self):
        super().setUp()
        self.keyed = self.keyed_broker(listen=("tcp://127.0.0.1:0", f"ipc://{self.path('s')}"))

    def test_every_listener_and_both_pairs(self):
        for i in range(2):
            for protocol in (PAIR0, PAIR1):
                with self.subTest(listener=i, protocol=protocol), self.peer(self.keyed, protocol, i) as p:
                    p.subscribe("a")
                    p.send([PUB, 2, ["a", None, None, 5]])
                    self.assertEqual({p.receive()[0], p.receive()[0]}, {MSG, OK})

    def test_the_brokers_nonces_are_fresh(self):
        mine = secrets.token_bytes(32)
        seen = {self.challenged(self.keyed, nonce=mine)[2:] for _ in range(50)}
        self.assertEqual(len(seen), 50)

    def test_words_out_of_order(self):
        n = secrets.token_bytes(32)
        hello = [HELLO, {"nonce": n}]
        pub, sub, auth = [PUB, 1, ["a", None, None, 1]], [SUB, 1, 1, ">", {}], [AUTH, {"proof": n}]
        for words in ([[HELLO, {}]], [[HELLO, None]], [[HELLO, {"name": "x", "version": 1}]], [[HELLO, {"nonce": n[:31]}]], [[HELLO, {"nonce": n + b"x"}]],
                      [[HELLO, {"nonce": b""}]], [[HELLO, {"nonce": "x" * 32}]], [[HELLO, {"nonce": 7}]], [pub], [sub], [auth], [[PING, 1]], [[14, 1]],
                      [[9, 1, 1]], [[12, 1, "declare", "q", {}]], [[WELCOME, {}]], [[CHALLENGE, {"nonce": n, "proof": n}]], [[16, 0, "X", "x"]]):
            for i in range(2):
                with self.subTest(words=words, listener=i):
                    p = self.keyed.peer(i=i)
                    p.send(*words)
                    self.turned_away(p, "AUTH_REQUIRED")
        for word in (hello, pub, sub, [PING, 1], [WELCOME, {}], [CHALLENGE, {"nonce": n, "proof": n}], [12, 1, "list", "", {}]):
            with self.subTest(after_challenge=word):
                p = self.challenged(self.keyed)[0]
                p.send(word)
                self.turned_away(p, "AUTH_REQUIRED")
                p = self.keyed.peer()
                p.send(hello, word)  # not waiting for the CHALLENGE, in one frame
                p.expect(CHALLENGE)
                self.turned_away(p, "AUTH_REQUIRED")

    def test_proofs_of_nothing(self):
        for wrong in ({}, None, {"proof": b""}, {"proof": b"x"}, {"proof": bytes(31)}, {"proof": bytes(32)}, {"proof": bytes(33)}, {"proof": "x" * 32},
                      {"proof": None}, {"proof": 0}, {"proof": True}, {"proof": [bytes(32)]}, {"nonce": bytes(32)}):
            with self.subTest(wrong=wrong):
                p = self.challenged(self.keyed)[0]
                p.send([AUTH, wrong])
                self.turned_away(p, "AUTH_FAILED")

    def test_proofs_of_something_else(self):
        p, mine, its, said = self.challenged(self.keyed)
        p.send([AUTH, {"proof": said}])
        self.turned_away(p, "AUTH_FAILED")
        for key, role, swap in ((b"", b"client", False), (b"guess", b"client", False), (self.key + b"\n", b"client", False), (self.key, b"broker", False),
                                (self.key, b"client", True), (self.key, b"Client", False)):
            with self.subTest(key=key, role=role, swap=swap):
                p, mine, its, _ = self.challenged(self.keyed)
                p.send([AUTH, {"proof": proof(key, role, *((its, mine) if swap else (mine, its)))}])
                self.turned_away(p, "AUTH_FAILED")

    def test_a_right_proof_in_other_hands(self):
        """Of another session, of one that is over, of one that is still open."""
        p, mine, its, _ = self.challenged(self.keyed)
        right = proof(self.key, b"client", mine, its)
        thief = self.challenged(self.keyed, nonce=mine)[0]
        thief.send([AUTH, {"proof": right}])
        self.turned_away(thief, "AUTH_FAILED")
        p.send([AUTH, {"proof": right}])
        p.expect(WELCOME)
        for _ in range(2):
            thief = self.challenged(self.keyed, nonce=mine)[0]
            thief.send([AUTH, {"proof": right}])
            self.turned_away(thief, "AUTH_FAILED")
            p.close()

    def test_a_mirror(self):
        """One session's CHALLENGE is given to another as its HELLO, and so round."""
        p, _, its, said = self.challenged(self.keyed)
        q, _, its_too, said_too = self.challenged(self.keyed, nonce=its)
        for one, words in ((p, (said, said_too)), (q, (said_too, said))):
            one.send([AUTH, {"proof": words[1]}])
            self.turned_away(one, "AUTH_FAILED")

    def test_one_try_a_connection(self):
        p, mine, its, _ = self.challenged(self.keyed)
        p.send([AUTH, {"proof": bytes(32)}], [AUTH, {"proof": proof(self.key, b"client", mine, its)}])
        p.send([AUTH, {"proof": proof(self.key, b"client", mine, its)}])
        self.turned_away(p, "AUTH_FAILED")

    def test_auth_where_nobody_asked(self):
        with self.broker().peer() as p:
            p.send([HELLO, {"nonce": bytes(32)}])
            p.expect(WELCOME)
            p.send([AUTH, {"proof": bytes(32)}])
            self.turned_away(p, "UNEXPECTED")

    def test_narrow_connections_are_closed(self):
        for protocol, body in ((REQ0, b"\x80\0\0\1" + msgpack.packb([PUB, 0, ["a", None, None, 1]])), (PUSH0, msgpack.packb([PUB, 0, ["a", None, None, 1]]))):
            for i in range(2):
                with self.subTest(protocol=protocol, listener=i):
                    p = self.keyed.peer(protocol, i)
                    with contextlib.suppress(OSError):
                        p.send_bytes(p.frame(body))
                    self.assertEqual(p.rest(5), b"")

    def test_nothing_of_a_stranger_is_routed(self):
        with self.peer(self.keyed) as p:
            p.subscribe(">")
            for words in ([[PUB, 0, ["lie", None, None, 1]]], [[HELLO, {"nonce": bytes(32)}], [PUB, 0, ["lie", None, None, 2]]]):
                stranger = self.keyed.peer()
                stranger.send(*words)
                stranger.rest(5)
            p.send([PUB, 0, ["truth", None, None, 3]])
            self.assertEqual(p.expect(MSG)[3][0], "truth")

    def test_large_frames_of_strangers(self):
        for i in range(2):
            for n in (8193, 1 << 20, 1 << 62):
                with self.subTest(length=n, listener=i):
                    p = self.keyed.peer(i=i)
                    p.send_bytes((b"\1" if i else b"") + struct.pack(">Q", n))
                    self.turned_away(p, "TOO_BIG")

    def test_gateways_ask_for_nothing(self):
        broker = self.keyed_broker(gateway="tcp://127.0.0.1:0/fib")
        with self.peer(broker) as worker, broker.lines() as c:
            worker.subscribe("fib")
            c.send("10")
            token, message = worker.expect(MSG)[2:]
            worker.send([PUB, 0, [message[1], None, None, 55]], [9, 1, token])
            self.assertEqual(c.line(), "55")

    def test_half_a_handshake_is_not_waited_for(self):
        broker = self.keyed_broker("--greeting-timeout=700ms")
        silent, half = broker.peer(), self.challenged(broker)[0]
        for p in (silent, half):
            self.assertEqual(p.receive(5)[:3], [ERR, 0, "TIMEOUT"])
            self.assertEqual(p.rest(5), b"")

    def test_a_stop_with_strangers_at_the_gate(self):
        half, failed = self.challenged(self.keyed)[0], self.challenged(self.keyed)[0]
        failed.send([AUTH, {"proof": bytes(32)}])
        began = time.monotonic()
        self.assertEqual(self.keyed.terminate(5), 0)
        self.assertLess(time.monotonic() - began, seconds(2))
        self.assertEqual(half.receive(5)[:2], [CLOSE, "SHUTDOWN"])


class Impostor(threading.Thread):
    """A listener in a broker's place. `answer(envelope)` gives what to say to each; what was said to it is kept."""

    def __init__(self, case, answer):
        super().__init__(daemon=True)
        self.heard, self.answer, self.server = [], answer, socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.server.getsockname()[1]
        case.addCleanup(self.server.close)
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.server.accept()
                with s, contextlib.suppress(OSError, EOFError):
                    self.serve(s, s.makefile("rb"))

    def serve(self, s, f):
        s.sendall(greeting(PAIR0))
        f.read(8)
        while head := f.read(8):
            unpacker = msgpack.Unpacker()
            unpacker.feed(f.read(struct.unpack(">Q", head)[0]))
            for e in unpacker:
                self.heard.append(e)
                body = b"".join(msgpack.packb(said) for said in self.answer(e))
                s.sendall(struct.pack(">Q", len(body)) + body)


class Impostors(Keyed):
    """Whoever listens where a broker should be learns nothing and serves nobody."""

    def refused(self, answer):
        there = Impostor(self, answer)
        self.quickly(EX_NOPERM, "troupe", "pub", "secret.topic", "secret text", f"--broker={there.url}", f"--authkey-file={self.right}",
                     says="authentication failed")
        ops = [e[0] for e in there.heard]
        self.assertEqual(ops[0], HELLO)
        self.assertLessEqual(set(ops[1:]), {CLOSE})
        self.assertNotIn("secret", repr(there.heard))

    def test_one_that_welcomes_everybody(self):
        self.refused(lambda e: [[WELCOME, {"session": 1, "inbox": "_r.x.", "version": 1}]] if e[0] == HELLO else [])

    def test_one_with_another_key(self):
        n = secrets.token_bytes(32)
        self.refused(lambda e: [[CHALLENGE, {"nonce": n, "proof": proof(b"another", b"broker", e[1]["nonce"], n)}]] if e[0] == HELLO else [])

    def test_one_that_makes_something_up(self):
        self.refused(lambda e: [[CHALLENGE, {"nonce": bytes(32), "proof": bytes(32)}], [WELCOME, {"session": 1, "inbox": "_r.x."}]] if e[0] == HELLO else [])

    def test_one_that_asks_a_real_broker_as_a_client(self):
        """It can get a proof from there, but for the nonce that it says there: the client's. This is the man in the middle, who gets no further than
        passing on what the two say, and it fails here since his broker's nonce is another."""
        broker = self.keyed_broker()

        def answer(e):
            if e[0] != HELLO:
                return []
            said = self.challenged(broker, nonce=e[1]["nonce"])[3]
            return [[CHALLENGE, {"nonce": secrets.token_bytes(32), "proof": said}]]

        self.refused(answer)


class Recorder(threading.Thread):
    """Between a client and a broker, listening to both."""

    def __init__(self, case, url):
        super().__init__(daemon=True)
        self.to, self.said, self.server = url, {"client": b"", "broker": b""}, socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.server.getsockname()[1]
        case.addCleanup(self.server.close)
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            client, _ = self.server.accept()
            with client, dial(self.to) as broker, selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, ("client", broker))
                selector.register(broker, selectors.EVENT_READ, ("broker", client))
                while True:
                    for key, _ in selector.select():
                        data = key.fileobj.recv(1 << 16)
                        if not data:
                            return
                        self.said[key.data[0]] += data
                        key.data[1].sendall(data)


class Listeners(Keyed):
    def test_who_listens_in_learns_nothing_to_come_in_with(self):
        broker = self.keyed_broker()
        tap = Recorder(self, broker.url)
        self.assertEqual(run("troupe", "pub", "a", "1", f"--broker={tap.url}", f"--authkey-file={self.right}"), (0, "", ""))
        tap.join(seconds(5))
        for said in tap.said.values():
            self.assertGreater(len(said), 100)
            for secret in (self.key, bytes.fromhex(self.key.decode()), self.key[:16], self.key[-16:]):
                self.assertNotIn(secret, said)
        with dial(broker.url) as s:  # the whole of it, again
            s.sendall(tap.said["client"])
            said = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while data := s.recv(1 << 16):
                    said += data
            self.assertNotIn(b"inbox", said)
            self.assertIn(b"AUTH_", said)


class Siege(Keyed):
    def test_a_thousand_wrong_handshakes(self):
        """All of them at once. Each is told so within its second, honest peers are served meanwhile, and nothing is left of it."""
        raise_file_limit()
        broker = self.keyed_broker()
        with self.peer(broker) as reader, self.peer(broker) as writer:
            reader.subscribe("honest")
            self.talk(reader, writer, 0)
            before, files = rss(broker.pid), descriptors(broker.pid)
            attackers = [self.attacker(broker, i) for i in range(1000)]
            slowest = 0.0
            for i in range(20):
                slowest = max(slowest, self.talk(reader, writer, i))
            for p in attackers:
                p.send([AUTH, {"proof": secrets.token_bytes(32)}])
            for i in range(20):
                slowest = max(slowest, self.talk(reader, writer, i))
            for p in attackers:
                self.assertEqual(p.receive(20)[:3], [ERR, 0, "AUTH_FAILED"])
                self.assertEqual(p.rest(20), b"")
                p.close()
            self.assertLess(slowest, seconds(1), "an honest message waited")
            self.talk(reader, writer, 99)
            until(lambda: descriptors(broker.pid) == files, 10, "the attackers' connections are gone")
            self.assertLess(rss(broker.pid) - before, roomy(16 * MiB))
        warnings = [line for line in broker.err.lines() if " warn " in line]
        self.assertTrue(warnings)
        self.assertLess(len(warnings), 600, "the log was not flooded")
        self.assertEqual(broker.terminate(), 0)

    def attacker(self, broker, i):
        """Every fifth plays with a reflection, a reset or rubbish first."""
        if i % 5 == 0:
            s = dial(broker.url)
            s.sendall(greeting(PAIR0) + secrets.token_bytes(i % 40))
            reset(s)
        return self.challenged(broker)[0]

    def talk(self, reader, writer, n):
        began = time.monotonic()
        writer.send([PUB, 0, ["honest", None, None, n]])
        self.assertEqual(reader.expect(MSG)[3][3], n)
        return time.monotonic() - began

    def test_one_after_another(self):
        """A thousand by a plain socket that never gives up; guessing is slow, and in the end the right key still opens."""
        broker = self.keyed_broker("--log-level=error")
        lanes, each, began = 50, 20, time.monotonic()

        def knock():
            for _ in range(each):
                p, mine, its, _ = self.challenged(broker)
                p.send([AUTH, {"proof": proof(secrets.token_bytes(8), b"client", mine, its)}])
                with contextlib.suppress(EOFError):
                    said.append(p.receive()[2])
                p.close()

        said = []
        threads = [threading.Thread(target=knock) for _ in range(lanes)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(seconds(60))
        self.assertEqual(said, ["AUTH_FAILED"] * lanes * each)
        self.assertGreaterEqual(time.monotonic() - began, each * 0.1 - 0.05, "each guess costs its tenth of a second")
        self.peer(broker).close()
        self.assertEqual(broker.terminate(), 0)

    def test_clients_without_the_key_do_not_storm(self):
        """A broker comes back with another key while clients wait for it: they keep away, longer and longer."""
        broker = self.keyed_broker()
        subs = [Program(self, "troupe", "sub", "a", f"--broker={broker.url}", f"--authkey-file={self.right}", "-v") for _ in range(10)]
        for sub in subs:
            sub.wait_line("client.up", err=True)
        broker.terminate()
        broker = self.keyed_broker(key=self.wrong, listen=broker.url)
        for sub in subs:
            sub.wait_line("authentication failed", err=True)
        time.sleep(seconds(2))  # the time in which a storm would be
        for sub in subs:
            tries = sub.err.text().count("authentication failed")
            self.assertLess(tries, 12, "50 ms, doubling")
            self.assertTrue(sub.running())
            sub.signal(signal.SIGTERM)
            self.assertEqual(sub.wait(), 0)


if __name__ == "__main__":
    main()
