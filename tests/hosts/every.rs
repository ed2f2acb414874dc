//! Every action on hosts, over ssh, by a user with sudo: the first run changes something in each step, the second
//! nothing. Actions that need systemd run on a machine booted by systemd.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rollout::actions::Registry;
use rollout::digest::sha256;
use rollout::plan::{Catalog as _, Plan};

use crate::machine::Machine;
use crate::project::Project;
use crate::sshd::Sshd;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/every");

/// The content that `serve` serves.
pub const DOWNLOADED: &str = "downloaded\n";

#[test]
fn all_actions_on_hosts_are_in_the_plan() {
    let mut used = BTreeSet::new();
    for name in ["plan.toml", "back.toml"] {
        let path = Path::new(FOLDER).join(name);
        let plan = Plan::parse(&path, &std::fs::read_to_string(&path).unwrap()).unwrap();
        used.extend(plan.phases.iter().flat_map(|phase| &phase.steps).map(|step| step.action.value.clone()));
    }
    let registry = Registry::standard();
    let all: BTreeSet<String> = registry.actions().iter().map(|kind| kind.name.to_owned()).collect();
    // A reboot needs another kind of machine, see `tests/run/reboot.rs`.
    used.insert("node.reboot".to_owned());
    let missing: Vec<_> = all.iter().filter(|name| name.starts_with("node.") && !used.contains(*name)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "add steps with these to tests/hosts/every");
}

/// A machine prepared for the plans, and how to run them on it.
struct Host<'a> {
    sshd: Sshd,
    variables: Vec<String>,
    /// Steps to leave out.
    left_out: &'a [&'a str],
}

impl<'a> Host<'a> {
    fn new(machine: &Machine, left_out: &'a [&'a str]) -> Self {
        let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
        machine.add_user("pi", "/bin/bash");
        machine.sh(&std::fs::read_to_string(Path::new(FOLDER).join("ready.sh")).unwrap());
        let sum = format!("sum=sha256:{}", sha256(DOWNLOADED.as_bytes()));
        let variables = vec!["--var".into(), format!("port={}", serve(machine)), "--var".into(), sum];
        Self { sshd, variables, left_out }
    }

    /// Runs a plan twice: each step changes something in the first run, none in the second. `by` makes the command.
    fn apply(&self, plan: &str, by: impl Fn(&str) -> Command, more: &[&str]) {
        let project = Project::copy(&self.sshd.inventory_with("user = \"pi\""), FOLDER, plan);
        let mut args: Vec<&str> = more.to_vec();
        if plan == "plan.toml" {
            args.extend(self.variables.iter().map(String::as_str));
        }
        let first = project.runs_twice_by(by, &args);
        for (step, outcome) in first.outcomes() {
            let wanted = match step {
                "facts" | "wait" => "same",
                _ if self.left_out.contains(&step) => "skipped",
                _ => "changed",
            };
            assert_eq!(outcome, wanted, "{plan}: {step}\n{}", first.said);
        }
    }
}

/// Starts a server on the machine that serves a file, and returns its port. The plan waits for the server.
pub fn serve(machine: &Machine) -> u16 {
    let folder = machine.shared().join("served");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), DOWNLOADED).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = machine.command("busybox");
    server.args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"]).arg(folder);
    // The server ends with the machine.
    drop(server.spawn().unwrap());
    port
}

#[test]
fn each_comes_to_rest() {
    let Some(machine) = Machine::new() else { return };
    let host = Host::new(&machine, &["service", "timer", "reload", "restart"]);
    for plan in ["plan.toml", "back.toml"] {
        host.apply(plan, |program| Command::new(program), &["--skip", "systemd"]);
    }
}

#[test]
fn each_comes_to_rest_where_systemd_is() {
    let Some(machine) = Machine::booted() else { return };
    let host = Host::new(&machine, &["module"]);
    let by = |program: &str| machine.on_its_network(program);
    host.apply("plan.toml", by, &["--skip", "modules"]);
    let holds =
        |what: &str| assert!(machine.holds(what), "{what}: {}", machine.sh("systemctl status every --no-pager; true"));
    holds("systemctl is-active every && systemctl is-enabled every && systemctl is-active every-day.timer");
    holds("systemctl show every -p Description | grep -q word && test \"$(hostnamectl hostname)\" = every");
    holds("findmnt /srv/mounted && systemctl is-active srv-mounted.mount");
    host.apply("back.toml", by, &[]);
    holds("! systemctl is-active every && ! systemctl is-enabled every && ! systemctl cat every-day.timer");
    holds("! findmnt /srv/mounted");
}

