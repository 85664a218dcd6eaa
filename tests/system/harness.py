# SPDX-License-Identifier: Apache-2.0
"""Starts the real programs and speaks to them over real sockets.

What every test here may rely on:
  - a program that a test starts is gone at its end, with its children and their orphans: the test process is a
    subreaper, so nothing can escape it, and whatever is left over fails the test that left it;
  - addresses are port 0 or a path in the test's own folder, so suites may run side by side;
  - nothing sleeps and hopes: one waits for a line, for a socket, or polls a condition, always with a deadline.

TROUPE_BIN   the folder of the programs (default: build/dev/bin)
TROUPE_SLOW  factor on every deadline, for sanitizer builds (default: 1)
"""

import ctypes
import functools
import itertools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections import deque

import msgpack

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TROUPE_BIN", os.path.join(ROOT, "build", "dev", "bin"))
SLOW = float(os.environ.get("TROUPE_SLOW", "1"))
SANITIZED = SLOW > 1
KINDS = ("process", "thread", "coroutine")

EX_USAGE, EX_UNAVAILABLE, EX_TEMPFAIL = 64, 69, 75

(HELLO, CHALLENGE, AUTH, WELCOME, SUB, UNSUB, PUB, MSG, ACK, NACK, CREDIT, QUEUE, PING, PONG, OK, ERR, CLOSE) = range(1, 18)
PAIR0, PAIR1, REQ0, REP0, PUSH0, PULL0 = 0x10, 0x11, 0x30, 0x31, 0x50, 0x51


def seconds(n):
    """A deadline of n seconds on this build."""
    return n * SLOW


def until(condition, timeout, what):
    """Polls until condition() is true, and returns what it said."""
    end = time.monotonic() + seconds(timeout)
    while True:
        said = condition()
        if said:
            return said
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds(timeout):g} s: {what}")
        time.sleep(0.005)


def program(name):
    return os.path.join(BIN, name)


def environment(more=None):
    """What programs are started with. AddressSanitizer's quarantine would look like growth: it is kept small."""
    env = {key: value for key, value in os.environ.items() if key not in ("TROUPE_BROKER", "TROUPE_AUTHKEY_FILE")} | (more or {})
    if SANITIZED:
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8:malloc_context_size=8"
    return env


def roomy(size):
    """A bound on memory growth for this build: sanitizers keep shadows, and several bytes for each byte."""
    return size * 8 if SANITIZED else size


def ipv6():
    """Has this machine an IPv6 loopback? (Containers often have none.)"""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


# --- processes, as /proc shows them ---


def stat_of(pid):
    """The fields of /proc/PID/stat from the state on, or None."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile


def processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def session_of(pid):
    """The session of a process that lives; None: it has ended."""
    stat = stat_of(pid)
    return int(stat[3]) if stat and stat[0] != "Z" else None


def kill_hard(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def descendants(pid):
    """Every process below pid, zombies included, parents before children."""
    below = {}
    for one in processes():
        if stat := stat_of(one):
            below.setdefault(int(stat[1]), []).append(one)
    found, queue = [], deque([pid])
    while queue:
        children = below.get(queue.popleft(), [])
        found += children
        queue += children
    return found


def cpu_seconds(pid):
    stat = stat_of(pid)
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def rss(pid):
    """Resident bytes."""
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Output:
    """The lines of one pipe, gathered by a thread as they come."""

    def __init__(self, pipe):
        self._lines, self._ended, self._news = [], False, threading.Condition()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._pipe:
            with self._news:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def lines(self):
        with self._news:
            return list(self._lines)

    def text(self):
        return "\n".join(self.lines())

    def wait(self, enough, timeout):
        """Waits until enough(lines) is true. False: the time is over, or the pipe's end came first."""
        with self._news:
            self._news.wait_for(lambda: enough(self._lines) or self._ended, seconds(timeout))
            return bool(enough(self._lines))

    def drain(self):
        """After the program's end: waits for all that it wrote before, unless a child of it keeps the pipe open for long."""
        self._thread.join(seconds(10))

    def close(self):
        self._thread.join(seconds(5))
        if not self._thread.is_alive():
            self._pipe.close()


