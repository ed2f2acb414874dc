"""Control groups, version 1 and 2: CPU time and memory of groups of processes."""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAME = "rollout-bench"


def _folders():
    """The hierarchies in use: the one of version 2, or one for each controller of version 1."""
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
            # All other processes of the machine get the CPU time that is left.
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
        """A command that first moves into the group, and then runs the given one."""
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
        """Bytes that its processes use now; shared memory is divided among its users (PSS)."""
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