/// Valid values that are written differently from how hosts report them, and files with all kinds of bytes: each plan
/// in the folder `odd` runs twice. The second run changes nothing.
#[test]
fn odd_values_come_to_rest() {
    let Some(machine) = Machine::new() else { return };
    let host = Host::new(&machine, &[]);
    machine.sh(&std::fs::read_to_string(Path::new(FOLDER).join("odd/ready.sh")).unwrap());
    let mut plans: Vec<_> =
        std::fs::read_dir(Path::new(FOLDER).join("odd")).unwrap().map(|entry| entry.unwrap()).collect();
    plans.sort_by_key(std::fs::DirEntry::file_name);
    for name in plans.iter().map(|plan| plan.file_name().into_string().unwrap()).filter(|name| name.ends_with(".toml"))
    {
        let plan = format!("odd/{name}");
        let project = Project::copy(&host.sshd.inventory_with("user = \"pi\""), FOLDER, &plan);
        project.runs_twice(&[]);
    }
    // Lines that no step names are unchanged, byte by byte.
    let holds = |what: &str| {
        let shown = "cd /srv/t; od -c marked; od -c hosts; od -c keys; cat -A /srv/boot/*.txt /etc/hosts /etc/cron.d/odd; id ada";
        assert!(machine.holds(what), "{what}: {}", machine.sh(shown));
    };
    holds(r"printf '\357\273\277# BEGIN\r\nx\r\ny\r\n# END\r\n# caf\351\r\na = 2\r\nb_port = 5' | cmp - /srv/t/marked");
    holds(
        r"printf '# caf\351\n10.0.0.2\tX  y # \377\nfd00::1\tX.example.org x\n10.0.0.3\tOTHER\n' | cmp - /srv/t/hosts",
    );
    holds(r#"printf 'x=1 "b  c" y=1' | cmp - /srv/boot/cmdline.txt"#);
    holds(r"printf '# \351\r\na = 2\r\n' | cmp - /srv/boot/config.txt");
    holds(r"printf '127.0.0.1 localhost\n127.0.1.1\tOdd.Example.org Odd git # mine \351\n' | cmp - /etc/hosts");
    holds(r"printf '4||-n|*|a '\''b'\''|' | cmp - /srv/t/by-script");
    holds("test \"$(stat -c '%a %u %g' '/srv/t/odd page%s')\" = '640 0 2147483646'");
    holds("id -Gn ada | grep -q 'odd users' && id -Gn ada | grep -q more");
}

#[test]
fn a_source_that_contradicts_another_leaves_apt_as_it_was() {
    let Some(machine) = Machine::new() else { return };
    let host = Host::new(&machine, &[]);
    machine.sh("cp /usr/share/keyrings/every.gpg /usr/share/keyrings/other.gpg");
    machine.sh(
        "echo 'deb [signed-by=/usr/share/keyrings/other.gpg] file:/srv/apt ./' >/etc/apt/sources.list.d/vendor.list",
    );
    let plan = "[[phase.p.step]]\nid = \"repository\"\naction = \"node.apt_repository\"\nhosts = \"target\"\nbecome = true\n\
                name = \"every\"\nuris = [\"file:/srv/apt\"]\nsuites = [\"./\"]\nsigned_by = \"/usr/share/keyrings/every.gpg\"\n";
    let project = Project::new(&host.sshd.inventory_with("user = \"pi\""), &format!("[phase.p]\n{plan}"));
    let ran = project.run(&[]);
    assert!(ran.failures().contains("it contradicts /etc/apt/sources.list.d/vendor.list"), "{}", ran.failures());
    assert!(machine.holds("test ! -e /etc/apt/sources.list.d/every.sources && apt-get indextargets >/dev/null"));
    machine.sh("rm /etc/apt/sources.list.d/vendor.list");
    project.runs_twice(&[]);
}
