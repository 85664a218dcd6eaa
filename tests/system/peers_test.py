# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of us but the wire: nngcat, a program on libnng, and a script written from PROTOCOL.md."""

import os
import re
import subprocess

import msgpack

from harness import (ERR, MSG, OK, PAIR0, PAIR1, PUB, ROOT, SUB, Actor, Case, dial, for_each, main, program, reset, seconds, until)

class Nngcat:
    """nngcat on a pair socket: sends the file once, then prints each frame as it came, which is msgpack upon msgpack."""

    def __init__(self, case, protocol, url, *envelopes):
        path = case.path(f"envelopes.{id(self)}")
        with open(path, "wb") as f:
            f.write(b"".join(msgpack.packb(e) for e in envelopes))
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "nngcat", f"--{protocol}", "--dial", url, "--file", path, "--raw"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.unpacker, self.got = msgpack.Unpacker(raw=False), []
        case.addCleanup(self.close)
        os.set_blocking(self.process.stdout.fileno(), False)

    def receive(self, op):
        """The next envelope of this op."""
        def look():
            self.unpacker.feed(self.process.stdout.read() or b"")
            self.got += list(self.unpacker)
            return [e for e in self.got if e[0] == op]
        found = until(look, 20, f"nngcat receives an envelope of op {op}")[0]
        self.got.remove(found)
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Peers(Case):
    def setUp(self):
        super().setUp()
        self.both = self.broker(listen=("tcp://127.0.0.1:0", f"ipc://{self.path('broker.sock')}"), gateway="tcp://127.0.0.1:0/fib")

    def url(self, transport):
        return self.both.urls[("tcp", "ipc").index(transport)]


class OnNngcat(Peers):
    @for_each(protocol=("pair0", "pair1"), transport=("tcp", "ipc"))
    def test_subscribes_and_publishes(self, protocol, transport):
        reader = Nngcat(self, protocol, self.url(transport), [SUB, 5, 1, "hand.written", {}])
        self.assertEqual(reader.receive(OK)[1], 5)
        writer = Nngcat(self, protocol, self.url(transport), [PUB, 6, ["hand.written", None, {"k": 1}, {"answer": [42, "yes", None]}]])
        receipt = writer.receive(OK)
        self.assertEqual((receipt[1], receipt[3]), (6, 1))
        self.assertEqual(reader.receive(MSG)[3], ["hand.written", None, {"k": 1}, {"answer": [42, "yes", None]}])

    @for_each(protocol=("pair0", "pair1"), transport=("tcp", "ipc"))
    def test_asks_an_actor(self, protocol, transport):
        """A file cannot know an inbox before WELCOME; it may want its answers at a topic of its own."""
        Actor(self, self.both)
        cat = Nngcat(self, protocol, self.url(transport), [1, {"name": "nngcat", "version": 1}], [SUB, 1, 1, "answers.here", {}],
                     [PUB, 2, ["fib", "answers.here", None, 30]], [PUB, 3, ["nobody.here", "answers.here", None, 30]])
        self.assertIn("inbox", cat.receive(4)[1])
        self.assertEqual(cat.receive(MSG)[3][3], 832040)
        self.assertEqual(cat.receive(ERR)[1:3], [3, "NO_RESPONDERS"])


class OnLibnng(Peers):
    """nng_peer.c"""

    def nng_peer(self, *args):
        return subprocess.run([program("nng_peer"), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds(30))

    @for_each(transport=("tcp", "ipc"))
    def test_req0_gets_its_reply(self, transport):
        Actor(self, self.both, "process", 2)
        done = self.nng_peer("req", self.url(transport), "fib", "1", "10", "20", "30")
        self.assertEqual((done.returncode, done.stdout), (0, b"1\n55\n6765\n832040\n"), done.stderr)

    @for_each(transport=("tcp", "ipc"))
    def test_req0_is_told_when_nobody_is_there(self, transport):
        done = self.nng_peer("req", self.url(transport), "nobody.here", "1")
        self.assertEqual((done.returncode, done.stdout), (0, b"ERR NO_RESPONDERS\n"), done.stderr)

    @for_each(transport=("tcp", "ipc"))
    def test_push0_publishes(self, transport):
        with self.both.peer() as p:
            p.subscribe("pushed.>")
            with subprocess.Popen([program("nng_peer"), "push", self.url(transport), "pushed.by.nng", *map(str, range(100))],
                                  stdin=subprocess.PIPE) as pusher:
                try:
                    self.assertEqual([p.expect(MSG)[3][3] for _ in range(100)], list(range(100)))
                finally:
                    pusher.stdin.close()
            self.assertEqual(pusher.returncode, 0)


class FromTheText(Peers):
    example = os.path.join(os.path.dirname(os.path.abspath(__file__)), "protocol_example.py")

    def test_the_example_asks_and_is_answered(self):
        Actor(self, self.both)
        port = self.both.url.rpartition(":")[2]
        done = subprocess.run(["/usr/bin/python3", self.example, "127.0.0.1", port], stdout=subprocess.PIPE, timeout=seconds(30), check=True)
        self.assertEqual(done.stdout, b"832040\n")

    def test_protocol_md_shows_the_same_text(self):
        with open(self.example) as f:
            text = f.read()
        self.assertLess(len(text.splitlines()), 40)
        with open(os.path.join(ROOT, "transports", "PROTOCOL.md")) as f:
            shown = re.findall(r"```python\n(.*?)```", f.read(), re.S)
        self.assertIn(text, shown)


class ListenersLive(Peers):
    """A connection that goes before its greeting has killed listeners elsewhere."""

    @for_each(transport=("tcp", "ipc"))
    def test_5000_connections_reset_before_the_greeting(self, transport):
        for i in range(5000):
            s = dial(self.url(transport))
            if i % 3 == 1:
                s.sendall(b"\0SP"[: i % 4])
            reset(s)
        for protocol in (PAIR0, PAIR1):
            with self.both.peer(protocol, ("tcp", "ipc").index(transport)) as p:
                self.assertIn("inbox", p.hello())
        cat = Nngcat(self, "pair0", self.url(transport), [SUB, 5, 1, "a", {}])
        self.assertEqual(cat.receive(OK)[1], 5)


if __name__ == "__main__":
    main()
