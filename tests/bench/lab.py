"""Hosts h1 … hN: each a set of namespaces on this machine, with an sshd, and a network to them with a chosen delay.

The controller is a network namespace, too. None of these networks leads out of the machine.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from cgroup import Group

HERE = Path(__file__).resolve().parent
FOLDER = Path("/tmp/rollout-bench")
CONTROLLER = "rob-ctl"
CONTROLLER_ADDRESS = "10.78.0.1"


def quietly(*command, **options):
    """Runs a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def address(number):
    return f"10.78.1.{number}"


class Lab:
    """The running hosts."""

    def __init__(self):
        self.groups = {name: Group(name) for name in ("controller", "hosts", "delay")}
        self.hosts = []
        self.delay = None
        self.agent = None

    def up(self, count):
        if Path(f"/run/netns/{CONTROLLER}").exists():
            raise SystemExit("bench: its hosts are up already, or were left behind: tests/bench/run --down")
        FOLDER.mkdir(mode=0o711, exist_ok=True)
        (FOLDER / "keys").mkdir(exist_ok=True)
        for group in self.groups.values():
            group.make()
        quietly("ip", "netns", "add", CONTROLLER)
        for line in ("link set lo up", "link add lan type bridge", f"addr add {CONTROLLER_ADDRESS}/16 dev lan", "link set lan up"):
            quietly("ip", "-n", CONTROLLER, *line.split())
        self._keys(count)
        for number in range(1, count + 1):
            self._host(number)
        self._client_files(count)
        for number in range(1, count + 1):
            self._wait(number)
        self._start_agent()

    def _keys(self, count):
        names = [FOLDER / "id", *(FOLDER / "keys" / f"h{n}" for n in range(1, count + 1))]
        for name in names:
            if not name.exists():
                quietly("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name.name, "-f", name)

    def _host(self, number):
        name, space = f"h{number}", f"rob-{number}"
        quietly("ip", "netns", "add", space)
        quietly(*f"ip link add v{number} netns {CONTROLLER} type veth peer name eth0 netns {space}".split())
        quietly("ip", "-n", CONTROLLER, *f"link set v{number} master lan up".split())
        for line in ("link set lo up", f"addr add {address(number)}/16 dev eth0", "link set eth0 up"):
            quietly("ip", "-n", space, *line.split())
        command = ["nsenter", f"--net=/run/netns/{space}", "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork"]
        command += ["--kill-child", HERE / "hosts/boot", name, str(number), FOLDER]
        with open(FOLDER / f"{name}.log", "w") as log:
            process = subprocess.Popen(
                self.groups["hosts"].entering(map(str, command)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        self.hosts.append(process)

    def _wait(self, number):
        deadline = time.monotonic() + 60
        seen = "nothing"
        while time.monotonic() < deadline:
            done = subprocess.run(
                [*inside(), "bash", "-c", f"read -t 5 -r banner </dev/tcp/{address(number)}/22 && [[ $banner == SSH-* ]]"],
                capture_output=True, text=True,
            )
            if done.returncode == 0:
                return
            seen = done.stderr.strip()
            time.sleep(0.05)
        log = (FOLDER / f"h{number}.log").read_text()
        raise SystemExit(f"bench: h{number} does not answer on port 22: {seen}\n{log}")

    def _client_files(self, count):
        numbers = range(1, count + 1)
        known = FOLDER / "known_hosts"
        with open(known, "w") as file:
            for n in numbers:
                key = (FOLDER / "keys" / f"h{n}.pub").read_text().split()
                file.write(f"h{n},{address(n)} {key[0]} {key[1]}\n")
        common = (
            f"Host h* 10.78.1.*\n    User pi\n    IdentityFile {FOLDER}/id\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {known}\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n"
            "    BatchMode yes\n    ConnectTimeout 20\n"
        )
        names = "".join(f"Host h{n}\n    HostName {address(n)}\n" for n in numbers)
        (FOLDER / "ssh_config.default").write_text(common + names)
        (FOLDER / "ssh_config.curve25519").write_text(common + "    KexAlgorithms curve25519-sha256\n" + names)

    def _start_agent(self):
        socket_path = FOLDER / "agent"
        socket_path.unlink(missing_ok=True)
        self.agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket_path], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not socket_path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        quietly("ssh-add", "-q", FOLDER / "id", env={**os.environ, "SSH_AUTH_SOCK": str(socket_path)})

    def set_rtt(self, milliseconds):
        """Adds a delay between the controller and all hosts."""
        if self.delay:
            self.delay.terminate()
            self.delay.wait()
            self.delay = None
        if not milliseconds:
            return
        command = [*inside(), FOLDER / "delay", "delay", "lan", str(milliseconds)]
        self.delay = subprocess.Popen(self.groups["delay"].entering(map(str, command)))
        deadline = time.monotonic() + 10
        while subprocess.run(["ip", "-n", CONTROLLER, "link", "show", "delay"], capture_output=True).returncode:
            if time.monotonic() > deadline:
                raise SystemExit("bench: the delay does not start: has this kernel TUN devices?")
            time.sleep(0.02)
        quietly("ip", "-n", CONTROLLER, "link", "set", "delay", "up")
        quietly("ip", "-n", CONTROLLER, *f"route add 10.78.1.0/24 dev delay src {CONTROLLER_ADDRESS}".split())

    def at_controller(self, command):
        """A command that runs the given one at the controller."""
        return self.groups["controller"].entering([*inside(), *map(str, command)])

    def run(self, command, environment):
        """Runs a command at the controller, which must succeed; returns seconds of wall clock."""
        begun = time.monotonic()
        done = subprocess.run(
            self.at_controller(command), env={**os.environ, **environment}, cwd=HERE / "work",
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )
        seconds = time.monotonic() - begun
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise RuntimeError(f"exit status {done.returncode}: {' '.join(map(str, command))}\n{last}")
        return seconds

    def hang_up(self):
        """Ends processes that commands at the controller left running."""
        self.groups["controller"].end(signal.SIGTERM)

    def reset(self, count):
        """Undoes all work on the first hosts."""
        for process in self.hosts[:count]:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            quietly("nsenter", "-t", children[0], "-m", "-p", "/bin/sh", "-s", input=(HERE / "hosts/reset").read_text())

    def down(self):
        self.set_rtt(0)
        if self.agent:
            self.agent.terminate()
        for process in self.hosts:
            process.kill()
            process.wait()
        clear()


def clear():
    """Removes what any lab of this kind left, also one of another process."""
    for name in ("controller", "delay", "hosts"):
        group = Group(name)
        deadline = time.monotonic() + 10
        with contextlib.suppress(FileNotFoundError):
            while group.processes() and time.monotonic() < deadline:
                group.end(signal.SIGKILL)
                time.sleep(0.05)
        group.remove()
    spaces = quietly("ip", "netns", "list").split()
    for space in spaces:
        if space.startswith("rob-"):
            quietly("ip", "netns", "del", space)
    shutil.rmtree(FOLDER / "disks", ignore_errors=True)


def inside():
    """Prefix of a command that runs at the controller."""
    return ["nsenter", f"--net=/run/netns/{CONTROLLER}"]