class Program:
    """One of our programs, running."""

    waited_for = set()  # the pids whose exit a Program takes; all others are reaped as orphans

    def __init__(self, case, name, *args, env=None, stdin=subprocess.DEVNULL):
        self.case, self.name = case, name
        # Should the test itself be killed, the kernel kills what it started.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program(name), *args],
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(env), start_new_session=True)
        self.pid = self.process.pid
        Program.waited_for.add(self.pid)
        self.out, self.err = Output(self.process.stdout), Output(self.process.stderr)
        case.addCleanup(self.dispose)

    def wait(self, timeout=10):
        """Waits for its end, and gives the exit code; negative: the signal."""
        try:
            code = self.process.wait(seconds(timeout))
        except subprocess.TimeoutExpired:
            self.case.fail(f"{self.name} does not end\n{self.report()}")
        self.out.drain()
        self.err.drain()
        return code

    def wait_line(self, pattern, timeout=10, err=False):
        """Waits for a line of its output that matches, and gives the match."""
        output = self.err if err else self.out
        find = lambda lines: [m for m in (re.search(pattern, line) for line in lines) if m]
        if not output.wait(find, timeout):
            self.case.fail(f"{self.name} does not say /{pattern}/\n{self.report()}")
        return find(output.lines())[0]

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self, timeout=10):
        """SIGTERM, and what it exits with. ThreadSanitizer's run time now and then forgets a signal that comes on the way into the first
        wait (1 in 100, never without it): there it is sent to who sleeps."""
        if SANITIZED:
            until(lambda: (stat_of(self.pid) or "Z")[0] in "SZ", 10, f"{self.name} waits for something")
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def running(self):
        return self.process.poll() is None

    def report(self):
        return f"--- {self.name} stdout\n{self.out.text()}\n--- {self.name} stderr\n{self.err.text()}\n---"

    def dispose(self):
        """Kills what still runs. What outlives a program that has ended by itself is a fault, and is reported as one."""
        ended = not self.running()
        self.process.kill()
        self.process.wait()
        escaped = self._end_session(5 if ended else 0)
        Program.waited_for.discard(self.pid)
        reap()
        self.out.close()
        self.err.close()
        if self.process.stdin:
            self.process.stdin.close()
        if escaped:
            self.case.fail(f"{self.name} left processes behind: {escaped}\n{self.report()}")
        if "Sanitizer" in self.err.text() or "runtime error" in self.err.text():
            self.case.fail(f"a sanitizer found something\n{self.report()}")

    def _end_session(self, grace):
        """Kills what is left of the session that the program began; gives what was left after so many seconds of grace."""
        end, escaped = time.monotonic() + seconds(grace), None
        while pids := [pid for pid in processes() if session_of(pid) == self.pid]:
            if time.monotonic() >= end:
                escaped = escaped or pids
                for pid in pids:
                    kill_hard(pid)
            time.sleep(0.005)
            reap()
        return escaped if grace else None


class Broker(Program):
    """brokerd with listeners and gateways on addresses of its choice."""

    def __init__(self, case, *args, listen=("tcp://127.0.0.1:0",), gateway=(), **kw):
        if isinstance(gateway, str):
            gateway = (gateway,)
        if isinstance(listen, str):
            listen = (listen,)
        super().__init__(case, "brokerd", *(f"--listen={url}" for url in listen), *(f"--gateway={url}" for url in gateway),
                         *args, **kw)
        n = len(listen) + len(gateway)
        said = lambda lines: sum(line.startswith(("listening", "gateway")) for line in lines) == n
        if not self.out.wait(said, 20):
            case.fail(f"brokerd does not come up\n{self.report()}")
        rows = [line.split() for line in self.out.lines()]
        self.urls = [row[1] for row in rows if row[0] == "listening"]
        self.gateways = [row[1] for row in rows if row[0] == "gateway"]
        self.url = self.urls[0] if self.urls else None

    def lines(self, i=0, **kw):
        """A connection to its i-th gateway."""
        return Lines(self.case, self.gateways[i], **kw)

    def peer(self, protocol=PAIR0, i=0):
        return Peer(self.case, self.urls[i], protocol)

    def ask(self, text, i=0, timeout=20):
        """One line to the gateway, one line back."""
        with self.lines(i) as c:
            return c.ask(text, timeout)

    def serves(self, timeout=20):
        """Waits until somebody answers at the gateway: the actors have subscribed."""
        until(lambda: self.ask("1") == "1", timeout, "an actor answers at the gateway")


class Actor(Program):
    """fib-actor."""

    def __init__(self, case, broker, kind="thread", workers=1, *args, **kw):
        super().__init__(case, "fib-actor", f"--kind={kind}", f"--workers={workers}", f"--broker={getattr(broker, 'url', broker)}",
                         *args, **kw)
        self.kind = kind
        if isinstance(broker, Broker) and broker.gateways:
            broker.serves()

    def workers(self):
        """The pids of its worker processes: what runs below the nursery."""
        return [pid for pid in descendants(self.pid) if int((stat_of(pid) or [0, 0])[1]) != self.pid]

    def busy(self, timeout=10):
        """Waits for a worker process that computes, and gives its pid: its CPU time moves between two looks."""
        seen = {}

        def look():
            for pid in self.workers():
                now = cpu_seconds(pid)
                if now - seen.setdefault(pid, now) >= 0.05:
                    return pid
            return None

        return until(look, timeout, "a worker computes")


