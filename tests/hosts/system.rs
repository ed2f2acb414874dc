//! Mounts, units and kernel parameters of a machine booted by systemd: what is reported as done is done, and persists.

use std::process::Command;

use crate::machine::Machine;
use crate::needs;
use crate::project::{Project, Ran, step};
use crate::sshd::Sshd;

struct Booted {
    machine: Machine,
    sshd: Sshd,
}

impl Booted {
    fn new() -> Option<Self> {
        let machine = Machine::booted()?;
        let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
        Some(Self { machine, sshd })
    }

    fn project(&self, steps: &str) -> Project {
        Project::new(&self.sshd.inventory(), steps)
    }

    fn by(&self) -> impl Fn(&str) -> Command {
        |program: &str| self.machine.on_its_network(program)
    }

    fn run(&self, steps: &str) -> Ran {
        self.project(steps).start(self.by(), &[]).end(std::time::Duration::from_secs(120))
    }

    fn comes_to_rest(&self, steps: &str) {
        self.project(steps).runs_twice_by(self.by(), &[]);
    }
}

fn mount(id: &str, rest: &str) -> String {
    step(id, &format!("action = \"node.mount\"\n{rest}"))
}

#[test]
fn what_is_told_as_mounted_is_mounted_and_once() {
    let Some(host) = Booted::new() else { return };
    let ran = host.run(&mount(
        "away",
        "path = \"/srv/away\"\nsource = \"LABEL=none\"\nfstype = \"ext4\"\noptions = [\"nofail\"]",
    ));
    ran.tells("away", &["nothing is mounted at /srv/away"], "LABEL=none");

    // The folder is reached through a link, and its name contains a space.
    host.machine.sh("mkdir /real && ln -s /real /linked && mkdir /srv/other");
    let path = "path = \"/linked/a b/\"";
    let tmpfs = |options: &str| format!("{path}\nsource = \"tmpfs\"\nfstype = \"tmpfs\"\noptions = {options}");
    host.comes_to_rest(&mount("linked", &tmpfs("[\"size=1m\", \"nosuid\"]")));
    let mounts = |place: &str| host.machine.sh(&format!("grep -cF '{place} ' /proc/self/mountinfo || true"));
    assert_eq!(mounts("/real/a\\040b"), "1");
    host.comes_to_rest(&mount("linked", &tmpfs("[\"size=2m\", \"nosuid\"]")));
    assert!(host.machine.holds("grep -F '/real/a' /proc/self/mountinfo | grep -q size=2048k"));
    // With the folder's other name, and the options in another order, there is nothing to do.
    let other = mount("linked", &tmpfs("[\"nosuid\", \"size=2m\"]")).replace("/linked", "/real");
    assert_eq!(host.run(&other).outcomes()["linked"], "same");

    host.machine.sh("mount -t tmpfs two '/real/a b' && mount -t tmpfs three '/real/a b'");
    host.comes_to_rest(&mount("linked", &format!("{path}\nstate = \"absent\"")));
    assert_eq!(
        (mounts("/real/a\\040b").as_str(), host.machine.sh("grep -c real /etc/fstab || true").as_str()),
        ("0", "0")
    );

    let bind = |source: &str| {
        mount("bind", &format!("path = \"/srv/bound\"\nsource = \"{source}\"\nfstype = \"none\"\noptions = [\"bind\"]"))
    };
    host.comes_to_rest(&bind("/real"));
    host.run(&bind("/srv/other")).tells("bind", &["is not /srv/other"], "unmounted, do so first");
}

#[test]
fn a_unit_is_enabled_by_what_its_file_says_now() {
    let Some(host) = Booted::new() else { return };
    let unit = |install: &str, more: &str| {
        step(
            "unit",
            &format!(
                "action = \"node.service\"\nname = \"demo\"\nenabled = true\n{more}\nunit = \"\"\"\n[Service]\nExecStart=sleep infinity\n[Install]\n{install}\n\"\"\""
            ),
        )
    };
    let links = || host.machine.sh("cd /etc/systemd/system && find . -type l -name 'demo*' | sort | tr '\\n' ' '");
    host.comes_to_rest(&unit("WantedBy=multi-user.target", "state = \"started\""));
    assert_eq!(links(), "./multi-user.target.wants/demo.service");
    host.comes_to_rest(&unit(
        "WantedBy=graphical.target rescue.target\nRequiredBy=timers.target\nAlias=demo-too.service",
        "",
    ));
    let all = "./demo-too.service ./graphical.target.wants/demo.service ./rescue.target.wants/demo.service \
               ./timers.target.requires/demo.service";
    assert_eq!(links(), all);
    host.machine.sh("rm /etc/systemd/system/rescue.target.wants/demo.service");
    host.comes_to_rest(&unit(
        "WantedBy=graphical.target rescue.target\nRequiredBy=timers.target\nAlias=demo-too.service",
        "",
    ));
    assert_eq!(links(), all, "somebody had taken one away");
    // Removing the unit also removes its alias.
    host.comes_to_rest(&step("other", "action = \"node.service\"\nname = \"demo-too\"\nenabled = false"));
    assert_eq!(links(), "");

    let ends = |kind: &str, rest: &str| {
        host.machine.sh(&format!("printf '[Service]\\nType={kind}\\nExecStart=/bin/true\\n' >/etc/systemd/system/ends.service; systemctl daemon-reload"));
        host.run(&step("ends", &format!("action = \"node.service\"\nname = \"ends\"\n{rest}")))
    };
    assert_eq!(ends("oneshot", "state = \"restarted\"").outcomes()["ends"], "changed");
    host.machine
        .sh("printf '[Service]\\nExecStart=/bin/false\\n' >/etc/systemd/system/fails.service; systemctl daemon-reload");
    let fails = host.run(&step("fails", "action = \"node.service\"\nname = \"fails\"\nstate = \"started\""));
    assert_eq!(fails.outcomes()["fails"], "failed", "{}", fails.said);
}

#[test]
fn parameters_that_bear_upon_each_other_all_hold_after_one_run() {
    let Some(host) = Booted::new() else { return };
    let settable = host.machine.holds("echo 1 >/proc/sys/net/ipv4/ip_forward");
    if !needs::met(settable, "a kernel that lets a container set its network", "run the tests in no such container") {
        return;
    }
    host.machine.sh("echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects");
    let set = |settings: &str| {
        step("set", &format!("action = \"node.sysctl\"\nname = \"90-fwd\"\nsettings = {{ {settings} }}"))
    };
    host.comes_to_rest(&set("\"net.ipv4.ip_forward\" = 0, \"net.ipv4.conf.all.accept_redirects\" = 0"));
    assert_eq!(
        host.machine.sh("cd /proc/sys/net/ipv4; cat ip_forward conf/all/accept_redirects | tr '\\n' ' '"),
        "0 0"
    );
    host.comes_to_rest(&set("\"net.ipv4.ip_default_ttl\" = \"0x41\", \"net/ipv4/conf/lo/rp_filter\" = 2, \"net.ipv4.ip_local_reserved_ports\" = \"9,1-2,3\", \"net.ipv4.ping_group_range\" = \"0\\t10\""));
    let ran = host.run(&set("\"net.ipv4.conf.all.rp_filter\" = 1, \"net.ipv4.tcp_congestion_control\" = \"Cubic\""));
    let problem = ran.problem("set");
    assert!(problem.message.contains("\"Cubic\" for net/ipv4/tcp_congestion_control"), "{problem:?}");
}
