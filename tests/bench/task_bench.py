# SPDX-License-Identifier: Apache-2.0
"""What a task costs: taskmaster with taskworkers, without the pretended work, beside two queues of Python's BaseManager, in turns.

    task_bench.py [--rounds=5] [--tasks=50000] [--peer-tasks=2000] [--workers=1,2] [--brief]     TROUPE_BIN: where the programs are

Both pairs do the same: N tasks are put and waited for; then workers are started; the time runs from the first result to the last one, as the
master prints them, so that no interpreter's start is measured. Prints medians and the ratio of the medians."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TROUPE_BIN", os.path.join(ROOT, "build", "release", "bin"))

PEER_MASTER = """
import queue, sys
from multiprocessing.managers import BaseManager
tasks, results = queue.Queue(), queue.Queue()
def get_tasks(): return tasks
def get_results(): return results
class Manager(BaseManager): pass
if __name__ == "__main__":
    path, n = sys.argv[1], int(sys.argv[2])
    Manager.register("tasks", callable=get_tasks)
    Manager.register("results", callable=get_results)
    m = Manager(address=path, authkey=b"bench")
    m.start()
    t, r = m.tasks(), m.results()
    for i in range(n):
        t.put(i)
    print("ready", flush=True)
    for i in range(n):
        print("Result:", r.get(), flush=i == 0 or i == n - 1)
    m.shutdown()
"""

PEER_WORKER = """
import queue, sys
from multiprocessing.managers import BaseManager
class Manager(BaseManager): pass
Manager.register("tasks")
Manager.register("results")
m = Manager(address=sys.argv[1], authkey=b"bench")
m.connect()
t, r = m.tasks(), m.results()
try:
    while True:
        n = t.get(timeout=0.5)
        r.put("%d * %d = %d" % (n, n, n * n))
except (queue.Empty, EOFError, ConnectionError):
    pass
"""


def rate(master, start_workers, n):
    """Tasks a second between the first result and the last. The workers are started when all is put (or the master is "ready")."""
    first = last = count = put = 0
    workers = None
    for line in master.stdout:
        if line.startswith(b"Result:"):
            count += 1
            last = time.monotonic()
            first = first or last
            continue
        put += line.startswith(b"Put task")
        if workers is None and (put == n or line == b"ready\n"):
            workers = start_workers()
    master.wait()
    for worker in workers or ():
        worker.wait()
    assert count == n, f"{count} results of {n}"
    return (n - 1) / (last - first)


def troupe(folder, workers, n):
    url = f"ipc://{folder}/sock"
    key = f"{folder}/key"
    with open(key, "wb") as f:
        f.write(b"bench")
    os.chmod(key, 0o600)
    master = subprocess.Popen([f"{BIN}/taskmaster", f"--listen={url}", f"--tasks={n}", f"--authkey-file={key}"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    worker = [f"{BIN}/taskworker", f"--connect={url}", f"--authkey-file={key}", "--sleep=0s", "--idle-timeout=300ms"]
    return rate(master, lambda: [subprocess.Popen(worker, stdout=subprocess.DEVNULL) for _ in range(workers)], n)


def peer(folder, workers, n):
    path = f"{folder}/peer"
    for name, code in (("master.py", PEER_MASTER), ("worker.py", PEER_WORKER)):
        with open(f"{folder}/{name}", "w") as f:
            f.write(code)
    master = subprocess.Popen([sys.executable, f"{folder}/master.py", path, str(n)], stdout=subprocess.PIPE)
    worker = [sys.executable, f"{folder}/worker.py", path]
    return rate(master, lambda: [subprocess.Popen(worker) for _ in range(workers)], n)


def main():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tasks", type=int, default=50000)
    p.add_argument("--peer-tasks", type=int, default=2000)
    p.add_argument("--workers", default="1,2")
    p.add_argument("--brief", action="store_true")
    a = p.parse_args()
    if a.brief:
        a.rounds, a.tasks, a.peer_tasks = 1, 10000, 500
    for workers in map(int, a.workers.split(",")):
        ours, theirs = [], []
        for _ in range(a.rounds):
            for run, to, n in ((troupe, ours, a.tasks), (peer, theirs, a.peer_tasks)):
                with tempfile.TemporaryDirectory() as folder:
                    to.append(run(folder, workers, n))
        o, t = statistics.median(ours), statistics.median(theirs)
        print(json.dumps({"bench": "task", "workers": workers, "rounds": a.rounds, "troupe_tasks_per_s": round(o),
                          "basemanager_tasks_per_s": round(t), "ratio": round(o / t, 1), "troupe_range": [round(min(ours)), round(max(ours))],
                          "basemanager_range": [round(min(theirs)), round(max(theirs))]}), flush=True)


if __name__ == "__main__":
    main()
