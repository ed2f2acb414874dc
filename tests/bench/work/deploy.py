"""The same work for pyinfra."""

from pyinfra import host
from pyinfra.facts.server import Arch, Kernel, LinuxDistribution
from pyinfra.facts.files import File
from pyinfra.operations import files, server

for fact in (Arch, Kernel, LinuxDistribution):
    host.get_fact(fact)

settings = {"application": "bench", "web_port": 8080, "api_port": 8081, "workers": 4}

files.directory(path="/etc/bench", mode="755")
files.directory(path="/etc/bench/conf.d", mode="755")
files.directory(path="/srv/bench/data", mode="750")
for name in ("web", "api", "queue", "cache", "log"):
    files.template(src=f"templates/{name}.conf.j2", dest=f"/etc/bench/conf.d/{name}.conf", mode="644", **settings)
files.line(path="/etc/hosts", line="^.* controller$", replace="10.78.0.1 controller")
files.line(path="/etc/environment", line="^BENCH_HOME=.*", replace="BENCH_HOME=/srv/bench")
files.line(path="/etc/environment", line="^BENCH_PORT=.*", replace="BENCH_PORT=8080")
files.put(src="files/network.conf", dest="/etc/sysctl.d/90-bench-network.conf", mode="644")
files.put(src="files/memory.conf", dest="/etc/sysctl.d/91-bench-memory.conf", mode="644")
server.group(group="bench")
server.user(user="bench", group="bench", shell="/bin/sh", home="/home/bench")
if host.get_fact(File, path="/srv/bench/data/seed") is None:
    server.shell(commands=["date +%s >/srv/bench/data/seed"])
index = host.get_fact(File, path="/srv/bench/data/index")
if index is None:
    server.shell(commands=["ls /etc/bench/conf.d >/srv/bench/data/index"])
if index is None or index.get("user") != "bench":
    server.shell(commands=["chown -R bench:bench /srv/bench/data"])
server.shell(commands=["test -r /etc/bench/conf.d/web.conf && id -u bench"])
