"""Measures rollout and its peers on the same work. See README.md; started by `run`."""

import argparse
import json
import subprocess
import sys
import threading
import time

from lab import FOLDER, Lab, clear
from table import Results
from tools import KINDS, PEERS, Rollout, Sh, WarmRollout, WarmSh

# Runs in which memory is measured.
MEMORY_RUNS = 3


def numbers(text):
    return [int(part) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run")
    parser.add_argument("--quick", action="store_true", help="5 hosts, 20 ms, 3 rounds, no peers, no warm rows")
    parser.add_argument("--hosts", type=numbers, default=[5, 20, 50], help="numbers of hosts [5,20,50]")
    parser.add_argument("--rtt", type=numbers, default=[0, 20], help="round trips, ms [0,20]")
    parser.add_argument("--kex", default="default,curve25519", help="key exchanges [default,curve25519]")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of sh and rollout [5]")
    parser.add_argument("--peer-rounds", type=int, default=5, help="rounds of the peers [5]")
    parser.add_argument("--slow-peer-rounds", type=int, default=1, help="those of ansible and mitogen from 50 hosts on [1]")
    parser.add_argument("--peers", default="ansible,mitogen,pyinfra,jetp", help="which of them; or none")
    parser.add_argument("--warm", action="store_true", help="rows over connections that are up already, too")
    parser.add_argument("--no-memory", action="store_true", help="leave out the rounds that measure memory")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--down", action="store_true", help="only remove hosts that were left behind")
    if parser.parse_args().quick:
        parser.set_defaults(hosts=[5], rtt=[20], rounds=3, peers="none", no_memory=True)
    return parser.parse_args()


def installed(names):
    """The peers that are available."""
    tools = []
    for tool in PEERS:
        if tool.name not in names.split(","):
            continue
        print(f"installing {tool.name}", file=sys.stderr)
        trouble = tool.install()
        if trouble:
            print(f"{tool.name} cannot be installed: {trouble}")
        else:
            tools.append(tool)
    return tools


class Bench:
    def __init__(self, lab, results):
        self.lab, self.results = lab, results

    def round(self, tool, count, rtt, kex):
        """First, second and dry run of a tool on fresh hosts."""
        config = FOLDER / f"ssh_config.{kex}"
        self.lab.reset(count)
        try:
            tool.before(self.lab, count, config)
            for kind in KINDS:
                self.measure(tool, kind, count, rtt, kex, tool.command(kind, count, config))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{tool.name} failed, {count} hosts, {rtt} ms: {error}")
        finally:
            self.lab.hang_up()

    def measure(self, tool, kind, count, rtt, kex, command):
        groups = [self.lab.groups[name] for name in ("controller", "hosts")]
        before = [group.cpu() for group in groups]
        wall = self.lab.run(command, tool.environment())
        # CPU that both sides use to disconnect counts, too.
        time.sleep(0.3)
        controller, hosts = (group.cpu() - used for group, used in zip(groups, before))
        row = {"tool": tool.name, "kind": kind, "hosts": count, "rtt": rtt, "kex": kex}
        self.results.add(**row, wall=wall, controller=controller, host=hosts)
        print(f"{tool.name:12} {kind:6} {count:3} hosts {rtt:2} ms {kex:10} {wall:7.2f} {controller:7.2f} {hosts:7.2f}", file=sys.stderr)

    def memory(self, tool, count, rtt, kex):
        """Peak memory over some second runs, by frequent sampling, which may miss a short peak. Nothing else of these runs is
        measured."""
        config = FOLDER / f"ssh_config.{kex}"
        peak, done = 0, threading.Event()

        def look():
            nonlocal peak
            while not done.wait(0.02):
                peak = max(peak, self.lab.groups["controller"].memory())

        try:
            tool.before(self.lab, count, config)
            command = tool.command("second", count, config)
            self.lab.run(command, tool.environment())
            watch = threading.Thread(target=look)
            watch.start()
            for _ in range(MEMORY_RUNS):
                self.lab.run(command, tool.environment())
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{tool.name} failed, {count} hosts, {rtt} ms: {error}")
            return
        finally:
            done.set()
            self.lab.hang_up()
        watch.join()
        self.results.add(tool=tool.name, kind="second", hosts=count, rtt=rtt, kex=kex, peak=peak)

    def go(self, chosen, own, peers):
        for rtt in chosen.rtt:
            self.lab.set_rtt(rtt)
            for count in chosen.hosts:
                slow = {tool: tool.is_slow and count >= 50 for tool in peers}
                rounds = {tool: chosen.slow_peer_rounds if slow[tool] else chosen.peer_rounds for tool in peers}
                for number in range(max(chosen.rounds, *rounds.values(), 0)):
                    for kex in chosen.kex.split(",") if number < chosen.rounds else []:
                        for tool in own:
                            self.round(tool, count, rtt, kex)
                    for tool in (tool for tool in peers if number < rounds[tool]):
                        self.round(tool, count, rtt, "default")
                for kex in chosen.kex.split(",") if not chosen.no_memory else []:
                    for tool in [*own, *(tool for tool in peers if kex == "default" and not slow[tool])]:
                        self.memory(tool, count, rtt, kex)


def main():
    chosen = arguments()
    if chosen.down:
        clear()
        return 0
    own = [Sh(), Rollout(chosen.program)]
    if chosen.warm:
        own += [WarmSh(), WarmRollout(chosen.program)]
    peers = installed(chosen.peers)
    lab, results = Lab(), Results()
    try:
        lab.up(max(chosen.hosts))
        Bench(lab, results).go(chosen, own, peers)
    finally:
        lab.down()
        (FOLDER / "results.json").write_text("".join(json.dumps(row) + "\n" for row in results.rows))
    results.print()
    return 0 if results.print_bars() else 1


if __name__ == "__main__":
    sys.exit(main())
