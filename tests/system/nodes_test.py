# SPDX-License-Identifier: Apache-2.0
"""Systems in programs of their own that know each other through one brokerd: the example `remote`, and `troupe actors`."""

import json
import os
import re
import signal

from harness import EX_UNAVAILABLE, EX_USAGE, Case, Program, environment, main, run, until


class Nodes(Case):
    def setUp(self):
        super().setUp()
        self.brokerd = self.broker()
        self.env = {"TROUPE_BROKER": self.brokerd.url}

    def serve(self, node):
        p = Program(self, "remote", "serve", node, env=self.env)
        p.wait_line(rf"^counter@{node} is there$")
        return p

    def remote(self, *args, code=0):
        p = Program(self, "remote", *args, env=self.env)
        self.assertEqual(p.wait(20), code, p.report())
        self.said = p.err.text()
        return p.out.text()

    def actors(self, *args, code=0):
        got, out, err = run("troupe", "actors", f"--broker={self.brokerd.url}", *args)
        self.assertEqual(got, code, out + err)
        self.said = err
        return out

    def rows(self, *args):
        return [json.loads(line) for line in self.actors("--json", *args).splitlines()]

    def test_a_counter_for_all(self):
        self.serve("shop")
        self.assertEqual(self.remote("add", "counter@shop", "5"), "5")
        self.assertEqual(self.remote("add", "counter", "7"), "12")

    def test_who_is_not_there(self):
        self.remote("add", "counter@shop", "5", code=EX_UNAVAILABLE)
        self.assertEqual(self.said, "remote: counter@shop: there is no such node")
        self.serve("shop")
        self.remote("add", "nobody@shop", "5", code=EX_UNAVAILABLE)
        self.remote("serve", "shop", code=EX_UNAVAILABLE)
        self.assertIn("it exists already", self.said)
        self.remote("nonsense", code=EX_USAGE)

    def test_an_end_is_seen_from_afar(self):
        self.serve("shop")
        watcher = Program(self, "remote", "watch", "counter@shop", env=self.env)
        watcher.wait_line("^watching")
        pid = next(row["pid"] for row in self.rows("shop") if row["name"] == "counter")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(watcher.wait(20), 0)
        self.assertEqual(watcher.out.lines()[-1], "counter@shop has ended: SIGKILL")

    def test_a_node_that_is_lost(self):
        shop = self.serve("shop")
        watcher = Program(self, "remote", "watch", "counter@shop", env=self.env)
        watcher.wait_line("^watching")
        shop.kill()
        self.assertEqual(watcher.wait(20), 0)
        self.assertEqual(watcher.out.lines()[-1], "counter@shop has ended: node shop: WORKER_LOST")
        again = self.serve("shop")
        self.assertEqual(self.remote("add", "counter@shop", "1"), "1")
        self.assertEqual(again.terminate(), 0)

    def test_a_broker_that_comes_back_finds_its_nodes_again(self):
        self.serve("shop")
        watcher = Program(self, "remote", "watch", "counter@shop", env=self.env)
        watcher.wait_line("^watching")
        self.assertEqual(self.remote("add", "counter@shop", "1"), "1")
        url = self.brokerd.url
        self.brokerd.kill()
        self.assertEqual(watcher.wait(20), 0)
        self.assertEqual(watcher.out.lines()[-1], "counter@shop has ended: node shop: DISCONNECTED")
        self.brokerd = self.broker(listen=url)
        until(lambda: "shop" in self.actors(), 20, "the node is back")
        self.assertEqual(self.remote("add", "counter@shop", "1"), "2")

    def test_what_its_actors_do(self):
        self.assertEqual(self.actors(), "")
        self.assertEqual(self.said, "troupe: no system has joined this broker (troupe_node_join)\n")
        self.actors("shop", code=1)
        self.assertEqual(self.said, "troupe: there is no node shop at this broker\n")
        self.actors("no.name", code=EX_USAGE)
        self.serve("shop")
        self.serve("mill")
        for i in range(3):
            self.remote("add", "counter@shop", "5")
        table = self.actors().splitlines()
        self.assertRegex(table[0], r"^NODE +NAME +KIND +STATE +QUEUED +HANDLED ")
        self.assertEqual({line.split()[0] for line in table[1:]}, {"shop", "mill"})
        self.assertTrue(any(re.match(r"shop +counter +process +\w+ +0 +3 ", line) for line in table), "\n".join(table))
        row = next(row for row in self.rows("shop") if row["name"] == "counter")
        self.assertEqual((row["kind"], row["handled"], row["restarts"], row["queued_most"]), ("process", 3, 0, 1024))


if __name__ == "__main__":
    main()
