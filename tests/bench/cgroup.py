"""Control groups: who used how much CPU, and whose processes are whose. Both versions of them."""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAME = "rollout-bench"


def _folders():
    """The hierarchies that matter: the one of version 2, or that of each controller of version 1."""
    if (ROOT / "cgroup.controllers").exists():
        return {"cpuacct": ROOT / NAME, "cpu": ROOT / NAME}
    return {kind: ROOT / kind / NAME for kind in ("cpuacct", "cpu")}


class Group:
    """One group of processes."""

    def __init__(self, name):
        self.folders = {kind: folder / name for kind, folder in _folders().items()}

    def make(self):
        for kind, folder in self.folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            # What else the machine does meanwhile gets what is left.
            for file, weight in (("cpu.shares", "16384"), ("cpu.weight", "1000")):
                shares = folder.parent / file
                if kind == "cpu" and shares.exists():
                    shares.write_text(weight)
        return self

    def remove(self):
        for folder in self.folders.values():
            for place in (folder, folder.parent):
                try:
                    place.rmdir()
                except OSError:
                    pass

    def entering(self, command):
        """The command, as one that moves into the group first."""
        files = sorted({str(folder / "cgroup.procs") for folder in self.folders.values()})
        script = "".join(f"echo $$ >{file}; " for file in files) + 'exec "$@"'
        return ["sh", "-c", script, "sh", *command]

    def cpu(self):
        """Seconds of CPU used so far."""
        folder = self.folders["cpuacct"]
        usage = folder / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        lines = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
        return int(lines["usage_usec"]) / 1e6

    def processes(self):
        return [int(pid) for pid in (self.folders["cpuacct"] / "cgroup.procs").read_text().split()]

    def memory(self):
        """Bytes that its processes take up now: what several share is split among them."""
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as rollup:
                    total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def end(self, signal):
        for pid in self.processes():
            try:
                os.kill(pid, signal)
            except OSError:
                pass
