"""The compared tools: how each is installed and run."""

import os
import subprocess
from pathlib import Path

from lab import FOLDER, HERE, address

WORK = HERE / "work"
CACHE = Path(os.environ.get("ROLLOUT_BENCH_CACHE", Path.home() / ".cache/rollout-bench"))
KINDS = ("first", "second", "dry")


class Tool:
    """A tool. `command` is measured; `before` prepares files and the like, and is not measured."""

    name = ""
    is_peer = True
    # Whether one round takes minutes with many hosts.
    is_slow = False

    def install(self):
        """Why the tool is not available, or None."""

    def before(self, lab, count, config):
        pass

    def command(self, kind, count, config):
        raise NotImplementedError

    def environment(self):
        return {}


class Sh(Tool):
    """The lower bound: one `ssh HOST sudo sh -s <script` per host, all in parallel."""

    name, is_peer = "sh", False

    def command(self, kind, count, config):
        variables = "env dry=1 " if kind == "dry" else ""
        remote = f"ssh -F {config} {self.options()} h$n sudo -n {variables}sh -s <{WORK}/work.sh >/dev/null & ids=\"$ids $!\""
        return ["bash", "-c", f"for n in $(seq {count}); do {remote}; done; for id in $ids; do wait $id || exit 1; done"]

    def options(self):
        return "-o ControlPath=none"


class WarmSh(Sh):
    """The same over existing connections."""

    name = "sh warm"

    def before(self, lab, count, config):
        for n in range(1, count + 1):
            line = ["ssh", "-F", config, *self.options().split(), "-M", "-N", "-f", f"h{n}"]
            subprocess.run(lab.at_controller(line), check=True, stdin=subprocess.DEVNULL)

    def options(self):
        return f"-o ControlPath={FOLDER}/master-%h"


class Rollout(Tool):
    name, is_peer = "rollout", False
    settings = ""

    def __init__(self, program):
        self.program = program

    def before(self, lab, count, config):
        self.inventory(count).write_text(
            f'[hosts."h[1:{count}]"]\naddress = "10.78.1.[1:{count}]"\n\n[ssh]\nconfig = "{config}"\n{self.settings}'
        )

    def inventory(self, count):
        return FOLDER / f"{self.name.replace(' ', '-')}-{count}.toml"

    def command(self, kind, count, config):
        what = ["run", "--dry-run"] if kind == "dry" else ["run"]
        return [self.program, *what, WORK / "plan.toml", "-i", self.inventory(count), "--diff", "none"]

    def environment(self):
        return {"ROLLOUT_STATE_DIR": str(FOLDER / "state")}


class WarmRollout(Rollout):
    name = "rollout warm"
    settings = 'control_persist = "60s"\n'

    def before(self, lab, count, config):
        super().before(lab, count, config)
        lab.run(self.command("dry", count, config), self.environment())


def venv(name, *requirements):
    """Creates a virtual environment in the cache; returns pip's output on failure."""
    folder = CACHE / name
    if (folder / "complete").exists():
        return None
    python = next((p for p in ("python3.14", "python3.13", "python3.12", "python3") if works(p)), "python3")
    for line in ([python, "-m", "venv", "--clear", folder], [folder / "bin/pip", "install", "-q", *requirements]):
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
    (folder / "complete").touch()
    return None


def works(program):
    try:
        return subprocess.run([program, "--version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Ansible(Tool):
    name, is_slow = "ansible", True
    strategy = ""

    def install(self):
        return venv("ansible", "ansible-core==2.21.5", "mitogen==0.3.54")

    def before(self, lab, count, config):
        hosts = "\n".join(f"h{n}" for n in range(1, count + 1))
        (FOLDER / "ansible.ini").write_text(
            f"[all]\n{hosts}\n[all:vars]\nansible_user=pi\nansible_python_interpreter=/usr/bin/python3\n"
        )
        (FOLDER / f"{self.name}.cfg").write_text(
            f"[defaults]\nforks = {count}\nlocal_tmp = {FOLDER}/ansible\n{self.strategy}\n"
            f"[ssh_connection]\npipelining = true\ncontrol_path_dir = {FOLDER}/ansible\n"
            f"ssh_args = -F {config} -o ControlMaster=auto -o ControlPersist=60s\n"
        )

    def command(self, kind, count, config):
        check = ["--check"] if kind == "dry" else []
        return [CACHE / "ansible/bin/ansible-playbook", "-i", FOLDER / "ansible.ini", *check, WORK / "playbook.yml"]

    def environment(self):
        return {"ANSIBLE_CONFIG": str(FOLDER / f"{self.name}.cfg"), "ANSIBLE_HOME": str(FOLDER / "ansible")}


class Mitogen(Ansible):
    name = "mitogen"

    @property
    def strategy(self):
        plugins = next((CACHE / "ansible/lib").glob("python3*/site-packages/ansible_mitogen/plugins/strategy"))
        return f"strategy_plugins = {plugins}\nstrategy = mitogen_linear"


class Pyinfra(Tool):
    name = "pyinfra"

    def install(self):
        return venv("pyinfra", "pyinfra==3.10.0")

    def before(self, lab, count, config):
        data = f"'ssh_user': 'pi', 'ssh_key': '{FOLDER}/id', 'ssh_known_hosts_file': '{FOLDER}/known_hosts'"
        hosts = "".join(f"    ('{address(n)}', {{{data}}}),\n" for n in range(1, count + 1))
        (FOLDER / "pyinfra_hosts.py").write_text(f"hosts = [\n{hosts}]\n")

    def command(self, kind, count, config):
        line = [CACHE / "pyinfra/bin/pyinfra", "-y", "--sudo", "--parallel", count]
        return [*line, *(["--dry"] if kind == "dry" else []), FOLDER / "pyinfra_hosts.py", WORK / "deploy.py"]


class Jetp(Tool):
    name = "jetp"

    def install(self):
        if (CACHE / "jetp/bin/jetp").exists():
            return None
        line = ["cargo", "install", "--quiet", "jetp", "--version", "0.1.1", "--root", CACHE / "jetp"]
        done = subprocess.run(line, capture_output=True, text=True)
        return done.stderr.strip().splitlines()[-1] if done.returncode else None

    def before(self, lab, count, config):
        groups = FOLDER / "jetp/groups"
        groups.mkdir(parents=True, exist_ok=True)
        (groups / "all").write_text("hosts:\n" + "".join(f"  - {address(n)}\n" for n in range(1, count + 1)))

    def command(self, kind, count, config):
        what = "check-ssh" if kind == "dry" else "ssh"
        line = [CACHE / "jetp/bin/jetp", what, "-p", WORK / "jetp.yml", "-i", FOLDER / "jetp"]
        return [*line, "-u", "pi", "-t", count]

    def environment(self):
        return {"SSH_AUTH_SOCK": str(FOLDER / "agent")}


PEERS = (Ansible(), Mitogen(), Pyinfra(), Jetp())