def run(*args, timeout=20, data=None, env=None):
    """Runs a program of ours to its end: (exit code, stdout, stderr)."""
    done = subprocess.run([program(args[0]), *args[1:]], input=data, stdin=None if data is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds(timeout), env=environment(env))
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def netcat(url, data, timeout=30):
    """What `nc -N` prints for these bytes at a gateway."""
    host, port = address(url)
    return subprocess.run(["nc", "-N", host, str(port)], input=data, stdout=subprocess.PIPE, timeout=seconds(timeout), check=True).stdout


# --- sockets ---


def address(url):
    """(host, port) of tcp://HOST:PORT..., or the path of ipc://PATH."""
    if url.startswith("ipc://"):
        return url[6:].partition("?")[0]
    m = re.match(r"tcp://(\[[^]]*\]|[^:/]*):(\d+)", url)
    return m.group(1).strip("[]"), int(m.group(2))


def dial(url, timeout=10):
    """A connected socket with a time-out on every call."""
    where = address(url)
    if isinstance(where, str):
        s = socket.socket(socket.AF_UNIX)
        # Not settimeout: on a socket that does not block, connect fails at once where the listener's queue is full.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(seconds(timeout)) + 1, 0))
        s.connect(where)
        s.settimeout(seconds(timeout))
        return s
    s = socket.create_connection(where, seconds(timeout))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def reset(s):
    """Closes with RST on tcp, as a crashed machine's peer does; an ipc socket is simply closed."""
    if s.family != socket.AF_UNIX:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Connection:
    """A socket with a buffer, closed when the test ends."""

    def __init__(self, case, url, timeout=20):
        self.case, self.url, self.timeout = case, url, timeout
        self.socket = dial(url, timeout)
        self.buffer = bytearray()
        case.addCleanup(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        reset(self.socket)

    def send_bytes(self, data):
        self.socket.sendall(data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing from {self.url}; so far: {bytes(self.buffer[:200])!r}")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            raise TimeoutError(f"nothing from {self.url}; so far: {bytes(self.buffer[:200])!r}") from None
        self.buffer += data
        return bool(data)

    def read_exactly(self, n, timeout=None):
        end = time.monotonic() + seconds(timeout or self.timeout)
        while len(self.buffer) < n:
            if not self._more(end):
                raise EOFError(f"{self.url} ended after {bytes(self.buffer)!r}")
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def read_until(self, mark, timeout=None):
        end = time.monotonic() + seconds(timeout or self.timeout)
        while mark not in self.buffer:
            if not self._more(end):
                raise EOFError(f"{self.url} ended after {bytes(self.buffer[:200])!r}")
        data, _, rest = bytes(self.buffer).partition(mark)
        self.buffer[:] = rest
        return data

    def rest(self, timeout=None):
        """Everything until the other side ends the connection."""
        end = time.monotonic() + seconds(timeout or self.timeout)
        while self._more(end):
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data


class Lines(Connection):
    """A client of a gateway, as a person at nc is one."""

    def send(self, text):
        self.send_bytes(text if isinstance(text, bytes) else text.encode() + b"\n")

    def line(self, timeout=None):
        return self.read_until(b"\n", timeout).decode("utf-8", "replace")

    def ask(self, text, timeout=None):
        self.send(text)
        return self.line(timeout)


class Peer(Connection):
    """A client of the broker from PROTOCOL.md alone: greeting, frames, msgpack."""

    def __init__(self, case, url, protocol=PAIR0, timeout=20):
        super().__init__(case, url, timeout)
        self.protocol, self.ipc = protocol, url.startswith("ipc://")
        self.ready = deque()
        if protocol is not None:
            self.send_bytes(greeting(protocol))
            self.greeted = struct.unpack(">4sHH", self.read_exactly(8))[1]

    def frame(self, body):
        return (b"\1" if self.ipc else b"") + struct.pack(">Q", len(body)) + body

    def send(self, *envelopes):
        """All in one frame."""
        head = struct.pack(">I", 1) if self.protocol == PAIR1 else b""
        self.send_bytes(self.frame(head + b"".join(msgpack.packb(e) for e in envelopes)))

    def receive(self, timeout=None):
        """The next envelope."""
        while not self.ready:
            if self.ipc and self.read_exactly(1, timeout) != b"\1":
                self.case.fail("an ipc frame does not begin with 01")
            (n,) = struct.unpack(">Q", self.read_exactly(8, timeout))
            body = self.read_exactly(n, timeout)
            unpacker = msgpack.Unpacker(strict_map_key=False, raw=False)
            unpacker.feed(body[4:] if self.protocol == PAIR1 else body)
            self.ready += list(unpacker)
        return self.ready.popleft()

    def expect(self, op, timeout=None):
        """The next envelope, which must be of this op."""
        e = self.receive(timeout)
        self.case.assertEqual(e[0], op, f"envelope {e!r}")
        return e

    def hello(self, name="test", **info):
        self.send([HELLO, {"name": name, "version": 1, **info}])
        return self.expect(WELCOME)[1]

    def subscribe(self, pattern, sid=1, **options):
        self.send([SUB, sid, sid, pattern, options])
        self.case.assertEqual(self.expect(OK)[1], sid)

    def request(self, topic, payload, id=1):
        """Asks, and gives the envelope that comes back: MSG or ERR."""
        inbox = self.hello()["inbox"]
        self.send([PUB, id, [topic, f"{inbox}{id}", None, payload]])
        return self.receive()


def greeting(protocol):
    return b"\0SP\0" + struct.pack(">HH", protocol, 0)


# --- the test case ---


def reap():
    """Takes the exit of the orphans that came to us."""
    for pid in descendants(os.getpid()):
        stat = stat_of(pid)
        if stat and stat[0] == "Z" and int(stat[1]) == os.getpid() and pid not in Program.waited_for:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def for_each(**axes):
    """Makes one test of each combination: @for_each(kind=KINDS, workers=(1, 4))."""
    def mark(test):
        test.axes = axes
        return test
    return mark


def bound(test, values):
    @functools.wraps(test)
    def one(self):
        test(self, **values)
    return one


class Case(unittest.TestCase):
    """A test with a folder of its own, which leaves no process behind."""

    def __init_subclass__(cls):
        for name, test in list(vars(cls).items()):
            if hasattr(test, "axes"):
                delattr(cls, name)
                for values in itertools.product(*test.axes.values()):
                    setattr(cls, "_".join([name, *map(str, values)]), bound(test, dict(zip(test.axes, values))))

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="troupe-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.addCleanup(self._nothing_left)

    def _nothing_left(self):
        """Runs after each program's own cleanup: only what escaped those can be found here."""
        def left():
            reap()
            return [pid for pid in descendants(os.getpid()) if session_of(pid) is not None]

        end = time.monotonic() + seconds(5)
        while (pids := left()) and time.monotonic() < end:
            time.sleep(0.01)
        for pid in pids:
            kill_hard(pid)
        self.assertEqual(pids, [], "processes are left over")

    def path(self, name):
        return os.path.join(self.folder, name)

    def broker(self, *args, **kw):
        return Broker(self, *args, **kw)

    def service(self, kind="thread", workers=1, *args, query="", gateway_args=(), **kw):
        """A broker with a gateway and a fib-actor behind it, ready to answer."""
        b = self.broker(*gateway_args, gateway=f"tcp://127.0.0.1:0/fib{query}")
        return b, Actor(self, b, kind, workers, *args, **kw)

    def slow_fib(self, broker, wanted):
        """(n, fib(n)) of a number that takes a worker about `wanted` seconds here and now: each step is 1.6 times the last."""
        n, took = 24, 0.0
        while took < 0.05:
            n += 1
            took = min(self.time_of_fib(broker, n) for _ in range(3))  # or a moment without a processor would count
        while took < wanted and n < 50:
            n, took = n + 1, took * 1.618
        return n, fib(n)

    def time_of_fib(self, broker, n):
        start = time.monotonic()
        self.assertEqual(broker.ask(str(n)), str(fib(n)))
        return time.monotonic() - start

    def assertError(self, line, code):
        """An error line is `ERR CODE sentence`."""
        self.assertRegex(line, rf"^ERR {code} \S.*$")


def fib(n):
    a, b = 0, 1
    for _ in range(max(n, 1)):
        a, b = b, a + b
    return a


def raise_file_limit():
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in ("brokerd", "troupe", "fib-actor"):
        if not os.access(program(name), os.X_OK):
            sys.exit(f"there is no {program(name)}: build first, or set TROUPE_BIN")
    unittest.main(verbosity=2)
