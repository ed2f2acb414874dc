"""The measurements as a table, and the bars that they must meet."""

from statistics import median


class Results:
    """Rows of measurements."""

    def __init__(self):
        self.rows = []

    def add(self, **row):
        self.rows.append(row)

    def select(self, **wanted):
        return [row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())]

    def median(self, what, **wanted):
        values = [row[what] for row in self.select(**wanted) if row.get(what) is not None]
        return median(values) if values else None

    def print(self):
        settings = sorted({(row["hosts"], row["rtt"]) for row in self.rows})
        for hosts, rtt in settings:
            print(f"\n## {hosts} hosts, RTT {rtt} ms\n")
            print("wall s / controller CPU s / hosts CPU s, ×: wall over that of `sh` with the same key exchange\n")
            print("| tool | key exchange | first run | second run | dry run | peak MiB | rounds |")
            print("|---|---|---|---|---|---|---|")
            seen = dict.fromkeys((row["tool"], row["kex"]) for row in self.select(hosts=hosts, rtt=rtt))
            for tool, kex in seen:
                self._print_row(tool, kex, hosts, rtt)

    def _print_row(self, tool, kex, hosts, rtt):
        at = {"hosts": hosts, "rtt": rtt, "kex": kex}
        cells = []
        for kind in ("first", "second", "dry"):
            here = {**at, "tool": tool, "kind": kind}
            wall = self.median("wall", **here)
            if wall is None:
                cells.append("–")
                continue
            ratio = self._ratio("wall", tool, kind, at)
            times = "" if ratio is None else f" ({ratio:.2f} ×)"
            cells.append(f"{wall:.2f}/{self.median('controller', **here):.2f}/{self.median('host', **here):.2f}{times}")
        peak = self.median("peak", **at, tool=tool, kind="second")
        cells.append("–" if peak is None else f"{peak / 2**20:.0f}")
        cells.append(str(sum("wall" in row for row in self.select(**at, tool=tool, kind="second"))))
        print(f"| {tool} | {kex} | {' | '.join(cells)} |")

    def _ratio(self, what, tool, kind, at):
        base = "sh warm" if tool.endswith("warm") else "sh"
        mine = self.median(what, **at, tool=tool, kind=kind)
        theirs = self.median(what, **at, tool=base, kind=kind)
        return mine / theirs if mine is not None and theirs else None

    def print_bars(self):
        """Prints each bar as met or missed; returns whether all are met."""
        print("\n## Bars\n\n| bar | where | is | |\n|---|---|---|---|")
        met = True
        for name, where, value, limit, good in self._bars():
            met &= good
            print(f"| {name} {limit} | {where} | {value} | {'met' if good else '**missed**'} |")
        return met

    def _bars(self):
        for hosts, rtt, kex in sorted({(row["hosts"], row["rtt"], row["kex"]) for row in self.rows}):
            at = {"hosts": hosts, "rtt": rtt, "kex": kex}
            where = f"{hosts} hosts, {rtt} ms, {kex}"
            for tool, kind, most in (
                ("rollout", "first", 1.35), ("rollout", "second", 1.15), ("rollout", "dry", 1.15),
                ("rollout warm", "first", 1.3), ("rollout warm", "second", 1.3), ("rollout warm", "dry", 1.3),
            ):
                ratio = self._ratio("wall", tool, kind, at)
                if ratio is not None:
                    yield f"{tool}: {kind} run, wall, over sh", where, f"{ratio:.2f} ×", f"≤ {most} ×", ratio <= most
            ratio = self._ratio("controller", "rollout", "second", at)
            if ratio is not None:
                yield "rollout: second run, controller CPU, over sh", where, f"{ratio:.2f} ×", "≤ 1.25 ×", ratio <= 1.25
            peaks = [self.median("peak", **at, tool=tool, kind="second") for tool in ("rollout", "sh")]
            if hosts >= 50 and None not in peaks:
                mine, most = peaks[0] / 2**20, peaks[1] / 2**20 + 60
                yield "rollout: peak memory", where, f"{mine:.0f} MiB", f"< sh + 60 = {most:.0f} MiB", mine < most
            least = {"default": (("ansible", 35), ("pyinfra", 5)), "curve25519": (("ansible", 60), ("pyinfra", 10), ("jetp", 5))}
            if hosts >= 50 and rtt == 20:
                for peer, times in least[kex]:
                    theirs = self.median("wall", **{**at, "kex": "default"}, tool=peer, kind="second")
                    mine = self.median("wall", **at, tool="rollout", kind="second")
                    if theirs and mine:
                        ratio = theirs / mine
                        yield f"second run, faster than {peer}", where, f"{ratio:.1f} ×", f"≥ {times} ×", ratio >= times
